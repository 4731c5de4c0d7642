"""The verdict's rules, one by one, on evidence made by hand: what the disks say, and what must follow.

In these clusters entry N writes revision N. ``sound(n)`` has its db at entry 90 and its log whole to entry 100.
"""

import dataclasses
import tracemalloc

import pytest

from requorum.survey.around_values import CUT_OFF_LOG, Around, FoundFile
from requorum.survey.evidence import (
    Comparison,
    DbEvidence,
    Footing,
    Fork,
    LogEvidence,
    MemberEvidence,
    MergedLog,
    Piece,
    Run,
    Stand,
    Survey,
    Tail,
    Unknown,
)
from requorum.verdict import alone, values
from requorum.verdict.decide import decide
from requorum.verdict.membership import electorates
from requorum.verdict.values import Loss, Source, Verdict
from requorum.verdict.words import cluster_name, loss_text

from .evidence import (
    CLUSTER,
    GONE,
    THREE,
    alive,
    db,
    log,
    lost,
    member,
    peers,
    snapshot,
    sound,
    survey,
    voters,
)

FOREIGN = 0xBAD


def best(verdict: Verdict) -> Source:
    """The best source of a rebuild."""
    assert verdict.kind == values.REBUILD, verdict.summary
    assert verdict.source is not None
    return verdict.source


def named(verdict: Verdict, name: str) -> Source:
    """A source by its name."""
    return next(one for one in verdict.sources if one.id == name)


def findings(verdict: Verdict, subject: str) -> str:
    """What is said about a member."""
    return "\n".join(one.text for one in verdict.findings if one.subject == subject)


def holed(number: int, *, hole: int = 50, last: int = 100, at: int = 90) -> MemberEvidence:
    """A member whose log is damaged in one entry: etcd will not start on it."""
    return member(number, db(at), log(number, last, hole=hole))


class TestStartAsIs:
    """Rule 2: only what cannot lose anything is started on its own disks."""

    def test_power_cut(self) -> None:
        """Three whole disks: all three start."""
        verdict = decide(survey(sound(1), sound(2), sound(3, 98)))
        assert verdict.kind == values.START_AS_IS
        assert verdict.start is not None
        assert verdict.start.members == ("m1", "m2", "m3")
        assert verdict.start.left_behind == ()

    def test_one_member(self) -> None:
        """A cluster of one whose disk is whole starts, at the revision that its log reaches."""
        verdict = decide(survey(sound(1, of=(1,))))
        assert verdict.kind == values.START_AS_IS
        assert verdict.start is not None
        assert verdict.start.revision == 100

    def test_minority_broken(self) -> None:
        """With one log of three broken the other two start, and the broken one stays behind with the reason."""
        verdict = decide(survey(sound(1), holed(2), sound(3)))
        assert verdict.start is not None
        assert verdict.start.members == ("m1", "m3")
        assert [one.member for one in verdict.start.left_behind] == ["m2"]
        assert "entry 50" in verdict.start.left_behind[0].why

    def test_majority_broken(self) -> None:
        """(a) Two of three that cannot start leave no majority, however whole the third."""
        verdict = decide(survey(sound(1), holed(2), holed(3)))
        assert best(verdict).loss.proven_none
        assert "only 1 of 3 voters could start, 2 are needed" in verdict.proof[0]

    def test_four_members_need_three(self) -> None:
        """(a) Half of the voters is no majority."""
        four = (1, 2, 3, 4)
        verdict = decide(survey(sound(1, of=four), sound(2, of=four), lost(3, of=four), lost(4, of=four)))
        assert verdict.kind == values.REBUILD
        assert "only 2 of 4" in verdict.proof[0]

    def test_learner_does_not_count(self) -> None:
        """(a) A learner's whole disk makes no majority."""
        sets = voters((0, (1, 2)), learners=(3,))
        those = [
            member(1, db(90), log(1, 100, sets=sets)),
            member(2, GONE, GONE),
            member(3, db(90), log(3, 100, sets=sets)),
        ]
        verdict = decide(survey(*those))
        assert verdict.kind == values.REBUILD
        assert "only 1 of 2" in verdict.proof[0]
        assert "its vote does not count" in findings(verdict, "m3")

    def test_voter_set_changes_in_the_tail(self) -> None:
        """(a) A change above the lowest known commit may or may not be in force: a majority of both sets is wanted."""
        sets = voters((0, (1, 2, 3)), (95, (1, 2, 3, 4, 5)))
        those = [member(n, db(90), log(n, 100, commit=94, sets=sets)) for n in (1, 2)]
        verdict = decide(survey(*those, lost(3)))
        assert verdict.kind == values.REBUILD
        assert "only 2 of 5" in verdict.proof[0]

    def test_voter_set_that_is_behind_all_commits(self) -> None:
        """(a) A set that was replaced below the lowest known commit is not asked for."""
        sets = voters((0, (1, 2, 3, 4, 5)), (50, (1, 2, 3)))
        those = [member(n, db(90), log(n, 100, commit=94, sets=sets)) for n in (1, 2)]
        verdict = decide(survey(*those, lost(3)))
        assert verdict.start is not None
        assert verdict.start.members == ("m1", "m2")

    def test_cut_follower_and_slow_member(self) -> None:
        """(b) The measured trap: the leader's disk, which cannot start, shows entries that the two whole ones lack."""
        leader = member(1, db(90), log(1, 130, hole=40))
        verdict = decide(survey(leader, sound(2, 100), sound(3, 100)))
        assert verdict.kind == values.REBUILD
        assert "m1 holds the highest log" in verdict.proof[0]
        assert best(verdict).id == "m1: db + own log"
        assert best(verdict).loss.at_most == 0

    def test_cut_follower_and_slow_member_beside_a_whole_leader(self) -> None:
        """(b) The two others could elect each other: the leader starts first, with one of them, and is elected."""
        leader = member(1, db(90), log(1, 130, commit=100))
        verdict = decide(survey(leader, sound(2, 100), sound(3, 100)))
        assert verdict.start is not None
        assert "m1" in verdict.start.first
        assert len(verdict.start.first) == 2
        assert verdict.start.revision == 130

    def test_cut_follower_and_slow_member_without_the_leader(self) -> None:
        """(b) With the leader's disk gone nothing tells; two whole logs are a majority, each believed to be whole."""
        verdict = decide(survey(lost(1), sound(2, 100), sound(3, 100)))
        assert verdict.start is not None
        assert verdict.start.members == ("m2", "m3")

    @pytest.mark.parametrize("where", ["term", "learner"])
    def test_a_higher_log_that_cannot_start(self, where: str) -> None:
        """(b) Higher is the later term before the longer log; a learner's log counts as well."""
        if where == "term":
            third = member(3, db(90), log(3, 96, terms=[(1, 2), (95, 3)], hole=40))
            sets, commit = voters((0, (1, 2, 3))), 94
        else:
            sets = voters((0, (1, 2)), learners=(3,))
            third, commit = member(3, GONE, log(3, 104, commit=99, sets=sets)), 99
        those = [member(n, db(90), log(n, 100, commit=commit, sets=sets)) for n in (1, 2)]
        verdict = decide(survey(*those, third))
        assert verdict.kind == values.REBUILD
        assert "m3 holds the highest log" in verdict.proof[0]

    @pytest.mark.parametrize("what", ["commit", "consistent index"])
    def test_committed_beyond_every_log(self, what: str) -> None:
        """(b) A commit or a consistent index that no startable log reaches forbids the start."""
        ahead = dataclasses.replace(db(120), footing=Footing(kind="beyond", index=100, extra=20))
        third = member(3, db(90), log(3, 98, hole=40, commit=120)) if what == "commit" else member(3, ahead, GONE)
        verdict = decide(survey(sound(1), sound(2), third))
        assert verdict.kind == values.REBUILD
        assert "entry 120 was committed" in verdict.proof[0]

    @pytest.mark.parametrize("broken", [db(90, faults=1), db(90, gaps=(Run(first=7, last=8),))])
    def test_db_must_be_whole(self, broken: DbEvidence) -> None:
        """(c) A member whose db is damaged, or lacks revisions, stays behind."""
        verdict = decide(survey(sound(1), sound(2), member(3, broken, log(3, 100))))
        assert verdict.start is not None
        assert [one.member for one in verdict.start.left_behind] == ["m3"]

    def test_would_swallow_writes(self) -> None:
        """A log that ends below its db would swallow writes: it is never started, and that is called a danger."""
        refusal = "it would swallow writes: the log ends at index 80, the db is at 90 already"
        bad = member(3, db(90), log(3, 80, refusals=(refusal,)))
        verdict = decide(survey(sound(1), sound(2), bad))
        assert verdict.start is not None
        assert "m3" not in verdict.start.members
        assert any(one.level == "danger" and "swallow" in one.text for one in verdict.findings if one.subject == "m3")

    def test_db_that_lags_its_own_index(self) -> None:
        """etcd 3.5.0-3.5.2 save index and data apart: a db that lacks what it counts as applied is not started."""
        drifted = [member(n, db(90, applied=85), log(n, 100)) for n in (1, 2, 3)]
        verdict = decide(survey(*drifted))
        assert best(verdict).kind == values.OWN_LOG
        assert (best(verdict).from_index, best(verdict).to_index, best(verdict).revision) == (85, 100, 100)
        assert "etcd#13766" in verdict.proof[0]
        assert best(verdict).loss.proven_none

    def test_no_log_at_all(self) -> None:
        """Without a log nothing starts; the dbs are what is left, and nobody can say what came after them."""
        verdict = decide(survey(*(member(n, db(90 + n), GONE) for n in (1, 2, 3))))
        assert best(verdict).id == "m3: bare db"
        assert "0 of 3 voters' logs" in best(verdict).loss.unproven

    def test_the_same_disk_twice_is_one_vote(self) -> None:
        """A copy of a member's disk beside the disk itself makes no majority."""
        copy = dataclasses.replace(sound(1), name="copy of m1")
        verdict = decide(survey(sound(1), copy))
        assert verdict.kind == values.REBUILD
        assert best(verdict).loss.unproven

    def test_least_revision(self) -> None:
        """The promised revision is that of the only possible leader: who holds the highest log starts first."""
        later = member(2, db(80), log(2, 91, terms=[(1, 2), (91, 3)]))
        verdict = decide(survey(member(1, db(80), log(1, 100, commit=80)), later, sound(3, 90, at=80)))
        assert verdict.start is not None
        assert verdict.start.revision == 91  # m2 is elected: its term is later, its log shorter
        lags = [member(n, db(80), log(n, last, commit=95)) for n, last in ((1, 100), (2, 97), (3, 95))]
        verdict = decide(survey(*lags))
        assert verdict.start is not None
        assert verdict.start.revision == 100
        assert set(verdict.start.first) == {"m1", "m2"}


