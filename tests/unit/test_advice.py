"""What a stopped disk proves against those that serve, what the operator is told then, and how a refusal ends."""

from dataclasses import replace

import pytest

from requorum.errors import NoSource, Refused, RequorumError, Unreachable
from requorum.procedures import ahead, gates
from requorum.procedures.make import make_plan
from requorum.procedures.replace import replace_plan
from requorum.proof import advice, gathered
from requorum.survey.evidence import LiveEvidence, MemberEvidence, Peer, Survey, Unknown
from requorum.verdict import values
from requorum.verdict.decide import decide
from requorum.verdict.values import Verdict

from .evidence import alive, config, db, log, lost, member, peers, sound, survey, url

LISTED = peers(1, 2, 3)


def serving(number: int, *, at: int = 100, members: tuple[Peer, ...] = LISTED, cluster: int = 0) -> MemberEvidence:
    """A member that serves, at an entry that wrote a revision of its own."""
    said = alive(number, cluster=cluster) if cluster else alive(number)
    live = replace(said, raft_index=at, revision=at, members=members)
    return replace(sound(number, at, at=at - 5), live=live)


def refused(those: Survey, **more: str) -> RequorumError:
    """Why there is no plan."""
    with pytest.raises(RequorumError) as caught:
        make_plan(those, decide(those), run="r1", tools="/opt/etcd", **more)  # type: ignore[arg-type]
    return caught.value


class TestAhead:
    """A stopped disk is held against those that serve."""

    def test_a_member_that_lags_may_be_replaced(self) -> None:
        """It knows less to be committed than the living ones: nothing is in the way, nor are uncommitted ends."""
        for third in (member(3, db(80), log(3, 90)), member(3, db(80), log(3, 105, commit=99)), lost(3)):
            assert ahead.why(survey(serving(1), serving(2), third), third) == ""

    @pytest.mark.parametrize(
        ("third", "told"),
        [
            (member(3, db(80), log(3, 300, commit=290)), "entry 290 was committed"),
            (member(3, db(250), log(3, 300, commit=100)), "entry 250 was committed"),
            (member(3, db(90, revision=400), log(3, 95, commit=90)), "its db is at revision 400"),
        ],
        ids=["commit", "consistent index", "revision"],
    )
    def test_a_disk_that_proves_more(self, third: MemberEvidence, told: str) -> None:
        """It is kept: neither a plan nor a replacement is made, and check says what it holds."""
        those = survey(serving(1), serving(2), third)
        assert told in ahead.why(those, third)
        verdict = decide(those)
        with pytest.raises(Refused, match="m3 is not replaced"):
            replace_plan(those, verdict, "m3", run="r1", tools="/opt/etcd")
        why = refused(those)
        assert told in why.message
        assert "requorum fence" in why.hint
        said = [one.text for one in advice.about_quorum(those, verdict, "")]
        assert any(told in one for one in said)
        assert not any("replace m3" in one for one in said)

    def test_what_runs_is_not_held_against_the_others(self) -> None:
        """A member that runs and does not answer goes on while the others are asked."""
        third = member(3, db(80), log(3, 300, commit=290))
        assert not isinstance(third.process, Unknown)
        third = replace(third, process=replace(third.process, pids=(7,)))
        assert ahead.why(survey(serving(1), serving(2), third), third) == ""

    def test_a_forced_cluster_of_one(self) -> None:
        """One member was forced out of three: the others' disks are asked about, not replaced."""
        second = member(2, db(80), log(2, 90))
        those = survey(serving(1, members=peers(1)), second)
        assert "--force-new-cluster" in ahead.why(those, second)
        said = [one.text for one in advice.about_quorum(those, decide(those), "")]
        assert any("--force-new-cluster" in one for one in said)
        assert not any("replace m" in one for one in said)

    def test_a_member_that_was_removed(self) -> None:
        """The cluster still has the majority that the disk knows: it was removed by the book."""
        third = member(3, db(80), log(3, 90))
        assert ahead.why(survey(serving(1, members=peers(1, 2)), serving(2, members=peers(1, 2)), third), third) == ""

    def test_another_cluster_of_one(self) -> None:
        """A restored cluster of one serves beside disks of three: asked about."""
        second = member(2, db(80), log(2, 90))
        those = survey(serving(1, members=peers(1), cluster=0xABC), second)
        assert "was that rebuilt on purpose" in advice.of_another_cluster(those, second)
        whole = survey(serving(1, cluster=0xABC), serving(2, cluster=0xABC), second)
        assert advice.of_another_cluster(whole, second) == ""


def test_those_that_serve_differ() -> None:
    """Nobody is told to replace anything then."""
    those = survey(serving(1), serving(2), lost(3))
    verdict = decide(those)
    assert verdict.kind == values.REPLACE_MEMBERS
    said = [one.text for one in advice.about_quorum(those, verdict, "the members differ")]
    assert not any("replace m" in one for one in said)
    assert any("replace m3" in one.text for one in advice.about_quorum(those, verdict, ""))


class Named:
    """A member as the comparison knows it."""

    def __init__(self, number: int) -> None:
        self.name, self.config = f"m{number}", config(number)


