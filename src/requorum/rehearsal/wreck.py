"""Ways to wreck a member's disk, and a fingerprint of what lies on it afterwards."""

import errno
import hashlib
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from random import Random

from requorum.etcdfiles import datadir, mvcc, wal, walscan
from requorum.rehearsal.cluster import Member


@dataclass(frozen=True, slots=True, kw_only=True)
class Disk:
    """What lies on a member's disk: enough to aim at something."""

    consistent_index: int
    last_term: int
    last_index: int


def look(member: Member) -> Disk:
    """Read a member's disk."""
    layout = datadir.layout_of(str(member.data_dir))
    term, index = wal.read_log(layout.wal_dir).last
    return Disk(consistent_index=mvcc.read_facts(layout.db).consistent_index, last_term=term, last_index=index)


def flip_entry(member: Member, index: int, rng: Random) -> bool:
    """Flip one bit in the data of a log entry; says whether exactly that entry cannot be read any more."""
    layout = datadir.layout_of(str(member.data_dir))
    for record in wal.records_of(layout.wal_dir):
        if record.type != walscan.ENTRY or wal.entry_index(record.data) != index:
            continue
        at = record.end - len(record.data) // 2 - 8 - rng.randrange(min(8, max(len(record.data) // 4, 1)))
        with Path(record.path).open("r+b") as file:
            file.seek(at)
            byte = file.read(1)[0]
            file.seek(at)
            file.write(bytes([byte ^ 1 << rng.randrange(8)]))
        return wal.read_log(layout.wal_dir).unreadable == (index,)
    return False


def lose_disk(member: Member) -> None:
    """The whole data dir is gone."""
    shutil.rmtree(member.data_dir)


_BLOCK = 1 << 16
_ZEROES = bytes(_BLOCK)


def content_of(path: Path) -> str:
    """A file's content as one number. A WAL file is 64 MB of mostly zeroes: holes are passed over."""
    digest = hashlib.sha256()
    with path.open("rb", buffering=0) as file:
        size, at = os.fstat(file.fileno()).st_size, 0
        while at < size:
            try:
                at = os.lseek(file.fileno(), at, os.SEEK_DATA) // _BLOCK * _BLOCK
            except OSError as err:
                if err.errno != errno.ENXIO:
                    raise
                break
            block = os.pread(file.fileno(), _BLOCK, at)
            if block != (_ZEROES if len(block) == _BLOCK else bytes(len(block))):
                digest.update(at.to_bytes(8, "big") + len(block).to_bytes(8, "big") + block)
            at += _BLOCK
    digest.update(size.to_bytes(8, "big"))
    return digest.hexdigest()


Fingerprint = dict[str, tuple[object, ...]]


def fingerprint(folder: Path) -> Fingerprint:
    """Content, owner, mode and extended attributes of every file and folder below ``folder``."""
    found: Fingerprint = {}
    if not folder.exists():
        return found
    for path in sorted(folder.rglob("*")):
        info = path.lstat()
        attributes = {
            name: os.getxattr(path, name, follow_symlinks=False) for name in os.listxattr(path, follow_symlinks=False)
        }
        content = ""
        if path.is_file() and not path.is_symlink():
            content = content_of(path)
        found[str(path.relative_to(folder))] = (
            content,
            info.st_uid,
            info.st_gid,
            info.st_mode,
            tuple(sorted(attributes.items())),
        )
    return found
