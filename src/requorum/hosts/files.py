"""Changes to a host's files that are on disk once they are reported done.

Only what is named here changes a member's disk: a file written whole under another name and renamed, a rename, a copy,
a new folder, the removal of something that a run itself made.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import hashlib
import os
import pwd
import shutil
import stat
from pathlib import Path

from requorum.etcdfiles.faults import open_regular
from requorum.hosts.bounds import part, within

_FICLONE = 0x40049409
_BLOCK = 4 << 20
_RENAME_NOREPLACE = 1
_AT_FDCWD = -100


def fsync_dir(path: Path) -> None:
    """Make a folder's entries durable."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


@part
def make_dir(path: Path, mode: int = 0o700) -> None:
    """Make a folder (and its parents), durable; one that is there already stays as it is."""
    if path.is_dir():
        return
    make_dir(path.parent, mode)
    try:
        path.mkdir(mode)
    except FileExistsError:
        if path.is_dir():
            return  # somebody else was faster
        raise
    path.chmod(mode)
    fsync_dir(path.parent)


@part
def read_file(path: Path) -> bytes:
    """A file's bytes; a pipe or a device is refused with an OSError, never waited for."""
    with open(path, "rb", opener=open_regular) as file:
        return file.read()


@part
def read_begin(path: Path, size: int) -> bytes:
    """The first bytes of a file."""
    with open(path, "rb", opener=open_regular) as file:
        return file.read(size)


def read_end(path: Path, size: int) -> bytes:
    """The last whole lines of a file, ``size`` bytes at most."""
    with open(path, "rb", opener=open_regular) as file:
        file.seek(max(file.seek(0, 2) - size - 1, 0))
        return whole_lines(file.read(size + 1), size)


def whole_lines(end: bytes, size: int) -> bytes:
    """What is whole of the end of a file, read with one byte more than ``size``: a line that is cut is left out."""
    return end.partition(b"\n")[2] if len(end) > size else end


@part
def there(path: Path) -> bool:
    """Whether something has this name, a dangling link too."""
    return os.path.lexists(path)


def names_in(path: Path) -> list[str]:
    """The names in a folder; none when there is no such folder."""
    try:
        return sorted(os.listdir(path))
    except (FileNotFoundError, NotADirectoryError):
        return []


def aside(path: Path, run: str) -> Path:
    """Where a run keeps a file of configuration that it changes."""
    return path.with_name(f"{path.name}.requorum-{run}")


def newest_aside(path: Path) -> Path:
    """A file of configuration, or the newest that a run set aside where it is missing."""
    if not path.exists():
        kept = list(path.parent.glob(f"{path.name}.requorum-*"))
        if kept:
            return max(kept, key=lambda one: one.stat().st_ctime_ns)
    return path


def keep_aside(path: Path, run: str) -> None:
    """Keep a file as it is under another name, before it is replaced by a changed one: it is never missing meanwhile."""
    kept = aside(path, run)
    if os.path.lexists(path) and not os.path.lexists(kept):
        os.link(path, kept, follow_symlinks=False)
        fsync_dir(path.parent)


def put_back(path: Path, run: str) -> None:
    """Put a file of configuration back as it was before a run; one that the run did not touch stays."""
    kept = aside(path, run)
    if os.path.lexists(kept):
        os.replace(kept, path)
        fsync_dir(path.parent)


def part_of(path: Path) -> Path:
    """Where a file is written before it takes its name; left behind only by a process that was killed."""
    return path.with_name(f".{path.name}.part")


@within(120.0)
@part
def write_durably(path: Path, data: bytes, mode: int = 0o600) -> None:
    """Write a file whole or not at all."""
    part = part_of(path)
    _write(part, data, mode)
    os.replace(part, path)
    fsync_dir(path.parent)


def _write(path: Path, data: bytes, mode: int) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
    with open(fd, "wb") as file:
        os.fchmod(fd, mode)
        file.write(data)
        file.flush()
        os.fsync(fd)


def write_like(path: Path, data: bytes, like: Path) -> None:
    """Write a file whole or not at all, with the owner, mode and extended attributes of another."""
    part = part_of(path)
    remove_made(part)
    _write(part, data, 0o600)
    copy_xattrs(like, part)
    own_like(part, like.stat())
    os.replace(part, path)
    fsync_dir(path.parent)


