"""Which logs tell one history, and where others leave it. Pure.

Two logs of one raft group that hold an entry of the same index and term are the same up to it. What follows may differ in
one way only: entries that a deposed leader could not get committed, of a lower term, behind all that is known to be
committed there. Anything else is two histories under one name: a member that was started with ``--force-new-cluster``, a
cluster that was bootstrapped again, a quorum of disks that had forgotten what they acknowledged.
"""

from collections.abc import Sequence

from requorum.survey.evidence import DbEvidence, Footing, Fork, LogEvidence, MemberEvidence, TermRun


def known_commit(member: MemberEvidence) -> int:
    """The last entry that a member's disk proves to be committed, by a checksum or by what its db holds of the log."""
    log, db = member.log, member.db
    if not isinstance(log, LogEvidence):
        return 0
    found = min(log.commit, max([log.last_index, *(run.last for run in log.unreadable)]))
    if isinstance(db, DbEvidence) and db.sound and isinstance(db.footing, Footing):
        if db.footing.kind in ("records", "start"):
            found = max(found, min(db.consistent_index, log.last_index), db.footing.index)
        elif db.footing.kind == "beyond":
            found = max(found, log.last_index + db.footing.extra)
        elif db.footing.kind in ("moved", "unclear"):
            found = max(found, db.footing.index)
    return found


def fork_of(one: MemberEvidence, other: MemberEvidence, forks: Sequence[Fork]) -> int:
    """The first entry at which two members' logs are known to differ, by its term or by what it holds; 0 for none."""
    if not isinstance(one.log, LogEvidence) or not isinstance(other.log, LogEvidence):
        return 0
    found = [_terms_differ(_terms_of(one, one.log), _terms_of(other, other.log))]
    for fork in forks:
        mine = [at for at, group in enumerate(fork.groups) if one.name in group]
        theirs = [at for at, group in enumerate(fork.groups) if other.name in group]
        if mine and theirs and mine != theirs:
            found.append(fork.index)
    return min((index for index in found if index), default=0)


def applied_alike(
    member: MemberEvidence, db: DbEvidence, other: MemberEvidence, log: LogEvidence, only: bool, forks: Sequence[Fork]
) -> int:
    """Up to which entry ``other``'s log surely holds what a member has applied to its db: what is known to be committed there,
    and what both hold under one term. 0 for another cluster's log, or another history's. Where the member's own log is gone,
    its db tells by its term, if the logs are of one cluster ``only``."""
    if isinstance(member.log, LogEvidence):
        if member.log.cluster_id != log.cluster_id or fork_of(other, member, forks):
            return 0
        both = [
            min(mine.last, theirs.last)
            for mine in member.log.runs
            for theirs in log.runs
            if mine.term == theirs.term and max(mine.first, theirs.first) <= min(mine.last, theirs.last)
        ]
        return max([known_commit(other), *both])
    if not only:
        return 0
    term = next((run.term for run in log.runs if run.first <= db.consistent_index <= run.last), 0)
    return max(known_commit(other), db.consistent_index if term and term == db.term else 0)


def _terms_of(member: MemberEvidence, log: LogEvidence) -> tuple[TermRun, ...]:
    """The terms of a log's entries, and of one that cannot be read there any more where the db is at it, and its records are tied
    to the rest."""
    db = member.db
    if not isinstance(db, DbEvidence) or not db.sound or not db.term or not isinstance(db.footing, Footing):
        return log.runs
    at = db.applied_index
    read = any(one.first <= at <= one.last for one in log.runs)
    if (
        db.footing.kind not in ("records", "beyond")
        or read
        or at <= max((run.last for run in log.runs if run.term > db.term), default=0)
    ):
        return log.runs
    return tuple(sorted((*log.runs, TermRun(first=at, last=at, term=db.term)), key=lambda one: one.first))


def _terms_differ(one: Sequence[TermRun], other: Sequence[TermRun]) -> int:
    """The first index at which two logs have different terms, whether both entries can be read or not: terms never fall along a
    log, so one that goes on in a lower term than another's entry had no entry of that term there. 0 for none."""
    found = []
    for mine in one:
        for theirs in other:
            first = max(mine.first, theirs.first)
            if first <= min(mine.last, theirs.last) and mine.term != theirs.term:
                found.append(first)
            elif mine.term < theirs.term and mine.first > theirs.first:
                found.append(theirs.first)
            elif mine.term > theirs.term and mine.first < theirs.first:
                found.append(mine.first)
    return min(found, default=0)


def rewritten(one: MemberEvidence, other: MemberEvidence, forks: Sequence[Fork]) -> bool:
    """Whether two logs differ as no two logs of one raft group may: below an entry of the same index and term, or in it."""
    at = fork_of(one, other, forks)
    if not at:
        return False
    assert isinstance(one.log, LogEvidence)
    assert isinstance(other.log, LogEvidence)
    for mine in one.log.runs:
        for theirs in other.log.runs:
            first, last = max(mine.first, theirs.first, at), min(mine.last, theirs.last)
            if first <= last and mine.term == theirs.term:
                return True
    return False


def superseded(one: MemberEvidence, by: MemberEvidence, forks: Sequence[Fork]) -> bool:
    """Whether what a log holds behind the fork is a deposed leader's: the other log is the higher one, and nothing of it is
    known to be committed. Where they part, its term may be the later one all the same: a leader of a term between the two
    may have got nothing to anybody."""
    at = fork_of(one, by, forks)
    return bool(at) and _last(one) < _last(by) and not rewritten(one, by, forks) and known_commit(one) < at


def agrees(one: MemberEvidence, head: MemberEvidence, forks: Sequence[Fork]) -> bool:
    """Whether a log is of the history that ``head`` ends: the same as far as both go, or left behind by right."""
    return one is head or not fork_of(one, head, forks) or superseded(one, head, forks)


def heads(members: Sequence[MemberEvidence], forks: Sequence[Fork]) -> tuple[MemberEvidence, ...]:
    """The ends of all histories that the members' logs tell, the highest log first: one, unless they contradict each other."""
    logs = [one for one in members if isinstance(one.log, LogEvidence)]
    logs.sort(key=lambda one: (_last(one), known_commit(one)), reverse=True)
    found: list[MemberEvidence] = []
    for one in logs:
        if not any(agrees(one, head, forks) for head in found):
            found.append(one)
    return tuple(found)


def _last(member: MemberEvidence) -> tuple[int, int]:
    assert isinstance(member.log, LogEvidence)
    return member.log.last
