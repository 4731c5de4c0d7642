"""Members of one killed cluster hold the same as far as they go, and are found to: whatever is known of their past."""

from functools import partial
from pathlib import Path
from random import Random

import anyio
import pytest

from requorum.etcdfiles import bbolt, mvcc, records
from requorum.rehearsal import damage
from requorum.survey import gather
from requorum.survey.compared import outvoted
from requorum.survey.evidence import Comparison, DbEvidence, Footing
from requorum.verdict.decide import decide

NAMES = ("m1", "m2", "m3")


def compared(disks: Path) -> tuple[Comparison, ...]:
    """The comparisons of a survey in full."""
    dirs = [disks / name / "data" for name in NAMES]
    return anyio.run(partial(gather.survey_dirs, in_full=True), dirs).compared


def test_a_killed_cluster_holds_the_same(disks: Path) -> None:
    """At each db's revision the others that have come so far have the same records, and all have the same revision after
    the same entry."""
    found = compared(disks)
    assert {len(one.stands) for one in found} >= {3}
    assert any(one.what.startswith("the revision after entry") for one in found)
    assert outvoted(found) == ({}, "")


def test_all_are_asked_the_same(disks: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where one member does not know any more what was long ago, all are compared by what is live: none is called another
    for the length of its memory."""
    revisions = sorted(mvcc.read_facts(str(disks / name / "data/member/snap/db")).revision for name in NAMES)
    assert revisions[-1] > revisions[0] + 4, "the dbs stand too close to each other"
    monkeypatch.setattr(records, "STATES_KEPT", (revisions[0] + revisions[-1]) // 4)
    found = compared(disks)
    assert {len(one.stands) for one in found} >= {3}
    assert outvoted(found) == ({}, "")


def test_a_quick_look_forgets_nothing(disks: Path) -> None:
    """Files that were read in full and have not changed are compared again without being read again."""
    first = compared(disks)
    anyio.run(partial(gather.survey_dirs, in_full=False), [disks / "m1" / "data"])
    assert compared(disks) == first


@pytest.mark.parametrize("flipped", [False, True])
def test_a_db_is_held_against_the_log_of_another(disks: Path, flipped: bool) -> None:
    """Its own log is gone, and no other db is left to compare it with: a log that reaches back to the beginning tells."""
    damage.wal_gone(disks / "m1/data", Random(1))
    damage.db_gone_and_snaps(disks / "m2/data", Random(1))
    if flipped:
        damage.value_flipped(disks / "m1/data", Random(1))
    found = anyio.run(partial(gather.survey_dirs, in_full=True), [disks / name / "data" for name in ("m1", "m2")])
    db = found.members[0].db
    assert isinstance(db, DbEvidence)
    assert (isinstance(db.footing, Footing) and db.footing.kind == "altered") == flipped
    assert db.of_its_log == (not flipped)


def test_three_dbs_that_all_differ(disks: Path) -> None:
    """No two agree: each is held against a log, two were altered, and the third is what was written."""
    damage.value_flipped(disks / "m1/data", Random(1))
    damage.value_flipped(disks / "m2/data", Random(3))
    found = anyio.run(partial(gather.survey_dirs, in_full=True), [disks / name / "data" for name in NAMES])
    dbs = [one.db for one in found.members if isinstance(one.db, DbEvidence)]
    assert [isinstance(one.footing, Footing) and one.footing.kind == "altered" for one in dbs] == [True, True, False]
    assert dbs[2].of_its_log
    verdict = decide(found)
    assert verdict.kind in ("rebuild", "start as is"), verdict.summary
    assert verdict.sources[0].loss.proven_none


@pytest.mark.parametrize("flipped", [False, True])
def test_what_one_db_alone_holds(disks: Path, flipped: bool) -> None:
    """The others end before its newest records: they agree as far as they go, and only the log tells of the rest."""
    ends = sorted((mvcc.read_facts(str(disks / name / "data/member/snap/db")).revision, name) for name in NAMES)
    (_, (before, second), (last, ahead)) = ends
    if before == last:
        damage.db_gone(disks / second / "data", Random(1))
    db = disks / ahead / "data/member/snap/db"
    if flipped:
        with bbolt.Bolt(str(db)) as bolt:
            bucket = bolt.bucket(b"key")
            assert bucket is not None
            old = next(bytes(one.value) for one in bolt.backwards(bucket) if b'{"writer"' in bytes(one.value))
        at = old.index(b'{"writer"') + 3
        new = old[:at] + bytes([old[at] ^ 1]) + old[at + 1 :]
        db.write_bytes(db.read_bytes().replace(old, new))
    found = anyio.run(partial(gather.survey_dirs, in_full=True), [disks / name / "data" for name in NAMES])
    one = next(one for one in found.members if one.name == ahead)
    assert isinstance(one.db, DbEvidence)
    assert one.db.sound
    assert (isinstance(one.db.footing, Footing) and one.db.footing.kind == "altered") == flipped
    verdict = decide(found)
    assert not flipped or verdict.start is None or ahead not in verdict.start.members
    assert verdict.sources[0].loss.proven_none
