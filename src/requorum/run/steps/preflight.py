"""The last look before anything is moved: fence, room, file systems, permissions, and the same bytes everywhere."""

from pathlib import Path
from typing import Any

from requorum.errors import RequorumError
from requorum.hosts import files
from requorum.hosts.connection import Connection
from requorum.plan.values import PlanMember
from requorum.run.context import Context, still_fenced

LEAST_FREE = 128 << 20
"""etcd preallocates a 64 MB WAL file and its next one."""


def do(context: Context, member: PlanMember) -> Any:
    """Raises RequorumError with the first thing that would go wrong later."""
    still_fenced(context, member)
    host = context.host(member)
    data_dir, work = Path(member.place.data_dir), context.work(member)
    free = host.call(files.free_bytes, data_dir)
    if free < LEAST_FREE:
        raise RequorumError(
            f"{member.name}: only {free} bytes are free in {data_dir}, etcd needs {LEAST_FREE} to start",
            hint="make room there, then resume",
        )
    _movable(host, member, data_dir, work)
    if member.place.wal_apart:
        _movable(host, member, Path(member.place.wal_dir), context.wal_work(member))
    _same_hash(context)
    return {"free": free}


def _movable(host: Connection, member: PlanMember, folder: Path, work: Path) -> None:
    fault = host.call(files.fault_of_move, folder, work)
    if fault == "file system":
        raise RequorumError(
            f"{member.name}: {work} is on another file system than {folder}: nothing can be set aside by rename",
            hint="was something mounted meanwhile?",
        )
    if fault:
        raise RequorumError(
            f"{member.name}: {folder} may not be written by this user", hint="run as root, or as its owner"
        )


def _same_hash(context: Context) -> None:
    """All members must have been restored to the same content."""
    hashes = {
        member.name: str(result["hash"])
        for member in context.plan.started
        if isinstance(result := context.journal.result("restore beside", member.name), dict)
    }
    if len(set(hashes.values())) > 1:
        raise RequorumError(f"the members were restored to different content: {hashes}")
