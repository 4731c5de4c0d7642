"""Copied data dirs of which none is whole, or which contradict each other: what is said, and how it ends."""

import json
from pathlib import Path
from random import Random

from requorum.etcdfiles import datadir, mvcc, wal
from requorum.rehearsal import damage, wreck

from .process import Requorum

REFUSED = 4


def dirs_of(disks: Path) -> list[Path]:
    """The three data dirs."""
    return [disks / name / "data" for name in ("m1", "m2", "m3")]


def by_log(disks: Path) -> list[Path]:
    """The three data dirs, the highest log first."""

    def last(data_dir: Path) -> tuple[int, int]:
        return wal.read_log(datadir.layout_of(str(data_dir)).wal_dir).last

    return sorted(dirs_of(disks), key=last, reverse=True)


def by_db(disks: Path) -> list[Path]:
    """The three data dirs, the lowest db first: what it holds, all hold."""

    def revision(data_dir: Path) -> int:
        return mvcc.read_facts(datadir.layout_of(str(data_dir)).db).revision

    return sorted(dirs_of(disks), key=revision)


def test_three_broken_dirs_make_one_snapshot(requorum: Requorum, disks: Path, etcd_dir: Path, tmp_path: Path) -> None:
    """The logs are put together; the report says which entries came from where, and the dirs are only read."""
    rng, (first, second, third) = Random(1), by_log(disks)
    damage.root_zeroed(first, rng)
    damage.tail_flipped(second, rng)
    damage.last_wal_cut_in_a_record(third, rng)
    before = wreck.fingerprint(disks)
    out = tmp_path / "out.db"
    words = ("rebuild", first, second, third, "-o", out, "--etcd-dir", etcd_dir)
    answer = json.loads(requorum(*words, "--format", "json", code=0, seconds=60).out)
    assert answer["source"]["kind"] in ("merged log", "own log")
    assert answer["source"]["loss"]["at_most"] == 0
    assert not answer["source"]["loss"]["unproven"]
    assert out.exists()
    assert wreck.fingerprint(disks) == before


def test_logs_alone_are_enough(requorum: Requorum, disks: Path, etcd_dir: Path, tmp_path: Path) -> None:
    """Every db is gone: the log that reaches back to its first entry makes the whole of it again."""
    for one in dirs_of(disks):
        damage.db_gone(one, Random(1))
    words = ("rebuild", *dirs_of(disks), "-o", tmp_path / "out.db", "--etcd-dir", etcd_dir)
    said = requorum(*words, code=0, seconds=60).out
    assert "log from its first entry: no write lost" in " ".join(said.split())


def test_a_tie_is_refused_with_what_differs(requorum: Requorum, disks: Path, etcd_dir: Path, tmp_path: Path) -> None:
    """Two members hold different data, and no log tells which is right: nothing is built until the operator says from which."""
    other, one, _ = by_db(disks)
    damage.value_flipped(other, Random(2))
    for each in (one, other):
        damage.wal_gone(each, Random(0))
    out = tmp_path / "out.db"
    words = ("rebuild", one, other, "-o", out, "--etcd-dir", etcd_dir)
    ended = requorum(*words, code=REFUSED, seconds=60)
    assert "the records up to revision" in ended.err
    assert "--source" in ended.hint
    assert not out.exists()
    said = requorum(*words, "--source", f"{one.parent.name}: bare db", code=3, seconds=60).out
    assert f"not in it: {other.parent.name}'s db: " in said
    assert out.exists()


def test_a_log_settles_it(requorum: Requorum, disks: Path, etcd_dir: Path, tmp_path: Path) -> None:
    """Two members hold different data: the one whose log made what it holds is right, and its db is built on."""
    other, one, _ = by_db(disks)
    damage.value_flipped(other, Random(2))
    out = tmp_path / "out.db"
    said = requorum("rebuild", one, other, "-o", out, "--etcd-dir", etcd_dir, code=0, seconds=60).out
    assert "the log says that it was altered" in " ".join(said.split())
    assert f"from {one.parent.name}: db + own log" in said or f"on {one.parent.name}'s db" in said
    assert out.exists()


def test_a_majority_settles_it(requorum: Requorum, disks: Path) -> None:
    """Two against one: the one is named."""
    other, *_ = by_db(disks)
    damage.value_flipped(other, Random(2))
    answer = json.loads(requorum("survey", "--verify", *dirs_of(disks), "-o", "json", code=0, seconds=60).out)
    found = [(text["subject"], text["text"]) for text in answer["verdict"]["findings"]]
    assert any(subject == other.parent.name and "outvoted" in text for subject, text in found), found
    assert answer["verdict"]["differences"]
