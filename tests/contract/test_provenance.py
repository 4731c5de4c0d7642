"""What a db holds is held against the entries that wrote it, where no other db is there to compare it with."""

import os
from itertools import islice
from pathlib import Path
from random import Random

import pytest

from requorum.etcdfiles import bbolt, messages, mvcc, provenance, verify, wal, walchain
from requorum.etcdfiles.wal import Log
from requorum.rehearsal import damage
from requorum.survey import disks as reading


def log_of(data_dir: Path) -> Log:
    """The log of a member of a young cluster: it reaches back to the beginning."""
    return wal.read_log(str(data_dir / "member/wal"), keep_after=1 << 62)


def told(data_dir: Path, log: Log) -> provenance.Provenance:
    """What the log says of the db beside it."""
    return provenance.provenance(mvcc.read_facts(str(data_dir / "member/snap/db")), log, begins_empty=True)


@pytest.mark.parametrize("name", ["m1", "m2", "m3"])
def test_nothing_is_said_of_a_power_cut(crashed: Path, name: str) -> None:
    """Guards, deletes, leases and compactions leave nothing that no entry wrote."""
    data_dir = crashed / name / "data"
    found = told(data_dir, log_of(data_dir))
    assert (found.foreign, found.why) == (0, "")
    assert found.records > 20


def test_a_value_that_was_flipped(disks: Path) -> None:
    """No etcd sees it, and no other db is there."""
    data_dir = disks / "m1/data"
    damage.value_flipped(data_dir, Random(1))
    found = told(data_dir, log_of(data_dir))
    assert found.foreign == 1
    assert "is a write that no entry of the log made" in found.why


def test_bits_of_the_newest_records(disks: Path) -> None:
    """Of a key, of a value, of its lease, of the revisions in it: told by the log, or no sound db any more."""
    data_dir = disks / "m1/data"
    db, log = data_dir / "member/snap/db", log_of(data_dir)
    raw = db.read_bytes()
    with bbolt.Bolt(str(db)) as bolt:
        bucket = bolt.bucket(b"key")
        assert bucket is not None
        newest = [bytes(item.value) for item in islice(bolt.backwards(bucket), 8)]
    unseen = []
    for record in [one for one in newest if len(one) > 60][:3]:
        for place in range(0, len(record) * 8, 41):
            changed = bytearray(raw)
            changed[raw.index(record) + place // 8] ^= 1 << place % 8
            db.write_bytes(changed)
            if not told(data_dir, log).why and verify.verify_db(str(db)).sound:
                unseen.append((record, place))
    assert unseen == []


@pytest.mark.parametrize("name", ["m1", "m2", "m3"])
def test_entries_are_missing_in_between(disks: Path, name: str) -> None:
    """What they wrote is not called foreign; a value that was flipped far from them is, as ever."""
    data_dir = disks / name / "data"
    db = data_dir / "member/snap/db"
    whole = db.read_bytes()
    damage.block_zeroed_in_the_log(data_dir, Random(2))
    log = log_of(data_dir)
    assert log.readable_to(1) < log.last[1]
    found = told(data_dir, log)
    assert (found.foreign, found.why) == (0, "")
    assert found.records > 20
    told_of = 0
    for seed in range(8):
        db.write_bytes(whole)
        damage.value_flipped(data_dir, Random(seed))
        found = told(data_dir, log)
        assert found.foreign <= 1
        told_of += found.foreign
    assert told_of > 5


@pytest.mark.parametrize("name", ["m1", "m2", "m3"])
def test_the_log_has_lost_its_end(disks: Path, name: str) -> None:
    """Nothing is behind the db's index that could corroborate it: what the first entries wrote is known all the same, guards and
    deletes among them, as they began with an empty store."""
    data_dir = disks / name / "data"
    facts = mvcc.read_facts(str(data_dir / "member/snap/db"))
    half = (one for one in wal.records_of(str(data_dir / "member/wal")) if one.type == walchain.ENTRY)
    record = next(one for one in half if messages.decode_entry(one.data).index > facts.consistent_index // 2)
    os.truncate(record.path, record.offset)
    log = log_of(data_dir)
    assert 0 < log.last[1] < facts.consistent_index
    found = provenance.provenance(facts, log, begins_empty=True, index_known=False)
    assert (found.foreign, found.why) == (0, "")
    assert found.records


@pytest.mark.parametrize("name", ["m1", "m2", "m3"])
def test_only_the_newest_records_are_in_question(crashed: Path, name: str) -> None:
    """The entries just below the db's index wrote them all; entries that are further back are not looked at."""
    db, wal_dir = crashed / name / "data/member/snap/db", crashed / name / "data/member/wal"
    facts = mvcc.read_facts(str(db))
    for back in (1, 10, 40):
        assert reading.written_since(str(db), str(wal_dir), facts.revision - back)
    none = wal.read_log(str(wal_dir), keep_after=facts.consistent_index)
    assert not provenance.written_since(facts, none, facts.revision - 20), "a put is among them"


@pytest.mark.parametrize("name", ["m1", "m2", "m3"])
def test_a_log_that_does_not_reach_back(disks: Path, name: str) -> None:
    """What its first entries met nobody knows, and so whether guarded writes came about; what they left tells that they did."""
    data_dir = disks / name / "data"
    db, log = data_dir / "member/snap/db", log_of(data_dir)
    whole = db.read_bytes()
    facts = mvcc.read_facts(str(db))
    found = provenance.provenance(facts, log, begins_empty=False)
    assert (found.foreign, found.why) == (0, "")
    assert found.records > 20
    with bbolt.Bolt(str(db)) as bolt:
        bucket = bolt.bucket(b"key")
        assert bucket is not None
        newest = [bytes(item.value) for item in islice(bolt.backwards(bucket), 20)]
    values = [record for record in newest if b'"data":"' in record]
    assert len(values) > 4
    for record in values:
        spot = record.index(b'"data":"') + 9
        db.write_bytes(whole.replace(record, record[:spot] + b"X" + record[spot + 1 :]))
        assert provenance.provenance(mvcc.read_facts(str(db)), log, begins_empty=False).foreign == 1
