"""Which of the surveyed disks belong to the cluster, and who votes in it.

The voter set comes from the log (its .snap and its configuration changes); the db's members are a cross-check, and the
only witness where no log is left. Not counted: another cluster id, a one-member impostor, a removed member.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from requorum.survey.compared import outvoted
from requorum.survey.evidence import (
    Comparison,
    DbEvidence,
    LogEvidence,
    MemberConfig,
    MemberEvidence,
    Survey,
    Unknown,
    VoterSet,
)
from requorum.verdict.values import Finding


@dataclass(frozen=True, slots=True, kw_only=True)
class Electorate:
    """The cluster as its disks tell it.

    ``counted`` are the members whose disks belong to it. ``voter_sets`` are all that were in force from the lowest
    known commit on, the last one last; empty when nothing tells. The data of ``diverged`` members differs from what a
    majority holds: their logs count, their dbs do not.
    """

    cluster_id: int
    counted: tuple[MemberEvidence, ...]
    voter_sets: tuple[VoterSet, ...]
    unsurveyed: tuple[str, ...]
    findings: tuple[Finding, ...]
    ambiguous: str
    diverged: tuple[str, ...] = ()
    differences: tuple[Comparison, ...] = ()
    tie: str = ""

    @property
    def voters(self) -> tuple[int, ...]:
        """Who votes now."""
        return self.voter_sets[-1].voters if self.voter_sets else ()


def majority(count: int) -> int:
    """The least number of voters that is more than half."""
    return count // 2 + 1


def member_id(member: MemberEvidence) -> int:
    """A member's id: from its log; else from the db, by its own peer URL or name; 0 when nothing tells."""
    if isinstance(member.log, LogEvidence) and member.log.member_id:
        return member.log.member_id
    if isinstance(member.db, DbEvidence):
        urls = set(member.config.peer_urls) if isinstance(member.config, MemberConfig) else set()
        for peer in member.db.peers:
            if urls & set(peer.peer_urls) or (isinstance(member.config, MemberConfig) and peer.name == member.name):
                return peer.id
    return 0


def read_to_end(member: MemberEvidence) -> bool:
    """Whether a member's log was read to the end that it had when it last ran. One that ends, however cleanly, before what
    its own commit index or its db knew has lost a tail, or never had it on disk: what else was in that, nobody knows."""
    log, db = member.log, member.db
    if not isinstance(log, LogEvidence) or not log.end_is_read:
        return False
    known = max(log.commit, db.consistent_index if isinstance(db, DbEvidence) else 0)
    return known <= max([log.last_index, *(run.last for run in log.unreadable)])


def electorate(survey: Survey) -> Electorate:
    """Sort the surveyed members into those that count and those that do not."""
    findings: list[Finding] = []
    chosen, ambiguous = _cluster_id(survey, findings)
    counted = []
    for member in survey.members:
        own = member.log.cluster_id if isinstance(member.log, LogEvidence) else 0
        if own and chosen and own != chosen:
            continue
        if isinstance(member.log, Unknown) and isinstance(member.db, Unknown):
            findings.append(Finding(level="warning", subject=member.name, text=f"nothing to read: {member.db.unknown}"))
        counted.append(member)
    counted, sets = _voter_sets(counted, findings)
    names = {one.name for one in counted}
    among = [replace(one, stands=tuple(two for two in one.stands if two.member in names)) for one in survey.compared]
    out, tie = outvoted(among)
    findings += [
        Finding(level="danger", subject=name, text=f"diverged, and outvoted: {why}") for name, why in out.items()
    ]
    if tie and not ambiguous:
        ambiguous = f"the members' data differs, and none has a majority: {tie}"
    return Electorate(
        cluster_id=chosen,
        counted=tuple(counted),
        voter_sets=sets,
        unsurveyed=_unsurveyed(survey, counted, sets),
        findings=tuple(findings),
        ambiguous=ambiguous,
        diverged=tuple(out),
        differences=tuple(one for one in among if len({two.value for two in one.stands}) > 1),
        tie=tie,
    )


