"""The second computation of the loss: it finds what a wrong first one would hide, and nothing where there is nothing."""

import dataclasses

import pytest

from requorum.survey.evidence import Fork, LogEvidence, MergedLog, Piece, Run, Survey, Tail, Unknown
from requorum.verdict.audit import audit_source, audit_start
from requorum.verdict.decide import decide
from requorum.verdict.values import Loss, Source, StartAsIs

from .evidence import db, log, lost, member, sound, survey, voters

NO_LOSS = Loss(at_most=0, exact=True, why=(), unproven="")


def claimed(found: Survey, name: str, loss: Loss = NO_LOSS) -> Source:
    """A source of a survey, as a ranking would have it that called it lossless."""
    source = next(one for one in decide(found).sources if one.id == name)
    return dataclasses.replace(source, loss=loss)


def holed(number: int) -> Survey:
    """A cluster that needs a rebuild; one member's log goes further than the others'."""
    return survey(
        member(1, db(90), log(1, 100, hole=40)),
        member(2, db(90), log(2, 100, hole=50)),
        member(3, db(80), log(3, number, commit=99, hole=60)),
    )


def test_what_is_right_is_not_doubted() -> None:
    """The best source of every kind of evidence that needs a rebuild."""
    for found in (holed(100), holed(120), survey(sound(1), lost(2), lost(3))):
        best = decide(found).sources[0]
        assert audit_source(found, best) == ""


def test_a_log_that_is_all_in_its_snapshot() -> None:
    """A member was sent everything by its leader: its log has no entry, and the highest of all ends there."""
    sent = dataclasses.replace(log(1, 100), runs=(), possible_writes=(), classified_above=100, voter_sets=())
    found = survey(member(1, db(100), sent), member(2, db(100), log(2, 100)), member(3, db(100), log(3, 100)))
    start = StartAsIs(members=("m1", "m2", "m3"), first=("m1", "m2"), left_behind=(), revision=100)
    assert audit_start(found, start) == ""


def test_entries_that_only_another_log_holds() -> None:
    """Twenty more than the source has, called none."""
    found = holed(120)
    assert "lacks 20 entries that m3" in audit_source(found, claimed(found, "m1: db + own log"))


def test_an_entry_whose_guard_did_not_hold() -> None:
    """It may have been a write; a replay without a doubt says that it was none."""
    found = holed(101)
    name = "m1: db + own log"
    assert "lacks 1 entries that m3" in audit_source(found, claimed(found, name))
    tail = Tail(from_index=90, to_index=101, to_term=2, revision=100, writes=(Run(first=91, last=100),), doubts=())
    pieces = (Piece(member="m1", first=91, last=100, why=""), Piece(member="m3", first=101, last=101, why=""))
    merged = MergedLog(follows="m3", base="m1", pieces=pieces, tail=tail)
    known = dataclasses.replace(found, merged=(merged,))
    assert audit_source(known, claimed(known, name)), "m3's own replay says that it was one"
    third = dataclasses.replace(found.members[2], tail=Unknown(unknown="a hole lies between"))
    found = dataclasses.replace(found, members=(*found.members[:2], third))
    known = dataclasses.replace(found, merged=(merged,))
    assert audit_source(known, claimed(known, name)) == ""
    twice = dataclasses.replace(found.members[1], log=log(2, 101, hole=50), tail=third.tail)
    both = dataclasses.replace(known, members=(found.members[0], twice, third))
    assert audit_source(both, claimed(both, name)) == "", (
        "m2 holds the same entry, of which the replay of m3's log tells"
    )
    other = dataclasses.replace(both, forks=(Fork(index=101, term=2, groups=(("m2",), ("m3",))),))
    assert "lacks 1 entries that m2 still" in audit_source(other, claimed(known, name)), "m2's is another entry"
    doubtful = dataclasses.replace(merged, tail=dataclasses.replace(tail, doubts=("a range",)))
    assert audit_source(dataclasses.replace(found, merged=(doubtful,)), claimed(found, name))


def test_a_bound_that_holds_them() -> None:
    """The same, with the loss that it has."""
    found = holed(120)
    loss = Loss(at_most=20, exact=False, why=(), unproven="")
    assert audit_source(found, claimed(found, "m1: db + own log", loss)) == ""


def test_a_db_that_holds_more() -> None:
    """Records are no entries: they count where no log is left to tell of them."""
    found = survey(member(1, db(90), log(1, 100, hole=40)), member(2, db(130), log(2, 20, hole=3, commit=20)), lost(3))
    assert "m2's db holds records up to revision 130" in audit_source(found, claimed(found, "m1: db + own log"))


