"""Which of the surveyed disks belong to the cluster, and who votes in it.

The voter set comes from the log (its .snap and its configuration changes); the db's members are a cross-check, and the
only witness where no log is left. What living members answer goes before both. Not counted: another cluster id, a
one-member impostor, a removed member, a disk that is another's, a log that tells another history.
"""

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from requorum.survey.compared import outvoted
from requorum.survey.evidence import (
    Comparison,
    DbEvidence,
    LiveEvidence,
    LogEvidence,
    MemberConfig,
    MemberEvidence,
    Peer,
    Run,
    Survey,
    Tail,
    Unknown,
    VoterSet,
)
from requorum.survey.lineage import agrees, heads, known_commit
from requorum.survey.runs import count, union, within
from requorum.verdict.claims import Claims, check
from requorum.verdict.identity import Identities, identities, member_id, recorded
from requorum.verdict.values import Finding
from requorum.verdict.witnesses import Witnesses, read_to_end, witnesses


@dataclass(frozen=True, slots=True, kw_only=True)
class Electorate:
    """The cluster as its disks tell it, along one history: that which the log of ``head`` ends.

    ``counted`` are the members whose disks belong to it, ``rivals`` those whose logs tell another history. ``voter_sets``
    are all that were in force from the lowest known commit on, the last one last; empty when nothing tells: whoever starts
    may still go by any of them. ``standing`` are those of them that no change has replaced which is known to be committed:
    what was acknowledged lies with them. The data of
    ``diverged`` members differs from what a majority holds: their logs count, their dbs do not. ``apart`` says which of those
    that differ made something else of the same log, if any: they may have acknowledged what the others do not hold.
    ``gone`` tell this history, and are no members any more.
    """

    cluster_id: int
    counted: tuple[MemberEvidence, ...]
    voter_sets: tuple[VoterSet, ...]
    standing: tuple[VoterSet, ...]
    unsurveyed: tuple[str, ...]
    findings: tuple[Finding, ...]
    ambiguous: str
    diverged: tuple[str, ...] = ()
    apart: str = ""
    differences: tuple[Comparison, ...] = ()
    tie: str = ""
    head: MemberEvidence | None = None
    rivals: tuple[MemberEvidence, ...] = ()
    gone: tuple[MemberEvidence, ...] = ()
    who: Identities
    claims: Claims
    seen: Witnesses

    @property
    def removed(self) -> tuple[MemberEvidence, ...]:
        """Those of the ``gone`` whose db is what the log beside it wrote, record by record: it speaks for or against another's,
        and a log can be replayed onto it."""
        return tuple(_of_their_logs(self.gone))

    @property
    def voters(self) -> tuple[int, ...]:
        """Who votes now."""
        return self.voter_sets[-1].voters if self.voter_sets else ()

    def read(self, voters: Sequence[int]) -> set[int]:
        """The voters whose logs were read to their end, and count in the proof."""
        return {
            member_id(one)
            for one in self.counted
            if one.name not in self.seen.excluded and member_id(one) in voters and read_to_end(one)
        }


def electorates(survey: Survey) -> tuple[Electorate, ...]:
    """The cluster along each history that its logs tell, the one with the highest log first: one, unless logs contradict
    each other. Where the disks belong to several clusters, and nothing tells which is meant, those of all, and why."""
    who = identities(survey)
    members = [one for one in survey.members if one.name not in who.twice]
    findings: list[Finding] = [*who.findings]
    chosen, ambiguous, others = _cluster_id(survey, members, findings)
    out = []
    for cluster in (chosen, *others):
        own = [one for one in members if _of(one) in (0, cluster) or not cluster]
        ends = own
        while tops := heads(ends, survey.forks):
            along = [_along(survey, own, head, who, cluster, ambiguous, findings) for head in tops]
            # A removed member's log ends no history of the cluster's; one that ends with its removal may be as high as any.
            removed = [one.head for one in along if one.head not in one.counted]
            if not removed:
                break
            ends = [one for one in ends if one not in removed]
        else:
            along = [_along(survey, own, None, who, cluster, ambiguous, findings)]
        out += along
    return tuple(out)