def create_exclusively(path: Path, data: bytes) -> bool:
    """Write a new file, durable; False when it exists already. Atomic: nobody sees half of it."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    write_durably(part, data)
    try:
        os.link(part, path)
    except FileExistsError:
        return False
    finally:
        part.unlink()
    fsync_dir(path.parent)
    return True


def rename_durably(source: Path, target: Path) -> None:
    """Rename within one file system, durable; never over something that is there (FileExistsError)."""
    _rename_noreplace(source, target)
    fsync_dir(target.parent)
    if source.parent != target.parent:
        fsync_dir(source.parent)


def replace_durably(source: Path, target: Path) -> None:
    """Rename within one file system, durable, over what has the name now."""
    os.replace(source, target)
    fsync_dir(target.parent)
    if source.parent != target.parent:
        fsync_dir(source.parent)


def link_durably(source: Path, target: Path) -> None:
    """Give a file a second name, durable; never one that is taken (FileExistsError)."""
    os.link(source, target, follow_symlinks=False)
    fsync_dir(target.parent)


def _rename_noreplace(source: Path, target: Path) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    call = getattr(libc, "renameat2", None)
    if call is not None:
        done = call(_AT_FDCWD, os.fsencode(source), _AT_FDCWD, os.fsencode(target), _RENAME_NOREPLACE)
        if done == 0:
            return
        code = ctypes.get_errno()
        if code not in (errno.EINVAL, errno.ENOSYS):
            raise OSError(code, os.strerror(code), os.fspath(source), None, os.fspath(target))
    if os.path.lexists(target):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), os.fspath(target))
    os.rename(source, target)


@within(1800.0)
def copy_durably(source: Path, target: Path, mode: int = 0o600) -> None:
    """Copy a file's bytes to a new file (a reflink where the file system can, never a hard link), durable."""
    with source.open("rb") as read:
        fd = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
        with open(fd, "wb", buffering=0) as write:
            try:
                fcntl.ioctl(fd, _FICLONE, read.fileno())
            except OSError:
                while block := read.read(_BLOCK):
                    view = memoryview(block)
                    while view:
                        view = view[write.write(view) :]
            os.fsync(fd)
    fsync_dir(target.parent)


def copy_xattrs(source: Path, target: Path) -> None:
    """Give a file the extended attributes of another, as far as the kernel lets anybody."""
    for name in os.listxattr(source, follow_symlinks=False):
        with contextlib.suppress(PermissionError):  # security.* labels that only the kernel may set
            os.setxattr(target, name, os.getxattr(source, name, follow_symlinks=False), follow_symlinks=False)


def own_like(path: Path, info: os.stat_result) -> None:
    """Give a file the owner and the mode of another."""
    if (path.lstat().st_uid, path.lstat().st_gid) != (info.st_uid, info.st_gid):
        os.chown(path, info.st_uid, info.st_gid)
    path.chmod(stat.S_IMODE(info.st_mode))


@within(600.0)
@part
def remove_made(path: Path) -> None:
    """Remove a folder or file that a run itself made; one that is not there is fine."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        with contextlib.suppress(FileNotFoundError):
            path.unlink()
    if path.parent.is_dir():
        fsync_dir(path.parent)


@within(1800.0)
def sha256_of(path: Path) -> str:
    """The sha256 of a file, in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb", buffering=0) as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def size_of(path: str) -> int:
    """The bytes of one file."""
    return os.stat(path).st_size


def free_bytes(path: Path) -> int:
    """The bytes that may still be written where ``path`` (or its nearest parent that exists) lies."""
    while not path.exists():
        path = path.parent
    found = os.statvfs(path)
    return found.f_bavail * found.f_frsize


@part
def remove_if_empty(folder: Path) -> None:
    """Remove a folder that has nothing in it; any other stays."""
    with contextlib.suppress(OSError):
        folder.rmdir()
        fsync_dir(folder.parent)


def may_write(folder: Path, user: str) -> bool:
    """Whether a user, by name or number, may make and remove entries in a folder, by its owner and mode."""
    groups: list[int] = []
    try:
        if user.isdigit():
            number = int(user)
        else:
            who = pwd.getpwnam(user)
            number, groups = who.pw_uid, os.getgrouplist(user, who.pw_gid)
    except KeyError:
        return False
    info = folder.stat()
    if number == 0:
        return True
    if info.st_uid == number:
        return info.st_mode & 0o300 == 0o300
    if info.st_gid in groups:
        return info.st_mode & 0o030 == 0o030
    return info.st_mode & 0o003 == 0o003


def append_durably(path: Path, raw: bytes) -> None:
    """Add whole lines to a file. One that a power cut left half written is cut off first."""
    fd = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        size = os.fstat(fd).st_size
        if size and os.pread(fd, 1, size - 1) != b"\n":
            os.ftruncate(fd, os.pread(fd, size, 0).rfind(b"\n") + 1)
        os.write(fd, raw)
        os.fsync(fd)
    finally:
        os.close(fd)


def append_if_there(path: Path, raw: bytes) -> bool:
    """The same, where the folder is there already; returns whether it was."""
    if not path.parent.is_dir():
        return False
    append_durably(path, raw)
    return True


def size_if_there(path: Path) -> int:
    """The bytes of a file; 0 when there is none."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


@within(1800.0)
def finish_part(part: Path, target: Path, sha256: str, found: str = "") -> bool:
    """Give a file that arrived its name, durable, if it is the right one; a wrong one is removed. Returns which.

    ``found`` is its sha256 where that was computed while it arrived.
    """
    if (found or sha256_of(part)) != sha256:
        remove_made(part)
        return False
    os.chmod(part, 0o600)
    with part.open("rb") as file:
        os.fsync(file.fileno())
    os.replace(part, target)
    fsync_dir(target.parent)
    return True


def make_executable(path: Path) -> None:
    """Let the owner run a file."""
    path.chmod(0o700)
