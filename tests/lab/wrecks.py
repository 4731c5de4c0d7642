"""Damage on the disk of a host that is off, done from outside; and what lies there afterwards."""

import shutil
from dataclasses import dataclass
from pathlib import Path

from lab.host import Host
from requorum.etcdfiles import datadir, mvcc, wal, walscan
from requorum.etcdfiles.walscan import Record

DATA_DIR = "var/lib/etcd"


@dataclass(frozen=True, kw_only=True)
class Disk:
    """A member's data dir and WAL dir, seen from outside the host."""

    data_dir: Path
    wal_dir: Path

    @property
    def db(self) -> Path:
        """The db file."""
        return self.data_dir / "member" / "snap" / "db"

    @property
    def consistent_index(self) -> int:
        """How far the db goes."""
        return mvcc.read_facts(str(self.db)).consistent_index

    @property
    def last(self) -> tuple[int, int]:
        """Term and index of the last entry of the log."""
        return wal.read_log(str(self.wal_dir)).last

    def entry(self, index: int) -> Record:
        """The last record of an entry in the log."""
        found = [
            record
            for record in wal.records_of(str(self.wal_dir))
            if record.type == walscan.ENTRY and wal.entry_index(record.data) == index
        ]
        assert found, f"{self.wal_dir} holds no entry {index}"
        return found[-1]


def disk_of(host: Host, wal_dir: str = "") -> Disk:
    """The disk of a host's member; ``wal_dir`` is ETCD_WAL_DIR, empty for none."""
    data_dir = host.root / DATA_DIR
    inside = datadir.layout_of(str(data_dir)).wal_dir
    return Disk(data_dir=data_dir, wal_dir=host.root / wal_dir.lstrip("/") if wal_dir else Path(inside))


def flip(disk: Disk, index: int) -> None:
    """Flip a bit in the data of a log entry: etcd refuses to start, and that one entry cannot be read."""
    at = disk.entry(index)
    with Path(at.path).open("r+b") as file:
        file.seek(at.end - len(at.data) // 2 - 8)
        byte = file.read(1)[0]
        file.seek(-1, 1)
        file.write(bytes([byte ^ 0x10]))
    assert index in wal.read_log(str(disk.wal_dir)).unreadable, f"entry {index} can still be read"


def flip_below(disk: Disk) -> None:
    """Flip a bit in an entry that the db holds already: nothing is lost by it."""
    flip(disk, disk.consistent_index - 15)


def flip_above(disk: Disk) -> None:
    """Flip a bit in an entry that no db of this member holds: the first one above its db."""
    flip(disk, min(disk.consistent_index + 1, disk.last[1]))


def cut_behind(disk: Disk, index: int) -> None:
    """Cut a log at the record boundary behind an entry: it looks clean, and what followed is gone."""
    at = disk.entry(index)
    for later in disk.wal_dir.glob("*.wal"):
        if later.name > Path(at.path).name:
            later.unlink()
    with Path(at.path).open("r+b") as file:
        size = file.seek(0, 2)
        file.truncate(at.end)
        file.truncate(size)


def lose_log(disk: Disk) -> None:
    """The log is gone, with the .snap files; the db stays."""
    for path in disk.wal_dir.iterdir():
        path.unlink()
    for path in disk.db.parent.glob("*.snap"):
        path.unlink()


def lose_all(disk: Disk) -> None:
    """Everything in the data dir and the WAL dir is gone."""
    for folder in (disk.data_dir, disk.wal_dir):
        for path in folder.iterdir() if folder.exists() else ():
            if path.is_dir() and path.name != "lost+found":
                shutil.rmtree(path)
            elif path.is_file():
                path.unlink()
