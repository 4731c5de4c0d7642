"""Set a member's old log and data aside, by rename on the same file system: first the log, then the data."""

from dataclasses import dataclass
from pathlib import Path
from shlex import quote as q

from requorum.hosts import files
from requorum.procedures.values import Plan, PlanMember
from requorum.run.by_hand import below, below_wal
from requorum.run.context import Context, move_children, still_fenced
from requorum.run.steptype import StepType


@dataclass(frozen=True, slots=True, kw_only=True)
class SetAside:
    """How many files and folders were moved."""

    moved: int


def by_hand(plan: Plan, member: PlanMember) -> tuple[str, ...]:
    lines = [f"mkdir {below(plan, member, 'old')}", f"mv {q(member.place.data_dir)}/* {below(plan, member, 'old/')}"]
    if member.place.wal_apart:
        lines[:0] = [
            f"mkdir {below_wal(plan, member, 'old-wal')}",
            f"mv {q(member.place.wal_dir)}/* {below_wal(plan, member, 'old-wal/')}",
        ]
    return tuple(lines)


def do(context: Context, member: PlanMember) -> SetAside:
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
    return SetAside(moved=moved)


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


STEP = StepType(
    kind="set aside",
    does="sets a member's old log and data aside by rename, on the same file system",
    by_hand=by_hand,
    do=do,
    result=SetAside,
    undo=undo,
    undoing="put the old data back",
    moves_data=True,
)