def _cluster_id(survey: Survey, findings: list[Finding]) -> tuple[int, str]:
    """The id of the cluster that these disks are about, and why it cannot be told when it cannot."""
    logs = {member.name: member.log for member in survey.members if isinstance(member.log, LogEvidence)}
    groups = Counter(log.cluster_id for log in logs.values() if log.cluster_id)
    if not groups:
        return 0, ""
    expected = max(len(survey.members), *(_configured(member) for member in survey.members))
    alone = {
        cluster
        for cluster in groups
        if groups[cluster] == 1
        and expected > 1
        and all(_lonely(log) for log in logs.values() if log.cluster_id == cluster)
    }
    real = {cluster: size for cluster, size in groups.items() if cluster not in alone} or dict(groups)
    best = max(real.values())
    leading = sorted(cluster for cluster, size in real.items() if size == best)
    for name, log in logs.items():
        if log.cluster_id == leading[0] or not log.cluster_id:
            continue
        what = "an impostor: a new cluster of its own" if log.cluster_id in alone else "another cluster"
        text = f"not counted: its log belongs to {what} (id {log.cluster_id:x}, not {leading[0]:x})"
        findings.append(Finding(level="danger", subject=name, text=text))
    if len(leading) > 1:
        ids = " and ".join(f"{one:x}" for one in leading)
        return leading[0], f"the disks belong to different clusters ({ids}), and none has more of them"
    if leading[0] in alone and expected > 1:
        text = f"it is a cluster of one, although {expected} members are expected: an impostor that started empty?"
        findings.append(
            Finding(
                level="danger", subject=next(n for n, log in logs.items() if log.cluster_id == leading[0]), text=text
            )
        )
        return leading[0], f"the only log left belongs to a cluster of one (id {leading[0]:x}), {expected} are expected"
    return leading[0], ""


def _configured(member: MemberEvidence) -> int:
    if isinstance(member.config, MemberConfig) and member.config.initial_cluster:
        return len(member.config.initial_cluster.split(","))
    return 1


def _lonely(log: LogEvidence) -> bool:
    return bool(log.voter_sets) and all(len(one.voters) == 1 for one in log.voter_sets)


def _voter_sets(
    counted: Sequence[MemberEvidence], findings: list[Finding]
) -> tuple[list[MemberEvidence], tuple[VoterSet, ...]]:
    """The voter sets in force from the lowest known commit on, by the highest log; removed members sorted out."""
    logs = [member.log for member in counted if isinstance(member.log, LogEvidence) and member.log.voter_sets]
    if logs:
        highest = max(logs, key=lambda log: log.last)
        lowest = min(log.commit for log in logs)
        sets = highest.voter_sets
        in_force = [one for at, one in enumerate(sets) if at + 1 == len(sets) or sets[at + 1].index > lowest]
    else:
        peers = next((member.db.peers for member in counted if isinstance(member.db, DbEvidence)), ())
        voters = tuple(sorted(one.id for one in peers if not one.learner))
        in_force = [VoterSet(index=0, voters=voters, learners=())] if voters else []
    known = {one for each in in_force for one in (*each.voters, *each.learners)}
    kept = []
    for member in counted:
        own = member_id(member)
        if known and own and own not in known:
            text = f"not counted: member {own:x} was removed from the cluster"
            findings.append(Finding(level="danger", subject=member.name, text=text))
            continue
        if in_force and own in in_force[-1].learners:
            findings.append(Finding(level="info", subject=member.name, text="a learner: its vote does not count"))
        kept.append(member)
    return kept, tuple(in_force)


def _unsurveyed(survey: Survey, counted: Sequence[MemberEvidence], sets: tuple[VoterSet, ...]) -> tuple[str, ...]:
    """Voters that no surveyed host accounts for, by name where a db knows it.

    A host whose disk does not count (an impostor's, say) is accounted for: it is fenced like the others.
    """
    if not sets:
        return ()
    seen = {member_id(member) for member in counted}
    told = [peer for one in counted if isinstance(one.log, LogEvidence) for peer in one.log.peers]
    told += [peer for one in counted if isinstance(one.db, DbEvidence) for peer in one.db.peers]
    peers = {peer.id: peer for peer in sorted(told, key=lambda peer: bool(peer.name))}
    hosts = {member.name for member in survey.members}
    urls = {
        url for member in survey.members if isinstance(member.config, MemberConfig) for url in member.config.peer_urls
    }
    out = []
    for voter in sorted({one for each in sets for one in each.voters}):
        peer = peers.get(voter)
        if voter in seen or (peer and (urls & set(peer.peer_urls) or peer.name in hosts)):
            continue
        out.append(peer.name if peer and peer.name else f"{voter:x}")
    return tuple(sorted(out))
