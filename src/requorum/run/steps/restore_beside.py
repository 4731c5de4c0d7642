"""Restore the snapshot beside a member's old data, and compare the result with it."""

from pathlib import Path
from typing import Any

from requorum.errors import RequorumError
from requorum.etcdfiles.faults import EtcdFileError
from requorum.hosts import files, programs, trees
from requorum.plan import runbook
from requorum.plan.values import PlanMember
from requorum.run.context import Context
from requorum.run.steps import ship
from requorum.survey import disks

RESTORE_SECONDS = 1800.0


def do(context: Context, member: PlanMember) -> Any:
    """``etcdutl snapshot restore`` with the member's own name and URLs; a half-done one is made anew.

    etcdutl compares the snapshot with the sha256 at its end. What came out is compared with the snapshot, which was read
    in full when it was built.
    """
    digest = ship.sha256_of_source(context)
    host = context.host(member)
    new, new_wal = context.work(member) / "new", context.wal_work(member) / "new-wal"
    host.call(files.remove_made, new)
    if member.place.wal_apart:
        host.call(files.make_dir, new_wal.parent)
        host.call(files.remove_made, new_wal)
    argv = runbook.restore_command(context.tools(member).etcdutl, context.plan, member)
    try:
        host.call(programs.run, argv, seconds=RESTORE_SECONDS, cwd=str(context.work(member)))
        hash_there = _compare(context, member, new / "member" / "snap" / "db")
    except programs.ProgramError as err:
        raise RequorumError(
            f"{member.name}: the snapshot could not be restored: {err}", hint=f"the command was: {err.command}"
        ) from err
    except EtcdFileError as err:
        raise RequorumError(f"{member.name}: the restored db cannot be read: {err}") from err
    own(context, member, new, new_wal)
    return {"sha256": digest, "hash": hash_there}


def _compare(context: Context, member: PlanMember, db: Path) -> str:
    """Raise RequorumError when a restored db holds anything but its snapshot.

    A host without Python cannot compare: etcdutl's hash of its db is returned, and that of the source's host, which the
    preflight compares. The hash is empty where nobody needs it.
    """
    host, bare = context.host(member), [one for one in context.plan.started if context.host(one).bare]
    if not host.bare:
        snapshot = str(context.work(member) / "source.db")
        fault = host.call(disks.fault_of_restored, str(db), snapshot, bumped=context.plan.bump > 0)
        if fault:
            raise RequorumError(
                f"{member.name}: the restored db does not hold what the snapshot holds: {fault}",
                hint="the disk or the memory of this host may be failing; resume restores it again",
            )
    if not bare or member.name not in (context.plan.source_on, *(one.name for one in bare)):
        return ""
    found = host.call(disks.verify_briefly, str(db))
    if found.fault:
        raise RequorumError(f"{member.name}: the restored db is not sound: {found.fault}")
    return found.hash


def own(context: Context, member: PlanMember, new: Path, new_wal: Path) -> None:
    """Give the restored files the owner of the old ones, and make them durable."""
    host = context.host(member)
    pairs = [(new, Path(member.place.data_dir))]
    if member.place.wal_apart:
        pairs.append((new_wal, Path(member.place.wal_dir)))
    for made, old in pairs:
        if host.call(files.there, old):
            host.call(trees.own_tree_like, made, old)
        host.call(trees.sync_tree, made)
