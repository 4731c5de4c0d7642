"""``requorum plan``: everything is read in full, and what would be done is printed as a runbook."""

import datetime
import secrets
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import anyio
import click
import msgspec

from requorum.cli import options, render
from requorum.errors import Refused, RequorumError, UsageError
from requorum.hosts import files
from requorum.hosts.tools import Tools
from requorum.plan import make, runbook
from requorum.plan.values import Plan
from requorum.run import journal as journals
from requorum.survey import gather
from requorum.survey.evidence import DbEvidence, Survey
from requorum.verdict.decide import decide
from requorum.verdict.values import Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """A plan with the survey and the verdict that it was made from."""

    survey: Survey
    verdict: Verdict
    plan: Plan
    tools: Tools


@click.command()
@options.inventory
@options.snapshots
@options.etcd_dir
@click.option("--source", "source_id", default="", help="Rebuild from this source (by its name in the survey).")
@click.option("--powered-off", multiple=True, help="A member that is not surveyed and certainly off.")
@click.option(
    "--save", type=click.Path(path_type=Path, dir_okay=False), help="Write the plan to a file for recover --plan."
)
@options.output
def plan(
    inventory_path: Path | None,
    snapshots: tuple[Path, ...],
    etcd_dir: Path | None,
    source_id: str,
    powered_off: tuple[str, ...],
    save: Path | None,
    output: str,
) -> None:
    """Read everything in full, decide, and print the exact steps; changes nothing."""
    if save is not None and save.exists():
        raise UsageError(f"{save} exists already", hint="requorum overwrites nothing: choose another name")
    made = make_one(inventory_path, snapshots, etcd_dir, source_id, powered_off)
    if save is not None:
        try:
            raw = msgspec.json.format(msgspec.json.encode(made.plan), indent=1)
            written = files.create_exclusively(save.absolute(), raw)
        except OSError as err:
            raise RequorumError(f"{save}: {err.strerror}") from err
        if not written:
            raise UsageError(f"{save} exists already", hint="requorum overwrites nothing: choose another name")
    if output in ("json", "yaml"):
        render.data(made.plan, output)
        return
    render.survey_and_verdict(made.survey, made.verdict, wide=output == "wide")
    show(made.plan)


def show(plan: Plan) -> None:
    """The plan as a runbook."""
    out = render.console()
    out.print()
    out.print(f"plan {plan.run} for {plan.cluster} (etcd {plan.etcd_version}):")
    out.print(runbook.as_text(plan), soft_wrap=True)
    for warning in plan.warnings:
        out.print(f"warning: {warning}")


def show_phases(plan: Plan) -> None:
    """What the plan does, phase by phase, without the commands."""
    out = render.console()
    out.print()
    out.print(f"plan {plan.run} for {plan.cluster} (etcd {plan.etcd_version}); `requorum plan` prints every command:")
    for number, phase in enumerate(plan.phases, 1):
        who = ", ".join(step.member for step in phase.steps if step.member)
        out.print(f"{number:2}. {phase.title}" + (f" ({who})" if who else ""))
    for warning in plan.warnings:
        out.print(f"warning: {warning}")


def new_run() -> str:
    """A name for a run: when it was planned, and four random digits."""
    return f"{datetime.datetime.now(datetime.UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"


def make_one(
    inventory_path: Path | None,
    snapshots: tuple[Path, ...],
    etcd_dir: Path | None,
    source_id: str,
    powered_off: tuple[str, ...],
) -> Planned:
    """Survey in full, decide, plan."""
    inventory = options.load_inventory(inventory_path)
    tools = options.find_tools(etcd_dir, inventory)
    for path in snapshots:
        if not path.exists():
            raise UsageError(f"{path}: there is no such file")
    absolute = [path.absolute() for path in snapshots]
    survey = anyio.run(partial(gather.survey_hosts, inventory, tools, in_full=True, snapshots=absolute))
    verdict = decide(survey)
    gate_powered_off(survey, verdict, powered_off)
    made = make.make_plan(
        survey,
        verdict,
        run=new_run(),
        tools=str(tools.etcd.parent),
        powered_off=powered_off,
        source_id=source_id,
    )
    return Planned(survey=survey, verdict=verdict, plan=made, tools=tools)


def gate_powered_off(survey: Survey, verdict: Verdict, powered_off: tuple[str, ...]) -> None:
    """A member that was called powered off, and answers at one of its addresses, is not: exit 4."""
    peers = [peer for one in survey.members if isinstance(one.db, DbEvidence) for peer in one.db.peers]
    for name in powered_off:
        urls = {url for peer in peers if peer.name == name for url in (*peer.peer_urls, *peer.client_urls)}
        for url in sorted(urls):
            if name in verdict.unsurveyed and gather.answers(url):
                raise Refused(
                    f"{name} was called powered off, but {url} answers",
                    hint="add it to the inventory, or stop it: it could form a cluster of its own",
                )


def load_plan(path: Path) -> Plan:
    """A plan that was saved; raises UsageError unless it is whole and makes sense."""
    try:
        plan = msgspec.json.decode(files.read_file(path), type=Plan)
    except OSError as err:
        raise UsageError(f"{path}: {err.strerror}") from err
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as err:
        raise UsageError(f"{path}: not a plan: {err}") from err
    names = {one.name for one in plan.members}
    steps = [step for phase in plan.phases for step in phase.steps]
    if not journals.is_run_name(plan.run) or not steps or any(step.member not in (*names, "") for step in steps):
        raise UsageError(
            f"{path}: this plan was changed, and makes no sense any more", hint="plan again: requorum plan"
        )
    return plan
