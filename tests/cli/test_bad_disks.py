"""Every kind of bad file in a data dir, at every place where one is read: a clear answer, and nothing is touched."""

import os
import random
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from requorum.rehearsal import wreck

from .clusters import Cluster
from .process import Requorum


def _replace(path: Path, content: bytes) -> None:
    path.unlink()
    path.write_bytes(content)


def _used(path: Path) -> bytes:
    return path.read_bytes().rstrip(b"\0")


def _directory(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def _loop(path: Path) -> None:
    path.unlink()
    path.symlink_to(path)


BAD: dict[str, Callable[[Path], None]] = {
    "gone": lambda path: path.unlink(),
    "truncated": lambda path: _replace(path, _used(path)[: len(_used(path)) * 2 // 5]),
    "empty": lambda path: _replace(path, b""),
    "zeroes": lambda path: _replace(path, bytes(max(len(_used(path)), 4096))),
    "random": lambda path: _replace(path, random.Random(7).randbytes(100_000)),
    "text": lambda path: _replace(path, b"This is my shopping list: one etcd, three disks.\n" * 400),
    "directory": _directory,
    "pipe": _pipe,
    "symlink loop": _loop,
}


@pytest.mark.parametrize("kind", BAD)
@pytest.mark.parametrize("place", ["db", "wal"])
def test_a_bad_file_of_a_member(requorum: Requorum, one: Cluster, tmp_path: Path, place: str, kind: str) -> None:
    """survey says what is wrong with which file; plan and rebuild go on with what is left: a db without its log, or a log
    that reaches back to its start."""
    path: Path = getattr(one, place)
    BAD[kind](path)
    before = one.disks(), one.configs()
    said = " ".join(requorum("survey", one.data, code=0, seconds=15).out.split())
    told = r"warning: data: (no (db|log)|nothing to read|(db|log) damaged)"
    if (place, kind) == ("wal", "truncated"):  # by chance between two records: then it is the db that tells
        told += r"|danger: data: must not start as it is: it would swallow writes"
    assert re.search(told, said), said
    requorum("plan", "-i", one.inventory, code=0, seconds=15)
    if kind in ("truncated", "pipe"):
        out = tmp_path / "out.db"
        unproven = 3 if place == "wal" else 0  # what the log's end held, nobody knows
        requorum("rebuild", one.data, "-o", out, "--etcd-dir", one.etcd_dir, code=unproven, seconds=30)
        assert out.exists()
    assert before == (one.disks(), one.configs())


@pytest.mark.parametrize("kind", ["truncated", "zeroes", "directory", "pipe", "symlink loop"])
def test_a_bad_snap_file(requorum: Requorum, one: Cluster, kind: str) -> None:
    """A .snap file that cannot be read is named, and the older one or the log alone is read instead."""
    BAD[kind](one.snap)
    before = one.disks()
    assert "log damaged" in " ".join(requorum("survey", one.data, code=0, seconds=15).out.split())
    requorum("plan", "-i", one.inventory, code=0, seconds=15)
    assert before == one.disks()


@pytest.mark.parametrize("kind", ["truncated", "empty", "random", "directory", "pipe", "symlink loop"])
def test_a_bad_snapshot_file(requorum: Requorum, one: Cluster, kind: str) -> None:
    """A snapshot that cannot be read is named and not used; alone it is no source."""
    BAD[kind](one.saved)
    if kind in ("directory", "symlink loop"):
        assert str(one.saved) in requorum("survey", one.saved, code=2).err
    else:
        assert "cannot be used" in " ".join(requorum("survey", one.saved, code=0, seconds=15).out.split())
    given = ("plan", "-i", one.inventory, "--snapshot", one.saved)
    if kind == "symlink loop":
        assert str(one.saved) in requorum(*given, code=2).err
        return
    assert "cannot be used" in " ".join(requorum(*given, code=0, seconds=15).out.split())
    wreck.lose_disk(one.first)
    ended = requorum(*given, code=6, seconds=15)
    assert str(one.saved) in ended.err, "it is not said why the snapshot that was given is no source"
    assert ended.hint


def test_a_snapshot_that_is_not_there(requorum: Requorum, one: Cluster, tmp_path: Path) -> None:
    """A mistyped name of a snapshot is a mistake of the operator's, to every command that takes one."""
    gone = tmp_path / "mnday.db"
    for words in (
        ("survey", one.data),
        ("plan", "-i", one.inventory),
        ("rebuild", one.data, "-o", tmp_path / "out.db", "--etcd-dir", one.etcd_dir),
    ):
        assert str(gone) in requorum(*words, "--snapshot", gone, code=2).err


@pytest.mark.parametrize("kind", ["gone", "text", "pipe", "symlink loop", "empty folder"])
def test_a_bad_data_dir(requorum: Requorum, one: Cluster, tmp_path: Path, kind: str) -> None:
    """What is no data dir is named; survey and rebuild take it for none."""
    path = tmp_path / "dir"
    path.write_bytes(b"")
    if kind == "empty folder":
        _directory(path)
    else:
        BAD[kind](path)
    out = tmp_path / "out.db"
    bad_name = kind in ("gone", "symlink loop", "empty folder")
    said = requorum("survey", path, code=2 if bad_name else 0, seconds=15)
    assert str(path) in said.err + said.out
    requorum("rebuild", path, "-o", out, "--etcd-dir", one.etcd_dir, code=2 if bad_name else 6, seconds=15)
    assert not out.exists()


def test_rebuild_overwrites_nothing(requorum: Requorum, one: Cluster, tmp_path: Path) -> None:
    """An output that exists, or has no folder to be in, is refused before anything is read."""
    before = one.disks()
    for target in (one.db, one.data, tmp_path / "no" / "folder" / "out.db"):
        ended = requorum("rebuild", one.data, "-o", target, "--etcd-dir", one.etcd_dir, code=2)
        assert str(target.parent) in ended.err
    assert one.disks() == before


def test_plan_saves_over_nothing(requorum: Requorum, one: Cluster) -> None:
    """``plan --save`` with the name of a file that exists, here the member's db, does not destroy it."""
    before = one.disks()
    requorum("plan", "-i", one.inventory, "--save", one.db, code=2)
    assert one.disks() == before


def test_output_inside_a_data_dir(requorum: Requorum, one: Cluster) -> None:
    """``rebuild`` only reads the dirs: it does not write its result into one of them."""
    before = one.disks()
    requorum("rebuild", one.data, "-o", one.data / "member" / "out.db", "--etcd-dir", one.etcd_dir, code=2)
    assert one.disks() == before
