"""One log out of those of several members: which entries of which log, and why they are the right ones. Pure.

What is followed is the highest log by (last term, last index): raft would go on from it, and with a majority of voters'
logs read it holds every acknowledged write. Where a record of it is damaged or missing, another member's takes its
place, because of two properties of raft (the Raft paper, figure 3):

- Log Matching: two logs that hold an entry of the same index and term are the same up to it. So all that another log
  holds up to such an entry is what the highest log held.
- A term has one leader, and that makes one entry for an index. Terms never fall along a log. So between two entries of
  one term all are of that term, and an entry of that term at a missing index is the one that is missing.

An entry that neither proves is taken only if its term may stand there, and is said to be unproven.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from requorum.survey.evidence import (
    DbEvidence,
    Footing,
    Fork,
    LogEvidence,
    MemberEvidence,
    Piece,
    Run,
    TermRun,
    Unknown,
)
from requorum.survey.lineage import agrees, heads
from requorum.survey.runs import minus

_NO_TERM = 1 << 62


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """How far the followed log leads from a db (from nothing when ``base`` is None), and over which pieces."""

    follows: str
    base: MemberEvidence | None
    from_index: int
    to_index: int
    to_term: int
    pieces: tuple[Piece, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Stretch:
    """Entries of one term that are known to stand in the followed log."""

    first: int
    last: int
    term: int
    member: str
    why: str
    proven: bool = True


def routes(
    members: Sequence[MemberEvidence], without: Sequence[str] = (), forks: Sequence[Fork] = ()
) -> tuple[Route, ...]:
    """The best route of each history that the members' logs tell, where it takes more than one member's own log.

    Best is what leads furthest; then the db that leaves least to replay. The dbs of members ``without`` do not count.
    """
    clusters = sorted({one.log.cluster_id for one in members if isinstance(one.log, LogEvidence)})
    found = []
    for cluster in clusters:
        group = [one for one in members if isinstance(one.log, LogEvidence) and one.log.cluster_id == cluster]
        own = [one for one in members if one in group or (isinstance(one.log, Unknown) and len(clusters) == 1)]
        own = [one for one in own if one.name not in without]
        for head in heads(group, forks):
            along = [one for one in group if agrees(one, head, forks)]
            best = _best(head, along, [one for one in own if one in along or isinstance(one.log, Unknown)])
            if best is not None:
                found.append(best)
    elsewhere = {
        one.name: one.log.wal_dir for one in members if isinstance(one.log, LogEvidence) and one.log.cut_by_etcd
    }
    return tuple(
        replace(one, pieces=tuple(replace(piece, wal_dir=elsewhere.get(piece.member, "")) for piece in one.pieces))
        for one in found
    )


def _log(member: MemberEvidence) -> LogEvidence:
    assert isinstance(member.log, LogEvidence)
    return member.log


def _best(followed: MemberEvidence, group: Sequence[MemberEvidence], bases: Sequence[MemberEvidence]) -> Route | None:
    """The best route of one history; onto a db that was altered only where there is no other."""
    stretches = _history(followed, [one for one in group if one is not followed])
    sound = [
        one
        for one in bases
        if isinstance(one.db, DbEvidence)
        and one.db.sound
        and _lies_on(one.db, stretches)
        and _kind(one) not in _NO_BASE
    ]
    whole = [one for one in sound if _kind(one) != "altered"]
    # What a log says that a restore began comes on top of a db; so may one whose beginning cannot be read.
    begins = {_log(one).restored_at for one in group}
    empty = 0 in begins and begins <= {0, None}
    best = _furthest(followed, stretches, whole, empty) or _furthest(followed, stretches, sound, empty)
    if best is None or (best.base is not None and {piece.member for piece in best.pieces} == {best.base.name}):
        return None
    return best


def _furthest(
    followed: MemberEvidence, stretches: Sequence[_Stretch], bases: Sequence[MemberEvidence], empty: bool
) -> Route | None:
    found: list[Route | None] = []
    reached = 0
    for base in bases:
        assert isinstance(base.db, DbEvidence)
        reached = max(reached, base.db.applied_index)
        near = stretches if base is followed else _nearest(base, stretches)
        found.append(_route(followed.name, base, base.db.applied_index, near))
    alone = _route(followed.name, None, 0, stretches) if empty else None
    found.append(alone if alone is not None and alone.to_index > reached else None)
    return max(
        (one for one in found if one is not None),
        key=lambda one: (one.to_index, all(piece.proven for piece in one.pieces), one.from_index),
        default=None,
    )


def _lies_on(db: DbEvidence, stretches: Sequence[_Stretch]) -> bool:
    """Whether a db's last entry is one of this history, as far as the terms tell (3.4 does not save the term)."""
    if db.applied_index != db.consistent_index:
        return True  # its index and term are refuted already; its records lie where its own log wrote them
    term = _term_at(stretches, db.consistent_index)
    return not term or not db.term or term == db.term


_NO_BASE = ("refuted", "unclear")
"""Of dbs onto which no log can be replayed: another's, or of nobody knows which entry."""


