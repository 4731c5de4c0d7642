"""Changes to a host's files that are on disk once they are reported done.

Only what is named here changes a member's disk: a file written whole under another name and renamed, a rename, a copy,
a new folder, the removal of something that a run itself made.
"""

import contextlib
import ctypes
import ctypes.util
import errno
import fcntl
import hashlib
import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

from requorum.etcdfiles.faults import open_regular

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


def read_file(path: Path) -> bytes:
    """A file's bytes; a pipe or a device is refused with an OSError, never waited for."""
    with open(path, "rb", opener=open_regular) as file:
        return file.read()


def part_of(path: Path) -> Path:
    """Where a file is written before it takes its name; left behind only by a process that was killed."""
    return path.with_name(f".{path.name}.part")


def write_durably(path: Path, data: bytes, mode: int = 0o600) -> None:
    """Write a file whole or not at all."""
    part = part_of(path)
    fd = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
    with open(fd, "wb") as file:
        os.fchmod(fd, mode)
        file.write(data)
        file.flush()
        os.fsync(fd)
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


def _rename_noreplace(source: Path, target: Path) -> None:
    libc = ctypes.CDLL(ctypes.util.find_library("c") or "libc.so.6", use_errno=True)
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


def copy_tree_durably(source: Path, target: Path) -> None:
    """Copy a folder's files and folders, with owner, mode and extended attributes, durable."""
    info = source.lstat()
    if stat.S_ISDIR(info.st_mode):
        target.mkdir(0o700)
        for child in sorted(source.iterdir()):
            copy_tree_durably(child, target / child.name)
        _copy_xattrs(source, target)
        own_like(target, info)
        fsync_dir(target)
    elif stat.S_ISREG(info.st_mode):
        copy_durably(source, target)
        _copy_xattrs(source, target)
        own_like(target, info)
    elif stat.S_ISLNK(info.st_mode):
        target.symlink_to(os.readlink(source))


def _copy_xattrs(source: Path, target: Path) -> None:
    for name in os.listxattr(source, follow_symlinks=False):
        with contextlib.suppress(PermissionError):  # security.* labels that only the kernel may set
            os.setxattr(target, name, os.getxattr(source, name, follow_symlinks=False), follow_symlinks=False)


def own_like(path: Path, info: os.stat_result) -> None:
    """Give a file the owner and the mode of another."""
    if (path.lstat().st_uid, path.lstat().st_gid) != (info.st_uid, info.st_gid):
        os.chown(path, info.st_uid, info.st_gid)
    path.chmod(stat.S_IMODE(info.st_mode))


def own_tree_like(path: Path, info: os.stat_result) -> None:
    """Give a new folder and all in it the owner of another; modes stay."""
    for one in [path, *path.rglob("*")]:
        found = one.lstat()
        if (found.st_uid, found.st_gid) != (info.st_uid, info.st_gid):
            os.chown(one, info.st_uid, info.st_gid, follow_symlinks=False)


def sync_tree(path: Path) -> None:
    """Make a folder that a program wrote durable, file by file."""
    for folder, _, names in os.walk(path, topdown=False):
        for name in names:
            fd = os.open(os.path.join(folder, name), os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
            try:
                os.fsync(fd)
            finally:
                os.close(fd)
        fsync_dir(Path(folder))


def remove_made(path: Path) -> None:
    """Remove a folder or file that a run itself made; one that is not there is fine."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        with contextlib.suppress(FileNotFoundError):
            path.unlink()
    if path.parent.is_dir():
        fsync_dir(path.parent)


def sha256_of(path: Path) -> str:
    """The sha256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def tree_size(path: Path) -> int:
    """The bytes that the files of a folder take on disk."""
    return sum(one.lstat().st_blocks * 512 for one in _walk(path))


def size_of(path: str) -> int:
    """The bytes of one file."""
    return os.stat(path).st_size


def _walk(path: Path) -> Iterator[Path]:
    for folder, _, names in os.walk(path):
        for name in names:
            yield Path(folder) / name


def free_bytes(path: Path) -> int:
    """The bytes that may still be written where ``path`` (or its nearest parent that exists) lies."""
    while not path.exists():
        path = path.parent
    found = os.statvfs(path)
    return found.f_bavail * found.f_frsize


def same_file_system(one: Path, other: Path) -> bool:
    """Whether a rename between two folders is possible."""
    return one.stat().st_dev == other.stat().st_dev and _mount_of(one) == _mount_of(other)


def mounts() -> list[Path]:
    """Every mount point of this host."""
    try:
        lines = Path("/proc/self/mounts").read_text().splitlines()
    except OSError:
        return []
    return [Path(line.split()[1].encode().decode("unicode_escape")) for line in lines]


def _mount_of(path: Path) -> Path:
    path = path.resolve()
    while not os.path.ismount(path):
        path = path.parent
    return path
