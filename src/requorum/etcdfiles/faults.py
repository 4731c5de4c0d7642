"""What can be wrong with a file: one error for "cannot be read at all", one value for each damaged place in it."""

import errno
import os
import stat
from dataclasses import dataclass
from typing import Optional, Set

BAD_SECTOR = (errno.EIO, errno.ENODATA, errno.EBADMSG, errno.EUCLEAN)
"""What reading says of a bad sector, and of a block whose checksum or whose place the file system finds wrong."""
BLOCK = 4096
"""Files are read by the kernel in pages: one bad sector costs a page."""
MOST_UNREADABLE = 1024
"""So many blocks of a file may be unreadable: where there are more, the disk is gone, and each takes seconds to fail."""


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


def read_past(fd: int, size: int, offset: int, bad: Set[int]) -> bytes:
    """``size`` bytes at ``offset``, or fewer at the end of the file. What the disk does not give back is 0xFF instead: neither
    a record nor the zeroes behind the last one. Where its blocks begin is added to ``bad``; those are not tried again.

    Raises OSError for any other error, and where more than :data:`MOST_UNREADABLE` blocks are bad.
    """
    out = b""
    while len(out) < size:
        at = offset + len(out)
        block, room = at // BLOCK * BLOCK, size - len(out)
        piece = b""
        if block not in bad:
            try:
                piece = os.pread(fd, min([one - at for one in bad if one > at] + [room]), at)
            except OSError as err:
                if err.errno not in BAD_SECTOR or len(bad) >= MOST_UNREADABLE:
                    raise
                bad.add(block)
            else:
                if not piece:
                    break
        if block in bad:
            piece = b"\xff" * min(block + BLOCK - at, room)
        out = out + piece if out else piece
    return out