class TestMembership:
    """Rule 4: whose disks count, and who is missing."""

    def test_foreign_cluster(self) -> None:
        """A disk of another cluster does not count, and is called a danger."""
        foreign = member(3, db(900, of=peers(7, 8, 9)), log(3, 900, cluster=FOREIGN, sets=voters((0, (3, 4, 5)))))
        verdict = decide(survey(sound(1), sound(2), foreign))
        assert verdict.cluster_id == CLUSTER
        assert verdict.start is not None
        assert verdict.start.members == ("m1", "m2")
        assert "another cluster (id bad" in findings(verdict, "m3")
        assert not any(one.member == "m3" for one in verdict.sources)

    def test_another_cluster_of_the_same_members_that_holds_more(self) -> None:
        """The cluster was restored from an old backup, but for one disk: which of them is meant, only the operator knows."""
        before = member(3, db(900), log(3, 900, cluster=FOREIGN))
        verdict = decide(survey(sound(1), sound(2), before))
        assert (verdict.kind, verdict.rule) == (values.UNDECIDED, "A")
        assert "m3's, of bad, holds revision 900, more than any" in verdict.summary
        assert {one.member for one in verdict.sources} == {"m1", "m2", "m3"}
        assert not any(one.loss.known for one in verdict.sources)

    def test_only_a_removed_member_holds_data(self) -> None:
        """The others were lost, or made anew: what is left is offered, and nothing of it is chosen."""
        gone = member(1, db(90), log(1, 96, commit=96, sets=voters((0, (1, 2, 3)), (96, (2, 3)))))
        verdict = decide(survey(gone))
        assert (verdict.kind, verdict.rule) == (values.UNDECIDED, "A")
        assert [one.id for one in verdict.sources] == ["m1: bare db"]
        assert not verdict.sources[0].loss.known

    def test_only_a_removed_member_s_db_is_whole(self) -> None:
        """It is what the cluster's log wrote, record by record: the others' logs tell what it lacks."""
        sets = voters((0, (1, 2, 3)), (96, (2, 3)))
        those = [member(n, db(90, of=peers(2, 3), faults=1), log(n, 100, commit=98, sets=sets)) for n in (2, 3)]
        gone = member(1, db(95), log(1, 96, commit=95))
        assert decide(survey(gone, *those)).rule == "A"
        assert isinstance(gone.db, DbEvidence)
        gone = dataclasses.replace(gone, db=dataclasses.replace(gone.db, of_its_log=True))
        verdict = decide(survey(gone, *those))
        assert verdict.kind == values.REBUILD
        assert [(one.id, one.loss.at_most) for one in verdict.sources] == [("m1: db + own log", 4), ("m1: bare db", 5)]
        assert verdict.sources[0].bump > 0

    def test_a_removed_member_is_not_started(self) -> None:
        """Its removal is committed, and its disk still there: the others are the cluster."""
        sets = voters((0, (1, 2, 3)), (96, (2, 3)))
        those = [member(n, db(90, of=peers(2, 3)), log(n, 100, commit=98, sets=sets)) for n in (2, 3)]
        gone = member(1, db(90), log(1, 96, commit=95))
        verdict = decide(survey(gone, *those))
        assert not verdict.unsurveyed, "its disk was read"
        assert verdict.start is not None
        assert verdict.start.members == ("m2", "m3")
        assert "was removed" in findings(verdict, "m1")

    def test_a_removed_member_s_log_is_as_high_as_the_cluster_s(self) -> None:
        """The history that it ends with others is the cluster's all the same, beside that of a member which was forced."""
        sets = voters((0, (1, 2, 3, 4)), (96, (2, 3, 4)))
        gone = member(1, db(90, of=peers(2, 3, 4)), log(1, 100, commit=96, sets=sets))
        those = [member(n, db(90, of=peers(2, 3, 4)), log(n, 100, commit=96, sets=sets)) for n in (2, 4)]
        alone = log(3, 100, terms=[(1, 2), (99, 3)], commit=99, sets=(*sets, *voters((97, (3, 4)), (98, (3,)))))
        alone = dataclasses.replace(alone, possible_writes=(Run(first=1, last=96),))
        forced = member(3, db(90, of=peers(3)), alone)
        fork = Fork(index=97, term=2, groups=(("m1", "m2", "m4"), ("m3",)))
        verdict = decide(dataclasses.replace(survey(gone, those[0], forced, those[1]), forks=(fork,)))
        assert verdict.start is not None, verdict.summary
        assert verdict.start.members == ("m2", "m4")
        assert "was removed" in findings(verdict, "m1")
        assert "tells another history" in findings(verdict, "m3")

    @pytest.mark.parametrize("whole", [True, False])
    def test_a_member_that_was_removed_as_another_was_forced(self, whole: bool) -> None:
        """The last ones who voted before the histories part are four: the removed one is read as well, if its log tells of its
        removal."""
        sets = voters((0, (1, 2, 3, 4)), (96, (2, 3, 4)))
        mine = sets if whole else sets[:1]
        gone = member(1, db(90, of=peers(2, 3, 4)), log(1, 100 if whole else 95, commit=95 + whole, sets=mine))
        those = [member(n, db(90, of=peers(2, 3, 4)), log(n, 100, commit=97, sets=sets)) for n in (2, 4)]
        alone = voters((0, (1, 2, 3, 4)), (96, (2, 3, 4)), (97, (3, 4)), (98, (3,)))
        theirs = log(3, 100, terms=[(1, 2), (99, 3)], commit=99, sets=alone)
        theirs = dataclasses.replace(theirs, possible_writes=(Run(first=1, last=95),))
        forced = member(3, db(90, of=peers(3)), theirs)
        names = ("m1", "m2", "m4") if whole else ("m2", "m4")
        fork = Fork(index=96, term=2, groups=(names, ("m3",)))
        verdict = decide(dataclasses.replace(survey(gone, those[0], forced, those[1]), forks=(fork,)))
        assert (verdict.start is not None) == whole, verdict.summary
        assert verdict.basis is not None
        assert bool(verdict.basis.unproven) != whole

    def test_two_clusters_of_equal_size(self) -> None:
        """Where no cluster has more disks than another, nothing is decided."""
        sets = voters((0, (3, 4)))
        foreign = [member(n, db(90), log(n, 100, cluster=FOREIGN, sets=sets)) for n in (3, 4)]
        verdict = decide(survey(sound(1), sound(2), *foreign))
        assert verdict.kind == values.UNDECIDED
        assert "different clusters" in verdict.summary

    def test_impostor(self) -> None:
        """A member that started empty, as a cluster of its own, does not count, not even against a single real one."""
        impostors = [
            member(n, db(30), log(70 + n, 40, cluster=FOREIGN + n, sets=voters((0, (70 + n,))))) for n in (2, 3)
        ]
        verdict = decide(survey(sound(1), *impostors))
        assert verdict.cluster_id == CLUSTER
        assert best(verdict).member == "m1"
        assert "impostor" in findings(verdict, "m2")

    def test_an_impostor_that_was_written_to(self) -> None:
        """Where nothing proves that the cluster's writes are all there, nobody says that no disk shows more."""
        impostor = member(3, db(30), log(73, 40, cluster=FOREIGN, sets=voters((0, (73,))), near=38))
        verdict = decide(survey(sound(1), impostor, lost(2)))
        assert best(verdict).member == "m1"
        assert (best(verdict).loss.at_most, bool(best(verdict).loss.unproven)) == (3, True)
        assert "m3 is another cluster's, and holds what was written to it" in " ".join(best(verdict).loss.why)
        proven = decide(survey(sound(1), sound(2), impostor))
        assert proven.start is not None
        assert proven.sources[0].loss.proven_none

    def test_only_an_impostor_is_left(self) -> None:
        """When the only log left is of a cluster of one, although three are expected, nothing is decided."""
        impostor = member(1, db(9), log(71, 9, cluster=FOREIGN, sets=voters((0, (71,)))))
        verdict = decide(survey(impostor, lost(2), lost(3)))
        assert verdict.kind == values.UNDECIDED
        assert "cluster of one" in verdict.summary

    def test_removed_member(self) -> None:
        """The disk of a member that was removed does not count, however long its log."""
        sets = voters((0, (1, 2, 3)), (50, (1, 2)))
        those = [member(n, db(90), log(n, 100, sets=sets)) for n in (1, 2)]
        old = member(3, db(49), log(3, 49, commit=49, hole=20))
        verdict = decide(survey(*those, old))
        assert verdict.start is not None
        lowest = [member(n, db(90), log(n, 100, commit=60, sets=sets)) for n in (1, 2)]
        gone = member(3, db(55), log(3, 55, commit=55, sets=sets))
        verdict = decide(survey(*lowest, gone))
        assert "was removed" in findings(verdict, "m3")
        assert not any(one.member == "m3" for one in verdict.sources)

    def test_unsurveyed_voter(self) -> None:
        """A voter that no surveyed host accounts for is named as the db knows it."""
        verdict = decide(survey(sound(1), sound(2)))
        assert verdict.unsurveyed == ("m3",)

    def test_lost_disk_is_surveyed(self) -> None:
        """A host whose disk is gone is accounted for by its peer URL."""
        assert decide(survey(sound(1), sound(2), lost(3))).unsurveyed == ()

    def test_unsurveyed_voter_of_an_earlier_set(self) -> None:
        """A voter whose removal may never have been committed may still vote: it is missing too."""
        sets = voters((0, (1, 2, 3)), (95, (1, 2)))
        those = [member(n, db(90), log(n, 100, commit=94, sets=sets), of=(1, 2)) for n in (1, 2)]
        assert decide(survey(*those)).unsurveyed == ("m3",)

    def test_member_id_from_the_db(self) -> None:
        """A member without a log is known by its peer URL in its db."""
        verdict = decide(survey(sound(1), holed(2), member(3, db(95), GONE)))
        assert verdict.unsurveyed == ()
        assert electorates(survey(member(3, db(95), GONE)))[0].voters == (1, 2, 3)


