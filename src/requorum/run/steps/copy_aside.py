"""Before a start as is: copy log and db aside, because etcd itself repairs and overwrites what it is started on."""

from dataclasses import dataclass
from pathlib import Path
from shlex import quote as q

from requorum.errors import RequorumError
from requorum.hosts import files, trees
from requorum.procedures.values import Plan, PlanMember
from requorum.run.by_hand import below, below_wal, in_data
from requorum.run.context import KEPT, Context, move_children, stays_of, still_fenced
from requorum.run.steptype import StepType


@dataclass(frozen=True, slots=True, kw_only=True)
class Copied:
    """How many files were copied."""

    files: int


def by_hand(plan: Plan, member: PlanMember) -> tuple[str, ...]:
    lines = [f"cp -a --reflink=auto {in_data(member, 'member')} {below(plan, member, 'copy')}"]
    if member.place.wal_apart:
        lines.append(f"cp -a --reflink=auto {q(member.place.wal_dir)} {below_wal(plan, member, 'copy-wal')}")
    return tuple(lines)


def do(context: Context, member: PlanMember) -> Copied:
    """Copy everything in the data dir, and the WAL dir where it lies apart; a copy left half done is made again."""
    still_fenced(context, member)
    place, host = member.place, context.host(member)
    free = host.call(files.free_bytes, Path(place.data_dir))
    if free < place.used and not host.call(files.there, context.work(member) / "copy"):
        raise RequorumError(
            f"{member.name}: no room for a copy of the data dir: {place.used} bytes needed, {free} free",
            hint=f"make room on the file system of {place.data_dir}, then resume",
        )
    copied = host.call(trees.copy_children, Path(place.data_dir), context.work(member) / "copy", KEPT, stays_of(member))
    if place.wal_apart:
        copied += host.call(trees.copy_children, Path(place.wal_dir), context.wal_work(member) / "copy-wal", KEPT)
    return Copied(files=copied)


def undo(context: Context, member: PlanMember) -> None:
    """What etcd made of the files is set aside, and the copy takes its place; nothing where no etcd was let write. Each half is
    done only while its copy is still there, so that it can be interrupted and done again."""
    if not any(one.kind == "configure" and one.member == member.name for one in context.begun()):
        return
    host = context.host(member)
    pairs = [(Path(member.place.data_dir), context.work(member), "")]
    if member.place.wal_apart:
        pairs.append((Path(member.place.wal_dir), context.wal_work(member), "-wal"))
    for folder, work, suffix in pairs:
        copy, rolled_back = work / f"copy{suffix}", work / f"rolled-back{suffix}"
        if not host.call(files.there, copy):
            continue
        if not host.call(files.there, work / f"returning{suffix}"):
            move_children(host, member, folder, rolled_back)
            host.call(files.write_durably, work / f"returning{suffix}", b"")
        move_children(host, member, copy, folder)


STEP = StepType(
    kind="copy aside",
    does="copies a member's log and db aside, because etcd repairs and overwrites what it is started on",
    by_hand=by_hand,
    do=do,
    result=Copied,
    undo=undo,
    undoing="put the copies back",
)
