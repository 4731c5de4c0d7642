"""What a db claims of its compaction and its version, held against the others and the rest of it."""

import dataclasses

import pytest

from requorum.survey.evidence import DbEvidence, LogEvidence, MemberEvidence
from requorum.verdict.claims import check

from .evidence import sound


def compacted(
    number: int, revision: int, *, at: int = 90, told: tuple[int, ...] = (), near: int = 26
) -> MemberEvidence:
    """A sound member whose db was compacted at a revision, and whose log says which of its entries from ``near`` on compact."""
    one = sound(number, at=at)
    assert isinstance(one.db, DbEvidence)
    assert isinstance(one.log, LogEvidence)
    return dataclasses.replace(
        one,
        db=dataclasses.replace(one.db, compact_revision=revision),
        log=dataclasses.replace(one.log, compactions=told, classified_above=near),
    )


@pytest.mark.parametrize(
    ("third", "named"),
    [
        (compacted(3, 60), False),
        (compacted(3, 61), True),
        (compacted(3, 3), True),
        (compacted(3, 85, at=95), True),
        (compacted(3, 85, at=95, told=(85,)), False),
        (compacted(3, 85, at=95, near=94), True),
        (compacted(3, 40, at=40), True),
        (compacted(3, 40, at=20), False),
        (compacted(3, 70, at=40), True),
    ],
)
def test_a_compaction_that_nothing_bears_out(third: MemberEvidence, named: bool) -> None:
    """Two others were compacted at 60: one that says otherwise is named, unless an entry in between may have done it."""
    found = check([compacted(1, 60), compacted(2, 60), third])
    assert ("m3" in found.unfit) == named
    assert set(found.unfit) <= {"m3"}


@pytest.mark.parametrize(
    ("stored", "cluster", "fits"),
    [
        ("", "3.5.0", True),
        ("3.6.0", "3.6.0", True),
        ("3.6.0", "3.7.0", True),
        ("3.7.0", "3.7.0", True),
        ("3.7.0", "", True),
        ("1.7.0", "3.7.0", False),
        ("3.5.0", "3.7.0", False),
        ("3.9.0", "3.7.0", False),
        ("3\x177.0", "3.7.0", False),
    ],
)
def test_a_storage_version_that_no_etcd_writes(stored: str, cluster: str, fits: bool) -> None:
    """etcd 3.6 and later do not start on it: a bit of it was flipped."""
    one = sound(1)
    assert isinstance(one.db, DbEvidence)
    one = dataclasses.replace(one, db=dataclasses.replace(one.db, storage_version=stored, cluster_version=cluster))
    assert ("m1" not in check([one]).unfit) == fits
