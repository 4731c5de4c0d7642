"""Which entries are taken from whose log, on clusters by hand."""

from dataclasses import replace

import pytest

from requorum.hosts.connection import Here
from requorum.survey.compared import outvoted
from requorum.survey.comparing import compare
from requorum.survey.evidence import Comparison, DbEvidence, Footing, MergedLog, Piece, Run, Stand, Survey, Tail
from requorum.survey.merged import Route, routes
from requorum.verdict.decide import decide
from tests.unit import evidence
from tests.unit.evidence import db, log, member, survey, voters


def only(found: tuple[Route, ...]) -> Route:
    """The one route."""
    (one,) = found
    return one


def spans(route: Route) -> list[tuple[str, int, int]]:
    """Its pieces as (member, first, last)."""
    return [(one.member, one.first, one.last) for one in route.pieces]


def test_a_whole_log_needs_no_other() -> None:
    """One member's own log that reaches the end is nothing to put together."""
    assert routes([evidence.sound(1), evidence.sound(2), evidence.sound(3)]) == ()


def test_a_damaged_record_comes_from_another_log() -> None:
    """Log Matching: both hold the same term at a later entry."""
    found = only(routes([member(1, db(90), log(1, 100, hole=95)), member(2, db(80, faults=1), log(2, 99))]))
    assert found.follows == "m1"
    assert found.base is not None
    assert found.base.name == "m1"
    assert spans(found) == [("m1", 91, 94), ("m2", 95, 95), ("m1", 96, 100)]
    assert found.pieces[1].proven
    assert "entry 99" in found.pieces[1].why


def test_neighbours_of_one_term_prove_it_too() -> None:
    """The other log ends at the damaged record: but it must be of the term of those around it."""
    found = only(routes([member(1, db(90), log(1, 100, hole=95)), member(2, db(80, faults=1), log(2, 95, first=95))]))
    assert found.pieces[1] == Piece(member="m2", first=95, last=95, why="of term 2, as its neighbours")


def test_what_nothing_proves_is_said() -> None:
    """At a change of term either leader's entry may be the one that is missing."""
    followed = log(1, 100, hole=95, terms=[(1, 2), (96, 4)])
    found = only(routes([member(1, db(90), followed), member(2, db(80, faults=1), log(2, 95, first=95))]))
    assert [one.proven for one in found.pieces] == [True, False, True]
    other = log(2, 95, first=95, terms=[(95, 1)])
    assert routes([member(1, db(90), followed), member(2, db(80, faults=1), other)]) == (), "a term cannot fall"


def test_a_contradicting_tail_is_left_out() -> None:
    """A leader that was cut off: its last entries are not those that the highest log has."""
    followed = log(1, 100, hole=95, terms=[(1, 2), (91, 4)])
    cut_off = log(2, 97, commit=90, terms=[(1, 2), (91, 3)])
    assert routes([member(1, db(94, term=4), followed), member(2, db(80, faults=1), cut_off)]) == ()


def test_logs_that_contradict_each_other_below_a_shared_entry_are_not_mixed() -> None:
    """They are not of one raft group, whatever their ids say: a cluster that was bootstrapped again under the old token."""
    followed = log(1, 100, hole=95, terms=[(1, 2)])
    impostor = log(2, 99, terms=[(1, 1), (50, 2)])
    found = routes([member(1, db(90), followed), member(2, db(80, faults=1), impostor)])
    assert [{piece.member for piece in one.pieces} for one in found] == [{"m2"}]  # its own history, by itself


def test_no_db_at_all() -> None:
    """The logs reach back to the first entry: nothing else is needed."""
    torn = [
        member(number, db(90, faults=1), log(number, 100, hole=hole)) for number, hole in ((1, 40), (2, 60), (3, 0))
    ]
    found = only(routes(torn))
    assert found.base is None
    assert (found.from_index, found.to_index) == (0, 100)


@pytest.mark.parametrize("begins", [3, None])
def test_a_log_that_a_restore_began_needs_a_db(begins: int | None) -> None:
    """What the snapshot held is in none of its entries; nor may it be where the beginning cannot be read."""
    logs = [replace(log(number, 100), restored_at=begins) for number in (1, 2, 3)]
    assert routes([member(at, db(90, faults=1), one) for at, one in enumerate(logs, 1)]) == ()


def test_a_db_of_another_history_is_no_base() -> None:
    """Its last entry is of another term than the log's: what it holds is not what the log goes on from."""
    followed = log(1, 100, first=80)
    route = only(
        routes(
            [
                member(1, db(90, faults=1), followed),
                member(2, db(90), log(2, 90)),
                member(3, db(95, term=1), log(3, 95)),
            ]
        )
    )
    assert route.base is not None
    assert route.base.name == "m2"


def test_an_unproven_piece_makes_the_loss_unproven() -> None:
    """The verdict says so, and which entry it is."""
    followed = log(1, 100, hole=95, terms=[(1, 2), (96, 4)])
    members = (member(1, db(90), followed), member(2, db(80, faults=1), log(2, 95, first=95)), evidence.lost(3))
    route = only(routes(members))
    tail = Tail(from_index=90, to_index=100, to_term=4, revision=100, writes=(Run(first=91, last=100),), doubts=())
    merged = MergedLog(follows="m1", base="m1", pieces=route.pieces, tail=tail)
    verdict = decide(replace(survey(*members), merged=(merged,)))
    source = verdict.sources[0]
    assert source.id == "merged log on m1's db"
    assert source.loss.unproven
    assert not source.loss.exact
    assert any("entry 95" in line for line in verdict.proof)


