"""Compare what the members of a cluster hold at points of their common history.

Compared are the records up to a revision that several members have, and the revision that each is at after the same log
entry: etcd 3.5.0 to 3.5.2 can skip an entry after a crash, or apply it twice (etcd#13766), and one flipped byte in a db
is seen by no etcd.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence

from requorum.errors import RequorumError
from requorum.hosts.connection import Connection
from requorum.survey import disks
from requorum.survey.evidence import Checked, Comparison, DbEvidence, LogEvidence, MemberEvidence, Stand, Tail
from requorum.survey.runs import count, within

_State = tuple[int, int] | None
"""Of :meth:`requorum.etcdfiles.records.States.at`: (live, all)."""


def compare(members: Sequence[MemberEvidence], at: Callable[[MemberEvidence], Connection]) -> tuple[Comparison, ...]:
    """Compare the members of each cluster; nothing where fewer than two can be compared."""
    clusters = sorted({one.log.cluster_id for one in members if isinstance(one.log, LogEvidence)})
    found: list[Comparison] = []
    for cluster in clusters or [0]:
        # A member without a log is of the one cluster that there is; of several, nobody can tell which.
        group = [one for one in members if _cluster(one, clusters) == cluster]
        found += [*_keys(group, at), *_revisions(group)]
    return tuple(one for one in found if len(one.stands) > 1)


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
    """At the last entry that every member's unbroken log reaches, the revision that each is at."""
    exact = [
        (one.name, one.db, one.tail)
        for one in members
        if isinstance(one.db, DbEvidence) and isinstance(one.tail, Tail) and not one.tail.doubts
    ]
    if not exact:
        return []
    index = max(db.applied_index for _, db, _ in exact)
    term = max(_term(one, index) for one in members)
    agreeing = {one.name for one in members if term and _term(one, index) == term}  # one term, so one history up to it
    there = [one for one in exact if one[0] in agreeing and one[2].from_index <= index <= one[2].to_index]
    return [
        Comparison(
            what=f"the revision after entry {index}",
            stands=tuple(
                Stand(member=name, value=str(db.revision + count(within(tail.writes, 0, index))))
                for name, db, tail in there
            ),
        )
    ]


def _cluster(member: MemberEvidence, clusters: Sequence[int]) -> int:
    if isinstance(member.log, LogEvidence):
        return member.log.cluster_id
    return clusters[0] if len(clusters) == 1 else 0


def _term(member: MemberEvidence, index: int) -> int:
    """The term of an entry in a member's log; 0 where it has none."""
    runs = member.log.runs if isinstance(member.log, LogEvidence) else ()
    return next((run.term for run in runs if run.first <= index <= run.last), 0)
