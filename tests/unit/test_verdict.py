"""The verdict's rules, one by one, on evidence made by hand: what the disks say, and what must follow.

In these clusters entry N writes revision N. ``sound(n)`` has its db at entry 90 and its log whole to entry 100.
"""

import dataclasses
import tracemalloc

import pytest

from requorum.survey.evidence import DbEvidence, LogEvidence, MemberEvidence, Run, Survey, Tail, Unknown
from requorum.verdict import values
from requorum.verdict.decide import cluster_name, decide, loss_text
from requorum.verdict.membership import electorate
from requorum.verdict.values import Loss, Source, Verdict

from .evidence import (
    CLUSTER,
    GONE,
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
        leader = member(1, db(125), log(1, 130, commit=129))
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
            sets = voters((0, (1, 2, 3)))
        else:
            sets = voters((0, (1, 2)), learners=(3,))
            third = member(3, GONE, log(3, 104, sets=sets))
        those = [member(n, db(90), log(n, 100, sets=sets)) for n in (1, 2)]
        verdict = decide(survey(*those, third))
        assert verdict.kind == values.REBUILD
        assert "m3 holds the highest log" in verdict.proof[0]

    @pytest.mark.parametrize("what", ["commit", "consistent index"])
    def test_committed_beyond_every_log(self, what: str) -> None:
        """(b) A commit or a consistent index that no startable log reaches forbids the start."""
        third = member(3, db(90), log(3, 98, hole=40, commit=120)) if what == "commit" else member(3, db(120), GONE)
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
        verdict = decide(survey(sound(1, 100), sound(2, 97), sound(3, 95)))
        assert verdict.start is not None
        assert verdict.start.revision == 100
        assert set(verdict.start.first) == {"m1", "m2"}


class TestMembership:
    """Rule 4: whose disks count, and who is missing."""

    def test_foreign_cluster(self) -> None:
        """A disk of another cluster does not count, and is called a danger."""
        foreign = member(3, db(900), log(3, 900, cluster=FOREIGN, sets=voters((0, (3, 4, 5)))))
        verdict = decide(survey(sound(1), sound(2), foreign))
        assert verdict.cluster_id == CLUSTER
        assert verdict.start is not None
        assert verdict.start.members == ("m1", "m2")
        assert "another cluster (id bad" in findings(verdict, "m3")
        assert not any(one.member == "m3" for one in verdict.sources)

    def test_two_clusters_of_equal_size(self) -> None:
        """Where no cluster has more disks than another, nothing is decided."""
        sets = voters((0, (3, 4)))
        foreign = [member(n, db(90), log(n, 100, cluster=FOREIGN, sets=sets)) for n in (3, 4)]
        verdict = decide(survey(sound(1), sound(2), *foreign))
        assert verdict.kind == values.UNDECIDED
        assert "different clusters" in verdict.summary

    def test_impostor(self) -> None:
        """A member that started empty, as a cluster of its own, does not count, not even against a single real one."""
        impostors = [member(n, db(900), log(n, 900, cluster=FOREIGN + n, sets=voters((0, (70 + n,))))) for n in (2, 3)]
        verdict = decide(survey(sound(1), *impostors))
        assert verdict.cluster_id == CLUSTER
        assert best(verdict).member == "m1"
        assert "impostor" in findings(verdict, "m2")

    def test_only_an_impostor_is_left(self) -> None:
        """When the only log left is of a cluster of one, although three are expected, nothing is decided."""
        impostor = member(1, db(9), log(1, 9, cluster=FOREIGN, sets=voters((0, (71,)))))
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
        assert electorate(survey(member(3, db(95), GONE))).voters == (1, 2, 3)


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
        """One that believes in a leader is no majority of three."""
        verdict = decide(survey(dataclasses.replace(sound(1), live=alive(1)), holed(2), holed(3)))
        assert verdict.kind == values.REBUILD

    def test_live_impostor(self) -> None:
        """A live cluster of one on the host of one of three members is not the living quorum of the three."""
        impostor = member(
            1, db(9), log(1, 9, cluster=FOREIGN, sets=voters((0, (71,)))), live=alive(71, leader=71, cluster=FOREIGN)
        )
        assert decide(survey(impostor, lost(2), lost(3))).kind == values.UNDECIDED

    def test_live_impostors(self) -> None:
        """Two live clusters of one are no majority of the third's cluster."""
        impostors = [
            member(
                n,
                db(9),
                log(n, 9, cluster=FOREIGN + n, sets=voters((0, (70 + n,)))),
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
        """Data of another minor version than the etcd at hand is refused."""
        those = [member(n, db(90, version="3.4.0"), log(n, 100)) for n in (1, 2, 3)]
        assert "m1 (3.4.0)" in decide(survey(*those)).refusal
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
