"""``requorum check``: is this cluster well, and could it be recovered right now?"""

import click
from rich.text import Text

from requorum import errors
from requorum.cli import options, render, survey_cmd
from requorum.cli.options import Where, World
from requorum.errors import RequorumError
from requorum.plan.replace import serves
from requorum.proof import check as checks
from requorum.proof.check import Check
from requorum.proof.prove import Asked, Proof, compare
from requorum.survey.evidence import MemberConfig, Survey, Tools
from requorum.verdict.decide import decide

NAGIOS = {"ok": 0, "warning": 1, "critical": 2}
UNKNOWN = 3


@click.command()
@options.where
@options.powered_off
@options.seen_revision
@click.option("--nagios", is_flag=True, help="One line, and exit codes 0, 1, 2 and 3 as monitoring plugins have them.")
@options.output
def check(where: Where, powered_off: tuple[str, ...], seen_revision: int, nagios: bool, output: str) -> int:
    """The members' status and hashes, certificates, clocks, alarms, quota, versions, room for a recovery. Changes nothing.

    Exits with 0 when all is well, 3 with warnings, 1 when something is wrong.
    """
    try:
        with options.world(where, powered_off) as world:
            survey = survey_cmd.with_seen(survey_cmd.look(world, (), powered_off, in_full=False), seen_revision)
            verdict = decide(survey)
            proof, fault = _compare(world, survey)
    except RequorumError as err:
        if not nagios:
            raise
        click.echo(f"ETCD UNKNOWN - {err.message}")
        return UNKNOWN
    found = checks.judge(survey, verdict, proof, fault)
    if nagios:
        size = max((row.db_size for row in found.rows), default=0)
        click.echo(f"ETCD {found.state.upper()} - {found.summary} | db_size={size}B revision={found.revision}")
        return NAGIOS[found.state]
    if output in ("json", "yaml"):
        render.data(found, output)
    else:
        _print(found, proof, wide=output == "wide")
    return {"ok": errors.DONE, "warning": errors.DONE_WITH_WARNINGS, "critical": RequorumError.exit_code}[found.state]


def _compare(world: World, survey: Survey) -> tuple[Proof | None, str]:
    asked = [
        Asked(host=world.connections[one.host], tools=one.tools, config=one.config)
        for one in survey.members
        if serves(one) and isinstance(one.tools, Tools) and isinstance(one.config, MemberConfig)
    ]
    if not asked:
        return None, ""
    try:
        return compare(asked, change=False), ""
    except RequorumError as err:
        return None, f"{err.message}; {err.hint}" if err.hint else err.message


def _print(found: Check, proof: Proof | None, *, wide: bool) -> None:
    out = render.console()
    if proof:
        render.rows(proof, wide=wide)
        out.print(f"at revision {found.revision} every member has hash {found.hash}")
    for one in found.findings:
        style = {"danger": "bold red", "warning": "yellow", "info": ""}[one.level]
        out.print(Text.assemble((f"{one.level}: ", style), f"{one.subject}: {one.text}"))
    colour = {"ok": "green", "warning": "yellow", "critical": "bold red"}[found.state]
    out.print(Text.assemble((found.state, colour), f": {found.summary}"))
