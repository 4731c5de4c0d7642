"""Folders and what is in them: copied, moved and given away as a whole, durable, and able to go on where it broke off.

Data dirs are moved child by child: the dir itself may be a mount root, and keeps its owner.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

from requorum.hosts.bounds import within
from requorum.hosts.files import (
    copy_durably,
    copy_xattrs,
    fsync_dir,
    make_dir,
    own_like,
    remove_if_empty,
    remove_made,
    rename_durably,
)

_LABEL = "security.selinux"


@within(3600.0)
def copy_tree_durably(source: Path, target: Path, left_out: str = "") -> None:
    """Copy a folder's files and folders but one, with owner, mode and extended attributes, durable."""
    info = source.lstat()
    if left_out and os.fspath(source) == left_out:
        return
    if stat.S_ISDIR(info.st_mode):
        target.mkdir(0o700)
        for child in sorted(source.iterdir()):
            copy_tree_durably(child, target / child.name, left_out)
        copy_xattrs(source, target)
        own_like(target, info)
        fsync_dir(target)
    elif stat.S_ISREG(info.st_mode):
        copy_durably(source, target)
        copy_xattrs(source, target)
        own_like(target, info)
    elif stat.S_ISLNK(info.st_mode):
        target.symlink_to(os.readlink(source))


def own_tree_like(path: Path, like: Path) -> None:
    """Give a new folder and all in it the owner of another, and its SELinux label where it has one; modes stay."""
    info = like.stat()
    label = os.getxattr(like, _LABEL) if _LABEL in os.listxattr(like) else b""
    for one in [path, *path.rglob("*")]:
        if label and not one.is_symlink():
            with contextlib.suppress(OSError):  # a policy may forbid it: then the folder's own label stays
                os.setxattr(one, _LABEL, label)
        found = one.lstat()
        if (found.st_uid, found.st_gid) != (info.st_uid, info.st_gid):
            os.chown(one, info.st_uid, info.st_gid, follow_symlinks=False)


@within(600.0)
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


def tree_size(path: Path) -> int:
    """The bytes that the files of a folder take on disk."""
    return sum(one.lstat().st_blocks * 512 for one in _walk(path))


def _walk(path: Path) -> Iterator[Path]:
    for folder, _, names in os.walk(path):
        for name in names:
            yield Path(folder) / name


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


def children(folder: Path, kept: Sequence[str] = ()) -> list[Path]:
    """What is in a dir, but for what must stay there."""
    if not folder.is_dir():
        return []
    return sorted(one for one in folder.iterdir() if one.name not in kept)


@within(600.0)
def move_children(source: Path, target: Path, kept: Sequence[str] = (), stays: str = "") -> int:
    """Move everything in a folder to another on the same file system; what was moved before stays moved.

    ``stays`` is a folder below one of the two that is not moved with the rest (a mount, or a WAL dir that is moved by
    itself): the folders on the way to it stay too, and what is in them is moved one by one.
    """
    moved = 0
    for one in children(source, kept):
        there = target / one.name
        if stays and os.fspath(one) == stays:
            continue
        on_the_way = bool(stays) and any(Path(stays) in (at, *_below(at, stays)) for at in (one, there))
        if not on_the_way:
            make_dir(target)
            rename_durably(one, there)
            moved += 1
            continue
        if not there.is_dir():
            make_dir(there)
            own_like(there, one.stat())
        moved += move_children(one, there, kept, stays)
        if not (Path(stays) == one or one in Path(stays).parents):
            remove_if_empty(one)
    return moved


def _below(folder: Path, path: str) -> tuple[Path, ...]:
    return (Path(path),) if folder in Path(path).parents else ()


@within(3600.0)
def copy_children(source: Path, target: Path, kept: Sequence[str] = (), stays: str = "") -> int:
    """Copy everything in a folder to a new one, whole or not at all; returns how many files. One that is there stays.

    ``stays`` is a folder in it that is left out.
    """
    part = target.with_name(f"{target.name}.part")
    if target.exists():
        return 0
    remove_made(part)
    make_dir(part)
    for one in children(source, kept):
        copy_tree_durably(one, part / one.name, stays)
    rename_durably(part, target)
    return sum(1 for _ in target.rglob("*"))


def fault_of_move(folder: Path, work: Path) -> str:
    """Why what is in a folder could not be moved to another by rename: ``""``, ``"file system"`` or ``"permission"``."""
    if not folder.exists():
        return ""
    if not same_file_system(folder, work):
        return "file system"
    return "" if os.access(folder, os.W_OK | os.X_OK) else "permission"
