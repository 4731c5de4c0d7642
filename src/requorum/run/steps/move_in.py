"""Move the restored data into a member's dirs: first the data, then the log."""

from pathlib import Path
from typing import Any

from requorum.errors import RequorumError
from requorum.hosts import files
from requorum.plan.values import PlanMember
from requorum.run.context import Context, children, move_children, still_fenced


def do(context: Context, member: PlanMember) -> Any:
    """By rename; what was moved before an interruption stays."""
    still_fenced(member, context.plan.run)
    data_dir = Path(member.place.data_dir)
    move_children(context.work(member) / "new", data_dir)
    if member.place.wal_apart:
        wal_dir = Path(member.place.wal_dir)
        files.make_dir(wal_dir)
        move_children(context.wal_work(member) / "new-wal", wal_dir)
    if not (data_dir / "member" / "snap" / "db").exists():
        raise RequorumError(f"{member.name}: {data_dir} holds no restored db")
    return {"data_dir": str(data_dir)}


def undo(context: Context, member: PlanMember) -> None:
    """Set what was moved in (and what etcd wrote since) aside too."""
    if member.place.wal_apart and children(Path(member.place.wal_dir)):
        move_children(Path(member.place.wal_dir), context.wal_work(member) / "rolled-back-wal")
    move_children(Path(member.place.data_dir), context.work(member) / "rolled-back")
