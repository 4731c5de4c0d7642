"""A db's index is a claim: every bit of it flipped, and dbs that their log did not make, on the disks of a killed cluster."""

import shutil
from functools import partial
from pathlib import Path

import anyio
import pytest

from requorum.etcd import binaries
from requorum.etcdfiles import bbolt, footing, mvcc, wal
from requorum.hosts import programs
from requorum.hosts.connection import Here
from requorum.rehearsal import cluster
from requorum.rehearsal.gateway import Gateway, b64
from requorum.survey import gather
from requorum.survey.evidence import DbEvidence, Footing, MemberEvidence, Survey, Tail
from requorum.verdict import values
from requorum.verdict.decide import decide

BITS = (*range(24), 31, 32, 40, 47, 55, 63)
"""Every bit that can move an index among entries that are there, and some far above."""


def member(root: Path, name: str) -> MemberEvidence:
    """One member of the crashed cluster, read in full."""
    return gather.read_dir(Here(), str(root / name / "data"), name, wal_dir="", in_full=True)


def db_of(one: MemberEvidence) -> DbEvidence:
    """Its db."""
    assert isinstance(one.db, DbEvidence)
    return one.db


def survey(members: list[MemberEvidence]) -> Survey:
    """A survey in full of these."""
    return Survey(cluster="demo", at="2026-01-01T00:00:00+00:00", verified=True, members=tuple(members))


def set_index(data_dir: Path, index: int) -> None:
    """Let a db claim another index."""
    path = data_dir / "member" / "snap" / "db"
    old = mvcc.read_facts(str(path)).consistent_index.to_bytes(8, "big")
    raw = path.read_bytes()
    assert b"consistent_index" + old in raw
    path.write_bytes(raw.replace(b"consistent_index" + old, b"consistent_index" + index.to_bytes(8, "big")))


@pytest.mark.timeout(900)
def test_every_bit_of_the_index(disks: Path) -> None:
    """Whichever bit of one member's index flips: its replay comes to the same revision as before, and nothing is lost. One
    that would lose or repeat a write is not started; an index that is off by entries that write nothing does no harm."""
    others = [member(disks, name) for name in ("m2", "m3")]
    before = member(disks, "m1")
    true = db_of(before).applied_index
    assert isinstance(before.tail, Tail)
    refuted = 0
    for bit in BITS:
        set_index(disks / "m1" / "data", true ^ (1 << bit))
        flipped = member(disks, "m1")
        db = db_of(flipped)
        if isinstance(db.footing, Footing) and db.footing.kind == "unclear":
            refuted += 1
            continue
        assert isinstance(flipped.tail, Tail), bit
        assert flipped.tail.revision == before.tail.revision, bit
        moved = isinstance(db.footing, Footing) and db.footing.kind == "moved"
        refuted += moved
        verdict = decide(survey([flipped, *others]))
        if verdict.kind != values.START_AS_IS:  # etcd left another one without some of its data (adr 5)
            assert verdict.kind == values.REBUILD
            assert verdict.sources[0].loss.proven_none
        elif moved:
            assert verdict.start is not None
            assert "m1" not in verdict.start.members
        set_index(disks / "m1" / "data", true)
    assert refuted > len(BITS) - 8
    assert db_of(member(disks, "m1")).footing == db_of(before).footing


@pytest.mark.parametrize("bit", [20, 24, 47])
def test_an_index_beyond_more_than_is_looked_at(disks: Path, monkeypatch: pytest.MonkeyPatch, bit: int) -> None:
    """All records that are looked at might have come behind the log's end, by that index: they are found in it all the same."""
    monkeypatch.setattr(footing, "DEEPEST", 64)  # of these few hundred revisions, as 4096 of thousands
    before = member(disks, "m1")
    assert isinstance(before.tail, Tail)
    true = db_of(before).applied_index
    set_index(disks / "m1" / "data", true | (1 << bit))
    after = member(disks, "m1")
    assert isinstance(db_of(after).footing, Footing)
    assert db_of(after).applied_index <= true
    assert isinstance(after.tail, Tail)
    assert after.tail.revision == before.tail.revision


