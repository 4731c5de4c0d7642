"""What can be wrong with a file: one error for "cannot be read at all", one value for each damaged place in it."""

import errno
import os
import stat
from dataclasses import dataclass
from typing import Optional


class EtcdFileError(Exception):
    """A file that cannot be used for what was asked of it. The message names the file and the reason."""

    def __init__(self, path: str, why: str) -> None:
        super().__init__(f"{path}: {why}")
        self.path = path
        self.why = why


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
