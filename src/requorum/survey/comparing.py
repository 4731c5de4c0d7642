"""Compare what the members of a cluster hold at points of their common history.

Compared are the records up to a revision that several members have, and the revision that each is at after the same log
entry: etcd 3.5.0 to 3.5.2 can skip an entry after a crash, or apply it twice (etcd#13766), and one flipped byte in a db
is seen by no etcd.
"""

import dataclasses
import secrets
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence

from requorum.errors import RequorumError
from requorum.etcdfiles.provenance import UNTOLD
from requorum.hosts.connection import Connection, Here
from requorum.survey import disks, merging
from requorum.survey.evidence import (
    Checked,
    Comparison,
    DbEvidence,
    Footing,
    Fork,
    LogEvidence,
    MemberEvidence,
    Piece,
    SnapshotEvidence,
    Stand,
    Tail,
)
from requorum.survey.lineage import applied_alike
from requorum.survey.runs import count, within

MOST_BROUGHT = 6 * (64 << 20)
"""Bytes: a larger log is not brought to the host of a db that its own does not tell of. etcd keeps five WAL files of 64 MB
(``--max-wals``) and the one that it writes: one that reaches back to the first entry is rarely larger."""
_HELD = ("records", "start", "beyond", "refuted")
"""What a footing may be with nothing to be said against the index that the db gives itself but by its log."""
_State = tuple[int, int] | None
"""Of :meth:`requorum.etcdfiles.records.States.at`: (live, all)."""


def compare(
    members: Sequence[MemberEvidence],
    at: Callable[[MemberEvidence], Connection],
    snapshots: Sequence[SnapshotEvidence] = (),
    host_of: Callable[[SnapshotEvidence], Connection] = lambda _: Here(),
    *,
    in_full: bool = True,
) -> tuple[Comparison, ...]:
    """Compare the members of each cluster, and each snapshot with them; nothing where fewer than two can be compared. Not
    ``in_full``: only the revisions that dbs of one index say."""
    clusters = sorted({one.log.cluster_id for one in members if isinstance(one.log, LogEvidence)})
    found: list[Comparison] = []
    for cluster in clusters or [0]:
        # A member without a log is of the one cluster that there is; of several, nobody can tell which.
        group = [one for one in members if _cluster(one, clusters) == cluster]
        found += [*(_keys(group, at) if in_full else ()), *_revisions(group)]
        found += _with_snapshots(group, at, snapshots, host_of) if in_full else []
    return tuple(one for one in found if len(one.stands) > 1)


def with_provenance(
    members: Sequence[MemberEvidence],
    found: Sequence[Comparison],
    at: Callable[[MemberEvidence], Connection],
    forks: Sequence[Fork] = (),
) -> list[MemberEvidence]:
    """The members, with what the logs say of those sound dbs that no majority of others speaks for or against, as far as they go,
    and of those that differ from others: whether a record of them was altered, or they are of their logs all the same.

    A db of which most was written by the log beside it is of that log, however it was damaged; one of which little was is of
    another life.
    """
    differ = {one.member for each in found if not each.agreed for one in each.stands}
    out = []
    for one in members:
        db = one.db
        if isinstance(db, DbEvidence) and db.sound and not at(one).bare:
            settled = 0 if one.name in differ else _settled_to(one, db, found)
            if settled < db.revision and not _written_since(one, db, settled, at):
                one = _held_against_logs(one, db, members, at, forks)
        out.append(one)
    return out


def _written_since(
    member: MemberEvidence, db: DbEvidence, settled: int, at: Callable[[MemberEvidence], Connection]
) -> bool:
    """Whether all that no other db holds, too, is what the member's log wrote; asked where there is something that they do."""
    if settled < 2 or not isinstance(member.log, LogEvidence):
        return False
    try:
        return at(member).call(disks.written_since, db.path, member.log.wal_dir, settled)
    except RequorumError:
        return False


def _held_against_logs(
    member: MemberEvidence,
    db: DbEvidence,
    members: Sequence[MemberEvidence],
    at: Callable[[MemberEvidence], Connection],
    forks: Sequence[Fork],
) -> MemberEvidence:
    footing = db.footing.kind if isinstance(db.footing, Footing) else ""
    log = member.log if isinstance(member.log, LogEvidence) else None
    try:
        brought, brought_to = _of_another(member, db, members, at, forks)
        if log is None and not brought:
            return member
        told, tied = at(member).call(
            disks.provenance_of,
            db.path,
            log.wal_dir if log is not None else "",
            begins_empty=log is not None and _reach(log) > 0,
            index_known=footing == "records",
            brought=brought,
            brought_to=brought_to,
        )
    except RequorumError:
        told, tied = UNTOLD, None
    if isinstance(tied, Footing) and tied.kind in ("moved", "unclear"):
        # Without a log beside it nothing has told yet that its index is not where its data ends.
        db = dataclasses.replace(db, footing=tied, applied_index=tied.index)
    if told.why and (footing in ("records", "start") or 2 * told.foreign < told.records):
        db = dataclasses.replace(db, footing=Footing(kind="altered", index=db.consistent_index, why=told.why))
    elif told.whole and told.records and not told.why:
        db = dataclasses.replace(db, of_its_log=True)
    return dataclasses.replace(member, db=db)