class TestAlive:
    """Rule 1: what lives is never restored over."""

    def test_all_alive(self) -> None:
        """All serve and have a leader: healthy."""
        those = [dataclasses.replace(sound(n), live=alive(n)) for n in (1, 2, 3)]
        assert decide(survey(*those)).kind == values.HEALTHY

    def test_quorum_alive(self) -> None:
        """A live majority: the third is replaced, never restored."""
        those = [dataclasses.replace(sound(n), live=alive(n)) for n in (1, 2)]
        verdict = decide(survey(*those, holed(3)))
        assert verdict.kind == values.REPLACE_MEMBERS
        assert "m3" in verdict.summary

    def test_alive_without_a_leader(self) -> None:
        """Members that answer but have no leader are no quorum."""
        those = [dataclasses.replace(sound(n), live=alive(n, leader=0)) for n in (1, 2, 3)]
        assert decide(survey(*those)).kind == values.START_AS_IS

    def test_one_of_three_alive(self) -> None:
        """One that believes in a leader is no majority of three, and is not stopped by itself all the same."""
        verdict = decide(survey(dataclasses.replace(sound(1), live=alive(1)), holed(2), holed(3)))
        assert verdict.kind == values.UNDECIDED
        assert verdict.rule == "F"

    def test_live_impostor(self) -> None:
        """A live cluster of one on the host of one of three members is not the living quorum of the three."""
        impostor = member(
            1, db(9), log(71, 9, cluster=FOREIGN, sets=voters((0, (71,)))), live=alive(71, leader=71, cluster=FOREIGN)
        )
        assert decide(survey(impostor, lost(2), lost(3))).kind == values.UNDECIDED

    def test_live_impostors(self) -> None:
        """Two live clusters of one are no majority of the third's cluster."""
        impostors = [
            member(
                n,
                db(9),
                log(70 + n, 9, cluster=FOREIGN + n, sets=voters((0, (70 + n,)))),
                live=alive(70 + n, leader=70 + n, cluster=FOREIGN + n),
            )
            for n in (2, 3)
        ]
        assert decide(survey(sound(1), *impostors)).kind == values.REBUILD


