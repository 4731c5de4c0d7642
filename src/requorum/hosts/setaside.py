"""The end of what a run kept beside a data dir: what etcd and the run made goes, what anybody else had put there stays.

A data dir that is set aside is set aside whole: with a backup that was saved into it, a script, a certificate.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from requorum.etcdfiles import ownfiles
from requorum.hosts.bounds import within
from requorum.hosts.files import fsync_dir, remove_made

TREES = ("old", "copy", "new", "rolled-back")
"""The folders of a run that hold a member's data dir; its WAL dir, where that lies apart, is in ``TREE-wal``."""
_BLOCK = 1 << 20


@within(3600.0)
def remove_run(folder: Path, data_dir: Path, wal_dir: Path) -> tuple[str, ...]:
    """Remove the folder of a run, but for what is neither etcd's nor the run's. Returns the paths of what stays, where it lies.

    What the member's dirs hold to the byte as well goes, too. Links are never followed. Done twice, the second time changes
    nothing.
    """
    if not folder.is_dir() or folder.is_symlink():
        remove_made(folder)
        return ()
    kept: list[str] = []
    for name in sorted(os.listdir(folder)):
        path, tree = folder / name, name[:-4] if name.endswith("-wal") else name
        if tree not in TREES or path.is_symlink() or not path.is_dir():
            remove_made(path)
            continue
        kept += _empty(path, wal_dir if tree != name else data_dir, in_wal_dir=tree != name)
    with contextlib.suppress(OSError):  # something stays
        folder.rmdir()
    if folder.parent.is_dir():
        fsync_dir(folder.parent)
    return tuple(sorted(kept))


def _empty(tree: Path, now: Path, *, in_wal_dir: bool) -> list[str]:
    """Remove what is etcd's in a dir that was set aside, and the folders that are empty then."""
    kept = []
    for folder, folders, names in os.walk(tree, topdown=False):
        links = [one for one in folders if os.path.islink(os.path.join(folder, one))]
        for name in (*names, *links):
            path = os.path.join(folder, name)
            relative = os.path.relpath(path, tree)
            own = ownfiles.is_own(relative, in_wal_dir=in_wal_dir)
            own = own or (os.path.islink(path) and not in_wal_dir and ownfiles.is_own_folder(relative))
            if own or _same(path, os.path.join(now, relative)):
                os.unlink(path)
            else:
                kept.append(path)
        with contextlib.suppress(OSError):  # something stays in it
            os.rmdir(folder)
    return kept


def _same(path: str, other: str) -> bool:
    """Whether two regular files hold the same."""
    if os.path.islink(path) or os.path.islink(other) or not (os.path.isfile(path) and os.path.isfile(other)):
        return False
    if os.path.samefile(path, other) or os.path.getsize(path) != os.path.getsize(other):
        return False
    with open(path, "rb") as one, open(other, "rb") as two:
        while True:
            block = one.read(_BLOCK)
            if block != two.read(_BLOCK):
                return False
            if not block:
                return True


SCRIPT = f"""
same='for f; do [ -L "$0/${{f#*/}}" ] || ! cmp -s -- "$f" "$0/${{f#*/}}" || rm -f -- "$f"; done'
[ -L "$1" ] && {{ rm -f -- "$1"; exit 0; }}
cd -- "$1" 2>/dev/null || exit 0
for e in * .[!.]* ..?*; do
  [ -e "$e" ] || [ -L "$e" ] || continue
  case "${{e%-wal}}" in {"|".join(TREES)}) [ -d "$e" ] && [ ! -L "$e" ] && continue;; esac
  rm -rf --one-file-system -- "$e" || exit 1
done
for t in {" ".join(TREES)}; do
  if [ -d "$t" ]; then
    find "$t" -regextype posix-extended ! -type d -regex "$t/{ownfiles.FILES}" -delete || exit 1
    find "$t" -regextype posix-extended -type l -regex "$t/{ownfiles.FOLDERS}" -delete || exit 1
    find "$t" -type f -exec sh -c "$same" "$2" {{}} +
  fi
  if [ -d "$t-wal" ]; then
    find "$t-wal" -regextype posix-extended ! -type d -regex "$t-wal/{ownfiles.WAL}" -delete || exit 1
    find "$t-wal" -type f -exec sh -c "$same" "$3" {{}} +
  fi
done
find . -mindepth 1 -depth -type d -empty -delete
find "$PWD" ! -type d
here=$PWD; cd ..; rmdir -- "$here" 2>/dev/null; sync .; exit 0
"""
"""The same by shell and find: ``$1`` is the folder, ``$2`` the data dir, ``$3`` the WAL dir. Prints what stays."""