def _of(member: MemberEvidence) -> int:
    return member.log.cluster_id if isinstance(member.log, LogEvidence) else 0


def _along(
    survey: Survey,
    own: Sequence[MemberEvidence],
    head: MemberEvidence | None,
    who: Identities,
    cluster_id: int,
    ambiguous: str,
    before: Sequence[Finding],
) -> Electorate:
    """Sort the members into those that count along one history and those that do not."""
    findings = list(before)
    counted = [one for one in own if head is None or agrees(one, head, survey.forks)]
    rivals = [one for one in own if one not in counted]
    for one in counted:
        if isinstance(one.log, Unknown) and isinstance(one.db, Unknown):
            findings.append(Finding(level="warning", subject=one.name, text=f"nothing to read: {one.db.unknown}"))
    over = _gone_over(survey, own)
    seen = witnesses(counted, head, (), who, survey.forks, over)
    agreeing = counted
    counted, sets = _voter_sets(counted, head, seen, findings)
    seen = witnesses(counted, head, sets, who, survey.forks, over)
    claims = check(counted, survey.compared)
    findings += [*seen.findings, *claims.findings()]
    gone = tuple(one for one in agreeing if one not in counted)
    names = {one.name for one in counted} - set(claims.refuted)
    if not _of_their_logs(counted):
        names |= {one.name for one in _of_their_logs(gone)}
    among = _among(survey.compared, names)
    out, tie = outvoted(among)
    if tie and claims.altered:
        among = _among(survey.compared, names - set(claims.altered))
        out, tie = outvoted(among)
    findings += [
        Finding(level="danger", subject=name, text=f"diverged, and outvoted: {why}") for name, why in out.items()
    ]
    if tie and not ambiguous:
        ambiguous = f"the members' data differs, and none has a majority: {tie}"
    return Electorate(
        cluster_id=cluster_id,
        counted=tuple(counted),
        voter_sets=sets,
        standing=tuple(_not_over(sets, agreeing)),
        unsurveyed=_unsurveyed(survey, counted, sets),
        findings=tuple(findings),
        ambiguous=ambiguous,
        diverged=tuple(dict.fromkeys((*out, *claims.refuted))),
        apart=_apart(among, [*out], counted),
        differences=tuple(one for one in among if len(one.stands) > 1 and not one.agreed),
        tie=tie,
        head=head,
        rivals=tuple(rivals),
        gone=gone,
        who=who,
        claims=claims,
        seen=seen,
    )


def _gone_over(survey: Survey, own: Sequence[MemberEvidence]) -> dict[int, str]:
    """Members of this cluster whose disks hold another one's log now (a snapshot was restored there by hand): their ids here,
    by their peer URLs, and their names."""
    known = recorded(own)
    out = {}
    for one in survey.members:
        if one not in own and isinstance(one.log, LogEvidence) and isinstance(one.config, MemberConfig):
            urls = {*one.config.peer_urls, *one.still_at}
            out.update({number: one.name for number, peer in known.items() if urls & set(peer.peer_urls)})
    return out


def _among(compared: Sequence[Comparison], names: Collection[str]) -> list[Comparison]:
    """The comparisons as these members alone make them."""
    return [replace(one, stands=tuple(two for two in one.stands if two.member in names)) for one in compared]


def _of_their_logs(members: Sequence[MemberEvidence]) -> list[MemberEvidence]:
    """The members whose dbs are known to be what the logs wrote, record by record: asked where they differ from others."""
    return [one for one in members if isinstance(one.db, DbEvidence) and one.db.sound and one.db.of_its_log]