def status(number: int, *, leader: int = 1, cluster: int = 9) -> dict[str, object]:
    """etcdctl's answer."""
    return {"header": {"member_id": number, "cluster_id": cluster}, "leader": leader}


class TestOneCluster:
    """As many ids as members, each in everybody's list, one leader."""

    those = tuple(Named(n) for n in (1, 2, 3))

    def test_well(self) -> None:
        """Nothing is said; a learner that may not be asked for its list is no fault."""
        gathered.one_cluster(self.those, [status(n) for n in (1, 2, 3)], [LISTED, LISTED, None])
        assert gathered.elsewhere(self.those, [status(n) for n in (1, 2, 3)], [LISTED] * 3) == ()
        assert gathered.absent([status(n) for n in (1, 2, 3)], [LISTED] * 3) == ()

    @pytest.mark.parametrize(
        ("answers", "lists", "told"),
        [
            ([status(1), status(1), status(1)], [peers(1)] * 3, "one member id"),
            ([status(1), status(2), status(3, cluster=8)], [LISTED] * 3, "different clusters"),
            ([status(1), status(2), status(3)], [LISTED, LISTED, peers(3)], "not in m3's list"),
            ([status(1), status(2), status(3, leader=3)], [LISTED] * 3, "agree on a leader"),
            ([status(n, leader=7) for n in (1, 2, 3)], [LISTED] * 3, "agree on a leader"),
            ([status(n, leader=0) for n in (1, 2, 3)], [LISTED] * 3, "agree on a leader"),
        ],
        ids=["one id", "two clusters", "unknown to one", "two leaders", "a leader nobody lists", "no leader"],
    )
    def test_not_one(self, answers: list[dict[str, object]], lists: list[tuple[Peer, ...]], told: str) -> None:
        """Each way of not being one cluster is told."""
        with pytest.raises(RequorumError, match=told):
            gathered.one_cluster(self.those, answers, lists)

    def test_another_address(self) -> None:
        """The command that tells the cluster is there to be typed; a slash at the end is no other address."""
        moved = tuple(replace(one, peer_urls=(url(7),)) if one.id == 3 else one for one in LISTED)
        (text,) = gathered.elsewhere(self.those, [status(n) for n in (1, 2, 3)], [moved] * 3)
        assert f"etcdctl member update 3 --peer-urls={url(3)}" in text
        same = tuple(replace(one, peer_urls=(f"{url(one.id)}/",)) for one in LISTED)
        assert gathered.elsewhere(self.those, [status(n) for n in (1, 2, 3)], [same] * 3) == ()


class TestHowItEnds:
    """What is not known is not called nothing, and undecided is no dead end."""

    def test_all_was_read(self) -> None:
        """Every disk is gone: nothing to rebuild from."""
        assert isinstance(refused(survey(lost(1), lost(2), lost(3))), NoSource)

    def test_a_host_that_is_off(self) -> None:
        """Its disk was not read: exit 5, and the host is named."""
        why = refused(survey(lost(1), lost(2)), powered_off=("m3",))  # type: ignore[arg-type]
        assert isinstance(why, Unreachable)
        assert "m3" in why.message

    @pytest.mark.parametrize(
        "third",
        [
            member(
                3, Unknown(unknown="/d/member/snap/db: Permission denied"), Unknown(unknown="/d/wal: no such folder")
            ),
            member(3, db(90, faults=1), Unknown(unknown="there is no such folder")),
        ],
        ids=["permission", "damage"],
    )
    def test_what_could_not_be_read(self, third: MemberEvidence) -> None:
        """It is named, and so is what to do: exit 4."""
        why = refused(survey(lost(1), lost(2), third))
        assert isinstance(why, Refused)
        assert "m3's db" in why.message
        assert "--snapshot" in why.hint

    def test_undecided(self) -> None:
        """The hint names what can be chosen, never to leave a disk out; what is chosen is planned, with a warning."""
        those = survey(sound(1), member(2, db(90), log(2, 100, cluster=0xBAD)))
        verdict: Verdict = decide(those)
        assert verdict.kind == values.UNDECIDED
        why = refused(those)
        chosen = verdict.sources[0].id
        assert f"--source ID (known: {chosen}" in why.hint
        assert "--snapshot FILE" in why.hint
        assert "leave" not in why.hint
        plan = make_plan(
            those, verdict, run="r1", tools="/opt/etcd", powered_off=tuple(verdict.unsurveyed), source_id=chosen
        )
        assert (plan.kind, plan.named) == ("rebuild", True)
        assert any("the disks do not tell" in one for one in plan.warnings)

    def test_whatever_lives(self) -> None:
        """One member of three answers with a leader that no majority explains: it is not stopped."""
        those = survey(serving(1), sound(2), sound(3))
        assert gates.living(those) == ("m1",)
        why = refused(those)
        assert "stops nothing that lives" in why.message
        assert "requorum fence" in why.hint
        follower = replace(alive(1), leader=0)
        assert isinstance(follower, LiveEvidence)
        assert gates.living(survey(replace(sound(1), live=follower))) == ()
