"""Evidence by hand: small clusters in which entry N writes revision N.

A member's db stands at one entry, its log goes on to another; holes and bad ends are as a survey would report them.
"""

from collections.abc import Sequence

from requorum.survey.evidence import (
    Binaries,
    Checked,
    DbEvidence,
    Fault,
    LiveEvidence,
    LogEvidence,
    MemberConfig,
    MemberEvidence,
    Peer,
    Place,
    ProcessDeployment,
    ProcessEvidence,
    Run,
    SnapshotEvidence,
    Survey,
    Tail,
    TermRun,
    Unknown,
    VoterSet,
)

CLUSTER = 0xC0FFEE00C0FFEE00
GONE = Unknown(unknown="there is no such folder")
IDLE = ProcessEvidence(pids=(), commands=(), ports=(), locked=False)
THREE = (1, 2, 3)
TOOLS = Binaries(etcd="/opt/etcd", etcdctl="/opt/etcdctl", etcdutl="/opt/etcdutl", version="3.5.30")


def url(number: int) -> str:
    """A member's peer URL."""
    return f"http://10.0.0.{number}:2380"


def peers(*numbers: int, learners: Sequence[int] = ()) -> tuple[Peer, ...]:
    """Members as a db records them."""
    return tuple(Peer(id=one, name=f"m{one}", peer_urls=(url(one),), learner=one in learners) for one in numbers)


def db(
    index: int,
    *,
    term: int = 2,
    revision: int = -1,
    applied: int = -1,
    of: tuple[Peer, ...] = (),
    faults: int = 0,
    gaps: tuple[Run, ...] = (),
    auth: bool = False,
    version: str = "3.5.0",
    saved: bool = False,
    path: str = "/d/member/snap/db",
) -> DbEvidence:
    """A db that was read in full."""
    at = applied if applied >= 0 else index
    revision = revision if revision >= 0 else at
    return DbEvidence(
        path=path,
        modified="2026-01-01 00:00:00 UTC",
        file_size=20480,
        total_size=20480,
        revision=revision,
        last_revision=revision,
        compact_revision=0,
        consistent_index=index,
        applied_index=at,
        term=term,
        peers=of or peers(*THREE),
        removed=(),
        cluster_version=version,
        storage_version="",
        alarms=(),
        auth_enabled=auth,
        saved_snapshot=saved,
        checked=Checked(
            hash="abc", revision=revision, total_keys=9, live_keys=5, total_size=20480, trailer=saved, gaps=gaps
        ),
        faults=tuple(fault("db") for _ in range(faults)),
    )


def fault(kind: str, index: int = 0) -> Fault:
    """A damaged place."""
    return Fault(path=f"/d/{kind}", offset=4096, kind="checksum", detail="the checksum is wrong", index=index)


def voters(*sets: tuple[int, tuple[int, ...]], learners: tuple[int, ...] = ()) -> tuple[VoterSet, ...]:
    """Voter sets by the index from which they vote."""
    return tuple(VoterSet(index=index, voters=those, learners=learners) for index, those in sets)


def log(
    number: int,
    last: int,
    *,
    terms: Sequence[tuple[int, int]] = (),
    commit: int = -1,
    first: int = 1,
    hole: int = 0,
    end: str = "clean",
    sets: tuple[VoterSet, ...] = (),
    cluster: int = CLUSTER,
    refusals: tuple[str, ...] = (),
    near: int = 1,
) -> LogEvidence:
    """A log from ``first`` to ``last``; ``terms`` are (first index, term), all of it of term 2 by default."""
    terms = list(terms) or [(first, 2)]
    runs: list[TermRun] = []
    for at, (start, term) in enumerate(terms):
        stop = terms[at + 1][0] - 1 if at + 1 < len(terms) else last
        if start <= hole <= stop:
            runs += [TermRun(first=a, last=b, term=term) for a, b in ((start, hole - 1), (hole + 1, stop)) if a <= b]
        elif start <= stop:
            runs.append(TermRun(first=start, last=stop, term=term))
    reasons = list(refusals)
    if hole:
        reasons.append(f"0.wal is damaged at byte 4096 (entry {hole}): the checksum is wrong")
    if end in ("cut", "broken"):
        reasons.append("0.wal is damaged at byte 8192: what follows cannot be read")
    return LogEvidence(
        wal_dir="/d/member/wal",
        cluster_id=cluster,
        member_id=number,
        runs=tuple(runs),
        last_term=runs[-1].term if runs else 0,
        last_index=runs[-1].last if runs else 0,
        commit=last - 1 if commit < 0 else commit,
        end=end,
        reads_from=0,
        refusals=tuple(reasons),
        voter_sets=sets or voters((0, THREE)),
        possible_writes=tuple(Run(first=max(one.first, near), last=one.last) for one in runs if one.last >= near),
        unreadable=(Run(first=hole, last=hole),) if hole else (),
        faults=(fault("wal", hole),) if hole or end in ("cut", "broken") else (),
        restored_at=0 if first == 1 else None,
    )


