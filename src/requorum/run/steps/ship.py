"""Bring the snapshot to a member: the same bytes everywhere, on disk before anything goes on."""

import os
from pathlib import Path
from typing import Any

from requorum.errors import RequorumError
from requorum.hosts import files
from requorum.plan.values import PlanMember
from requorum.run.context import Context


def do(context: Context, member: PlanMember) -> Any:
    """Copy, fsync, compare the sha256; a file that is there and right is not sent again."""
    expected = sha256_of_source(context)
    source = context.work(context.plan.member(context.plan.source_on)) / "source.db"
    target = context.work(member) / "source.db"
    if not (target.exists() and files.sha256_of(target) == expected):
        _room(target.parent, source, member)
        part = target.with_name(".source.db.part")
        files.remove_made(part)
        files.copy_durably(source, part)
        os.replace(part, target)
        files.fsync_dir(target.parent)
    return {"sha256": check_copy(context, member)}


def check_copy(context: Context, member: PlanMember) -> str:
    """The sha256 of a member's copy of the snapshot; raises RequorumError unless it is the one that was built."""
    expected = sha256_of_source(context)
    target = context.work(member) / "source.db"
    found = files.sha256_of(target)
    if found != expected:
        raise RequorumError(
            f"{member.name}: {target} has sha256 {found}, not {expected}: the copy went wrong",
            hint="the disk or the memory of this host may be failing; resume copies it again",
        )
    return found


def sha256_of_source(context: Context) -> str:
    """What the workbench built, by the journal."""
    built = context.journal.result("build source", context.plan.source_on)
    if not isinstance(built, dict):
        raise RequorumError("the journal does not say what the workbench built")
    return str(built["sha256"])


def _room(folder: Path, source: Path, member: PlanMember) -> None:
    need = 2 * source.stat().st_size + (64 << 20)
    free = files.free_bytes(folder)
    if free < need:
        raise RequorumError(
            f"{member.name}: no room for the snapshot and the restored data: {need} bytes needed, {free} free in {folder}",
            hint="make room there, then resume",
        )
