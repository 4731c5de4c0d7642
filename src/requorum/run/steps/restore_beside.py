"""Restore the snapshot beside the old data where it was built; elsewhere make the members' own logs.

The snapshot is restored once, read in full meanwhile, and the result compared with it. What ``etcdutl snapshot
restore`` writes beside the db (the log, the ``.snap``) depends on the members alone, so the others make theirs from a db
without data, and are brought the restored db afterwards: the same bytes, half the writing, room for one db, not for two.
"""

import shlex
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from shlex import quote as q

from requorum.errors import RequorumError
from requorum.etcdfiles import emptydb
from requorum.etcdfiles.faults import EtcdFileError
from requorum.hosts import files, programs, trees
from requorum.procedures.values import Plan, PlanMember, wal_work_of, work_of
from requorum.run.context import Context
from requorum.run.steps import build_source
from requorum.run.steptype import StepType
from requorum.survey import disks
from requorum.workbench import bench

RESTORE_SECONDS = 1800.0
LOG_BYTES = 64 << 20
"""etcdutl preallocates a WAL file of this size."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Restored:
    """``sha256`` of the restored db, empty where it is still to come, and the name of the ``.snap`` beside it: the term and
    index at which the member's log begins."""

    sha256: str = ""
    snap: str = ""


def by_hand(plan: Plan, member: PlanMember) -> tuple[str, ...]:
    line = shlex.join(command(member.tools.etcdutl, plan, member))
    if member.name == plan.source_on:
        return (line, "# the result is compared with source.db, page by page")
    source = plan.member(plan.source_on)
    snapshot = f"{source.host}:{work_of(source, plan.run)}/source.db"
    return (f"# empty.db: any etcd's db, such as {q(snapshot)}; the next phase puts the restored db in its place", line)


def command(etcdutl: str, plan: Plan, member: PlanMember) -> list[str]:
    """``etcdutl snapshot restore`` for one member, beside its old data.

    The hash check would tell that the snapshot's sha256 is the one that was just written behind it. What came out is
    compared with the snapshot instead.

    Where the source was built it restores the source. Elsewhere it makes the member's own log, from a db without data:
    the restored db is brought there afterwards.
    """
    work, here = work_of(member, plan.run), member.name == plan.source_on
    argv = [
        etcdutl,
        "snapshot",
        "restore",
        f"{work}/source.db" if here else f"{work}/empty.db",
        "--data-dir",
        f"{work}/new",
        "--name",
        member.config.name,
        "--initial-cluster",
        plan.initial_cluster,
        "--initial-cluster-token",
        plan.token,
        "--initial-advertise-peer-urls",
        ",".join(member.config.peer_urls),
    ]
    if member.place.wal_apart:
        argv += ["--wal-dir", f"{wal_work_of(member, plan.run)}/new-wal"]
    argv.append("--skip-hash-check=true")
    if here and plan.bump:
        argv += ["--bump-revision", str(plan.bump), "--mark-compacted"]
    return argv


def do(context: Context, member: PlanMember) -> Restored:
    """``etcdutl snapshot restore`` with the member's own name and URLs; a half-done one is made anew."""
    host, here = context.host(member), member.name == context.plan.source_on
    new, new_wal = context.work(member) / "new", context.wal_work(member) / "new-wal"
    empty = context.work(member) / "empty.db"
    host.call(files.remove_made, new)
    _room(context, member)
    if member.place.wal_apart:
        host.call(files.make_dir, new_wal.parent)
        host.call(files.remove_made, new_wal)
    if not here:
        host.call(files.write_durably, empty, emptydb.content())
    argv = command(context.tools(member).etcdutl, context.plan, member)
    with ThreadPoolExecutor(max_workers=1) as pool:
        reading = pool.submit(host.call, bench.read, context.work(member) / "source.db") if here else None
        try:
            host.call(programs.run, argv, seconds=RESTORE_SECONDS, cwd=str(context.work(member)))
        except programs.ProgramError as err:
            raise RequorumError(
                f"{member.name}: the snapshot could not be restored: {err}", hint=f"the command was: {err.command}"
            ) from err
        if reading is not None:
            reading.result()
    host.call(files.remove_made, empty)
    digest = _compared(context, member) if here else ""
    own(context, member)
    return Restored(sha256=digest, snap=_snap(context, member))


def _room(context: Context, member: PlanMember) -> None:
    """Raise RequorumError when the restored db and its log do not fit beside the old data."""
    need, folder = build_source.built(context).size + LOG_BYTES, context.work(member)
    free = context.host(member).call(files.free_bytes, folder)
    if free < need:
        raise RequorumError(
            f"{member.name}: no room for the restored data: {need} bytes needed, {free} free in {folder}",
            hint="make room there, then resume",
        )


def restored_db(context: Context, member: PlanMember) -> Path:
    """The restored db, until it is moved in."""
    return context.work(member) / "new" / "member" / "snap" / "db"


def _compared(context: Context, member: PlanMember) -> str:
    """The sha256 of a restored db; raises RequorumError when it holds anything but its snapshot."""
    host, db = context.host(member), restored_db(context, member)
    snapshot = str(context.work(member) / "source.db")
    try:
        with ThreadPoolExecutor(max_workers=1) as pool:
            digest = pool.submit(host.call, files.sha256_of, db)
            fault = host.call(disks.fault_of_restored, str(db), snapshot, bump=context.plan.bump)
            found = digest.result()
    except EtcdFileError as err:
        raise RequorumError(f"{member.name}: the restored db cannot be read: {err}") from err
    if fault:
        raise RequorumError(
            f"{member.name}: the restored db does not hold what the snapshot holds: {fault}",
            hint="the disk or the memory of this host may be failing; resume restores it again",
        )
    return found


def _snap(context: Context, member: PlanMember) -> str:
    host, folder = context.host(member), restored_db(context, member).parent
    names = [name for name in host.call(files.names_in, folder) if name.endswith(".snap")]
    if len(names) != 1:
        raise RequorumError(f"{member.name}: etcdutl left {len(names)} .snap files in {folder}, one was expected")
    return names[0]


def own(context: Context, member: PlanMember) -> None:
    """Give the restored files the owner of the old ones, and make them durable."""
    host = context.host(member)
    pairs = [(context.work(member) / "new", Path(member.place.data_dir))]
    if member.place.wal_apart:
        pairs.append((context.wal_work(member) / "new-wal", Path(member.place.wal_dir)))
    for made, old in pairs:
        if host.call(files.there, old):
            host.call(trees.own_tree_like, made, old)
        host.call(trees.sync_tree, made)


STEP = StepType(
    kind="restore beside",
    does="restores the snapshot beside the old data where it was built; elsewhere makes the members' own logs",
    by_hand=by_hand,
    do=do,
    result=Restored,
)
