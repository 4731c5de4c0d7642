"""Compare what the members of a cluster hold at points of their common history.

Compared are the live keys at a revision that several members have, and the revision that each is at after the same log
entry: etcd 3.5.0 to 3.5.2 can skip an entry after a crash, or apply it twice (etcd#13766), and one flipped byte in a db
is seen by no etcd.
"""

from collections.abc import Callable, Sequence

from requorum.errors import RequorumError
from requorum.hosts.connection import Connection
from requorum.survey import disks
from requorum.survey.evidence import Checked, Comparison, DbEvidence, LogEvidence, MemberEvidence, Stand, Tail
from requorum.survey.runs import count, within


def compare(members: Sequence[MemberEvidence], at: Callable[[MemberEvidence], Connection]) -> tuple[Comparison, ...]:
    """Compare the members of each cluster; nothing where fewer than two can be compared."""
    clusters = sorted({one.log.cluster_id if isinstance(one.log, LogEvidence) else 0 for one in members})
    found: list[Comparison] = []
    for cluster in clusters:
        group = [one for one in members if (one.log.cluster_id if isinstance(one.log, LogEvidence) else 0) == cluster]
        if cluster or len(clusters) == 1:
            found += [*_keys(group, at), *_revisions(group)]
    return tuple(one for one in found if len(one.stands) > 1)


def _keys(members: Sequence[MemberEvidence], at: Callable[[MemberEvidence], Connection]) -> list[Comparison]:
    """At each member's revision, the keys of all that have come so far and were not compacted past it."""
    dbs = {
        one.name: one.db
        for one in members
        if isinstance(one.db, DbEvidence) and one.db.sound and isinstance(one.db.checked, Checked)
    }
    revisions = tuple(sorted({db.revision for db in dbs.values()}))
    known: dict[str, tuple[int | None, ...]] = {}
    for member in members:
        if member.name in dbs and not at(member).bare:
            try:
                known[member.name] = at(member).call(disks.states_at, dbs[member.name].path, revisions)
            except RequorumError:
                continue
    return [
        Comparison(
            what=f"the keys at revision {revision}",
            stands=tuple(
                Stand(member=name, value=f"{state:x}")
                for name, states in known.items()
                if dbs[name].compact_revision <= revision <= dbs[name].revision
                and (state := states[number]) is not None
            ),
        )
        for number, revision in enumerate(revisions)
    ]


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


def _term(member: MemberEvidence, index: int) -> int:
    """The term of an entry in a member's log; 0 where it has none."""
    runs = member.log.runs if isinstance(member.log, LogEvidence) else ()
    return next((run.term for run in runs if run.first <= index <= run.last), 0)
