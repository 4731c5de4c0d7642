"""Over generated clusters: what the verdict says of damaged disks is never better than what really happened.

A cluster of voters lives through elections, writes and partial replication by raft's rules, so that it is known which
entries were acknowledged (held by a majority). Then it dies, disks are lost and damaged, and only what a survey would
report is shown to the verdict.
"""

import contextlib
import dataclasses
import types
import typing
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from requorum.errors import RequorumError
from requorum.procedures.make import make_plan
from requorum.procedures.values import Plan
from requorum.survey import codec
from requorum.survey.evidence import (
    Checked,
    DbEvidence,
    Fault,
    LogEvidence,
    MemberConfig,
    MemberEvidence,
    MergedLog,
    Peer,
    Piece,
    Place,
    ProcessDeployment,
    ProcessEvidence,
    Run,
    Survey,
    Tail,
    TermRun,
    Unknown,
    VoterSet,
)
from requorum.survey.merged import Route, routes
from requorum.verdict import values
from requorum.verdict.decide import decide
from requorum.verdict.values import BARE_DB, OWN_LOG, Source, Verdict

pytestmark = pytest.mark.timeout(600)
T = TypeVar("T")
many = settings(
    deadline=None, max_examples=400, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
more = settings(many, max_examples=600)
some = settings(many, max_examples=120)
CLUSTER = 0xC0FFEE00C0FFEE00
GONE = Unknown(unknown="there is no such folder")


@dataclass(frozen=True)
class Entry:
    """A log entry: the term it was made in, and whether it writes (a new leader's first does not)."""

    term: int
    writes: bool


@dataclass
class Voter:
    """One member as raft knows it. ``commit`` is what it was told, ``leads`` the term that it was elected in."""

    log: list[Entry] = field(default_factory=list)
    term: int = 0
    leads: int = 0
    commit: int = 0
    match: dict[int, int] = field(default_factory=dict)

    @property
    def last(self) -> tuple[int, int]:
        """(term, index), the order in which raft compares logs."""
        return (self.log[-1].term if self.log else 0), len(self.log)


@dataclass
class Raft:
    """A cluster that keeps raft's rules. ``acknowledged`` are (index, entry) that a majority held when it was told."""

    voters: list[Voter]
    term: int = 0
    acknowledged: set[tuple[int, Entry]] = field(default_factory=set)

    @property
    def majority(self) -> int:
        """How many are more than half."""
        return len(self.voters) // 2 + 1

    def elect(self, candidate: int, asked: Sequence[int]) -> None:
        """Who is asked votes for a candidate whose log is not behind its own."""
        self.term += 1
        one = self.voters[candidate]
        granted = [self.voters[n] for n in {candidate, *asked} if self.voters[n].last <= one.last]
        for voter in granted:
            voter.term = self.term
        if len(granted) >= self.majority:
            one.leads = self.term
            one.match = {candidate: len(one.log) + 1}
            one.log.append(Entry(self.term, False))
            self.count(one)

    def write(self, leader: int, number: int) -> None:
        """A leader, deposed without knowing it or not, appends to its own log."""
        one = self.voters[leader]
        if one.leads and one.leads == one.term:
            one.log += [Entry(one.leads, True)] * number
            one.match[leader] = len(one.log)
            self.count(one)

    def replicate(self, leader: int, follower: int, back: int) -> None:
        """A follower takes a leader's log, but for its last ``back`` entries."""
        one, other = self.voters[leader], self.voters[follower]
        if follower == leader or not one.leads or one.leads != one.term or other.term > one.term:
            return
        upto = max(len(one.log) - back, one.match.get(follower, 0))
        if other.log[:upto] != one.log[:upto]:
            other.log = one.log[:upto]
        other.term = one.term
        one.match[follower] = upto
        other.commit = max(other.commit, min(one.commit, upto))
        self.count(one)

    def count(self, leader: Voter) -> None:
        """What a majority holds is committed, once an entry of the leader's own term is."""
        held = sorted(leader.match.values(), reverse=True)
        upto = held[self.majority - 1] if len(held) >= self.majority else 0
        if upto > leader.commit and leader.log[upto - 1].term == leader.leads:
            leader.commit = upto
            self.acknowledged |= {(n + 1, leader.log[n]) for n in range(upto) if leader.log[n].writes}


@st.composite
def histories(draw: st.DrawFn) -> Raft:
    """A cluster of one, three or five after some elections, writes and half-done replications."""
    size = draw(st.sampled_from([1, 3, 3, 3, 5]))
    raft = Raft([Voter() for _ in range(size)])
    everyone = list(range(size))
    who = st.sampled_from(everyone)
    raft.elect(0, everyone)
    for _ in range(draw(st.integers(3, 14))):
        leaders = st.sampled_from([n for n in everyone if raft.voters[n].leads])
        what = draw(st.sampled_from(["write", "write", "replicate", "replicate", "all", "elect"]))
        if what == "elect":
            asked = draw(st.one_of(st.just(everyone), st.lists(who, max_size=size, unique=True)))
            raft.elect(draw(who), asked)
        elif what == "write":
            raft.write(draw(leaders), draw(st.integers(1, 4)))
        elif what == "all":
            leader = draw(leaders)
            for one in everyone * 2:
                raft.replicate(leader, one, 0)
        else:
            raft.replicate(draw(leaders), draw(who), draw(st.integers(0, 3)))
    return raft


@dataclass(frozen=True)
class Wrecked:
    """What is left of a cluster, and the logs that its members really had."""

    raft: Raft
    survey: Survey

    def lost_by(self, log: Sequence[Entry]) -> int:
        """How many acknowledged writes a state made of this log lacks."""
        held = {(n + 1, entry) for n, entry in enumerate(log)}
        return len(self.raft.acknowledged - held)

    def lost_by_source(self, source: Source) -> int:
        """How many acknowledged writes a rebuild from this source loses."""
        if source.pieces:
            return self.lost_by(replayed(self.raft, source.member, source.from_index, source.pieces))
        return self.lost_by(self.raft.voters[int(source.member[1:]) - 1].log[: source.to_index])


def replayed(raft: Raft, base: str, from_index: int, pieces: Sequence[Piece]) -> list[Entry]:
    """What a db and the pieces of other members' logs come to."""
    log = raft.voters[int(base[1:]) - 1].log[:from_index] if base else []
    for piece in pieces:
        assert piece.first == len(log) + 1, "there is a gap"
        log = [*log, *raft.voters[int(piece.member[1:]) - 1].log[piece.first - 1 : piece.last]]
    return log


DAMAGE = ("none", "none", "none", "disk", "log", "db", "bad db", "hole", "hole", "cut", "broken")


@st.composite
def wrecks(draw: st.DrawFn, damage: Sequence[str] = DAMAGE) -> Wrecked:
    """A cluster that died, and the survey of what is left of its disks."""
    raft = draw(histories())
    members = tuple(
        _wreck(draw, raft, number, draw(st.sampled_from(damage))) for number in range(1, len(raft.voters) + 1)
    )
    survey = Survey(
        cluster="demo",
        at="2026-01-01T00:00:00+00:00",
        verified=True,
        members=members,
        etcd_version="3.5.30",
        etcdutl_can_bump=True,
        merged=tuple(_merged(raft, route) for route in routes(members)),
    )
    return Wrecked(raft, survey)


def _merged(raft: Raft, route: Route) -> MergedLog:
    base = route.base.name if route.base else ""
    log = replayed(raft, base, route.from_index, route.pieces)
    return MergedLog(
        follows=route.follows,
        base=base,
        pieces=route.pieces,
        tail=Tail(
            from_index=route.from_index,
            to_index=route.to_index,
            to_term=route.to_term,
            revision=_revision(log, len(log)),
            writes=tuple(
                Run(first=n, last=n) for n in range(route.from_index + 1, route.to_index + 1) if log[n - 1].writes
            ),
            doubts=(),
        ),
    )


def _wreck(draw: st.DrawFn, raft: Raft, number: int, damage: str) -> MemberEvidence:
    """One member's disk: its db lags its commit, its log is whole but for the damage."""
    voter, ids = raft.voters[number - 1], range(1, len(raft.voters) + 1)
    at = draw(st.integers(0, voter.commit))
    commit = draw(st.integers(at, voter.commit))
    db: DbEvidence | Unknown = _db(voter, at, ids, bad=damage == "bad db")
    log: LogEvidence | Unknown = GONE
    if damage in ("disk", "db"):
        db = GONE
    if damage not in ("disk", "log") and voter.log:
        near_the_end = st.integers(max(len(voter.log) - 1, 1), len(voter.log))
        somewhere = st.one_of(near_the_end, st.integers(1, len(voter.log)))
        hole = draw(somewhere) if damage in ("hole", "cut", "broken") else 0
        log = _log(voter, number, commit, at if isinstance(db, DbEvidence) else 0, tuple(ids), damage, hole)
    return MemberEvidence(
        name=f"m{number}",
        host=f"host{number}",
        data_dir=f"/var/lib/m{number}",
        wal_dir=f"/var/lib/m{number}/member/wal",
        config=_config(number, ids),
        deployment=ProcessDeployment(config=f"/etc/m{number}.yaml", log=f"/var/log/m{number}.log"),
        place=_place(number),
        process=ProcessEvidence(pids=(), commands=(), ports=(), locked=False),
        live=Unknown(unknown="it is not running"),
        db=db,
        log=log,
        tail=_tail(voter, db, log),
    )


def _revision(log: Sequence[Entry], upto: int) -> int:
    return 1 + sum(entry.writes for entry in log[:upto])


def _db(voter: Voter, at: int, ids: Sequence[int], *, bad: bool) -> DbEvidence:
    revision = _revision(voter.log, at)
    fault = Fault(path="/d/db", offset=4096, kind="page", detail="a page is damaged")
    return DbEvidence(
        path="/d/db",
        modified="2026-01-01 00:00:00 UTC",
        file_size=20480,
        total_size=20480,
        revision=revision,
        last_revision=revision,
        compact_revision=0,
        consistent_index=at,
        applied_index=at,
        term=voter.log[at - 1].term if at else 0,
        peers=tuple(Peer(id=one, name=f"m{one}", peer_urls=(_url(one),)) for one in ids),
        removed=(),
        cluster_version="3.5.0",
        storage_version="",
        alarms=(),
        auth_enabled=False,
        saved_snapshot=False,
        checked=Checked(hash="a", revision=revision, total_keys=1, live_keys=1, total_size=1, trailer=False, gaps=()),
        faults=(fault,) if bad else (),
    )


def _log(
    voter: Voter, number: int, commit: int, at: int, ids: tuple[int, ...], damage: str, hole: int
) -> LogEvidence | Unknown:
    """A log of which the entry ``hole`` cannot be read; behind a bad end nothing can."""
    end = damage if damage in ("cut", "broken") else "clean"
    upto = hole - 1 if end != "clean" else len(voter.log)
    whole = [n for n in range(1, upto + 1) if n != hole]
    runs: list[list[int]] = []
    for n in whole:
        if runs and runs[-1][1] == n - 1 and runs[-1][2] == voter.log[n - 1].term:
            runs[-1][1] = n
        else:
            runs.append([n, n, voter.log[n - 1].term])
    last = whole[-1] if whole else 0
    reasons = [f"0.wal is damaged at byte 4096 (entry {hole}): the checksum is wrong"] if hole else []
    if last < at:
        reasons.append(f"it would swallow writes: the log ends at index {last}, the db is at {at} already")
    return LogEvidence(
        wal_dir="/d/wal",
        cluster_id=CLUSTER,
        member_id=number,
        runs=tuple(TermRun(first=first, last=stop, term=term) for first, stop, term in runs),
        last_term=runs[-1][2] if runs else 0,
        last_index=last,
        commit=min(commit, upto) if end != "clean" else commit,
        end=end,
        reads_from=0,
        refusals=tuple(reasons),
        voter_sets=(VoterSet(index=0, voters=ids, learners=()),),
        possible_writes=tuple(Run(first=n, last=n) for n in whole if voter.log[n - 1].writes),
        unreadable=(Run(first=hole, last=hole),) if damage == "hole" else (),
        faults=(Fault(path="/d/wal", offset=4096, kind="checksum", detail="wrong", index=hole),) if hole else (),
        peers=tuple(Peer(id=one, name=f"m{one}", peer_urls=(_url(one),)) for one in ids),
        restored_at=0,
    )


def _tail(voter: Voter, db: DbEvidence | Unknown, log: LogEvidence | Unknown) -> Tail | Unknown:
    if isinstance(db, Unknown) or isinstance(log, Unknown) or db.faults:
        return Unknown(unknown="nothing to replay")
    start = at = db.applied_index
    for run in log.runs:
        if run.first <= at + 1 <= run.last:
            at = run.last
    return Tail(
        from_index=start,
        to_index=at,
        to_term=voter.log[at - 1].term if at else 0,
        revision=_revision(voter.log, at),
        writes=tuple(Run(first=n, last=n) for n in range(start + 1, at + 1) if voter.log[n - 1].writes),
        doubts=(),
    )


def _url(number: int) -> str:
    return f"http://10.0.0.{number}:2380"


def _config(number: int, ids: Sequence[int]) -> MemberConfig:
    return MemberConfig(
        name=f"m{number}",
        data_dir=f"/var/lib/m{number}",
        wal_dir=f"/var/lib/m{number}/member/wal",
        peer_urls=(_url(number),),
        endpoint=f"http://10.0.0.{number}:2379",
        initial_cluster=",".join(f"m{one}={_url(one)}" for one in ids),
        token="old",
        state="new",
        quota=2 << 30,
    )


def _place(number: int) -> Place:
    folder = f"/var/lib/m{number}"
    return Place(
        data_dir=folder,
        wal_dir=f"{folder}/member/wal",
        work=f"{folder}.requorum",
        wal_work=f"{folder}.requorum",
        wal_apart=False,
        used=1 << 20,
        free=1 << 30,
        wal_free=1 << 30,
    )


def possible_leaders(wrecked: Wrecked, started: Sequence[str]) -> list[Voter]:
    """Every started member that a majority of all voters could elect: those whose logs are not ahead of its own."""
    there = [wrecked.raft.voters[int(name[1:]) - 1] for name in started]
    return [one for one in there if sum(other.last <= one.last for other in there) >= wrecked.raft.majority]


@many
@given(histories())
def test_the_model_is_raft(raft: Raft) -> None:
    """What the generated histories claim holds: each acknowledged entry is on a majority, and every log has one order."""
    for index, entry in raft.acknowledged:
        held = sum(len(one.log) >= index and one.log[index - 1] == entry for one in raft.voters)
        assert held >= raft.majority
    for one in raft.voters:
        assert [entry.term for entry in one.log] == sorted(entry.term for entry in one.log)


@more
@given(wrecks())
def test_start_as_is_loses_nothing(wrecked: Wrecked) -> None:
    """Whoever may be elected among the members that are started as they are holds every acknowledged write."""
    verdict = decide(wrecked.survey)
    if verdict.kind == values.START_AS_IS:
        assert verdict.start is not None
        leaders = possible_leaders(wrecked, verdict.start.first)
        assert leaders
        for leader in leaders:
            assert wrecked.lost_by(leader.log) == 0


@more
@given(wrecks())
def test_the_revision_after_a_start_is_kept(wrecked: Wrecked) -> None:
    """Whoever may be elected has at least the revision that is promised: else a good start would count as failed."""
    verdict = decide(wrecked.survey)
    if verdict.start is not None:
        for leader in possible_leaders(wrecked, verdict.start.first):
            assert _revision(leader.log, len(leader.log)) >= verdict.start.revision


@many
@given(wrecks(damage=("none",)))
def test_whole_disks_are_started(wrecked: Wrecked) -> None:
    """A cluster whose disks are all whole is started as it is: no restore is invented."""
    assert all(isinstance(one.log, Unknown) for one in wrecked.survey.members) or (
        any(isinstance(one.log, Unknown) for one in wrecked.survey.members)
        or decide(wrecked.survey).kind == values.START_AS_IS
    )


@more
@given(wrecks())
def test_the_best_source_loses_least(wrecked: Wrecked) -> None:
    """No other source would really lose fewer acknowledged writes than the one that is preferred."""
    verdict = decide(wrecked.survey)
    lost = [wrecked.lost_by_source(one) for one in verdict.sources]
    assert not lost or lost[0] == min(lost)


@more
@given(wrecks())
def test_a_loss_is_never_hidden(wrecked: Wrecked) -> None:
    """What is predicted is never less than the acknowledged writes really lost, unless it is called unproven."""
    for source in decide(wrecked.survey).sources:
        if not source.loss.unproven:
            assert source.loss.known
            assert wrecked.lost_by_source(source) <= source.loss.at_most, source


@more
@given(wrecks())
def test_a_merged_log_is_the_one_that_it_follows(wrecked: Wrecked) -> None:
    """Entry by entry, as far as it is called proven."""
    for one in wrecked.survey.merged:
        if all(piece.proven for piece in one.pieces):
            log = replayed(wrecked.raft, one.base, one.tail.from_index, one.pieces)
            assert len(log) == one.tail.to_index
            assert log == wrecked.raft.voters[int(one.follows[1:]) - 1].log[: len(log)]


@more
@given(wrecks(damage=("none", "none", "bad db", "hole")))
def test_with_a_majority_of_whole_logs_nothing_is_lost(wrecked: Wrecked) -> None:
    """As long as there is a db to build on, or the logs reach back to the start."""
    verdict = decide(wrecked.survey)
    logs = [one.log for one in wrecked.survey.members if isinstance(one.log, LogEvidence)]
    if sum(not one.unreadable for one in logs) < wrecked.raft.majority:
        return
    if verdict.kind == values.REBUILD:
        assert verdict.source is not None
        assert wrecked.lost_by_source(verdict.source) == 0
    else:
        assert verdict.kind == values.START_AS_IS


@many
@given(wrecks())
def test_no_bump_only_where_nothing_is_lost(wrecked: Wrecked) -> None:
    """The revision is left alone only where no acknowledged write is lost."""
    for source in decide(wrecked.survey).sources:
        if not source.bump:
            assert wrecked.lost_by_source(source) == 0


@many
@given(wrecks())
def test_a_bare_db_never_beats_its_own_log(wrecked: Wrecked) -> None:
    """Replaying a member's log onto its db never loses more than the db alone."""
    verdict = decide(wrecked.survey)
    for source in verdict.sources:
        if source.kind == OWN_LOG:
            bare = next(one for one in verdict.sources if one.kind == BARE_DB and one.member == source.member)
            assert source.loss.at_most <= bare.loss.at_most


def arbitrary(kind: Any) -> st.SearchStrategy[Any]:
    """Any value of an evidence type, plausible or not; numbers are small, so that they meet."""
    origin, args = typing.get_origin(kind), typing.get_args(kind)
    if origin in (types.UnionType, typing.Union):
        return st.one_of([arbitrary(one) for one in args])
    if origin is Literal:
        return st.sampled_from(args)
    if origin is tuple:
        return st.lists(arbitrary(args[0]), max_size=3).map(tuple)
    if isinstance(kind, type) and dataclasses.is_dataclass(kind):
        hints = typing.get_type_hints(kind)
        return st.builds(kind, **{one.name: arbitrary(hints[one.name]) for one in dataclasses.fields(kind)})
    simple: dict[Any, st.SearchStrategy[Any]] = {
        int: st.integers(0, 40),
        bool: st.booleans(),
        float: st.integers(-9, 9).map(float),
        type(None): st.none(),
        str: st.sampled_from(["", "m1", "m2", "3.5.30", "clean", "broken", "http://10.0.0.1:2380", "a/b", "é"]),
    }
    return simple[kind]


SURVEYS: st.SearchStrategy[Survey] = arbitrary(Survey)


def round_trip(value: T) -> None:
    """A value written as JSON and read again is the same."""
    assert codec.decode(msgspec.json.encode(value), type(value)) == value


@some
@given(SURVEYS)
def test_decide_is_total_and_pure(survey: Survey) -> None:
    """Whatever the evidence, there is a verdict, and the same one again."""
    verdict = decide(survey)
    assert verdict == decide(survey)
    assert verdict.summary
    if verdict.kind == values.REBUILD:
        assert verdict.source is not None
    assert (verdict.start is not None) == (verdict.kind == values.START_AS_IS)


@some
@given(SURVEYS)
def test_make_plan_is_total(survey: Survey) -> None:
    """Whatever the evidence, there is a plan or a reason why there is none."""
    with contextlib.suppress(RequorumError):
        assert make_plan(survey, decide(survey), run="r", tools="/t", powered_off=("m1",)).phases


@some
@given(SURVEYS)
def test_surveys_travel(survey: Survey) -> None:
    """Evidence can be saved and read again on another machine, and the verdict stays the same."""
    round_trip(survey)
    again = codec.decode(msgspec.json.encode(survey), Survey)
    assert decide(again) == decide(survey)


@some
@given(SURVEYS)
def test_verdicts_travel(survey: Survey) -> None:
    """A verdict can be saved and read again."""
    verdict: Verdict = decide(survey)
    round_trip(verdict)


@some
@given(wrecks())
def test_plans_travel(wrecked: Wrecked) -> None:
    """A plan can be saved and read again."""
    verdict = decide(wrecked.survey)
    if verdict.kind in (values.START_AS_IS, values.REBUILD):
        plan: Plan = make_plan(wrecked.survey, verdict, run="r", tools="/t")
        round_trip(plan)