def _cluster_id(
    survey: Survey, members: Sequence[MemberEvidence], findings: list[Finding]
) -> tuple[int, str, tuple[int, ...]]:
    """The id of the cluster that these disks are about; why it cannot be told when it cannot, and then the other ids."""
    logs = {member.name: member.log for member in members if isinstance(member.log, LogEvidence)}
    # Copies of one disk, and restores without flags, share one member id: they are one disk more, however many there are.
    groups = Counter(cluster for cluster, _ in {(log.cluster_id, log.member_id) for log in logs.values()} if cluster)
    if not groups:
        return 0, "", ()
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
        why = f"the disks belong to different clusters ({ids}), and none has more of them"
        return leading[0], why, tuple(leading[1:])
    if more := _holds_more(survey, members, leading[0]):
        whose = f"of {_of(more):x}" if _of(more) else "which has no log and names other members"
        why = (
            f"the disks belong to different clusters: most are of {leading[0]:x}, and {more.name}'s, {whose}, holds "
            f"revision {_reach(more)}, more than any of them: was a backup restored, or a cluster made anew?"
        )
        return leading[0], why, (_of(more),) if _of(more) else ()
    if leading[0] in alone and expected > 1:
        text = f"it is a cluster of one, although {expected} members are expected: an impostor that started empty?"
        findings.append(
            Finding(
                level="danger", subject=next(n for n, log in logs.items() if log.cluster_id == leading[0]), text=text
            )
        )
        why = f"the only log left belongs to a cluster of one (id {leading[0]:x}), {expected} are expected"
        return leading[0], why, ()
    return leading[0], "", ()


def _holds_more(survey: Survey, members: Sequence[MemberEvidence], chosen: int) -> MemberEvidence | None:
    """The disk of another cluster of these members that may hold more than all of the chosen one's, if there is one. What serves
    was chosen before: where it came from a restore, somebody wanted that."""
    served = any(isinstance(one.live, LiveEvidence) and one.live.leader for one in members if _of(one) == chosen)
    if served:
        return None
    ours = {url for one in members for url in _peer_urls(one, chosen)}
    own = {one.name for one in members if _of(one) == chosen}
    ids = {peer.id for one in members if one.name in own for peer in _recorded(one)}
    sure = [_sure(one) for one in members if one.name in own]
    highest = max([*sure, *(one.tail.revision for one in survey.merged if one.follows in own and not one.tail.doubts)])
    found = [
        one
        for one in members
        if (_of(one) != chosen if _of(one) else _names_others(one, ids))
        and _reach(one) > highest
        and (_restored(one) or ours & {url for peer in _recorded(one) for url in peer.peer_urls})
    ]
    return max(found, key=_reach, default=None)


def _names_others(member: MemberEvidence, ids: Collection[int]) -> bool:
    """Whether a db without a log names members, and none of them is one of these."""
    named = {peer.id for peer in member.db.peers} if isinstance(member.db, DbEvidence) and member.db.sound else set()
    return bool(named and ids) and not named & set(ids)


def _recorded(member: MemberEvidence) -> tuple[Peer, ...]:
    """The members that a disk names."""
    named = member.log.peers if isinstance(member.log, LogEvidence) else ()
    return (*named, *(member.db.peers if isinstance(member.db, DbEvidence) else ()))


def _restored(member: MemberEvidence) -> bool:
    """Whether a disk was restored from a snapshot: it lies where these members' do, whatever URLs it was given or not."""
    return isinstance(member.log, LogEvidence) and bool(member.log.restored_at)


def _peer_urls(member: MemberEvidence, cluster: int) -> set[str]:
    """The peer URLs of a cluster, by a member's configuration, and by its db where its disk is of that cluster."""
    urls = set(member.config.peer_urls) if isinstance(member.config, MemberConfig) else set()
    if _of(member) == cluster and isinstance(member.db, DbEvidence):
        urls |= {url for peer in member.db.peers for url in peer.peer_urls}
    return urls


def _sure(member: MemberEvidence) -> int:
    """The revision that a member's disk comes to by its db, and by its log where nothing is in doubt."""
    if not isinstance(member.db, DbEvidence) or not member.db.sound:
        return 0
    sure = isinstance(member.tail, Tail) and not member.tail.doubts
    return max(member.db.revision, member.tail.revision if isinstance(member.tail, Tail) and sure else 0)


def _reach(member: MemberEvidence) -> int:
    """The revision that a member's disk may come to at most: each entry behind its db that may be a write, or that nobody can
    read, counts as one."""
    at, revision = 0, 1
    if isinstance(member.db, DbEvidence) and member.db.sound:
        at, revision = member.db.applied_index, member.db.revision
        if isinstance(member.tail, Tail):
            at, revision = member.tail.to_index, max(revision, member.tail.revision)
    if not isinstance(member.log, LogEvidence):
        return revision
    log = member.log
    end = max([log.last_index, *(run.last for run in log.unreadable)])
    untold = [Run(first=at + 1, last=min(end, log.classified_above))] if at < log.classified_above else []
    held = union(within(log.possible_writes, at + 1, end), within(log.unreadable, at + 1, end), untold)
    return revision + count(held)


