"""Whether the cluster can simply be started on the disks it has: nothing lost, same cluster id, same revisions.

Only if (a) the members to be started are a majority of every voter set in force from the lowest known commit to the last
index; (b) one of them holds the highest (term, index) readable on any disk, damaged ones and learners included, and no
commit or consistent index anywhere exceeds it; (c) their dbs passed a full reading; (d) every other member is fenced
before the first start; (e) log and db were copied aside. (d) and (e) are the plan's.

The members are not started all at once: first a bare majority that holds the highest log, then, once that has a leader,
the rest. Who holds the highest log gives its vote to nobody with a lower one, and without it there is no majority.

Why (b): leader and one follower acknowledge writes while the third is behind; the follower's log is later cut at a
record boundary, which looks clean; the cut one and the slow one are a majority, elect each other, and the leader, once
back, throws its acknowledged entries away.
"""

import itertools
from collections.abc import Sequence

from requorum.survey.evidence import DbEvidence, Footing, LogEvidence, MemberEvidence, Survey, Tail, Unknown
from requorum.survey.lineage import known_commit
from requorum.verdict.asides import index_counted
from requorum.verdict.identity import member_id
from requorum.verdict.membership import Electorate
from requorum.verdict.newest import Newest
from requorum.verdict.values import LeftBehind, StartAsIs
from requorum.verdict.witnesses import majority, may_have_reached

DRIFT = 64
"""Entries: an index that is so little ahead of its data is what etcd 3.5.0 to 3.5.2 leave behind (etcd#13766)."""


def start_as_is(survey: Survey, cluster: Electorate, newest: Newest) -> tuple[StartAsIs | None, str]:
    """The members to start, or why that would not do."""
    reasons = {member.name: _why_not_here(member, cluster) for member in cluster.counted}
    fit = [member for member in cluster.counted if not reasons[member.name]]
    left = [LeftBehind(member=name, why=why) for name, why in reasons.items() if why]
    counted = {member.name for member in cluster.counted}
    left += [LeftBehind(member=one.name, why="not counted") for one in survey.members if one.name not in counted]
    meeting = {member_id(member) for member in fit if member.name not in cluster.who.moved}
    if not fit:
        return None, "no member can start: " + "; ".join(f"{one.member}: {one.why}" for one in left)
    if not cluster.voters:
        return None, "no log tells who votes"
    for each in cluster.voter_sets:
        there = {member_id(member) for member in fit if member_id(member) in each.voters}
        if len(there) < majority(len(each.voters)):
            broken = "; ".join(f"{one.member}: {one.why}" for one in left)
            return None, (
                f"only {len(there)} of {len(each.voters)} voters could start, {majority(len(each.voters))} are needed"
                + (f" ({broken})" if broken else "")
            )
        if len(there & meeting) < majority(len(each.voters)) or (cluster.who.moved and len(cluster.voter_sets) > 1):
            known = "; ".join(f"{name} at {', '.join(urls)}" for name, urls in sorted(cluster.who.moved.items()))
            return None, f"the members would look for each other at addresses that they no longer have ({known})"
    logs = {member.name: member.log for member in cluster.counted if isinstance(member.log, LogEvidence)}
    holder, highest = max(((name, log.last) for name, log in logs.items()), key=lambda one: one[1])
    best = max(logs[member.name].last for member in fit)
    if best < highest:
        return None, (
            f"{holder} holds the highest log (term {highest[0]}, index {highest[1]}) and cannot start; the others end at "
            f"term {best[0]}, index {best[1]} and would overwrite what is only there"
        )
    if max(logs[member.name].last for member in fit if member_id(member) in meeting) < highest:
        return None, f"{holder} holds the highest log, and the others look for it at an address that it no longer has"
    if why := _only_a_learner_holds(fit, cluster):
        return None, why
    seen = [log.commit for log in logs.values()]
    seen += [known_commit(member) for member in cluster.counted if member.name not in cluster.diverged]
    seen += [index_counted(member, cluster) for member in cluster.counted]
    if max(seen) > best[1]:
        return None, f"entry {max(seen)} was committed, but the highest log that is left ends at {best[1]}"
    if newest.unproven:
        return None, f"it is not proven that nothing else would be lost: {newest.unproven}"
    for one in newest.held:
        if one.writes:
            names = " and ".join(one.names)
            return (
                None,
                f"{names} {one.what} from entry {one.fork} on, with at most {one.writes} writes in it",
            )
    first = _first(fit, cluster)
    return StartAsIs(
        members=tuple(member.name for member in fit),
        first=tuple(member.name for member in first),
        left_behind=tuple(left),
        revision=_least_revision(first, cluster),
    ), ""


