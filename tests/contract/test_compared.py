"""Members of one killed cluster hold the same as far as they go, and are found to: whatever is known of their past."""

from functools import partial
from pathlib import Path

import anyio
import pytest

from requorum.etcdfiles import mvcc, records
from requorum.survey import gather
from requorum.survey.compared import outvoted
from requorum.survey.evidence import Comparison

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