class TestLoss:
    """How many writes a choice loses: exact where proven, a bound with its reason, unproven or unknown otherwise."""

    def test_own_log_loses_nothing(self) -> None:
        """A majority of logs read to their end: the highest, replayed, loses nothing, and that is proven."""
        loss = best(decide(survey(holed(1), holed(2), lost(3)))).loss
        assert loss.proven_none
        assert loss.exact
        assert loss_text(loss) == "no write lost"

    def test_bare_db_loses_its_tail(self) -> None:
        """A db alone loses exactly the writes between it and the highest log."""
        loss = named(decide(survey(holed(1), holed(2), lost(3))), "m1: bare db").loss
        assert (loss.at_most, loss.exact, loss.unproven) == (10, True, "")
        assert loss_text(loss) == "10 writes lost"

    def test_behind_a_hole(self) -> None:
        """What lies behind an unreadable entry is a bound, and the reasons are given."""
        verdict = decide(survey(*(holed(n, hole=95) for n in (1, 2, 3))))
        loss = best(verdict).loss
        assert best(verdict).revision == 94
        assert (loss.at_most, loss.exact, loss.unproven) == (6, False, "")
        assert len(loss.why) == 2
        assert "1 entries cannot be read" in loss.why[0]
        assert loss_text(loss) == "at most 6 writes lost"

    def test_the_last_entry_is_damaged(self) -> None:
        """An unreadable entry is counted where it is the last one, too: its commit says that it was acknowledged."""
        its_log = log(1, 99, commit=100, sets=voters((0, (1,))), refusals=("entry 100 is damaged",))
        its_log = dataclasses.replace(its_log, unreadable=(Run(first=100, last=100),))
        loss = best(decide(survey(member(1, db(90, of=peers(1)), its_log, of=(1,))))).loss
        assert loss.at_most == 1
        assert not loss.proven_none

    @pytest.mark.parametrize(("last", "at", "commit"), [(80, 90, 80), (95, 90, 97)])
    def test_a_log_that_ends_before_what_it_knew_proves_nothing(self, last: int, at: int, commit: int) -> None:
        """A log that ends cleanly below its own db, or its own commit, has lost its tail: the loss is unproven."""
        its_log = log(1, last, commit=commit, sets=voters((0, (1,))), refusals=("it would swallow writes",))
        verdict = decide(survey(member(1, db(at, of=peers(1)), its_log, of=(1,))))
        loss = best(verdict).loss
        assert not loss.proven_none
        assert "0 of 1 voters' logs were read to their end" in loss.unproven
        assert verdict.basis is not None
        assert not verdict.basis.witnesses[0].to_end

    def test_committed_beyond_what_is_read(self) -> None:
        """What a commit index shows to have been acknowledged, and no log holds, is counted."""
        those = [member(n, db(90), log(n, 98, commit=100, hole=50)) for n in (1, 2)]
        loss = best(decide(survey(*those, lost(3)))).loss
        assert loss.at_most == 2
        assert not loss.proven_none

    def test_hole_filled_by_another_log(self) -> None:
        """Another member's whole log goes as far: rebuilt from that one, nothing is lost."""
        verdict = decide(survey(holed(1, hole=95), member(2, db(90), log(2, 100, hole=50)), lost(3)))
        assert best(verdict).id == "m2: db + own log"
        assert best(verdict).loss.proven_none

    def test_doubtful_replay(self) -> None:
        """A replay that could not be followed exactly gives a bound."""
        doubts = ("users and roles are in force",)
        verdict = decide(survey(*(member(n, db(90), log(n, 100, hole=50), doubts=doubts) for n in (1, 2, 3))))
        assert not best(verdict).revision_exact
        assert not best(verdict).loss.exact
        assert best(verdict).loss.why

    def test_minority_read(self) -> None:
        """With one log of three read, what only the others held cannot be known."""
        loss = best(decide(survey(sound(1), lost(2), lost(3)))).loss
        assert loss.at_most == 0
        assert not loss.proven_none
        assert "1 of 3" in loss.unproven
        assert "(unproven)" in loss_text(loss)

    @pytest.mark.parametrize(("end", "proven"), [("clean", True), ("torn", True), ("cut", False), ("broken", False)])
    def test_a_log_with_a_bad_end_is_not_read(self, end: str, proven: bool) -> None:
        """Only a clean end, or one torn last record, counts as read to the end."""
        verdict = decide(survey(*(member(n, db(90), log(n, 100, hole=50, end=end)) for n in (1, 2)), lost(3)))
        assert bool(best(verdict).loss.unproven) is not proven

    def test_learners_log_proves_nothing(self) -> None:
        """A learner's log is no voter's: it does not help the proof."""
        sets = voters((0, (1, 2)), learners=(3,))
        those = [member(1, db(90), log(1, 100, sets=sets)), member(3, db(90), log(3, 100, sets=sets))]
        assert "1 of 2" in best(decide(survey(*those, lost(2)))).loss.unproven

    def test_only_a_snapshot(self) -> None:
        """With no disk left, nobody can say what is lost."""
        verdict = decide(survey(lost(1), lost(2), lost(3), snapshots=[snapshot(60)]))
        assert best(verdict).kind == values.SNAPSHOT
        assert not best(verdict).loss.known
        assert "cannot be known" in loss_text(best(verdict).loss)

    def test_snapshot_beside_disks(self) -> None:
        """A snapshot loses what the disks show after it, and is ranked behind them."""
        verdict = decide(survey(holed(1), holed(2), lost(3), snapshots=[snapshot(60)]))
        assert best(verdict).kind == values.OWN_LOG
        assert named(verdict, "snapshot /backup.db").loss.at_most == 40

    def test_snapshot_of_others(self) -> None:
        """A snapshot whose members are other peers is refused."""
        verdict = decide(survey(lost(1), lost(2), lost(3), snapshots=[snapshot(60, of=peers(7, 8, 9))]))
        assert verdict.kind == values.NOTHING
        assert "refused: it was taken from other members" in findings(verdict, "/backup.db")

    def test_nothing(self) -> None:
        """No disk and no snapshot: nothing to rebuild from."""
        assert decide(survey(lost(1), lost(2), lost(3))).kind == values.NOTHING
        assert decide(survey()).kind == values.NOTHING

    def test_diverged_log_does_not_win(self) -> None:
        """An old leader's longer log of an earlier term lacks what the later term wrote: it is no lossless source."""
        old_leader = member(1, db(90), log(1, 105, hole=50, commit=90))
        later = [(1, 2), (96, 3)]
        new_leader = member(2, db(90, faults=1), log(2, 100, terms=later, hole=50))
        verdict = decide(survey(old_leader, new_leader, lost(3)))
        loss = named(verdict, "m1: db + own log").loss
        assert loss.at_most >= 5
        assert not loss.proven_none

    def test_diverged_log_costs_nothing(self) -> None:
        """What an old leader wrote alone, and a later term overwrote, was never acknowledged: it is no loss."""
        old_leader = member(1, db(90), log(1, 105, hole=50, commit=90))
        new_leader = member(2, db(90), log(2, 100, terms=[(1, 2), (96, 3)], hole=50))
        verdict = decide(survey(old_leader, new_leader, lost(3)))
        assert best(verdict).id == "m2: db + own log"
        assert best(verdict).loss.proven_none
        assert best(verdict).loss.exact

    def test_db_that_lags_its_index_with_a_broken_log(self) -> None:
        """What a db counts as applied but lacks is lost when the log cannot give it back: it is counted."""
        drifted = [member(n, db(90, applied=85), log(n, 90, hole=86)) for n in (1, 2, 3)]
        loss = best(decide(survey(*drifted))).loss
        assert loss.at_most == 5
        assert not loss.proven_none

    def test_large_indexes(self) -> None:
        """Counting takes no memory for each entry: clusters are at hundreds of millions of them."""
        those = [member(n, db(10, faults=1), log(n, 300_000, hole=50)) for n in (1, 2, 3)]
        tracemalloc.start()
        try:
            verdict = decide(survey(*those, snapshots=[snapshot(60)]))
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert best(verdict).kind == values.SNAPSHOT
        assert peak < 4 << 20


