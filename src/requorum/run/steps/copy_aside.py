"""Before a start as is: copy log and db aside, because etcd itself repairs and overwrites what it is started on."""

from pathlib import Path
from typing import Any

from requorum.errors import RequorumError
from requorum.hosts import files, trees
from requorum.procedures.values import PlanMember
from requorum.run.context import KEPT, Context, stays_of, still_fenced


def do(context: Context, member: PlanMember) -> Any:
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
    return {"files": copied}
