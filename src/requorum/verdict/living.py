"""What lives, and whether it may be believed.

A quorum that serves is evidence, not the truth: disks that were emptied, cut or set back can elect a leader among themselves,
and serve without what they had acknowledged; members can serve with different data, and call themselves healthy.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from requorum.survey.evidence import DbEvidence, Footing, LiveEvidence, LogEvidence, MemberEvidence, Survey
from requorum.survey.lineage import fork_of, known_commit
from requorum.survey.runs import count, within
from requorum.verdict.alone import serves_alone
from requorum.verdict.membership import Electorate
from requorum.verdict.rules import Alive, Conflict
from requorum.verdict.witnesses import majority

IN_FLIGHT = 16
"""Revisions by which members that are asked one after the other may differ while they take writes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Living:
    """``led`` are the members that answer with a leader; ``alive``: none, led (too few for a quorum), quorum or all;
    ``conflict``: none, false quorum or different data, told in ``text``."""

    led: tuple[MemberEvidence, ...]
    alive: Alive
    conflict: Conflict
    text: str


def living(survey: Survey, cluster: Electorate) -> Living:
    """Judge the members that answer."""
    twice = cluster.who.twice
    answer = {one.name for one in survey.members if _leads(one)}
    # Of two names for one disk one may run without the other; where both answer it is one etcd, which was named twice.
    members = [
        one for one in survey.members if one.name not in twice or (one.name in answer and twice[one.name] not in answer)
    ]
    led = [one for one in members if _leads(one) and cluster.cluster_id in (0, _live(one).cluster_id)]
    if not led:
        return Living(led=(), alive="none", conflict="none", text="")
    ids = {_live(one).member_id for one in led if not _live(one).learner}
    voters = cluster.voters or tuple(range(len(members)))
    quorum = len(ids & set(cluster.voters) if cluster.voters else ids) >= majority(len(voters))
    alive: Alive = "led" if not quorum else "all" if len(led) == len(survey.members) else "quorum"
    text = _different(led)
    if text:
        return Living(led=tuple(led), alive=alive, conflict="different data", text=text)
    if strange := next((one.name for one in led if one.name in twice), ""):
        home = twice[strange]
        text = (
            f"{strange} serves from {home}'s disk, as {home}: whatever is done to the one is done to the other. Stop {strange}'s "
            f"etcd, so that {home}'s own can open its data, and give {strange} a data dir of its own"
        )
        return Living(led=tuple(led), alive=alive, conflict="false quorum", text=text)
    stopped = [one for one in members if one not in led]
    text = _forgotten(stopped, led, survey) or serves_alone(stopped, led)
    if text:
        return Living(led=tuple(led), alive=alive, conflict="false quorum", text=text)
    return Living(led=tuple(led), alive=alive, conflict="none", text="")


def _leads(member: MemberEvidence) -> bool:
    return isinstance(member.live, LiveEvidence) and bool(member.live.leader)


def _live(member: MemberEvidence) -> LiveEvidence:
    assert isinstance(member.live, LiveEvidence)
    return member.live


def _different(led: Sequence[MemberEvidence]) -> str:
    """How members that serve contradict each other, or their own disks; empty when nothing shows that."""
    for one in led:
        db, log = one.db, one.log
        if isinstance(log, LogEvidence) and isinstance(db, DbEvidence) and isinstance(db.footing, Footing):
            if db.footing.kind in ("moved", "unclear", "refuted"):
                return f"{one.name} serves from a db that its log cannot have made: {db.footing.why}"
            if log.last_index < db.consistent_index - IN_FLIGHT:
                return (
                    f"{one.name} serves from a db that is ahead of its log (index {db.consistent_index}, the log ends at "
                    f"{log.last_index}): it swallows writes"
                )
    asked = sorted(led, key=lambda one: (_live(one).applied_index, _live(one).revision))
    for before, after in itertools.pairwise(asked):
        first, second = _live(before), _live(after)
        entries, revisions = second.applied_index - first.applied_index, second.revision - first.revision
        if first.applied_index and not -IN_FLIGHT <= revisions <= entries + IN_FLIGHT:
            return (
                f"members serve with different data: {before.name} is at revision {first.revision} after entry "
                f"{first.applied_index}, {after.name} at revision {second.revision} after entry {second.applied_index}"
            )
    hashes = {member.name: _live(member).hash.partition(" ") for member in led if _live(member).hash}
    for name, (value, _, where) in hashes.items():
        for other, (its, _, there) in hashes.items():
            if where == there and value != its:
                return f"members serve with different data: up to {where} {name} has hash {value}, {other} {its}"
    return ""


def _forgotten(stopped: Sequence[MemberEvidence], led: Sequence[MemberEvidence], survey: Survey) -> str:
    """What a stopped disk proves to be committed, and those that serve lack."""
    served = max(max(_live(one).raft_index, _end(one)) for one in led)
    revision = max(_live(one).revision for one in led)
    names = " and ".join(one.name for one in led)
    known = {peer.id for one in led for peer in _live(one).members}
    clusters = {_live(one).cluster_id for one in led}
    for one in stopped:
        if isinstance(one.log, LogEvidence) and one.log.cluster_id not in (0, *clusters):
            continue  # the disk of a cluster that this one was rebuilt from: its indexes are other indexes
        committed = known_commit(one)
        parted = [at for other in led if (at := fork_of(one, other, survey.forks))]
        if parted and _more_voters(one, led):
            return (
                f"{names} serve{'s' if len(led) == 1 else ''} as a cluster of {len(known)}, and {one.name}'s disk tells another "
                f"history of more members from entry {min(parted)} on (at most {_writes(one, min(parted))} writes): was it "
                f"forced (--force-new-cluster)?"
            )
        forks = [at for at in parted if at <= committed]
        if committed > served or forks:
            at = min([*forks, served + 1])
            writes = _writes(one, at)
            what = f"entries {at} to {committed}" if committed > at else f"entry {committed}"
            return (
                f"{one.name}'s disk is ahead of what serves: it proves {what} to be committed (at most {writes} writes), and "
                f"{names}, which serve, have lost them"
            )
        db = one.db
        ours = isinstance(db, DbEvidence) and (not known or any(peer.id in known for peer in db.peers))
        if isinstance(db, DbEvidence) and ours and db.sound and db.revision > revision + IN_FLIGHT:
            if isinstance(db.footing, Footing) and db.footing.kind == "refuted":
                continue
            return (
                f"{one.name}'s disk is ahead of what serves: its db holds revision {db.revision}, and {names}, which serve, "
                f"have lost what is beyond {revision}"
            )
    return ""


def _more_voters(stopped: MemberEvidence, led: Sequence[MemberEvidence]) -> bool:
    """Whether a stopped member's log ends with more voters than those that serve know of."""
    log, most = stopped.log, max(len(_live(one).members) for one in led)
    return isinstance(log, LogEvidence) and bool(log.voter_sets) and len(log.voter_sets[-1].voters) > most > 0


def _end(member: MemberEvidence) -> int:
    return member.log.last_index if isinstance(member.log, LogEvidence) else 0


def _writes(member: MemberEvidence, first: int) -> int:
    """At most so many writes are in a member's log from an entry on."""
    log = member.log
    if not isinstance(log, LogEvidence):
        return 0
    untold = max(log.classified_above - first + 1, 0)
    return count(within(log.possible_writes, first, log.last_index)) + untold