class TestBump:
    """Rule 5: no revision is ever given out twice."""

    def test_none_for_a_proven_zero_loss(self) -> None:
        """The revision line goes on: no bump."""
        assert best(decide(survey(holed(1), holed(2), holed(3)))).bump == 0

    def test_least(self) -> None:
        """A cut line is raised by a million at least."""
        assert best(decide(survey(*(holed(n, hole=95) for n in (1, 2, 3))))).bump == 1_000_000

    def test_by_the_highest_index(self) -> None:
        """... and by 1.2 times the entries between the source and the highest index of any disk, where that is more."""
        those = [holed(n, hole=95, last=3_000_090) for n in (1, 2, 3)]
        assert best(decide(survey(*those))).bump == 3_600_000

    @pytest.mark.parametrize("third", [lost(3), member(3, db(90), GONE)])
    def test_blind_when_a_voter_could_not_be_read(self, third: MemberEvidence) -> None:
        """A voter whose log is not there may have given out more than anybody knows: by a billion."""
        assert best(decide(survey(holed(1, hole=95), holed(2, hole=95), third))).bump == 1_000_000_000

    def test_blind_when_only_a_backup_is_left(self) -> None:
        """With no disk left: by a billion."""
        verdict = decide(survey(lost(1), lost(2), lost(3), snapshots=[snapshot(60)]))
        assert best(verdict).bump == 1_000_000_000

    def test_unproven_zero_is_raised(self) -> None:
        """Zero loss that is not proven is raised all the same."""
        assert best(decide(survey(sound(1), lost(2), lost(3)))).bump == 1_000_000_000


class TestRefusal:
    """What requorum leaves alone, whatever the disks allow."""

    def test_users_in_force(self) -> None:
        """With users and roles in force nothing could be proven afterwards."""
        those = [member(n, db(90, auth=True), log(n, 100)) for n in (1, 2, 3)]
        assert "users and roles" in decide(survey(*those)).refusal

    def test_another_minor_version(self) -> None:
        """Data of another minor version than the etcd at hand is refused, unless a start as is makes etcd's own upgrade."""
        newer = [member(n, db(90, version="3.6.0"), log(n, 100)) for n in (1, 2, 3)]
        assert "m1 (3.6.0)" in decide(survey(*newer)).refusal
        those = [member(n, db(90, version="3.4.0"), log(n, 100)) for n in (1, 2, 3)]
        assert decide(survey(*those)).refusal == ""
        assert "m1 (3.4.0)" in decide(survey(*those)).rebuild_refusal
        assert decide(dataclasses.replace(survey(*those), etcd_version="")).refusal == ""

    def test_a_version_that_was_not_agreed_on_yet(self) -> None:
        """3.0.0 is what etcd writes in the first seconds of a cluster, and no version that wrote the data."""
        young = dataclasses.replace(db(90), cluster_version="3.0.0")
        assert decide(survey(*(member(n, young, log(n, 100)) for n in (1, 2, 3)))).refusal == ""


class TestName:
    """The name that is typed to confirm."""

    @pytest.mark.parametrize(
        ("name", "number", "full"),
        [
            ("demo", CLUSTER, "demo-c0ffee00"),
            ("", CLUSTER, "c0ffee00"),
            ("demo", 0, "demo-00000000"),
            ("a", 1, "a-00000000"),
        ],
    )
    def test_name(self, name: str, number: int, full: str) -> None:
        """The inventory's name and the first eight digits of the cluster id, leading zeroes included."""
        assert cluster_name(name, number) == full


def test_probable_unless_verified() -> None:
    """A verdict on a quick survey is only probable."""
    quick = dataclasses.replace(survey(sound(1), sound(2), sound(3)), verified=False)
    assert decide(quick).probable
    assert not decide(survey(sound(1), sound(2), sound(3))).probable


def test_order_of_members_does_not_matter() -> None:
    """The same disks in another order give the same kind, source, loss and bump."""

    def answer(those: Survey) -> tuple[str, str, Loss, int]:
        verdict = decide(those)
        return verdict.kind, best(verdict).id, best(verdict).loss, best(verdict).bump

    those = (holed(1, hole=95), member(2, db(92), log(2, 98, hole=50)), lost(3))
    assert answer(survey(*those)) == answer(survey(*reversed(those)))


def test_builders_are_plausible() -> None:
    """The evidence in these tests is what a survey would report: runs, tails and ends fit each other."""
    one = holed(1, hole=95)
    assert isinstance(one.log, LogEvidence)
    assert [(run.first, run.last) for run in one.log.runs] == [(1, 94), (96, 100)]
    assert isinstance(one.tail, Tail)
    assert (one.tail.from_index, one.tail.to_index, one.tail.revision) == (90, 94, 94)
    assert isinstance(lost(1).tail, Unknown)


class TestAnotherLife:
    """A snapshot of these members that the disks' history does not hold: the cluster was made anew."""

    @staticmethod
    def evidence(*, found: bool) -> Survey:
        """Three young disks, and an old snapshot that is far ahead of them, with other records."""
        saved = dataclasses.replace(snapshot(350, peers(1, 2, 3)), found=found)
        differ = Comparison(
            what="the records up to revision 90",
            stands=(Stand(member="m1", value="1f"), Stand(member=saved.name, value="2a")),
        )
        return dataclasses.replace(survey(sound(1), sound(2), sound(3), snapshots=[saved]), compared=(differ,))

    def test_one_that_was_given_is_asked_about(self) -> None:
        """Whoever names it means something by it: nobody starts the young cluster by himself."""
        verdict = decide(self.evidence(found=False))
        assert (verdict.rule, verdict.kind) == ("H", values.UNDECIDED)
        assert "another life" in verdict.summary
        assert named(verdict, "snapshot /backup.db").last_resort

    def test_one_that_lies_about_moves_nothing(self) -> None:
        """A leftover of a cluster that was made anew years ago stops no start; it is told as a danger."""
        verdict = decide(self.evidence(found=True))
        assert verdict.kind == values.START_AS_IS
        assert any("another life" in one.text for one in verdict.findings if one.level == "danger")


