"""Restore the snapshot beside a member's old data, and read the result in full."""

from pathlib import Path
from typing import Any

from requorum.errors import RequorumError
from requorum.etcdfiles import verify
from requorum.etcdfiles.faults import EtcdFileError
from requorum.hosts import files, programs
from requorum.plan import runbook
from requorum.plan.values import PlanMember
from requorum.run.context import Context
from requorum.run.steps import ship

RESTORE_SECONDS = 1800.0


def do(context: Context, member: PlanMember) -> Any:
    """``etcdutl snapshot restore`` with the member's own name and URLs; a half-done one is made anew."""
    digest = ship.check_copy(context, member)
    new, new_wal = context.work(member) / "new", context.wal_work(member) / "new-wal"
    files.remove_made(new)
    if member.place.wal_apart:
        files.make_dir(new_wal.parent)
        files.remove_made(new_wal)
    argv = runbook.restore_command(str(context.tools.etcdutl), context.plan, member)
    try:
        programs.run(argv, seconds=RESTORE_SECONDS, cwd=str(context.work(member)))
        verified = verify.verify_db(str(new / "member" / "snap" / "db"))
    except programs.ProgramError as err:
        raise RequorumError(
            f"{member.name}: the snapshot could not be restored: {err}", hint=f"the command was: {err.command}"
        ) from err
    except EtcdFileError as err:
        raise RequorumError(f"{member.name}: the restored db cannot be read: {err}") from err
    if not verified.sound:
        raise RequorumError(f"{member.name}: the restored db is not sound: {verified.damage[:1]}")
    own(member, new, new_wal)
    return {"sha256": digest, "hash": f"{verified.hash:x}", "revision": verified.revision}


def own(member: PlanMember, new: Path, new_wal: Path) -> None:
    """Give the restored files the owner of the old ones, and make them durable."""
    old = Path(member.place.data_dir)
    if old.exists():
        files.own_tree_like(new, old.stat())
    files.sync_tree(new)
    if member.place.wal_apart:
        old_wal = Path(member.place.wal_dir)
        if old_wal.exists():
            files.own_tree_like(new_wal, old_wal.stat())
        files.sync_tree(new_wal)
