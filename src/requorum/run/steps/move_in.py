"""Move the restored data into a member's dirs: first the data, then the log."""

from pathlib import Path
from typing import Any

from requorum.errors import RequorumError
from requorum.hosts import files, trees
from requorum.procedures.values import PlanMember
from requorum.run.context import KEPT, Context, move_children, still_fenced
from requorum.run.steps.restore_beside import own


def do(context: Context, member: PlanMember) -> Any:
    """By rename; what was moved before an interruption stays."""
    still_fenced(context, member)
    host, data_dir = context.host(member), Path(member.place.data_dir)
    if host.call(files.there, context.work(member) / "new"):
        own(context, member)  # the dir may have been given to another user since it was restored
    move_children(host, member, context.work(member) / "new", data_dir)
    if member.place.wal_apart:
        wal_dir = Path(member.place.wal_dir)
        host.call(files.make_dir, wal_dir)
        move_children(host, member, context.wal_work(member) / "new-wal", wal_dir)
    if not host.call(files.there, data_dir / "member" / "snap" / "db"):
        raise RequorumError(f"{member.name}: {data_dir} holds no restored db")
    return {"data_dir": str(data_dir)}


def undo(context: Context, member: PlanMember) -> None:
    """Set what was moved in (and what etcd wrote since) aside too."""
    host = context.host(member)
    if member.place.wal_apart and host.call(trees.children, Path(member.place.wal_dir), KEPT):
        move_children(host, member, Path(member.place.wal_dir), context.wal_work(member) / "rolled-back-wal")
    move_children(host, member, Path(member.place.data_dir), context.work(member) / "rolled-back")