class TestNotSeen:
    """What nobody could look at is neither empty nor stopped."""

    @pytest.mark.parametrize("how", ["unreachable", "permission"])
    def test_nobody_is_told_to_replace_it(self, how: str) -> None:
        """Two of three serve; the third could not be looked at: that is all there is to say."""
        serving = [dataclasses.replace(sound(n), live=alive(n)) for n in (1, 2)]
        third = lost(3)
        if how == "unreachable":
            third = dataclasses.replace(third, reachable=False)
        else:
            denied = Unknown(unknown="/var/lib/m3/member/snap/db: Permission denied")
            third = dataclasses.replace(third, db=denied, log=denied)
        verdict = decide(survey(*serving, third))
        assert verdict.kind == values.REPLACE_MEMBERS
        assert "replace m3" not in verdict.summary
        assert "m3 could not be looked at" in verdict.summary


def test_a_leader_between_two_terms_is_deposed_by_right() -> None:
    """m2 led term 2 and got nothing to anybody; m1, which had not heard of that, leads term 3 on a log of term 1."""
    first = member(1, db(90), log(1, 97, terms=[(1, 1), (97, 3)], commit=91))
    second = member(2, db(90, term=1), log(2, 96, terms=[(1, 1), (92, 2)], commit=91))
    third = member(3, db(90, term=1), log(3, 91, terms=[(1, 1)], commit=91))
    first = dataclasses.replace(first, db=db(90, term=1))
    verdict = decide(survey(first, second, third))
    assert (verdict.rule, verdict.kind) == ("I", values.START_AS_IS), verdict.summary


def restored(one: MemberEvidence, at: int) -> MemberEvidence:
    """With a log that a restore began at an entry; 0: with nothing."""
    assert isinstance(one.log, LogEvidence)
    return dataclasses.replace(one, log=dataclasses.replace(one.log, restored_at=at))


def test_a_disk_that_was_restored_beside_the_others_does_not_start() -> None:
    """With the cluster's own token the ids are the same: etcd would replay the others' log onto the snapshot."""
    others = [restored(sound(n), 0) for n in (2, 3)]
    one = restored(member(1, db(3, revision=95), log(1, 3, commit=3)), 3)
    verdict = decide(survey(one, *others))
    assert verdict.start is not None
    assert verdict.start.members == ("m2", "m3")
    assert "restored from a snapshot at entry 3" in findings(verdict, "m1")
    alone = decide(survey(one, others[0], lost(3)))
    assert alone.basis is not None
    assert alone.basis.read == 1  # it is no witness of what was acknowledged before
    assert not alone.sources[0].loss.known
    assert decide(survey(*(restored(sound(n), 3) for n in (1, 2, 3)))).kind == values.START_AS_IS


def test_a_forced_cluster_of_one_beside_the_disks_of_three() -> None:
    """It serves, and is its own quorum; whoever replaces the others with it gives up what they have."""
    one = peers(1)
    forced = member(1, db(104, of=one), log(1, 104, sets=voters((101, (1,)))))
    forced = dataclasses.replace(forced, live=dataclasses.replace(alive(1), raft_index=104, revision=104, members=one))
    fork = Fork(index=100, term=2, groups=(("m1",), ("m2",)))
    verdict = decide(dataclasses.replace(survey(forced, sound(2), lost(3)), forks=(fork,)))
    assert (verdict.rule, verdict.kind) == ("B", values.UNDECIDED), verdict.summary
    assert "as a cluster of 1" in verdict.summary
    assert "replace" not in verdict.summary


def test_a_history_that_goes_furthest_and_has_no_db_left() -> None:
    """m1 was forced to be alone, and sent its learner m4 what it wrote then, behind what that had already: m4's is a history
    of its own, and its db is damaged. Others have theirs: that is not nothing."""
    later = [(1, 2), (98, 4)]
    first = member(1, db(97, revision=95), log(1, 100, terms=later, sets=voters((0, THREE), (96, (1, 3)), (97, (1,)))))
    third = member(3, db(90, revision=90), log(3, 96, commit=95))
    fourth = member(4, lost(4).db, log(4, 100, terms=later, sets=voters((0, THREE), (97, (1, 2)), learners=(4,))))
    fork = Fork(index=96, term=2, groups=(("m1",), ("m3", "m4")))
    for members in ((first, lost(2), third, fourth), (fourth, first, third)):
        verdict = decide(dataclasses.replace(survey(*members), forks=(fork,)))
        assert verdict.kind == values.UNDECIDED, (verdict.rule, verdict.summary)
        assert {one.member for one in verdict.sources} == {"m1", "m3"}, verdict.summary


def test_a_forced_history_that_goes_furthest_beside_the_two_others() -> None:
    """They hold nothing behind where it parted but a new leader's entry: both show that nothing else was acknowledged."""
    sets = voters((0, THREE), (100, (1, 3)), (101, (3,)))
    its_log = log(3, 104, terms=[(1, 2), (102, 4)], sets=sets, commit=104)
    its_log = dataclasses.replace(its_log, possible_writes=(Run(first=1, last=99),))
    forced = member(3, db(99, revision=98), its_log)
    others = []
    for number in (1, 2):
        quiet = log(number, 100, terms=[(1, 2)], commit=99)
        quiet = dataclasses.replace(quiet, possible_writes=(Run(first=1, last=99),))
        others.append(member(number, db(99, revision=98), quiet))
    fork = Fork(index=100, term=2, groups=(("m1", "m2"), ("m3",)))
    verdict = decide(dataclasses.replace(survey(*others, forced), forks=(fork,)))
    assert not verdict.sources[0].loss.unproven, (verdict.summary, verdict.proof)
    alone = decide(dataclasses.replace(survey(others[0], lost(2), forced), forks=(fork,)))
    assert alone.kind == values.UNDECIDED or all(one.loss.unproven for one in alone.sources)


def made_alone(number: int, *, after: int = 2) -> MemberEvidence:
    """A member whose log throws the two others out at once at entry 101 and goes on in a later term, as etcd makes it when it
    is forced; ``after`` entries of its own follow."""
    sets = voters((0, THREE), (101, tuple(sorted({number, 3 if number != 3 else 2}))), (102, (number,)))
    forced = log(number, 102 + after, terms=[(1, 2), (103, 3)] if after else [(1, 2)], sets=sets)
    return member(number, db(102 + after, revision=100, of=peers(number)), forced)


def test_a_forced_cluster_of_one_whose_log_the_others_only_begin() -> None:
    """No history contradicts its own; what it threw away when it was forced may have been acknowledged by the two others."""
    alone = made_alone(1)
    beside = [sound(2), sound(3)]
    verdict = decide(survey(alone, *beside))
    assert not verdict.sources[0].loss.unproven, "both tell that they had nothing more"
    for others in ([beside[0], lost(3)], [lost(2), lost(3)]):
        verdict = decide(survey(alone, *others))
        assert all("--force-new-cluster" in one.loss.unproven for one in verdict.sources)
        assert not any("holds them all" in line for line in verdict.proof)
        live = dataclasses.replace(alive(1), raft_index=104, revision=100, members=peers(1))
        serving = dataclasses.replace(alone, live=live)
        verdict = decide(survey(serving, *others))
        assert (verdict.rule, verdict.kind) == ("B", values.UNDECIDED), verdict.summary
        assert "was it forced?" in verdict.summary


