"""``requorum check``: is this cluster well, and could it be recovered right now?"""

import click
from rich.text import Text

from requorum import errors
from requorum.cli import options, render
from requorum.errors import RequorumError
from requorum.operations import check as operation
from requorum.operations import hosts
from requorum.operations.hosts import Where
from requorum.proof.check import Check
from requorum.proof.prove import Proof

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
        with hosts.opened(where, powered_off) as world:
            checked = operation.check(world, powered_off=powered_off, seen_revision=seen_revision)
    except RequorumError as err:
        if not nagios:
            raise
        click.echo(f"ETCD UNKNOWN - {err.message}")
        return UNKNOWN
    report = checked.report
    if nagios:
        size = max((row.db_size for row in report.rows), default=0)
        click.echo(f"ETCD {report.state.upper()} - {report.summary} | db_size={size}B revision={report.revision}")
        return NAGIOS[report.state]
    if output in ("json", "yaml"):
        render.data(report, output)
    else:
        _print(report, checked.proof, wide=output == "wide")
    return {"ok": errors.DONE, "warning": errors.DONE_WITH_WARNINGS, "critical": RequorumError.exit_code}[report.state]


def _print(report: Check, proof: Proof | None, *, wide: bool) -> None:
    out = render.console()
    if proof:
        render.rows(proof, wide=wide)
        out.print(f"at revision {report.revision} every member has hash {report.hash}")
    for one in report.findings:
        style = {"danger": "bold red", "warning": "yellow", "info": ""}[one.level]
        out.print(Text.assemble((f"{one.level}: ", style), f"{one.subject}: {one.text}"))
    colour = {"ok": "green", "warning": "yellow", "critical": "bold red"}[report.state]
    out.print(Text.assemble((report.state, colour), f": {report.summary}"))
