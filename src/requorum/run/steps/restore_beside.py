"""Restore the snapshot beside a member's old data, and read the result in full."""

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

    etcdutl compares the snapshot with the sha256 at its end. What came out is read in full where the source was built;
    the others must have the same bytes, which the preflight compares.
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
        made = host.call(files.sha256_of, new / "member" / "snap" / "db")
        first = member.name == context.plan.source_on
        verified = host.call(disks.verify_briefly, str(new / "member" / "snap" / "db")) if first else None
    except programs.ProgramError as err:
        raise RequorumError(
            f"{member.name}: the snapshot could not be restored: {err}", hint=f"the command was: {err.command}"
        ) from err
    except EtcdFileError as err:
        raise RequorumError(f"{member.name}: the restored db cannot be read: {err}") from err
    if verified is not None and verified.fault:
        raise RequorumError(f"{member.name}: the restored db is not sound: {verified.fault}")
    own(context, member, new, new_wal)
    return {
        "sha256": digest,
        "db_sha256": made,
        "hash": verified.hash if verified else "",
        "revision": verified.revision if verified else 0,
    }


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
