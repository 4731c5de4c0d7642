"""Build the snapshot that every member is restored from, on the workbench, where the best source lies."""

import shlex
from dataclasses import dataclass, field, replace
from pathlib import Path
from shlex import quote as q

from requorum.errors import Refused, RequorumError
from requorum.etcdfiles import datadir
from requorum.hosts import files, transfer
from requorum.hosts.connection import Connection, Here
from requorum.procedures.values import Plan, PlanMember, work_of
from requorum.run.context import Context, still_fenced
from requorum.run.steptype import StepType
from requorum.survey import merging
from requorum.verdict.sources import WORKBENCH
from requorum.workbench import audit, bench
from requorum.workbench.audit import Audit
from requorum.workbench.bench import Part
from requorum.workbench.recipes import recipe_of

ROOM = 3
"""The bench holds the copy that is opened, the snapshot that is saved from it, and a log."""
PIECES = "pieces"
"""Where other members' entries lie on the workbench's host, until the source is built."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BuiltSource:
    """The snapshot that came out (:class:`requorum.workbench.bench.Built`), and how it compares with the dbs that count."""

    path: str = ""
    sha256: str = ""
    revision: int = 0
    hash: str = ""
    size: int = 0
    total_keys: int = 0
    audit: Audit = field(default_factory=lambda: Audit(agree=(), differ=(), untold=()))


def by_hand(plan: Plan, member: PlanMember) -> tuple[str, ...]:
    source = plan.source
    assert source is not None
    work = work_of(member, plan.run)
    raw = "" if source.saved_snapshot else " --skip-hash-check"
    peer = "http://127.0.0.1:PORT"
    db = source.db or "empty.db"
    lines = [
        shlex.join(["etcdutl", "snapshot", "restore", db, "--data-dir", f"{work}/bench/data", "--name", WORKBENCH])
        + f" --initial-cluster {WORKBENCH}={peer} --initial-advertise-peer-urls {peer}{raw}",
    ]
    for piece in source.pieces:
        lines.append(f"# entries {piece.first} to {piece.last} of {piece.member}'s log are appended to the bench's log")
    if source.to_index > source.from_index and not source.pieces:
        lines.append(
            f"# entries {source.from_index + 1} to {source.to_index} of {source.wal_dir} are appended to the bench's log "
            f"(requorum rebuild does the same by hand)"
        )
    lines += [
        f"etcd --data-dir {q(work + '/bench/data')} …  # revision must be {source.revision}",
        f"etcdctl snapshot save {q(work + '/source.db')}",
    ]
    return tuple(lines)


def do(context: Context, member: PlanMember) -> BuiltSource:
    """Replay, open, save, compare with the prediction, and with every db that counts; it is read in full while it is restored.

    Raises Refused when a db holds what the built one does not, unless the operator named the source in spite of that.
    """
    source, host = context.source, context.host(member)
    work = context.work(member)
    if source.member:
        still_fenced(context, context.plan.member(source.member))
    at = context.connections[source.host] if source.host else Here()
    elsewhere = at.name != host.name and not (at.local and host.local)
    need = (ROOM + elsewhere) * (at.call(files.size_of, source.db) if source.db else 0) + (64 << 20)
    free = host.call(files.free_bytes, work)
    if free < need:
        raise RequorumError(
            f"{member.name}: no room for the workbench: {need} bytes needed, {free} free in {work}",
            hint="make room there, then resume",
        )
    recipe, brought = recipe_of(source, _parts(context, member)), work / "brought.db"
    if elsewhere and source.db:
        digest = at.call(files.sha256_of, Path(source.db))
        transfer.copy(at, source.db, [(host, str(brought))], digest, context.moved)
        recipe = replace(recipe, db=str(brought))
    try:
        made = host.call(bench.build, recipe, work / "source.db", work / "bench", context.tools(member), in_full=False)
    finally:
        host.call(files.remove_made, brought)
        host.call(files.remove_made, work / PIECES)
    return BuiltSource(
        path=made.path,
        sha256=made.sha256,
        revision=made.revision,
        hash=made.hash,
        size=made.size,
        total_keys=made.total_keys,
        audit=_audited(context, host, work / "source.db"),
    )


def built(context: Context) -> BuiltSource:
    """What the workbench built in this run; raises RequorumError where the journal does not say."""
    found = STEP.of(context.journal, context.plan.source_on)
    if found is None:
        raise RequorumError("the journal does not say what the workbench built")
    return found


def _audited(context: Context, host: Connection, built: Path) -> Audit:
    """Compare what was built with the dbs of the members that count (:mod:`requorum.workbench.audit`)."""
    decided, plan = context.journal.decision, context.plan
    names = decided.witnesses if decided is not None else ()
    others = [
        audit.Db(
            name=one.name, host=context.host(one), path=datadir.layout_of(one.place.data_dir, one.place.wal_dir).db
        )
        for one in plan.members
        if one.name in names
    ]
    found = audit.audit(audit.Db(name="source", host=host, path=str(built)), others)
    if found.differ and not plan.named:
        raise Refused(
            f"{context.source.id} was built, and does not hold what other disks hold: {'; '.join(found.differ)}",
            changed=f"etcd is fenced on {', '.join(one.name for one in plan.members)}; no member's data was changed",
            hint=f"keep every disk; requorum rollback {plan.run} lifts the fences; a source that you name yourself "
            f"(requorum plan --source ID) is taken in spite of what others hold",
        )
    return found


def _parts(context: Context, member: PlanMember) -> tuple[Part, ...]:
    """A merged log's pieces: those that lie on the workbench's host where they are, the others brought from theirs."""
    parts: list[Part] = []
    folder, host = context.work(member) / PIECES, context.host(member)
    host.call(files.remove_made, folder)
    for piece in context.source.pieces:
        owner = context.plan.member(piece.member)
        still_fenced(context, owner)
        there = context.host(owner)
        if there.name == host.name or (there.local and host.local):
            parts.append(Part(wal_dir=piece.wal_dir or owner.place.wal_dir, first=piece.first, last=piece.last))
            continue
        host.call(files.make_dir, folder)
        for some in merging.fetch([piece], lambda name: _log_of(context, name)):
            parts.append(host.call(bench.bring, folder / str(len(parts)), some))
    return tuple(parts)


def _log_of(context: Context, name: str) -> tuple[Connection, str]:
    owner = context.plan.member(name)
    return context.host(owner), owner.place.wal_dir


STEP = StepType(
    kind="build source",
    does="builds the snapshot that every member is restored from, in a throwaway etcd, where the best source lies",
    by_hand=by_hand,
    do=do,
    result=BuiltSource,
)