def test_a_cluster_of_one_whose_log_begins_when_it_was_alone() -> None:
    """A .snap was taken since: nothing tells how the others left, and one of them does not know that it did."""
    begins = dataclasses.replace(log(1, 300, first=201, sets=voters((200, (1,)))), reads_from=200)
    alone = member(1, db(300, revision=290, of=peers(1)), begins)
    verdict = decide(survey(alone, sound(2), lost(3)))
    mine = [one for one in verdict.sources if one.member == "m1"]
    assert mine
    assert all("has been alone since before entry 200" in one.loss.unproven for one in mine)
    serving = dataclasses.replace(alive(1), raft_index=300, revision=290, members=peers(1))
    verdict = decide(survey(dataclasses.replace(alone, live=serving), sound(2), lost(3)))
    assert (verdict.rule, verdict.kind) == ("B", values.UNDECIDED), verdict.summary
    by_itself = decide(survey(alone))
    assert not any("has been alone" in one.loss.unproven for one in by_itself.sources)


def test_who_was_emptied_since_tells_nothing_of_what_was_thrown_away() -> None:
    """Two beside a forced third, one of them begun anew under its old id: what it held before it does not tell."""
    second, third = sound(2), sound(3)
    assert isinstance(second.log, LogEvidence)
    assert isinstance(third.log, LogEvidence)
    second = dataclasses.replace(second, log=dataclasses.replace(second.log, founders=THREE))
    anew = dataclasses.replace(third, log=dataclasses.replace(third.log, born_term=2))
    assert not decide(survey(made_alone(1), second, third)).sources[0].loss.unproven
    doubted = decide(survey(made_alone(1), second, anew)).sources
    assert all("--force-new-cluster" in one.loss.unproven for one in doubted)


def test_members_that_were_removed_one_by_one() -> None:
    """By the book: the cluster went on between, or behind the last of them in the same term."""
    for sets in (voters((0, THREE), (90, (1, 2)), (102, (1,))), voters((0, THREE), (101, (1, 2)), (102, (1,)))):
        same_term = log(1, 104, sets=sets)
        verdict = decide(survey(member(1, db(104, of=peers(1)), same_term), sound(2), lost(3)))
        assert not any("--force-new-cluster" in one.loss.unproven for one in verdict.sources)


@pytest.mark.parametrize("other", [4, 3])
def test_a_leader_that_nobody_can_have_voted_for(other: int) -> None:
    """m1 and m2 went on in term 3 from entry 50; m3 had led from there in term 2, and led again in term 4: with whose vote? Where
    only m1 went on in term 3, m2 had not heard of it, and voted."""
    deposed, elected = [(1, 1), (51, 3)], [(1, 1), (51, 2), (81, 4)]
    third = member(3, db(50, term=1), log(3, 100, terms=elected, commit=50))
    first = member(1, db(50, term=1), log(1, 53, terms=deposed, commit=50))
    went = (53, deposed) if other == 3 else (100, elected)
    second = member(2, db(50, term=1), log(2, went[0], terms=went[1], commit=50))
    verdict = decide(survey(first, second, third))
    doubted = any("cannot have voted" in one.text for one in verdict.findings)
    assert doubted == (other == 3)
    assert all(bool(one.loss.unproven) == (other == 3) for one in verdict.sources)


@pytest.mark.parametrize(("last", "unproven"), [(60, "so does what is left on m1"), (100, "")])
def test_one_that_was_restored_by_hand_beside_one_that_lags(last: int, unproven: str) -> None:
    """The restored disk lacks for sure what a majority held: whether the other one only lags cannot be told."""
    alone = voters((0, (71, 72, 73)))
    restored = member(1, db(9, revision=50), log(71, 9, cluster=FOREIGN, sets=alone), of=THREE)
    found = survey(restored, member(2, db(50), log(2, last, commit=50)), member(3, db(90), log(3, 100, commit=99)))
    verdict = decide(found)
    assert unproven in str([one.text for one in verdict.findings])
    assert verdict.kind == ("rebuild" if unproven else "start as is")
    assert bool(verdict.sources[0].loss.unproven) == bool(unproven)


def test_a_log_that_etcd_has_cut_off_before_what_its_db_holds() -> None:
    """What is left of the log speaks against the db; but what it lacks is what was cut off, and more may have been."""
    altered = Footing(kind="altered", index=100, why="its revision 102 is a write that no entry of the log made")
    its_log = log(1, 100, sets=voters((0, (1,))))
    only = member(1, dataclasses.replace(db(100, revision=102), footing=altered), its_log, of=(1,))
    tail = Tail(from_index=0, to_index=100, to_term=2, revision=100, writes=(Run(first=1, last=100),), doubts=())
    merged = MergedLog(follows="m1", base="", pieces=(Piece(member="m1", first=1, last=100, why=""),), tail=tail)
    verdict = decide(dataclasses.replace(survey(only), merged=(merged,)))
    assert verdict.sources[0].loss.at_most == 0
    assert not verdict.sources[0].loss.unproven, "nothing has cut the log"
    cut = FoundFile(path="/d/member/wal/0.wal.broken", kind=CUT_OFF_LOG, inside=True)
    only = dataclasses.replace(only, around=Around(files=(cut,)))
    verdict = decide(dataclasses.replace(survey(only), merged=(merged,)))
    assert verdict.kind == "undecided"
    assert "leads to revision 102; what can be rebuilt without it ends at 100" in verdict.summary
    assert verdict.sources[0].loss.at_most == 2
    assert "etcd has cut off the end of m1's log" in verdict.sources[0].loss.unproven
    assert "any write that was acknowledged" not in str(verdict.proof)


def test_what_only_the_second_computation_finds_is_in_the_table() -> None:
    """Where the two do not agree, the operator chooses from losses that no disk contradicts."""
    sets = voters((0, (1, 2, 3, 4)), (96, (2, 3, 4)))
    gone = member(1, db(90), log(1, 103, commit=96, sets=sets), of=(1, 2, 3, 4))
    left = member(4, db(90), log(4, 100, commit=96, sets=sets), of=(1, 2, 3, 4))
    stands = (Stand(member="m1", value="a"), Stand(member="m4", value="a"))
    same = (Comparison(what="the records up to revision 90", stands=stands),)
    verdict = decide(dataclasses.replace(survey(gone, lost(2), lost(3), left), compared=same))
    assert verdict.kind == "undecided"
    assert "lacks 3 entries that m1 still hold" in verdict.summary
    assert next(one for one in verdict.sources if one.id == "m4: db + own log").loss.at_most == 3
    assert "m1" in [one.member for one in verdict.sources], "it is not counted, and can be chosen"


@pytest.mark.parametrize(("revision", "asks"), [(120, True), (100, False)])
def test_disks_that_were_restored_from_a_later_state(revision: int, asks: bool) -> None:
    """They are clusters of their own now; but what they were restored from may hold what the one disk that is left does not."""
    restored = dataclasses.replace(
        log(71, 1, cluster=FOREIGN, sets=voters((0, (71,)))), restored_at=1, possible_writes=()
    )
    others = [member(number, db(1, revision=revision, of=peers(7)), restored, of=THREE) for number in (2, 3)]
    verdict = decide(survey(sound(1), *others))
    assert (verdict.kind == "undecided") == asks
    assert ("m2's, of bad, holds revision 120, more than any of them" in verdict.summary) == asks
    assert all(one.loss.unproven for one in verdict.sources)
    assert all(not one.loss.known for one in verdict.sources) == asks
    assert ({one.member for one in verdict.sources} >= {"m1", "m2"}) == asks