@pytest.mark.parametrize("known", [True, False], ids=["of this cluster", "of another"])
def test_a_restored_db_beside_the_old_log(disks: Path, etcd_dir: Path, tmp_path: Path, known: bool) -> None:
    """etcd would apply the whole log to it again. One of this cluster is found in the log where its data ends; another is
    refuted, and nothing is built on it."""
    found = binaries.find([etcd_dir])
    source = disks / "m2" / "data" / "member" / "snap" / "db"
    if not known:
        other = tmp_path / "other.db"
        with bbolt.Bolt(str(source)) as bolt:
            ((_, last),) = mvcc.records_at(bolt, mvcc.read_facts(str(source)).last_revision)[:1]
        begin = last.key[:3]
        other.write_bytes(source.read_bytes().replace(begin, bytes(one ^ 1 for one in begin)))
        source = other
    restored = tmp_path / "restored"
    programs.run(
        [found.etcdutl, "snapshot", "restore", str(source), "--data-dir", str(restored), "--skip-hash-check=true"],
        seconds=60,
    )
    target = disks / "m1" / "data" / "member" / "snap" / "db"
    shutil.copy(restored / "member" / "snap" / "db", target)
    one = member(disks, "m1")
    db = db_of(one)
    assert isinstance(db.footing, Footing)
    verdict = decide(survey([one, member(disks, "m2"), member(disks, "m3")]))
    assert verdict.start is None or "m1" not in verdict.start.members
    if known:
        assert db.footing.kind in ("moved", "unclear")
        index = db_of(member(disks, "m2")).applied_index
        assert index - 16 <= db.applied_index <= index  # entries behind the last write may have written nothing
    else:
        assert db.footing.kind == "refuted"
        assert all(one.last_resort for one in verdict.sources if one.id == "m1: bare db")


@pytest.mark.parametrize("index", [1 << 6, 100, 1 << 62])
def test_a_db_without_a_log_beside_the_log_of_another(disks: Path, index: int) -> None:
    """Nothing but its index says where it stands, and one bit of that flipped: the log of another member tells."""
    shutil.rmtree(disks / "m1" / "data" / "member" / "wal")
    (disks / "m2" / "data" / "member" / "snap" / "db").unlink()
    dirs = [disks / name / "data" for name in ("m1", "m2")]
    honest = anyio.run(partial(gather.survey_dirs, in_full=True), dirs)
    before = db_of(honest.members[0])
    assert not isinstance(before.footing, Footing)
    best = decide(honest).sources[0]
    set_index(disks / "m1" / "data", before.consistent_index ^ index)
    found = anyio.run(partial(gather.survey_dirs, in_full=True), dirs)
    db = db_of(found.members[0])
    assert isinstance(db.footing, Footing)
    assert db.footing.kind in ("moved", "unclear")
    assert db.applied_index <= before.consistent_index
    if db.footing.kind == "moved":
        told = decide(found).sources[0]
        assert (told.revision, told.loss.at_most) == (best.revision, best.loss.at_most)


@pytest.mark.parametrize("holds", [True, False], ids=["its guard holds", "its guard does not hold"])
def test_an_index_ahead_by_a_guarded_write(etcd_dir: Path, tmp_path: Path, holds: bool) -> None:
    """As etcd 3.5.1 leaves it, in a db without a log: whether the entry wrote is asked of the state that decided."""
    (one,) = cluster.lay_out(tmp_path / "cluster", 1, etcd_dir, "ahead")
    running = cluster.start([one], etcd_dir)
    gateway = Gateway(one.client_url)
    try:
        mods = [
            int(gateway.call("/v3/kv/put", {"key": b64("/a"), "value": b64(str(n))})["header"]["revision"])
            for n in range(40)
        ]
        running[0].terminate()  # what it has applied is on disk then
        running[0].wait(30)
        with one.config.open("a") as config:
            config.write(f"backend-batch-interval: {3600 * 10**9}\n")
        running = cluster.start([one], etcd_dir)
        gateway.close()
        gateway = Gateway(one.client_url)
        guard = {
            "key": b64("/a"),
            "target": "MOD",
            "result": "EQUAL",
            "mod_revision": str(mods[-1] if holds else mods[0]),
        }
        put = {"request_put": {"key": b64("/a"), "value": b64("guarded")}}
        answer = gateway.call("/v3/kv/txn", {"compare": [guard], "success": [put]})
        assert bool(answer.get("succeeded")) == holds
    finally:
        gateway.close()
        cluster.kill_at_once(running)
    for name, gone in (("m1", "member/wal"), ("m2", "member/snap/db")):
        shutil.copytree(one.data_dir, tmp_path / name)
        path = tmp_path / name / gone
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    log = wal.read_log(str(one.data_dir / "member/wal"))
    set_index(tmp_path / "m1", log.last[1])
    found = anyio.run(partial(gather.survey_dirs, in_full=True), [tmp_path / "m1", tmp_path / "m2"])
    db, best = db_of(found.members[0]), decide(found).sources[0]
    assert (isinstance(db.footing, Footing) and db.footing.kind == "moved") == holds, db.footing
    assert (db.applied_index < log.last[1]) == holds
    assert best.revision == mods[-1] + holds
