"""A member that was made a cluster of its own: what its log tells of that, and what nobody may know any more. Pure.

``--force-new-cluster`` throws all other voters out, and with them what the member does not know to be committed: a majority of
those others may have acknowledged it. Its own history is then proven by itself alone, which proves nothing of that.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from requorum.survey.evidence import LiveEvidence, LogEvidence, MemberEvidence
from requorum.verdict.membership import Electorate
from requorum.verdict.witnesses import majority, read_to_end


@dataclass(frozen=True, slots=True, kw_only=True)
class Parting:
    """Who voted ``before`` a member was alone, from entry ``index`` on (0 where that is not told), and ``how`` it came to be
    alone, in words."""

    before: tuple[int, ...]
    how: str
    index: int = 0


def parting(member: MemberEvidence, others: Iterable[MemberEvidence]) -> Parting | None:
    """How a member came to be alone, if not by the book: it threw all others out at once, or its log begins when it was alone
    already, and another disk of its cluster does not know of that."""
    log = member.log
    if not isinstance(log, LogEvidence) or not log.voter_sets or log.voter_sets[-1].voters != (log.member_id,):
        return None
    index, before = forced(log)
    if index:
        who = "the other one" if len(before) == 2 else f"{len(before) - 1} others"
        return Parting(
            before=before, how=f"threw {who} out at once at entry {index}, as --force-new-cluster does", index=index
        )
    begins = log.voter_sets[0]
    if len(log.voter_sets) > 1 or not log.reads_from:
        return None  # its log tells: they were removed one by one, or it was founded alone
    for one in others:
        its = one.log
        if isinstance(its, LogEvidence) and its.cluster_id == log.cluster_id and its.voter_sets and one is not member:
            voters = its.voter_sets[-1].voters
            if {log.member_id, its.member_id} <= set(voters) and len(voters) > 1 and its.last_index < begins.index:
                when = f"since before entry {begins.index}, where its log begins"
                return Parting(before=voters, how=f"has been alone {when}, and {one.name} does not know of it")
    return None


def forced(log: LogEvidence) -> tuple[int, tuple[int, ...]]:
    """The entry from which on a log throws all other voters out, one in each entry, at the very end of a term, and who voted
    before: what ``--force-new-cluster`` writes before it starts. (0, ()) where it does not.

    An operator who removes members one by one leaves the same only if the last one is restarted before its cluster has written
    anything. etcd's source: etcdserver/raft.go, restartAsStandaloneNode and createConfChangeEnts.
    """
    sets = log.voter_sets
    if len(sets) < 2 or sets[-1].voters != (log.member_id,):
        return 0, ()
    size = [len(one.voters) + len(one.learners) for one in sets]
    first = len(sets) - 1
    while first > 1 and sets[first - 1].index == sets[first].index - 1 and log.member_id in sets[first - 1].voters:
        if size[first - 2] != size[first - 1] + 1:
            break
        first -= 1
    before = sets[first - 1].voters
    at_an_end = any(run.last == sets[-1].index for run in log.runs) and log.last_index > sets[-1].index
    if log.member_id not in before or size[first - 1] != len(sets) - first + 1 or not at_an_end:
        return 0, ()
    return sets[first].index, before


def tell_all(members: Iterable[MemberEvidence], voters: Sequence[int], founders: Iterable[int]) -> set[int]:
    """The voters whose logs show all that they have ever acknowledged: read to their end, and neither begun anew nor cut by
    being forced."""
    known = set(founders)
    return {
        log.member_id
        for one in members
        if isinstance(log := one.log, LogEvidence)
        and log.member_id in voters
        and read_to_end(one)
        and not log.blank
        and not (log.born_term > 1 and log.member_id in known)
        and not forced(log)[0]
    }


def founders_of(members: Iterable[MemberEvidence]) -> set[int]:
    """The members that the logs name as their cluster's first."""
    return {number for one in members if isinstance(one.log, LogEvidence) for number in one.log.founders}


def _goes_on(member: MemberEvidence, found: Parting, head: MemberEvidence) -> bool:
    """Whether one of those that voted before holds entries behind the parting that the other never had."""
    log, its = member.log, head.log
    if not isinstance(log, LogEvidence) or not isinstance(its, LogEvidence) or log.member_id not in found.before:
        return False
    return any(
        one.last >= found.index
        and not any(two.term == one.term and two.last >= found.index for two in its.runs if two.first <= one.last)
        for one in log.runs
    )


def unproven(cluster: Electorate, members: Sequence[MemberEvidence]) -> str:
    """Why acknowledged writes may be gone that the head of a history threw away: too few of those that voted before are there
    to show what else they had. Where they hold anything behind it, that is another history."""
    head = cluster.head
    ours = [
        one
        for one in members
        if isinstance(one.log, LogEvidence) and one.log.cluster_id == cluster.cluster_id and one is not head
    ]
    found = parting(head, ours) if head is not None else None
    if found is None or head is None:
        return ""
    committed = max(found.index - 1, *(one.log.commit for one in ours if isinstance(one.log, LogEvidence)), 0)
    short = sorted(
        one.name
        for one in ours
        if isinstance(one.log, LogEvidence)
        and one.log.member_id in found.before
        and one.log.end_is_read
        and one.log.last_index < committed
        and not forced(one.log)[0]
    )
    if len(found.before) - len(short) < majority(len(found.before)):
        return (
            f"{head.name} {found.how}, and of those that voted before, {' and '.join(short)} end before entry {committed}, which "
            f"a majority held: disks went back in time, and nobody knows what else was on them"
        )
    read = tell_all(ours, found.before, founders_of(members))
    more = [one for one in ours if found.index and _goes_on(one, found, head)]
    without = read - {one.log.member_id for one in more if isinstance(one.log, LogEvidence)}
    if more and len(found.before) - len(without) >= majority(len(found.before)):
        return (
            f"{head.name} {found.how}, and {' and '.join(sorted(one.name for one in more))} held entries from there on that it "
            f"never had: nobody voted for its own terms"
        )
    wanted = len(found.before) - majority(len(found.before)) + 1
    if len(read) >= wanted:
        return ""
    return (
        f"{head.name} {found.how}: what it did not know to be committed then is gone from it; of those that voted before, "
        f"{len(read)} can tell what that was, and {wanted} are needed"
    )


def serves_alone(stopped: Sequence[MemberEvidence], led: Sequence[MemberEvidence]) -> str:
    """How a member that serves alone came to be alone, while disks of others are there that may hold more; empty where it did
    not, or nobody's are."""
    for one in led:
        found = parting(one, stopped)
        if found is None or not isinstance(one.live, LiveEvidence) or len(one.live.members) != 1:
            continue
        others = [two for two in stopped if not isinstance(two.log, LogEvidence) or two.log.member_id in found.before]
        if others:
            return (
                f"{one.name} serves as a cluster of 1: it {found.how}; {' and '.join(two.name for two in others)} may hold what "
                f"it lacks: was it forced?"
            )
    return ""
