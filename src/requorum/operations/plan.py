"""Survey in full, decide, and plan a recovery; nothing is changed."""

import datetime
import secrets
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from requorum.errors import Refused, RequorumError, UsageError
from requorum.hosts import files
from requorum.hosts.connection import Connection, Here
from requorum.hosts.everywhere import at_once
from requorum.operations import survey as surveys
from requorum.operations.hosts import World
from requorum.procedures import make
from requorum.procedures.values import Plan
from requorum.reports.plan import Planned
from requorum.run import journal as journals
from requorum.run import runbook
from requorum.survey import codec, live
from requorum.survey.evidence import DbEvidence, Peer, Survey


def plan_recovery(
    world: World,
    *,
    snapshots: Sequence[str] = (),
    source: str = "",
    powered_off: Sequence[str] = (),
    seen_revision: int = 0,
) -> Planned:
    """What would be done to recover the cluster of these hosts.

    ``snapshots`` may be recovered from, too (a path here, or HOST:PATH); ``source`` names what to rebuild from, as the survey
    calls it; ``powered_off`` are hosts and members that are certainly off; ``seen_revision`` is known to have been served.
    Raises Refused where nothing can or should be done.
    """
    judged = surveys.judged(surveys.survey_hosts(world, snapshots, powered_off, in_full=True), seen_revision)
    off = with_members(world, judged.survey, powered_off)
    _gate_powered_off(world, judged.survey, off)
    made = make.make_plan(
        judged.survey,
        judged.verdict,
        run=new_run(),
        tools=world.programs.folder if world.programs else "",
        powered_off=off,
        source_id=source,
    )
    return Planned(survey=judged.survey, verdict=judged.verdict, plan=runbook.written_out(made))


def new_run() -> str:
    """A name for a run: when it was planned, and four random digits."""
    return f"{datetime.datetime.now(datetime.UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"


def with_members(world: World, survey: Survey, powered_off: Sequence[str]) -> tuple[str, ...]:
    """The hosts that are off, and the names of the members on them; raises UsageError for a name that nobody has."""
    hosts = {host.name: host for host in world.inventory.hosts}
    peers = [peer for one in survey.members if isinstance(one.db, DbEvidence) for peer in one.db.peers]
    names = list(powered_off)
    for name in powered_off:
        if name in hosts:
            host = hosts[name]
            names += [
                one.name for one in peers if one.name and (one.name == host.member or _is_at(one, host.address.host))
            ]
            names += [host.member] if host.member else []
        elif peers and name not in {one.name for one in peers} | {f"{one.id:x}" for one in peers}:
            raise UsageError(
                f"--powered-off {name}: no host and no member is called that",
                hint=f"known: {', '.join(sorted({*hosts, *(one.name for one in peers if one.name)}))}",
            )
    return tuple(dict.fromkeys(names))


def _gate_powered_off(world: World, survey: Survey, powered_off: Sequence[str]) -> None:
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
        answers = at_once(lambda pair: live.answers(*pair), wanted)
        for (one, url), answered in zip(wanted, answers, strict=True):
            if answered:
                raise Refused(
                    f"{name} was called powered off, but {url} answers (asked from {one.name})",
                    hint="add it to the inventory, or stop it: it could form a cluster of its own",
                )


def _is_at(peer: Peer, address: str) -> bool:
    return any(urlsplit(url).hostname == address for url in (*peer.peer_urls, *peer.client_urls))


def save(made: Plan, path: Path) -> None:
    """Write a plan to a new file; raises UsageError where there is one already, RequorumError where it cannot be written."""
    gate_new(path)
    try:
        raw = msgspec.json.format(msgspec.json.encode(made), indent=1)
        written = files.create_exclusively(path.absolute(), raw)
    except OSError as err:
        raise RequorumError(f"{path}: {err.strerror}") from err
    if not written:
        raise _exists(path)


def gate_new(path: Path) -> None:
    """Raise UsageError where a file that is to be written is there already."""
    if path.exists():
        raise _exists(path)


def _exists(path: Path) -> UsageError:
    return UsageError(f"{path} exists already", hint="requorum overwrites nothing: choose another name")


def load(path: Path) -> Plan:
    """A plan that was saved; raises UsageError unless it is whole and makes sense."""
    try:
        made = codec.decode(files.read_file(path), Plan)
    except OSError as err:
        raise UsageError(f"{path}: {err.strerror}") from err
    except UsageError as err:
        raise UsageError(f"{path}: {err.message}") from err
    names = {one.name for one in made.members}
    steps = [step for phase in made.phases for step in phase.steps]
    if not journals.is_run_name(made.run) or not steps or any(step.member not in (*names, "") for step in steps):
        raise UsageError(
            f"{path}: this plan was changed, and makes no sense any more", hint="plan again: requorum plan"
        )
    return made