def _of_another(
    member: MemberEvidence,
    db: DbEvidence,
    members: Sequence[MemberEvidence],
    at: Callable[[MemberEvidence], Connection],
    forks: Sequence[Fork],
) -> tuple[tuple[bytes, ...], int]:
    """The entries of the log of the same history that goes furthest from the first one on, encoded, and up to which of them a
    member surely applied the same ones; none where its own log has as many, or they are too many to be brought. Raises
    RequorumError."""
    own = member.log if isinstance(member.log, LogEvidence) else None
    if own is not None and own.restored_at:
        return (), 0  # its store did not begin with entry 1
    mine = _reach(own) if own is not None else 0
    only = len({one.log.cluster_id for one in members if isinstance(one.log, LogEvidence)}) == 1
    best, log, furthest = None, None, mine
    for one in members if mine < db.consistent_index else ():
        if isinstance(one.log, LogEvidence) and _reach(one.log) > mine:
            shared = min(applied_alike(member, db, one, one.log, only, forks), _reach(one.log))
            if shared > furthest:
                best, log, furthest = one, one.log, shared
    if best is None or log is None:
        return (), 0
    brought: list[bytes] = []
    size = 0
    piece = Piece(member=best.name, first=1, last=_reach(log), why="")
    for some in merging.fetch([piece], lambda _: (at(best), log.wal_dir)):
        brought += some
        size += sum(map(len, some))
        if size > MOST_BROUGHT:
            return (), 0
    return tuple(brought), furthest


def _reach(log: LogEvidence) -> int:
    """The last entry up to which a log has every one since the store was empty; 0 where it does not reach back that far."""
    at = 0
    for run in log.runs if log.restored_at == 0 else ():
        if run.first != at + 1:
            break
        at = run.last
    return at


def _settled_to(member: MemberEvidence, db: DbEvidence, found: Sequence[Comparison]) -> int:
    """Up to which revision comparisons settle what a sound db holds: a majority holds the same, with it or against it. All of one
    that is not tied to its log: something else speaks against that."""
    if isinstance(db.footing, Footing) and db.footing.kind not in _HELD:
        return db.revision
    out = 0
    for each in found:
        values = [one.value for one in each.stands]
        asked = each.of_records and member.name in [one.member for one in each.stands]
        if asked and 2 * Counter(values).most_common(1)[0][1] > len(values):
            out = max(out, each.records_up_to)
    return out


def _keys(members: Sequence[MemberEvidence], at: Callable[[MemberEvidence], Connection]) -> list[Comparison]:
    """At each member's revision, the records of all that have come so far and were not compacted past it."""
    dbs = {
        one.name: one.db
        for one in members
        if isinstance(one.db, DbEvidence) and one.db.sound and isinstance(one.db.checked, Checked)
    }
    revisions = sorted({db.revision for db in dbs.values()})
    compacted = {revision: _compacted(dbs.values(), revision) for revision in revisions}
    asked = tuple(sorted({*revisions, *compacted.values()}))
    known: dict[str, dict[int, _State]] = {}
    for member in members:
        if member.name in dbs and not at(member).bare:
            try:
                said = at(member).call(disks.states_at, dbs[member.name].path, asked)
            except RequorumError:
                continue
            known[member.name] = dict(zip(asked, said, strict=True))
    return [
        Comparison(
            what=f"the records up to revision {revision}", stands=_stands(dbs, known, revision, compacted[revision])
        )
        for revision in revisions
    ]


def _with_snapshots(
    members: Sequence[MemberEvidence],
    at: Callable[[MemberEvidence], Connection],
    snapshots: Sequence[SnapshotEvidence],
    host_of: Callable[[SnapshotEvidence], Connection],
) -> list[Comparison]:
    """Each snapshot and each member, at the lower revision of the two: what lives then. Where a snapshot is ahead of every
    member, and was compacted beyond what they hold: what it still holds of their time; one that has all of it is enough."""
    dbs = [(one, one.db) for one in members if isinstance(one.db, DbEvidence) and one.db.sound and not at(one).bare]
    dbs.sort(key=lambda one: -one[1].revision)
    out = []
    for snapshot in snapshots:
        saved, there = snapshot.db, host_of(snapshot)
        if not isinstance(saved, DbEvidence) or not saved.sound or there.bare:
            continue
        found = [_compared(one, snapshot, _same_time(db, at(one), saved, there)) for one, db in dbs]
        if not any(found) and dbs and saved.revision > dbs[0][1].revision:
            for one, db in dbs:
                found.append(_compared(one, snapshot, _by_remnants(db, at(one), saved, there)))
                if found[-1] is not None and found[-1].agreed:
                    break
        out += [one for one in found if one is not None]
    return out


