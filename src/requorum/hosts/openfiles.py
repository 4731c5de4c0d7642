"""The files that a process has open, and those of an etcd that the next start would not find: deleted, or moved away."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Sequence
from dataclasses import dataclass

_DELETED = " (deleted)"
_OF_ETCD = re.compile(r"db|[0-9a-f]{16}-[0-9a-f]{16}\.wal")


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenFile:
    """A regular file that a process has open; ``deleted``: no name leads to it any more, ``path`` is the last it had."""

    fd: int
    path: str
    deleted: bool
    inode: tuple[int, int]


def of(pid: int) -> list[OpenFile]:
    """The regular files that a process has open, by their paths as it sees them; none of one that may not be looked at."""
    found = []
    try:
        names = os.listdir(f"/proc/{pid}/fd")
    except OSError:
        return []
    for name in names:
        try:
            path, info = os.readlink(f"/proc/{pid}/fd/{name}"), os.stat(f"/proc/{pid}/fd/{name}")
        except OSError:
            continue
        if stat.S_ISREG(info.st_mode) and path.startswith("/"):
            gone = info.st_nlink == 0
            path = path[: -len(_DELETED)] if gone and path.endswith(_DELETED) else path
            found.append(OpenFile(fd=int(name), path=path, deleted=gone, inode=(info.st_dev, info.st_ino)))
    return found


def out_of_place(pid: int, inodes: set[tuple[int, int]]) -> Sequence[OpenFile]:
    """The db and the WAL files that an etcd has open although they are not among ``inodes``, those of its data dir.

    An old db that was replaced by one that a leader sent stays open for a while: a db counts only where the process has none
    in its place.
    """
    found = [one for one in of(pid) if _OF_ETCD.fullmatch(os.path.basename(one.path))]
    in_place = {os.path.basename(one.path) == "db" for one in found if one.inode in inodes}
    return [
        one
        for one in found
        if one.inode not in inodes and not (os.path.basename(one.path) == "db" and True in in_place)
    ]
