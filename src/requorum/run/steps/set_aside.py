"""Set a member's old log and data aside, by rename on the same file system: first the log, then the data."""

from pathlib import Path
from typing import Any

from requorum.hosts import files
from requorum.procedures.values import PlanMember
from requorum.run.context import Context, move_children, still_fenced


def do(context: Context, member: PlanMember) -> Any:
    """Everything in the dirs moves into this run's folders beside them; the dirs themselves stay, with their owner."""
    still_fenced(context, member)
    host, data_dir = context.host(member), Path(member.place.data_dir)
    moved = 0
    if member.place.wal_apart:
        moved += move_children(host, member, Path(member.place.wal_dir), context.wal_work(member) / "old-wal")
    if not host.call(files.there, data_dir):
        host.call(files.write_durably, context.work(member) / "made-data-dir", b"")
        host.call(files.make_dir, data_dir)
    moved += move_children(host, member, data_dir, context.work(member) / "old")
    return {"moved": moved}


def undo(context: Context, member: PlanMember) -> None:
    """Put the old data and the old log back."""
    host, data_dir = context.host(member), Path(member.place.data_dir)
    move_children(host, member, context.work(member) / "old", data_dir)
    if member.place.wal_apart:
        move_children(host, member, context.wal_work(member) / "old-wal", Path(member.place.wal_dir))
    made = context.work(member) / "made-data-dir"
    if host.call(files.there, made):
        host.call(files.remove_if_empty, data_dir)
        host.call(files.remove_made, made)