def _configured(member: MemberEvidence) -> int:
    if isinstance(member.config, MemberConfig) and member.config.initial_cluster:
        return len(member.config.initial_cluster.split(","))
    return 1


def _lonely(log: LogEvidence) -> bool:
    """Whether a log's own member has always been alone: no learner's, and of nobody who ever had company."""
    return bool(log.voter_sets) and all(
        len(one.voters) == 1 and not one.learners and log.member_id in one.voters for one in log.voter_sets
    )


def _voter_sets(
    counted: Sequence[MemberEvidence], head: MemberEvidence | None, seen: Witnesses, findings: list[Finding]
) -> tuple[list[MemberEvidence], tuple[VoterSet, ...]]:
    """The voter sets in force from the lowest known commit on, by the highest log; removed members sorted out."""
    logs = {one.name: one.log for one in counted if isinstance(one.log, LogEvidence) and one.log.voter_sets}
    alive = _living(counted)
    if alive is not None:
        in_force = [alive]
    elif logs:
        lead = logs.get(head.name) if head is not None else None
        highest = lead or max(logs.values(), key=lambda log: log.last)
        lowest = min([log.commit for name, log in logs.items() if name not in seen.excluded] or [highest.commit])
        sets = highest.voter_sets
        in_force = [one for at, one in enumerate(sets) if at + 1 == len(sets) or sets[at + 1].index > lowest]
    else:
        peers = next((member.db.peers for member in counted if isinstance(member.db, DbEvidence)), ())
        voters = tuple(sorted(one.id for one in peers if not one.learner))
        in_force = [VoterSet(index=0, voters=voters, learners=())] if voters else []
    known = {one for each in _not_over(in_force, counted) for one in (*each.voters, *each.learners)}
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


def _not_over(sets: Sequence[VoterSet], counted: Sequence[MemberEvidence]) -> Sequence[VoterSet]:
    """The sets that may still be in force: behind the last that some disk knows to be committed there is no way back."""
    committed = max((known_commit(one) for one in counted), default=0)
    return [one for at, one in enumerate(sets) if at + 1 == len(sets) or sets[at + 1].index > committed]


def _living(counted: Sequence[MemberEvidence]) -> VoterSet | None:
    """Who votes as a living member with a leader says; None where none answers with its members."""
    for one in counted:
        if isinstance(one.live, LiveEvidence) and one.live.leader and one.live.members:
            return VoterSet(
                index=one.live.raft_index,
                voters=tuple(sorted(peer.id for peer in one.live.members if not peer.learner)),
                learners=tuple(sorted(peer.id for peer in one.live.members if peer.learner)),
            )
    return None


def _apart(compared: Sequence[Comparison], out: Sequence[str], counted: Sequence[MemberEvidence]) -> str:
    """The members whose dbs are of their logs, and came to something else all the same (etcd#13766, etcd#17780): a db that was
    damaged is not."""
    own = {one.name for one in counted if isinstance(one.db, DbEvidence) and one.db.of_its_log}
    for one in compared:
        values = {two.member: two.value for two in one.stands}
        if len(set(values.values())) < 2:
            continue
        names = [name for name in values if name in out] or [*values]
        names = [name for name in names if name in own or not one.of_records]
        if names:
            return (
                f"{' and '.join(names)} made something else of the same log (what differs: {one.what}), and may have "
                f"acknowledged what the others do not hold"
            )
    return ""


def _unsurveyed(survey: Survey, counted: Sequence[MemberEvidence], sets: tuple[VoterSet, ...]) -> tuple[str, ...]:
    """Voters that no surveyed host accounts for, by name where a db knows it.

    A host whose disk does not count (an impostor's, say) is accounted for: it is fenced like the others.
    """
    if not sets:
        return ()
    seen = {member_id(member) for member in survey.members}
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