def tail(from_db: DbEvidence | Unknown, of: LogEvidence | Unknown, doubts: tuple[str, ...] = ()) -> Tail | Unknown:
    """What replaying a log onto a db gives: every whole entry up to the first hole is one write."""
    if not isinstance(from_db, DbEvidence) or not isinstance(of, LogEvidence):
        return Unknown(unknown="nothing to replay")
    if from_db.faults:
        return Unknown(unknown="the db is damaged")
    start = at = from_db.applied_index
    term = from_db.term
    for run in of.runs:
        if run.first <= at + 1 <= run.last:
            at, term = run.last, run.term
    writes = (Run(first=start + 1, last=at),) if at > start else ()
    revision = from_db.revision + at - start
    return Tail(from_index=start, to_index=at, to_term=term, revision=revision, writes=writes, doubts=doubts)


def config(number: int, of: Sequence[int] = THREE) -> MemberConfig:
    """A member's configuration."""
    return MemberConfig(
        name=f"m{number}",
        data_dir=f"/var/lib/m{number}",
        wal_dir=f"/var/lib/m{number}/member/wal",
        peer_urls=(url(number),),
        endpoint=f"http://10.0.0.{number}:2379",
        initial_cluster=",".join(f"m{one}={url(one)}" for one in of),
        token="old",
        state="new",
        quota=2 << 30,
    )


def place(number: int, *, wal_apart: bool = False) -> Place:
    """Where a member's files lie."""
    return Place(
        data_dir=f"/var/lib/m{number}",
        wal_dir=f"/wal/m{number}" if wal_apart else f"/var/lib/m{number}/member/wal",
        work=f"/var/lib/m{number}.requorum",
        wal_work=f"/wal/m{number}.requorum" if wal_apart else f"/var/lib/m{number}.requorum",
        wal_apart=wal_apart,
        used=1 << 20,
        free=1 << 30,
        wal_free=1 << 30,
    )


def member(
    number: int,
    its_db: DbEvidence | Unknown,
    its_log: LogEvidence | Unknown,
    *,
    doubts: tuple[str, ...] = (),
    live: LiveEvidence | None = None,
    name: str = "",
    of: Sequence[int] = THREE,
    wal_apart: bool = False,
) -> MemberEvidence:
    """A member's disk, its tail replayed."""
    lies = place(number, wal_apart=wal_apart)
    return MemberEvidence(
        name=name or f"m{number}",
        host=f"host{number}",
        data_dir=lies.data_dir,
        wal_dir=lies.wal_dir,
        config=config(number, of),
        deployment=ProcessDeployment(config=f"/etc/m{number}.yaml", log=f"/var/log/m{number}.log"),
        place=lies,
        process=IDLE,
        live=live or Unknown(unknown="it is not running"),
        db=its_db,
        log=its_log,
        tail=tail(its_db, its_log, doubts),
    )


def sound(number: int, last: int = 100, *, at: int = 90, of: Sequence[int] = THREE) -> MemberEvidence:
    """A member that a power cut left: its db at one entry, its log whole up to a later one."""
    sets = voters((0, tuple(of)))
    return member(number, db(at, of=peers(*of)), log(number, last, sets=sets), of=of)


def lost(number: int, of: Sequence[int] = THREE) -> MemberEvidence:
    """A member whose disk is gone."""
    return member(number, GONE, GONE, of=of)


def alive(number: int, *, leader: int = 1, cluster: int = CLUSTER) -> LiveEvidence:
    """What a running member answers."""
    return LiveEvidence(
        member_id=number,
        cluster_id=cluster,
        leader=leader,
        revision=100,
        raft_index=100,
        raft_term=2,
        version="3.5.30",
        errors=(),
    )


def survey(*members: MemberEvidence, snapshots: Sequence[SnapshotEvidence] = (), bump: bool = True) -> Survey:
    """A survey in full."""
    return Survey(
        cluster="demo",
        at="2026-01-01T00:00:00+00:00",
        verified=True,
        members=members,
        snapshots=tuple(snapshots),
        etcd_version="3.5.30",
        etcdutl_can_bump=bump,
    )


def snapshot(index: int, of: tuple[Peer, ...] = ()) -> SnapshotEvidence:
    """A saved snapshot."""
    return SnapshotEvidence(path="/backup.db", host="", db=db(index, of=of, saved=True, path="/backup.db"))