@pytest.mark.parametrize(
    ("last", "end", "kind"), [(99, "clean", "start as is"), (100, "clean", "rebuild"), (100, "torn", "rebuild")]
)
def test_what_only_a_learner_holds(last: int, end: str, kind: str) -> None:
    """It cannot be elected, and would throw it away."""
    sets = voters((0, (1, 2, 3)), learners=(4,))
    of = peers(1, 2, 3, 4, learners=(4,))
    those = [
        member(1, db(90, of=of), log(1, 97, commit=96, sets=sets)),
        member(2, db(90, of=of), log(2, 99, commit=96, sets=sets, hole=95)),
        member(3, db(90, of=of), log(3, 99, commit=96, sets=sets, end=end)),
        member(4, db(90, of=of), log(4, last, commit=96, sets=sets)),
    ]
    verdict = decide(survey(*those))
    assert verdict.kind == kind, verdict.summary
    assert ("ends before them in what looks like a torn write" in str(verdict.proof)) == (end == "torn")
    if kind == "rebuild":
        assert "m4, which does not vote, holds entries from 100 on" in str(verdict.proof)
        assert verdict.sources[0].member == "m4"
        assert verdict.sources[0].loss.at_most == 0


def test_a_learner_is_thrown_out_among_the_others() -> None:
    """The entry from which on one was forced to be alone is the first of all that throw somebody out."""
    sets = (
        *voters((0, (1, 2, 3)), learners=(4,)),
        *voters((98, (2, 3)), learners=(4,)),
        *voters((99, (2, 3)), (100, (3,))),
    )
    whole = log(3, 105, terms=[(1, 2), (101, 3)], commit=105, sets=sets)
    assert alone.forced(whole) == (98, (1, 2, 3))
    assert alone.forced(dataclasses.replace(whole, voter_sets=sets[:-1])) == (0, ())


def test_a_forced_history_beside_one_that_went_on() -> None:
    """Its own terms are nobody's vote: what the others wrote behind the parting is not deposed by them, and may have been
    acknowledged with what the forced one threw away."""
    sets = voters((0, (1, 2, 3)), (98, (2, 3)), (99, (3,)))
    forced = member(3, db(90, of=peers(3)), log(3, 105, terms=[(1, 2), (98, 3), (100, 4)], commit=105, sets=sets))
    went_on = member(1, db(90), log(1, 110, commit=97))
    behind = member(2, db(90), log(2, 97, commit=97))
    verdict = decide(survey(went_on, behind, forced))
    assert all(one.loss.unproven or not one.loss.known for one in verdict.sources if one.member == "m3"), (
        verdict.summary
    )


def test_two_disks_that_were_emptied_and_went_on_as_a_quorum() -> None:
    """What the third knows to be committed, one of them must have held: its history proves no more than theirs does."""
    anew = [(1, 2), (81, 4)]
    others = [member(number, db(90), log(number, 100, terms=anew)) for number in (1, 3)]
    found = survey(*others, member(2, db(150), log(2, 160, terms=[(1, 2), (81, 3)], commit=159)))
    verdict = decide(found)
    assert verdict.kind == "undecided"
    assert all(one.loss.unproven for one in verdict.sources), "whichever is chosen"
    said = next(one for one in verdict.sources if one.member == "m1").loss.unproven
    assert said.startswith(
        "m2 knows entry 159 to be committed, so a majority held it, but m1 and m3 hold another history"
    )
    alone = log(2, 160, terms=[(1, 2), (81, 3)], commit=159, sets=voters((0, (1, 2, 3)), (82, (2,))))
    verdict = decide(survey(*others, member(2, db(150), alone)))
    assert "hold another history" not in str(verdict.sources), "committed by itself alone"


def test_a_db_of_a_later_term_than_the_only_log() -> None:
    """m1 led term 1 alone; m2's db is of term 2, and its log is gone: what it applied was committed, and m1 has not got it."""
    first = member(1, db(1, term=1), log(1, 11, terms=[(1, 1)], commit=1))
    second = member(2, db(2, term=2), GONE)
    verdict = decide(survey(first, second, lost(3)))
    assert (verdict.rule, verdict.kind) == ("H", values.UNDECIDED), verdict.summary
    assert "m2: the db is of another life than the logs" in verdict.summary
    assert not next(one for one in verdict.sources if one.member == "m1").loss.known


def test_a_snapshot_that_is_ahead_of_what_serves() -> None:
    """The member was emptied, and founded anew; what it held lies beside."""
    fresh = member(1, db(4, of=peers(1)), log(1, 4, sets=voters((0, (1,)))), of=(1,))
    fresh = dataclasses.replace(fresh, live=dataclasses.replace(alive(1), revision=4, raft_index=4))
    verdict = decide(survey(fresh, snapshots=[snapshot(90, of=peers(1))]))
    assert (verdict.rule, verdict.kind) == ("B", values.UNDECIDED), verdict.summary
    assert "holds revision 90, and m1, which serve, come to 4 only" in verdict.summary
    assert decide(survey(fresh, snapshots=[snapshot(4, of=peers(1))])).kind == values.HEALTHY


def test_an_unproven_promise_is_not_made_beside_a_db_that_does_not_count() -> None:
    """Its db is not its log's, and too few others are left to tell which of the two is the cluster's."""
    foreign = dataclasses.replace(db(200), footing=Footing(kind="refuted", index=0, why="of another life"))
    verdict = decide(survey(member(1, foreign, log(1, 100)), lost(2), lost(3)))
    assert not any(one.loss.known for one in verdict.sources)
    beside = decide(survey(member(1, foreign, log(1, 100)), sound(2), lost(3)))
    assert (beside.rule, beside.kind) == ("H", values.UNDECIDED), beside.summary
    assert "m1: the db is of another life than the logs" in beside.summary
    assert {"m1: bare db", "m2: db + own log"} <= {one.id for one in beside.sources}
    two = decide(survey(member(1, foreign, log(1, 100)), sound(2), sound(3)))
    assert two.start is not None
    assert two.start.members == ("m2", "m3")


@pytest.mark.parametrize(("value", "rule"), [("1f", "J"), ("2e", "H")])
def test_a_db_that_does_not_count_holds_nothing_more(value: str, rule: str) -> None:
    """What it holds is in another's db: nothing is to be feared for it. Nothing is known where they differ."""
    refuted = dataclasses.replace(db(200), footing=Footing(kind="refuted", index=0, why="of another life"))
    stands = (Stand(member="m1", value="1f"), Stand(member="m2", value=value))
    found = survey(member(1, refuted, log(1, 100)), sound(2), lost(3))
    same = Comparison(what=f"the records up to revision {refuted.revision}", stands=stands)
    verdict = decide(dataclasses.replace(found, compared=(same,)))
    assert verdict.rule == rule, verdict.summary
    assert {one.loss.known for one in verdict.sources if one.member == "m2"} == {rule == "J"}


def test_an_old_disk_beside_a_rebuilt_cluster_is_no_false_quorum() -> None:
    """A rebuild gives the cluster a new id, and its log begins again: a member that was off comes back with the old one."""
    serving = [dataclasses.replace(sound(n), live=alive(n)) for n in (1, 2)]
    old = member(3, db(9000), log(3, 9000, cluster=FOREIGN))
    verdict = decide(survey(*serving, old))
    assert (verdict.rule, verdict.kind) == ("E", values.REPLACE_MEMBERS), verdict.summary
