"""What can be wrong with a file: one error for "cannot be read at all", one value for each damaged place in it."""

import errno
import os
import stat
import time
from dataclasses import dataclass
from typing import Optional, Set

BAD_SECTOR = (errno.EIO, errno.ENODATA, errno.EBADMSG, errno.EUCLEAN)
"""What reading says of a bad sector, and of a block whose checksum or whose place the file system finds wrong."""
BLOCK = 4096
"""Files are read by the kernel in pages: one bad sector costs a page."""
MOST_BAD_BLOCKS = 1024
MOST_BAD_SECONDS = 120.0
"""So many blocks of a file are stepped over, and so long is waited for them: a disk may take half a minute for each."""


class EtcdFileError(Exception):
    """A file that cannot be used for what was asked of it. The message names the file and the reason."""

    def __init__(self, path: str, why: str) -> None:
        super().__init__(f"{path}: {why}")
        self.path = path
        self.why = why


class Unreadable(EtcdFileError):
    """A place in a file that the disk does not give back."""


@dataclass(frozen=True)
class Damage:
    """One damaged place.

    ``offset`` is in bytes from the start of the file; ``index`` is the raft index of the record that is damaged, as
    far as it can be told, ``None`` where the damage is not to a log entry.
    """

    path: str
    offset: int
    kind: str
    detail: str
    index: Optional[int] = None


def open_regular(path: str, flags: int) -> int:
    """An opener that waits for nobody: a pipe or a device is refused, not read."""
    fd = os.open(path, flags | os.O_NONBLOCK)
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise OSError(errno.EINVAL, "not a regular file")
    return fd


def next_data(fd: int, offset: int) -> Optional[int]:
    """Where the first byte from ``offset`` on lies that may not be zero; ``None`` where only holes and allocated space follow,
    which read as zeroes. The file's position is moved."""
    try:
        return max(offset, os.lseek(fd, offset, os.SEEK_DATA))
    except OSError as err:
        return None if err.errno == errno.ENXIO else offset


class BadBlocks:
    """The blocks of one file that the disk does not give back, by where they begin, and how long it took to find out."""

    def __init__(self) -> None:
        self.starts: Set[int] = set()
        self.seconds = 0.0

    @property
    def too_many(self) -> bool:
        """Whether it is not worth going on: such a disk is gone."""
        return len(self.starts) >= MOST_BAD_BLOCKS or self.seconds > MOST_BAD_SECONDS

    def add(self, start: int, began: float) -> None:
        """Another one; it was asked for at ``began`` (monotonic)."""
        self.starts.add(start)
        self.seconds += time.monotonic() - began


def read_past(fd: int, size: int, offset: int, bad: BadBlocks) -> bytes:
    """``size`` bytes at ``offset``, or fewer at the end of the file. What the disk does not give back is 0xFF instead: neither
    a record nor the zeroes behind the last one. Its blocks are added to ``bad``, and are not tried again.

    Raises OSError for any other error, and where there are too many bad blocks.
    """
    out = b""
    while len(out) < size:
        at = offset + len(out)
        block, room = at // BLOCK * BLOCK, size - len(out)
        piece = b""
        if block not in bad.starts:
            began = time.monotonic()
            try:
                piece = os.pread(fd, min([one - at for one in bad.starts if one > at] + [room]), at)
            except OSError as err:
                if err.errno not in BAD_SECTOR or bad.too_many:
                    raise
                bad.add(block, began)
            else:
                if not piece:
                    break
        if block in bad.starts:
            piece = b"\xff" * min(block + BLOCK - at, room)
        out = out + piece if out else piece
    return out
