"""The throwaway etcd that a source is built in."""

import shlex
from pathlib import Path

import pytest

from requorum.errors import RequorumError
from requorum.etcd import binaries
from requorum.etcdfiles import messages, walwrite
from requorum.workbench import bench
from tests.unit.test_simulate import PUT, log, put

ENTRIES = 40


def heedless(folder: Path, etcd_dir: Path, times: int) -> binaries.Binaries:
    """Programs whose etcd dies of SIGTERM at once, as one does that has only just begun to answer; this many times."""
    folder.mkdir()
    for name in ("etcdctl", "etcdutl"):
        (folder / name).symlink_to(etcd_dir / name)
    real, started = shlex.quote(str(etcd_dir / "etcd")), shlex.quote(str(folder / "started"))
    (folder / "etcd").write_text(
        f'#!/bin/sh\n[ "$1" = --version ] && exec {real} "$@"\n'
        f'echo >> {started}\n[ $(wc -l < {started}) -gt {times} ] && exec {real} "$@"\n'
        f'{real} "$@" &\ntrap "kill -9 $!" TERM\nwait $!\n'
    )
    (folder / "etcd").chmod(0o755)
    return binaries.find([folder])


def recipe(folder: Path) -> bench.Recipe:
    """An empty db, and a log of some writes to replay onto it."""
    entries = log(*((PUT, put(b"k%d" % number)) for number in range(ENTRIES)), first=1)
    walwrite.write_wal(
        str(folder), member_id=1, cluster_id=1, marks=[], entries=entries, state=messages.HardState(2, 0, ENTRIES)
    )
    part = bench.Part(wal_dir=str(folder), first=1, last=ENTRIES)
    return bench.Recipe(db="", parts=(part,), revision=1 + ENTRIES, exact=True, saved_snapshot=False)


def test_an_etcd_that_is_ended_before_it_closes_its_db(tmp_path: Path, etcd_dir: Path) -> None:
    """What it had applied is not in its db then: it is started again, and the source comes to what was predicted."""
    programs = heedless(tmp_path / "tools", etcd_dir, 1)
    built = bench.build(recipe(tmp_path / "wal"), tmp_path / "out.db", tmp_path / "bench", programs)
    assert built.revision == 1 + ENTRIES
    assert (tmp_path / "tools" / "started").read_text() == "\n\n"


def test_an_etcd_that_never_closes_its_db(tmp_path: Path, etcd_dir: Path) -> None:
    """No source is blamed for it, none is built, and nothing stays behind."""
    programs = heedless(tmp_path / "tools", etcd_dir, bench.STARTS)
    with pytest.raises(RequorumError, match="before it could close its db"):
        bench.build(recipe(tmp_path / "wal"), tmp_path / "out.db", tmp_path / "bench", programs)
    assert not (tmp_path / "out.db").exists()
    assert not (tmp_path / "bench").exists()