def test_a_history_that_was_rewritten() -> None:
    """The same indexes and terms with other bytes are not the same entries."""
    found = dataclasses.replace(holed(100), forks=(Fork(index=81, term=2, groups=(("m1", "m2"), ("m3",))),))
    assert "m3 still hold, from entry 81 on" in audit_source(found, claimed(found, "m1: db + own log"))


@pytest.mark.parametrize(("commit", "lacks"), [(94, ""), (97, "m3 still hold, from entry 95 on")])
def test_a_deposed_leader(commit: int, lacks: str) -> None:
    """Its entries of a lower term are replaced by right, unless they were known to be committed."""
    later = [(1, 2), (95, 3)]
    found = survey(
        member(1, db(90), log(1, 96, terms=later, commit=94, hole=40)),
        member(2, db(90), log(2, 96, terms=later, commit=94, hole=50)),
        member(3, db(80), log(3, 100, commit=commit)),
    )
    source = next(one for one in decide(found).sources if one.member == "m1")
    said = audit_source(found, dataclasses.replace(source, loss=NO_LOSS))
    assert (lacks in said) if lacks else not said


def test_a_deposed_leader_below_what_the_base_holds() -> None:
    """A leader that was elected, wrote one entry to nobody, and was deposed: the db that is built on is past that index, in an
    earlier term, and the log goes on in a later one."""
    later = [(1, 1), (4, 3)]
    found = survey(
        member(1, db(90, faults=1), log(1, 100, terms=later, commit=90)),
        member(2, db(91), log(2, 99, terms=later, commit=91, hole=95)),
        member(3, db(2), log(3, 3, terms=[(1, 1), (3, 2)], commit=2)),
    )
    tail = Tail(from_index=91, to_index=100, to_term=3, revision=100, writes=(Run(first=92, last=100),), doubts=())
    pieces = (Piece(member="m1", first=92, last=100, why=""),)
    found = dataclasses.replace(found, merged=(MergedLog(follows="m1", base="m2", pieces=pieces, tail=tail),))
    verdict = decide(found)
    assert verdict.sources[0].id == "merged log on m2's db"
    assert audit_source(found, verdict.sources[0]) == ""
    assert verdict.kind == "rebuild"


def test_a_start_that_would_lose() -> None:
    """Members that lack what a third one, which stays behind, holds in a later term."""
    found = survey(sound(1), sound(2), member(3, db(90), log(3, 110, terms=[(1, 2), (101, 3)], hole=4, commit=99)))
    start = StartAsIs(members=("m1", "m2"), first=("m1", "m2"), left_behind=(), revision=100)
    assert "lacks 10 entries that m3" in audit_start(found, start)
    whole = survey(sound(1), sound(2), sound(3))
    assert audit_start(whole, start) == ""


@pytest.mark.parametrize(
    ("ends", "who"),
    [
        ((100, 100, 100), ""),
        ((100, 100, 103), "m4 still hold"),
        ((100, 103, 103), "m1 and m3 and m4 still hold"),
    ],
)
def test_a_leader_that_was_removed(ends: tuple[int, int, int], who: str) -> None:
    """It goes on for a moment; what it wrote then was acknowledged only where a majority of the others has it."""
    four = (1, 2, 3, 4)
    sets = voters((0, four), (96, (2, 3, 4)))
    removed = member(1, db(98), log(1, 103, sets=sets, commit=99), of=four)
    rest = [
        member(number, db(98), log(number, end, sets=sets, commit=99), of=four)
        for number, end in zip((2, 3, 4), ends, strict=True)
    ]
    found = survey(removed, *rest)
    said = audit_source(found, claimed(found, "m2: db + own log"))
    assert said.partition(" entries that ")[2].startswith(who)
    assert bool(said) == bool(who)
    if not who:
        assert decide(found).kind == "start as is"
    unread = [dataclasses.replace(one, log=Unknown(unknown="it cannot be read")) for one in rest[1:]]
    found = survey(removed, rest[0], *unread)
    said = audit_source(found, claimed(found, "m2: db + own log"))
    assert "lacks 3 entries that m1 still hold" in said, "too few are left that say that they lack it"
    lossy = []
    for one in rest:
        assert isinstance(one.log, LogEvidence)
        lossy.append(dataclasses.replace(one, log=dataclasses.replace(one.log, commit=one.log.last_index + 1)))
    found = survey(removed, *lossy)
    said = audit_source(found, claimed(found, "m2: db + own log"))
    assert "lacks 3 entries that m1" in said, "logs that end before their own commit have lost more than that"
