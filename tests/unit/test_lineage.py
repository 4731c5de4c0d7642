"""Which entries of another's log a db's member has surely applied."""

import dataclasses

import pytest

from requorum.survey.evidence import DbEvidence, Fork, LogEvidence, MemberEvidence
from requorum.survey.lineage import applied_alike
from tests.unit.evidence import db, log, lost, member


def alike(one: MemberEvidence, other: MemberEvidence, *, only: bool = True, forks: tuple[Fork, ...] = ()) -> int:
    """Up to which entry."""
    assert isinstance(one.db, DbEvidence)
    assert isinstance(other.log, LogEvidence)
    return applied_alike(one, one.db, other, other.log, only, forks)


def test_what_a_deposed_leader_could_not_commit_is_not_counted() -> None:
    """The own log has a hole where the other holds entries that nobody else may have: they are not said to be its own."""
    own = member(1, db(100), log(1, 100, terms=[(1, 2), (61, 3)], hole=55))
    deposed = member(2, lost(2).db, log(2, 60, terms=[(1, 2)], commit=50))
    assert alike(own, deposed) == 60  # entry 60 is the own log's, too
    shorter = dataclasses.replace(own, log=log(1, 100, first=61, terms=[(61, 3)]))
    assert alike(shorter, deposed) == 50


@pytest.mark.parametrize(
    ("term", "index", "only", "expected"), [(2, 80, True, 80), (3, 80, True, 50), (2, 200, True, 50), (2, 80, False, 0)]
)
def test_a_db_without_a_log(term: int, index: int, only: bool, expected: int) -> None:
    """Its term at its index tells, where the log has the same; else what is known to be committed, of the one cluster."""
    alone = member(1, dataclasses.replace(db(index), term=term), lost(1).log)
    other = member(2, lost(2).db, log(2, 100, terms=[(1, 2)], commit=50))
    assert alike(alone, other, only=only) == expected


def test_another_history() -> None:
    """What parted is not alike."""
    own, other = member(1, db(90), log(1, 100)), member(2, db(90), log(2, 100))
    assert alike(own, other) == 100
    assert alike(own, other, forks=(Fork(index=40, term=2, groups=(("m1",), ("m2",))),)) == 0
