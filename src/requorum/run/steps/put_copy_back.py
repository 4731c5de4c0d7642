"""Take a start as is back: what etcd made of the files is set aside, and the copy that was made before takes its place."""

from pathlib import Path

from requorum.hosts import files
from requorum.procedures.values import PlanMember
from requorum.run.context import Context, move_children


def undo(context: Context, member: PlanMember) -> None:
    """Each half is done only while its copy is still there, so that it can be interrupted and done again."""
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
