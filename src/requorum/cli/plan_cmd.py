"""``requorum plan``: everything is read in full, and what would be done is printed as a runbook."""

import datetime
import secrets
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import click
import msgspec

from requorum.cli import options, render, survey_cmd
from requorum.cli.options import Where, World
from requorum.errors import Refused, RequorumError, UsageError
from requorum.hosts import files
from requorum.hosts.connection import Connection, Here
from requorum.plan import make, runbook
from requorum.plan.values import Plan
from requorum.run import journal as journals
from requorum.survey import codec, live
from requorum.survey.evidence import DbEvidence, Peer, Survey
from requorum.verdict.decide import decide
from requorum.verdict.values import Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """A plan with the survey and the verdict that it was made from."""

    survey: Survey
    verdict: Verdict
    plan: Plan


@click.command()
@options.where
@options.snapshots
@click.option("--source", "source_id", default="", help="Rebuild from this source (by its name in the survey).")
@options.powered_off
@options.seen_revision
@click.option(
    "--save", type=click.Path(path_type=Path, dir_okay=False), help="Write the plan to a file for recover --plan."
)
@options.output
def plan(
    where: Where,
    snapshots: tuple[str, ...],
    source_id: str,
    powered_off: tuple[str, ...],
    seen_revision: int,
    save: Path | None,
    output: str,
) -> None:
    """Read everything in full, decide, and print the exact steps; changes nothing."""
    if save is not None and save.exists():
        raise UsageError(f"{save} exists already", hint="requorum overwrites nothing: choose another name")
    with options.world(where, powered_off) as world:
        made = make_one(world, snapshots, source_id, powered_off, seen_revision)
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
    how = (
        f"requorum member replace {plan.replaced.name} --dry-run" if plan.kind == "replace member" else "requorum plan"
    )
    out.print(f"plan {plan.run} for {plan.cluster} (etcd {plan.etcd_version}); `{how}` prints every command:")
    for number, phase in enumerate(plan.phases, 1):
        who = ", ".join(step.who for step in phase.steps if step.who)
        out.print(f"{number:2}. {phase.title}" + (f" ({who})" if who else ""))
    for warning in plan.warnings:
        out.print(f"warning: {warning}")


def new_run() -> str:
    """A name for a run: when it was planned, and four random digits."""
    return f"{datetime.datetime.now(datetime.UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"


def make_one(
    world: World, snapshots: Sequence[str], source_id: str, powered_off: Sequence[str], seen_revision: int = 0
) -> Planned:
    """Survey in full, decide, plan."""
    survey = survey_cmd.with_seen(survey_cmd.look(world, snapshots, powered_off, in_full=True), seen_revision)
    verdict = decide(survey)
    powered_off = with_members(world, survey, powered_off)
    gate_powered_off(world, survey, powered_off)
    made = make.make_plan(
        survey,
        verdict,
        run=new_run(),
        tools=world.found.folder if world.found else "",
        powered_off=powered_off,
        source_id=source_id,
    )
    return Planned(survey=survey, verdict=verdict, plan=made)


def with_members(world: World, survey: Survey, powered_off: Sequence[str]) -> tuple[str, ...]:
    """The hosts that are off, and the names of the members on them; raises UsageError for a name that nobody has."""
    hosts = {host.name: host for host in world.inventory.hosts}
    peers = [peer for one in survey.members if isinstance(one.db, DbEvidence) for peer in one.db.peers]
    names = list(powered_off)
    for name in powered_off:
        if name in hosts:
            at = hosts[name]
            names += [one.name for one in peers if one.name and (one.name == at.member or _is_at(one, at.address.host))]
            names += [at.member] if at.member else []
        elif peers and name not in {one.name for one in peers} | {f"{one.id:x}" for one in peers}:
            raise UsageError(
                f"--powered-off {name}: no host and no member is called that",
                hint=f"known: {', '.join(sorted({*hosts, *(one.name for one in peers if one.name)}))}",
            )
    return tuple(dict.fromkeys(names))


def gate_powered_off(world: World, survey: Survey, powered_off: Sequence[str]) -> None:
    """What was called powered off, and answers at one of its addresses, is not: exit 4.

    It is tried from here and from every host that was surveyed: the operator's own way may be what is broken.
    """
    hosts = {host.name: host for host in world.inventory.hosts}
    peers = [peer for one in survey.members if isinstance(one.db, DbEvidence) for peer in one.db.peers]
    tried: list[Connection] = [Here("this machine")]
    tried += [world.connections[one.name] for one in survey.hosts if not one.unreachable]
    for name in powered_off:
        member = hosts[name].member if name in hosts else ""
        urls = {
            url
            for peer in peers
            if (peer.name in (name, member) and peer.name) or (name in hosts and _is_at(peer, hosts[name].address.host))
            for url in (*peer.peer_urls, *peer.client_urls)
        }
        surveyed = {one.name for one in survey.members}
        wanted = [(one, url) for url in sorted(urls) for one in tried] if name not in surveyed else []
        with ThreadPoolExecutor(max_workers=max(len(wanted), 1)) as pool:
            answers = list(pool.map(lambda pair: live.answers(*pair), wanted))
        for (one, url), there in zip(wanted, answers, strict=True):
            if there:
                raise Refused(
                    f"{name} was called powered off, but {url} answers (asked from {one.name})",
                    hint="add it to the inventory, or stop it: it could form a cluster of its own",
                )


def _is_at(peer: Peer, address: str) -> bool:
    return any(urlsplit(url).hostname == address for url in (*peer.peer_urls, *peer.client_urls))


def load_plan(path: Path) -> Plan:
    """A plan that was saved; raises UsageError unless it is whole and makes sense."""
    try:
        plan = codec.decode(files.read_file(path), Plan)
    except OSError as err:
        raise UsageError(f"{path}: {err.strerror}") from err
    except UsageError as err:
        raise UsageError(f"{path}: {err.message}") from err
    names = {one.name for one in plan.members}
    steps = [step for phase in plan.phases for step in phase.steps]
    if not journals.is_run_name(plan.run) or not steps or any(step.member not in (*names, "") for step in steps):
        raise UsageError(
            f"{path}: this plan was changed, and makes no sense any more", hint="plan again: requorum plan"
        )
    return plan
