"""Where things lie in a data dir, and what kind of file a path is."""

import os
from dataclasses import dataclass
from typing import Optional

from requorum.etcdfiles import bbolt, snapfile, wal
from requorum.etcdfiles.faults import EtcdFileError, open_regular


@dataclass(frozen=True)
class Layout:
    """The parts of one member's data dir. ``wal_dir`` lies apart where etcd runs with ``--wal-dir``; ``inner`` is the folder
    that holds the rest, empty where ``data_dir`` is that folder itself, under whatever name."""

    data_dir: str
    wal_dir: str
    inner: str = "member"

    @property
    def snap_dir(self) -> str:
        """The folder of the db and the .snap files."""
        return os.path.join(self.data_dir, self.inner, "snap")

    @property
    def db(self) -> str:
        """The db file."""
        return os.path.join(self.snap_dir, "db")


def layout_of(data_dir: str, wal_dir: Optional[str] = None, inner: str = "member") -> Layout:
    """The layout of a data dir; ``member/wal`` unless a WAL dir of its own is named."""
    return Layout(data_dir, wal_dir or os.path.join(data_dir, inner, "wal"), inner)


def holds_member(path: str) -> bool:
    """Whether a folder is the inside of a data dir, under whatever name: a db, a .snap or a WAL file lies where etcd puts it."""
    snap, log = os.path.join(path, "snap"), os.path.join(path, "wal")
    try:
        if any(name == "db" or name.endswith((".snap", ".snap.db")) for name in os.listdir(snap)):
            return True
    except OSError:
        pass
    try:
        return any(wal.SEGMENT_NAME.match(name) for name in os.listdir(log))
    except OSError:
        return False


def kind_of(path: str) -> str:
    """``data dir`` (its ``member`` may have another name), ``member dir`` (the inside of one), ``wal dir``, ``wal``, ``snap`` or
    ``db``; raises EtcdFileError for anything else."""
    if os.path.isdir(path):
        names = _names(path)
        if "member" in names:
            return "data dir"
        if any(wal.SEGMENT_NAME.match(name) for name in names):
            return "wal dir"
        if holds_member(path):
            return "member dir"
        if inner_of(path):
            return "data dir"
        inside = sorted(one for one in (os.path.join(path, name) for name in names) if _holds_any(one))
        where = f"; but {inside[0]} holds a member: give that" if inside else ""
        raise EtcdFileError(path, f"no etcd data dir: there is no member/ in it, and no WAL file{where}")
    name = os.path.basename(path)
    if wal.SEGMENT_NAME.match(name):
        return "wal"
    if snapfile.SNAP_NAME.match(name):
        return "snap"
    return _kind_by_content(path)


def inner_of(path: str) -> str:
    """The folder in a data dir that holds the rest: ``member``, or the only one that holds a member, where somebody has
    renamed it; empty where the path is that folder itself."""
    names = _names(path)
    if "member" in names:
        return "member"
    if holds_member(path):
        return ""
    found = [name for name in names if holds_member(os.path.join(path, name))]
    return found[0] if len(found) == 1 else ""


def _holds_any(path: str) -> bool:
    return holds_member(path) or holds_member(os.path.join(path, "member"))


def _names(path: str) -> "set[str]":
    try:
        return set(os.listdir(path))
    except OSError as err:
        raise EtcdFileError(path, err.strerror or str(err)) from err


def _kind_by_content(path: str) -> str:
    try:
        with open(path, "rb", opener=open_regular) as file:
            head = file.read(32)
            size = os.fstat(file.fileno()).st_size
    except OSError as err:
        raise EtcdFileError(path, err.strerror or str(err)) from err
    if size == 0:
        raise EtcdFileError(path, "the file is empty")
    if int.from_bytes(head[16:20], "little") == bbolt.MAGIC or (size >= 1024 and not head.strip(b"\0")):
        return "db"
    if len(head) >= 12 and head[8:10] == b"\x08\x04":
        return "wal"
    if head[:1] == b"\x08" and size < snapfile.MAX_SIZE:
        return "snap"
    return "db"