def _kind(member: MemberEvidence) -> str:
    footing = member.db.footing if isinstance(member.db, DbEvidence) else None
    return footing.kind if isinstance(footing, Footing) else ""


def _term_at(stretches: Iterable[_Stretch | TermRun], index: int) -> int:
    return next((one.term for one in stretches if one.first <= index <= one.last), 0)


def _route(follows: str, base: MemberEvidence | None, at: int, stretches: Sequence[_Stretch]) -> Route | None:
    """From entry ``at`` on as far as there is no gap."""
    pieces: list[Piece] = []
    term, to = 0, at
    for one in sorted(stretches, key=lambda one: one.first):
        if one.last <= to:
            continue
        if one.first > to + 1:
            break
        piece = Piece(member=one.member, first=to + 1, last=one.last, why=one.why, proven=one.proven)
        before = pieces[-1] if pieces else None
        if before is not None and (before.member, before.why) == (piece.member, piece.why):
            pieces[-1] = replace(before, last=piece.last)
        else:
            pieces.append(piece)
        term, to = one.term, one.last
    if to == at:
        return None
    return Route(follows=follows, base=base, from_index=at, to_index=to, to_term=term, pieces=tuple(pieces))


def _history(followed: MemberEvidence, others: Sequence[MemberEvidence]) -> list[_Stretch]:
    """Every entry of the followed log that some log holds."""
    why = "the highest log"
    known = [
        _Stretch(first=run.first, last=run.last, term=run.term, member=followed.name, why=why)
        for run in _log(followed).runs
    ]
    left = list(others)
    while True:
        matched = [(one, at) for one in left if (at := last_shared(_log(one).runs, known))]
        if not matched:
            break
        other, at = max(matched, key=lambda one: (one[1], one[0].name))
        left.remove(other)
        if _contradicts(_log(other).runs, known, at):
            others = [one for one in others if one is not other]
            continue
        known += _missing(other, known, 1, at, f"same term as the highest log at entry {at}")
    for gap, terms in _gaps(known, followed):
        if terms[0] == terms[1]:
            for other in others:
                inside = _missing(other, known, gap.first, gap.last, f"of term {terms[0]}, as its neighbours")
                known += [one for one in inside if one.term == terms[0]]
    for gap, terms in _gaps(known, followed):
        for other in sorted(others, key=lambda one: _log(one).last, reverse=True):
            inside = _missing(other, known, gap.first, gap.last, "nothing proves that the highest log held the same")
            known += [replace(one, proven=False) for one in inside if terms[0] <= one.term <= terms[1]]
    return sorted(known, key=lambda one: one.first)


def _gaps(known: Sequence[_Stretch], followed: MemberEvidence) -> list[tuple[Run, tuple[int, int]]]:
    """What is missing below the last entry, with the terms before and behind it (0 where nothing comes before)."""
    last = _log(followed).last_index
    missing = minus([Run(first=1, last=last)], [Run(first=one.first, last=one.last) for one in known])
    return [(gap, (_term_at(known, gap.first - 1), _term_at(known, gap.last + 1) or _NO_TERM)) for gap in missing]


def last_shared(runs: Iterable[TermRun], others: Sequence[_Stretch | TermRun]) -> int:
    """The last index at which two logs hold an entry of the same term: they are the same up to it. 0 when there is none."""
    found = 0
    for run in runs:
        for one in others:
            first, last = max(run.first, one.first), min(run.last, one.last)
            if first <= last and run.term == one.term:
                found = max(found, last)
    return found


def _contradicts(runs: Sequence[TermRun], known: Sequence[_Stretch], at: int) -> bool:
    """Whether a log differs below an entry that it shares: then they are not of one raft group, whatever their ids say."""
    for run in runs:
        for one in known:
            first, last = max(run.first, one.first), min(run.last, one.last, at)
            if first <= last and run.term != one.term:
                return True
    return False


def _missing(other: MemberEvidence, known: Sequence[_Stretch], first: int, last: int, why: str) -> list[_Stretch]:
    """What a log holds from ``first`` to ``last`` that is not known yet."""
    have = [Run(first=one.first, last=one.last) for one in known]
    return [
        _Stretch(first=gap.first, last=gap.last, term=run.term, member=other.name, why=why)
        for run in _log(other).runs
        for gap in minus([Run(first=max(run.first, first), last=min(run.last, last))], have)
    ]


def _nearest(base: MemberEvidence, stretches: Sequence[_Stretch]) -> list[_Stretch]:
    """The same history, from the base's own log where that holds it: then less has to be fetched from elsewhere."""
    if not isinstance(base.log, LogEvidence):
        return list(stretches)
    proven = [one for one in stretches if one.proven]
    at = last_shared(base.log.runs, proven)
    if not at or _contradicts(base.log.runs, proven, at):
        return list(stretches)
    why = f"same term as the highest log at entry {at}"
    own = _missing(base, [], 1, at, why)
    covered = [Run(first=one.first, last=one.last) for one in own]
    rest = [
        replace(one, first=left.first, last=left.last)
        for one in stretches
        for left in minus([Run(first=one.first, last=one.last)], covered)
    ]
    return sorted([*own, *rest], key=lambda one: one.first)
