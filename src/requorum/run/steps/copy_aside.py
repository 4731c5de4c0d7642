"""Before a start as is: copy log and db aside, because etcd itself repairs and overwrites what it is started on."""

from pathlib import Path
from typing import Any

from requorum.errors import RequorumError
from requorum.hosts import files
from requorum.plan.values import PlanMember
from requorum.run.context import Context, children, still_fenced


def do(context: Context, member: PlanMember) -> Any:
    """Copy everything in the data dir, and the WAL dir where it lies apart."""
    still_fenced(member, context.plan.run)
    place, copied = member.place, 0
    if place.free < place.used:
        raise RequorumError(
            f"{member.name}: no room for a copy of the data dir: {place.used} bytes needed, {place.free} free",
            hint=f"make room on the file system of {place.data_dir}, then resume",
        )
    copied += _copy(Path(place.data_dir), context.work(member) / "copy")
    if place.wal_apart:
        copied += _copy(Path(place.wal_dir), context.wal_work(member) / "copy-wal")
    return {"files": copied}


def _copy(source: Path, target: Path) -> int:
    """A copy that was left half done is made again."""
    part = target.with_name(f"{target.name}.part")
    if target.exists():
        return 0
    files.remove_made(part)
    files.make_dir(part)
    for one in children(source):
        files.copy_tree_durably(one, part / one.name)
    files.rename_durably(part, target)
    return sum(1 for _ in target.rglob("*"))