def test_a_log_counts_where_the_db_beside_it_was_altered() -> None:
    """The highest log's own db holds what nobody wrote: the log is replayed onto another's db, and nothing is lost."""
    broken = replace(db(90), footing=Footing(kind="altered", index=90, why="its revision 7 is another write"))
    members = (member(1, broken, log(1, 100)), member(2, db(80), log(2, 85)), evidence.lost(3))
    route = only(routes(members))
    assert spans(route) == [("m2", 81, 85), ("m1", 86, 100)]
    tail = Tail(from_index=80, to_index=100, to_term=2, revision=100, writes=(Run(first=81, last=100),), doubts=())
    merged = MergedLog(follows="m1", base="m2", pieces=route.pieces, tail=tail)
    verdict = decide(replace(survey(*members), merged=(merged,)))
    assert verdict.kind == "rebuild"
    assert (verdict.sources[0].id, verdict.sources[0].loss.at_most) == ("merged log on m2's db", 0)


@pytest.mark.parametrize(("last", "kind"), [(60, "undecided"), (100, "rebuild")])
def test_one_wrong_record_against_many_lost_ones(last: int, kind: str) -> None:
    """The only db was altered, and the log has a hole: without that db the writes behind it are lost. Nobody but the operator
    can tell which is worse."""
    broken = replace(db(90), footing=Footing(kind="altered", index=90, why="its revision 7 is another write"))
    piece = Piece(member="m1", first=1, last=last, why="the highest log")
    writes = (Run(first=1, last=last),)
    tail = Tail(from_index=0, to_index=last, to_term=1, revision=1 + last, writes=writes, doubts=())
    merged = MergedLog(follows="m1", base="", pieces=(piece,), tail=tail)
    only = member(1, broken, log(1, 100, sets=voters((0, (1,)))), of=(1,))
    verdict = decide(replace(survey(only), merged=(merged,)))
    assert verdict.kind == kind, verdict.summary
    if kind == "undecided":
        assert verdict.rule == "H"
        assert "m1's db: the log says that it was altered (its revision 7" in verdict.summary
        assert {"m1: db + own log", "m1: log from its first entry"} <= {one.id for one in verdict.sources}


def test_members_that_made_something_else_of_the_same_log() -> None:
    """An outvoted db that was damaged costs nothing; one that is of its log all the same may have acknowledged more than others
    hold: etcd skipped an entry there, and what its clients saw and did from then on went another way."""
    damaged = differing("a", "b", "a")
    verdict = decide(damaged)
    assert verdict.kind == "start as is"
    assert "no write lost;" in verdict.summary
    own = [
        replace(one, db=replace(one.db, of_its_log=True)) if isinstance(one.db, DbEvidence) else one
        for one in damaged.members
    ]
    verdict = decide(replace(damaged, members=tuple(own)))
    assert verdict.kind == "start as is"
    assert "loss cannot be known, because m2 made something else of the same log" in verdict.summary
    assert any("m2 made something else of the same log" in line for line in verdict.proof)
    assert not any(one.loss.known for one in verdict.sources)


def test_a_quick_reading_compares_what_dbs_of_one_index_say() -> None:
    """Tails are bounds there; but at its own index a db says exactly at which revision it is."""
    doubts = ("counted without reading",)
    members = [member(at, db(90, revision=90 - at % 2), log(at, 100), doubts=doubts) for at in (1, 2)]
    (found,) = compare([*members, member(3, db(80), log(3, 90), doubts=doubts)], lambda _: Here(), in_full=False)
    assert found.what == "the revision after entry 90"
    assert [(one.member, one.value) for one in found.stands] == [("m1", "89"), ("m2", "90")]


def differing(*values: str) -> Survey:
    """Three sound members that hold what ``values`` say."""
    stands = tuple(Stand(member=f"m{at}", value=value) for at, value in enumerate(values, 1))
    compared = (Comparison(what="the records up to revision 90", stands=stands),)
    return replace(survey(evidence.sound(1), evidence.sound(2), evidence.sound(3)), compared=compared)


def test_a_member_that_differs_is_outvoted() -> None:
    """It is named, and not started."""
    verdict = decide(differing("a", "b", "a"))
    assert verdict.start is not None
    assert verdict.start.members == ("m1", "m3")
    assert any(one.subject == "m2" and "outvoted" in one.text for one in verdict.findings)
    assert verdict.differences


def test_a_tie_is_left_to_the_operator() -> None:
    """Nobody has a majority."""
    verdict = decide(differing("a", "b"))
    assert verdict.kind == "undecided"
    assert "m1 a, m2 b" in verdict.tie
    assert verdict.sources, "the operator has to choose from something"
    assert outvoted(differing("a", "a", "a").compared) == ({}, "")


def test_known_bad_versions_are_named() -> None:
    """By the verdict, too."""
    verdict = decide(replace(survey(evidence.sound(1)), etcd_version="3.5.1"))
    assert any("known to be bad" in one.text for one in verdict.findings)


def test_a_tie_that_a_log_settles() -> None:
    """One of the two was altered, as its log says: the other is what was written."""
    tied = differing("a", "b")
    first = tied.members[0]
    assert isinstance(first.db, DbEvidence)
    altered = Footing(kind="altered", index=90, why="its revision 7 is another write")
    known = replace(first, db=replace(first.db, footing=altered))
    verdict = decide(replace(tied, members=(known, *tied.members[1:])))
    assert (verdict.kind, verdict.tie) == ("start as is", "")
    assert verdict.start is not None
    assert "m1" not in verdict.start.members