def _only_a_learner_holds(fit: Sequence[MemberEvidence], cluster: Electorate) -> str:
    """Entries that one who cannot be elected holds alone: it would throw them away. A voter's torn write may have been them, or
    its disk went back in time. Empty where some voter holds the end."""
    voters = [one for one in fit if member_id(one) in cluster.voters]
    top = max(_last(one) for one in voters)
    learner = max((one for one in fit if one not in voters), key=_last, default=None)
    if learner is None or _last(learner) <= top:
        return ""
    torn = [one.name for one in voters if may_have_reached(one, top[1] + 1)]
    why = f"; the log of {' and '.join(torn)} ends before them in what looks like a torn write" if torn else ""
    return (
        f"{learner.name}, which does not vote, holds entries from {top[1] + 1} on that no voter has, and would throw them away"
        f"{why}"
    )


def _last(member: MemberEvidence) -> tuple[int, int]:
    return member.log.last if isinstance(member.log, LogEvidence) else (0, 0)


def _first(fit: list[MemberEvidence], cluster: Electorate) -> list[MemberEvidence]:
    """Bare majorities of every voter set, the highest logs first: so few that without the highest one there is none. Everyone
    where there are no such, since what is a bare majority of one set may be more than that of another. Who has another address
    than the others know comes later, when a leader can be told."""
    voters = sorted((one for one in fit if member_id(one) in cluster.voters), key=_last, reverse=True)
    if len(cluster.voter_sets) == 1:
        voters = [one for one in voters if one.name not in cluster.who.moved]
        return voters[: majority(len(cluster.voters))]
    every = sorted(fit, key=_last, reverse=True)
    every = [one for one in every if any(member_id(one) in each.voters for each in cluster.voter_sets)]
    for size in range(1, len(every) + 1):
        for others in itertools.combinations(every[1:], size - 1):
            chosen = {member_id(one) for one in (every[0], *others)}
            if all(len(chosen & set(each.voters)) == majority(len(each.voters)) for each in cluster.voter_sets):
                return [every[0], *others]
    return voters


def _least_revision(first: list[MemberEvidence], cluster: Electorate) -> int:
    """The least revision at which the cluster can come back: whoever is elected has a log at least as high as those of
    a majority, so at least as high as the lowest that a majority reaches."""
    lowest = sorted(_last(one) for one in first)[majority(len(cluster.voters)) - 1]
    electable = [one for one in first if _last(one) >= lowest]
    dbs = [one.db.revision for one in electable if isinstance(one.db, DbEvidence)]
    known = [one.tail.revision for one in electable if isinstance(one.tail, Tail) and not one.tail.doubts]
    return min(known) if len(known) == len(electable) else min(dbs)


def _why_not_here(member: MemberEvidence, cluster: Electorate) -> str:
    """Why a member must not be started, by its own disk or by those of the others."""
    if member.name in cluster.who.copies:
        return cluster.who.copies[member.name]
    if cluster.voter_sets and member_id(member) not in (*cluster.voters, *cluster.voter_sets[-1].learners, 0):
        return "the log removes it from the cluster: it would stop by itself"
    if member.name in cluster.claims.refuted:
        return f"its db contradicts what is checked: {cluster.claims.refuted[member.name]}"
    if member.name in cluster.diverged:
        return "its data differs from what a majority holds"
    return why_not(member) or cluster.claims.unfit.get(member.name, "")


def why_not(member: MemberEvidence) -> str:
    """Why a member must not be started on its disk; empty when it may."""
    if isinstance(member.log, Unknown):
        return f"its log cannot be read: {member.log.unknown}"
    if isinstance(member.db, Unknown):
        return f"its db cannot be read: {member.db.unknown}"
    if member.db.faults:
        return f"its db is damaged: {member.db.faults[0].detail}"
    if not member.db.sound:
        return "its db lacks revisions"
    if member.log.refusals:
        return member.log.refusals[0]
    lag = member.db.consistent_index - member.db.applied_index
    told = isinstance(member.db.footing, Footing) and member.db.footing.kind in ("moved", "unclear", "refuted")
    if isinstance(member.db.footing, Footing) and told and not 0 < lag <= DRIFT:
        return f"its index {member.db.consistent_index} is not where its data ends: {member.db.footing.why}"
    if member.db.applied_index != member.db.consistent_index:
        return (
            f"its db lacks writes that it counts as applied (data up to entry {member.db.applied_index}, index "
            f"{member.db.consistent_index}): etcd 3.5.0-3.5.2 do that (etcd#13766)"
        )
    return ""
