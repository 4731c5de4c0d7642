"""What a survey would report of these disks."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from requorum.survey.evidence import (
    Checked,
    Comparison,
    DbEvidence,
    Fault,
    Footing,
    Fork,
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
    Stand,
    Survey,
    Tail,
    TermRun,
    Unknown,
    VoterSet,
)
from requorum.survey.merged import Route, routes

from .past import Disk, Entry, Life

GONE = Unknown(unknown="there is no such folder")


def survey_of(life: Life) -> Survey:
    """The evidence of these disks."""
    forks = tuple(_forks(life))
    members = tuple(_member(life, n) for n in sorted(life.disks))
    merged = tuple(_merged(life, route) for route in routes(members, forks=forks))
    return Survey(
        cluster="demo",
        at="2026-01-01T00:00:00+00:00",
        verified=True,
        members=members,
        etcd_version="3.5.30",
        etcdutl_can_bump=True,
        merged=merged,
        forks=forks,
        compared=tuple(_compared(life)),
        logs_compared=True,
    )


def _readable(disk: Disk) -> dict[int, Entry]:
    if disk.gone or disk.no_log:
        return {}
    return {at: one for at, one in enumerate(disk.log, 1) if at not in disk.holes}


def _forks(life: Life) -> Iterator[Fork]:
    logs = {n: _readable(disk) for n, disk in life.disks.items()}
    seen: set[frozenset[str]] = set()
    for index in range(1, max((len(disk.log) for disk in life.disks.values()), default=0) + 1):
        groups: dict[tuple[int, int], dict[int, set[str]]] = {}
        for n, log in logs.items():
            if index in log:
                key = life.disks[n].cluster, log[index].term
                groups.setdefault(key, {}).setdefault(log[index].number, set()).add(f"m{n}")
        for (_, term), each in groups.items():
            names = frozenset(name for group in each.values() for name in group)
            if len(each) > 1 and names not in seen:
                seen.add(names)
                yield Fork(index=index, term=term, groups=tuple(sorted(tuple(sorted(one)) for one in each.values())))


def _id(life: Life, n: int) -> int:
    return life.disks[n].id or n


def _url(number: int) -> str:
    return f"http://10.0.0.{number}:2380"


def _peers(life: Life, disk: Disk) -> tuple[Peer, ...]:
    if disk.restored:
        voters = disk.log[-1].voters or ()
        urls = {one: _url(one - 90) if one != 99 else "http://localhost:2380" for one in voters}
        return tuple(Peer(id=one, name=f"m{one - 90}", peer_urls=(urls[one],)) for one in voters)
    learners = (life.learner,) if life.learner else ()
    changed = [one.voters for one in disk.log[: disk.at] if one.voters is not None]
    voters = life.founders if not changed or len(changed) < len(life.founders) else changed[-1]
    return tuple(
        Peer(id=one, name=f"m{one}", peer_urls=(_url(one),), learner=one in learners) for one in (*voters, *learners)
    )


def _member(life: Life, n: int) -> MemberEvidence:
    disk = life.disks[n]
    db: DbEvidence | Unknown = GONE if disk.gone or disk.no_db else _db(life, disk)
    log: LogEvidence | Unknown = GONE if disk.gone or disk.no_log or not disk.log else _log(life, n)
    return MemberEvidence(
        name=f"m{n}",
        host=f"host{n}",
        data_dir=f"/var/lib/m{n}",
        wal_dir=f"/var/lib/m{n}/member/wal",
        config=MemberConfig(
            name=f"m{n}",
            data_dir=f"/var/lib/m{n}",
            wal_dir=f"/var/lib/m{n}/member/wal",
            peer_urls=(_url(n),),
            endpoint=f"http://10.0.0.{n}:2379",
            initial_cluster=",".join(f"m{one}={_url(one)}" for one in life.founders),
            token="old",
            state="new",
            quota=2 << 30,
        ),
        deployment=ProcessDeployment(config=f"/etc/m{n}.yaml", log=f"/var/log/m{n}.log"),
        place=Place(
            data_dir=f"/var/lib/m{n}",
            wal_dir=f"/var/lib/m{n}/member/wal",
            work=f"/var/lib/m{n}.requorum",
            wal_work=f"/var/lib/m{n}.requorum",
            wal_apart=False,
            used=1 << 20,
            free=1 << 30,
            wal_free=1 << 30,
        ),
        process=ProcessEvidence(pids=(), commands=(), ports=(), locked=False),
        live=Unknown(unknown="it is not running"),
        db=db,
        log=log,
        tail=_tail(disk, db, log),
    )


def _db(life: Life, disk: Disk) -> DbEvidence:
    revision = 1 + len(disk.data)
    bad = Fault(path="/d/db", offset=4096, kind="page", detail="a page is damaged")
    held = 0 < disk.at <= len(disk.log)
    footing: Footing | Unknown = Footing(kind="records", index=disk.at)
    if disk.restored:
        footing = Footing(kind="start", index=disk.at)
        if disk.no_log or len(disk.log) < disk.at:
            footing = Footing(kind="refuted", index=0, why="its log cannot have made it")
    elif disk.no_log:
        logs = [one for one in life.disks.values() if one is not disk and not one.gone and not one.no_log]
        footing = Unknown(unknown="there is no log")
        reach = [one for one in logs if len(one.log) >= disk.at]
        told = [tuple(one.writes(disk.at)) == disk.data for one in reach] or [True]
        if logs and not any(told):
            footing = Footing(kind="refuted", index=0, why="no log that is left can have made it")
    elif not held:
        footing = Footing(kind="beyond", index=len(disk.log), extra=len(disk.data) - len(disk.writes(disk.at)))
    return DbEvidence(
        path="/d/db",
        modified="2026-01-01 00:00:00 UTC",
        file_size=20480,
        total_size=20480,
        revision=revision,
        last_revision=revision,
        compact_revision=0,
        consistent_index=disk.at,
        applied_index=disk.at,
        term=disk.db_term or (disk.log[disk.at - 1].term if held else 0),
        peers=_peers(life, disk),
        removed=(),
        cluster_version="3.5.0",
        storage_version="",
        alarms=(),
        auth_enabled=False,
        saved_snapshot=False,
        checked=Checked(hash="a", revision=revision, total_keys=1, live_keys=1, total_size=1, trailer=False, gaps=()),
        faults=(bad,) if disk.bad_db else (),
        footing=footing,
    )


def _log(life: Life, n: int) -> LogEvidence:
    disk = life.disks[n]
    whole = sorted(_readable(disk))
    runs: list[list[int]] = []
    for at in whole:
        term = disk.log[at - 1].term
        if runs and runs[-1][1] == at - 1 and runs[-1][2] == term:
            runs[-1][1] = at
        else:
            runs.append([at, at, term])
    last = whole[-1] if whole else 0
    reasons = [f"0.wal is damaged at byte 4096 (entry {hole}): the checksum is wrong" for hole in sorted(disk.holes)]
    if disk.end in ("cut", "broken"):
        reasons.append("0.wal is damaged at byte 8192: what follows cannot be read")
    if last < disk.at and not disk.no_db:
        reasons.append(f"it would swallow writes: the log ends at index {last}, the db is at {disk.at} already")
    learners = (life.learner,) if life.learner else ()
    sets = tuple(
        VoterSet(index=at, voters=voters, learners=learners if not disk.restored else ())
        for at, one in sorted(_readable(disk).items())
        if (voters := one.voters) is not None
    )
    if n in life.forced and learners and sets and sets[-1].voters == (n,):
        sets = (*sets[:-1], replace(sets[-1], learners=()))
    holes = tuple(Run(first=hole, last=hole) for hole in sorted(disk.holes))
    return LogEvidence(
        wal_dir="/d/wal",
        cluster_id=disk.cluster,
        member_id=_id(life, n),
        runs=tuple(TermRun(first=first, last=stop, term=term) for first, stop, term in runs),
        last_term=runs[-1][2] if runs else 0,
        last_index=last,
        commit=disk.commit,
        end=disk.end,
        reads_from=0,
        refusals=tuple(reasons),
        voter_sets=sets,
        possible_writes=tuple(Run(first=at, last=at) for at in whole if disk.log[at - 1].writes),
        unreadable=holes,
        faults=tuple(
            Fault(path="/d/wal", offset=4096, kind="checksum", detail="wrong", index=hole) for hole in disk.holes
        ),
        peers=_peers(life, disk),
        blank=not any(one.writes for one in disk.log) and not disk.holes and disk.end == "clean" and not disk.restored,
        founders=life.founders if not disk.restored else disk.log[-1].voters or (),
        born_term=disk.born,
        restored_at=len(disk.log) if disk.restored else 0,
    )


def _tail(disk: Disk, db: DbEvidence | Unknown, log: LogEvidence | Unknown) -> Tail | Unknown:
    if isinstance(db, Unknown) or isinstance(log, Unknown) or db.faults:
        return Unknown(unknown="nothing to replay")
    start = at = db.applied_index
    for run in log.runs:
        if run.first <= at + 1 <= run.last:
            at = run.last
    return Tail(
        from_index=start,
        to_index=at,
        to_term=disk.log[at - 1].term if 0 < at <= len(disk.log) else disk.term,
        revision=1 + len(disk.data) + sum(one.writes for one in disk.log[start:at]),
        writes=tuple(Run(first=n, last=n) for n in range(start + 1, at + 1) if disk.log[n - 1].writes),
        doubts=(),
    )


def made_of(life: Life, base: str, from_index: int, pieces: Sequence[Piece]) -> list[Entry]:
    """The writes of a db and of pieces of logs behind it."""
    out = [*life.disks[int(base[1:])].data] if base else []
    for piece in pieces:
        log = life.disks[int(piece.member[1:])].log
        out += [one for one in log[piece.first - 1 : piece.last] if one.writes]
    return out


def _merged(life: Life, route: Route) -> MergedLog:
    base = route.base.name if route.base else ""
    writes = tuple(
        Run(first=at, last=at)
        for piece in route.pieces
        for at in range(piece.first, piece.last + 1)
        if life.disks[int(piece.member[1:])].log[at - 1].writes
    )
    revision = 1 + len(made_of(life, base, route.from_index, route.pieces))
    tail = Tail(
        from_index=route.from_index,
        to_index=route.to_index,
        to_term=route.to_term,
        revision=revision,
        writes=writes,
        doubts=(),
    )
    return MergedLog(follows=route.follows, base=base, pieces=route.pieces, tail=tail)


def _compared(life: Life) -> Iterator[Comparison]:
    dbs = {
        n: [one.number for one in disk.data]
        for n, disk in life.disks.items()
        if not disk.gone and not disk.no_db and not disk.bad_db
    }
    for count in sorted({len(one) for one in dbs.values()}):
        stands = tuple(
            Stand(member=f"m{n}", value=str(hash(tuple(one[:count]))))
            for n, one in sorted(dbs.items())
            if len(one) >= count
        )
        if len(stands) > 1:
            yield Comparison(what=f"the records up to revision {count + 1}", stands=stands)
    for cluster in sorted({disk.cluster for disk in life.disks.values()}):
        those = {n: life.disks[n] for n in dbs if life.disks[n].cluster == cluster}
        index = max((disk.at for disk in those.values()), default=0)
        there = [n for n, disk in those.items() if set(range(disk.at + 1, index + 1)) <= set(_readable(disk))]
        at_index = {n: _readable(those[n])[index].number for n in there if index in _readable(those[n])}
        there = [n for n in there if at_index.get(n) == at_index.get(there[0])]  # of one history
        stands = tuple(
            Stand(
                member=f"m{n}",
                value=str(1 + len(those[n].data) + sum(one.writes for one in those[n].log[those[n].at : index])),
            )
            for n in there
        )
        if len(stands) > 1:
            yield Comparison(what=f"the revision after entry {index}", stands=stands)