_Pair = tuple[int, str, str] | None
"""Up to which revision two dbs were compared, and what the member's and the snapshot's came to; None where nothing was."""


def _compared(member: MemberEvidence, snapshot: SnapshotEvidence, pair: _Pair) -> Comparison | None:
    if pair is None:
        return None
    revision, mine, its = pair
    stands = (Stand(member=member.name, value=mine), Stand(member=snapshot.name, value=its))
    return Comparison(what=f"the records up to revision {revision}", stands=stands)


def _same_time(db: DbEvidence, here: Connection, saved: DbEvidence, there: Connection) -> _Pair:
    """What lives at a revision of which both know everything."""
    revision = min(saved.revision, db.revision)
    if revision < max(saved.compact_revision, db.compact_revision):
        return None
    try:
        (its,) = there.call(disks.states_at, saved.path, (revision,))
        (mine,) = here.call(disks.states_at, db.path, (revision,))
    except RequorumError:
        return None
    return None if its is None or mine is None else (revision, f"{mine[0]:x}", f"{its[0]:x}")


def _by_remnants(db: DbEvidence, here: Connection, saved: DbEvidence, there: Connection) -> _Pair:
    """How many remnants of an earlier db's time there are in a snapshot, and how many of them that db holds: up to the newest of
    those the two are of one history."""
    key = secrets.token_hex(32)
    try:
        asked = there.call(disks.remnants_of, saved.path, db.revision, key)
        found = here.call(disks.matched, db.path, db.revision, key, asked) if asked else None
    except RequorumError:
        return None
    if found is None:
        return None
    return db.revision if found.missing else found.revision, str(found.held), str(found.held + found.missing)


def _stands(
    dbs: Mapping[str, DbEvidence], known: Mapping[str, Mapping[int, _State]], revision: int, compacted: int
) -> tuple[Stand, ...]:
    """What was live at the compaction and all that was written since, of each member that can tell; only what is live at
    the revision where one of them cannot tell any more what was at the compaction: all must be asked the same."""
    there = {
        name: states
        for name, states in known.items()
        if dbs[name].compact_revision <= revision <= dbs[name].revision and states[revision] is not None
    }
    in_depth = all(states[compacted] is not None for states in there.values())
    return tuple(
        Stand(member=name, value=_value(states[compacted] if in_depth else None, states[revision]))
        for name, states in there.items()
    )


def _compacted(dbs: Iterable[DbEvidence], revision: int) -> int:
    """The revision up to which some of the members that are compared at ``revision`` were compacted."""
    return max(db.compact_revision for db in dbs if db.compact_revision <= revision <= db.revision)


def _value(compacted: _State, now: _State) -> str:
    assert now is not None
    if compacted is None:
        return f"{now[0]:x}"
    return f"{(now[1] - compacted[1]) % (1 << 64) ^ compacted[0]:x}"


def _revisions(members: Sequence[MemberEvidence]) -> list[Comparison]:
    """The revision that members are at: after the last entry that every unbroken log reaches, of those that were replayed
    exactly; of the others, where several dbs stand at one index."""
    found = [
        (one.name, one.db, one.tail) for one in members if isinstance(one.db, DbEvidence) and isinstance(one.tail, Tail)
    ]
    exact = [one for one in found if not one[2].doubts]
    last = max((db.applied_index for _, db, _ in exact), default=0)
    places = {last: exact}
    for index in {db.applied_index for _, db, tail in found if tail.doubts and _at_rest(db)}:
        there = [one for one in found if one[1].applied_index == index and _at_rest(one[1])]
        known = places.get(index, [])
        places[index] = known + [one for one in there if one not in known]
    return [_revision_after(members, index, those) for index, those in sorted(places.items()) if len(those) > 1]


def _revision_after(
    members: Sequence[MemberEvidence], index: int, those: Sequence[tuple[str, DbEvidence, Tail]]
) -> Comparison:
    term = max(_term(one, index) for one in members)
    agreeing = {one.name for one in members if term and _term(one, index) == term}  # one term, so one history up to it
    return Comparison(
        what=f"the revision after entry {index}",
        stands=tuple(
            Stand(member=name, value=str(db.revision + count(within(tail.writes, 0, index))))
            for name, db, tail in those
            if name in agreeing and tail.from_index <= index <= tail.to_index
        ),
    )


def _at_rest(db: DbEvidence) -> bool:
    """Whether nothing speaks against the index that a db gives itself."""
    kind = db.footing.kind if isinstance(db.footing, Footing) else ""
    return db.applied_index == db.consistent_index and kind in ("", "records", "start")


def _cluster(member: MemberEvidence, clusters: Sequence[int]) -> int:
    if isinstance(member.log, LogEvidence):
        return member.log.cluster_id
    return clusters[0] if len(clusters) == 1 else 0


def _term(member: MemberEvidence, index: int) -> int:
    """The term of an entry in a member's log; 0 where it has none."""
    runs = member.log.runs if isinstance(member.log, LogEvidence) else ()
    return next((run.term for run in runs if run.first <= index <= run.last), 0)
