"""Where things lie in a data dir, and what kind of file a path is."""

import os
from dataclasses import dataclass
from typing import Optional

from requorum.etcdfiles import bbolt, snapfile, wal
from requorum.etcdfiles.faults import EtcdFileError, open_regular


@dataclass(frozen=True)
class Layout:
    """The parts of one member's data dir. ``wal_dir`` lies apart where etcd runs with ``--wal-dir``."""

    data_dir: str
    wal_dir: str

    @property
    def snap_dir(self) -> str:
        """The folder of the db and the .snap files."""
        return os.path.join(self.data_dir, "member", "snap")

    @property
    def db(self) -> str:
        """The db file."""
        return os.path.join(self.snap_dir, "db")


def layout_of(data_dir: str, wal_dir: Optional[str] = None) -> Layout:
    """The layout of a data dir; ``member/wal`` unless a WAL dir of its own is named."""
    return Layout(data_dir, wal_dir or os.path.join(data_dir, "member", "wal"))


def kind_of(path: str) -> str:
    """``data dir``, ``wal dir``, ``wal``, ``snap`` or ``db``; raises EtcdFileError for anything else."""
    if os.path.isdir(path):
        names = _names(path)
        if "member" in names:
            return "data dir"
        if any(wal.SEGMENT_NAME.match(name) for name in names):
            return "wal dir"
        if os.path.basename(path.rstrip("/")) == "member" and names & {"snap", "wal"}:
            raise EtcdFileError(path, "this is the inside of a data dir: give the folder above it")
        raise EtcdFileError(path, "no etcd data dir: there is no member/ in it, and no WAL file")
    name = os.path.basename(path)
    if wal.SEGMENT_NAME.match(name):
        return "wal"
    if snapfile.SNAP_NAME.match(name):
        return "snap"
    return _kind_by_content(path)


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
