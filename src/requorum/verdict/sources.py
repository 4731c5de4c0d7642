"""What the cluster can be rebuilt from, and how many writes each choice would lose.

How a loss is counted: the newest state that can be told is the revision that the highest unbroken log reaches, plus
every entry above it that is on some disk and may be a write (or cannot be read, and may be one). A source loses the
difference to its own revision. That is exact when nothing is in doubt; else it is a bound, with the reason.

Why nothing else can be lost: an acknowledged write is in the logs of a majority of voters, so it is in at least one log
out of any majority that was read to its end. Without such a majority the loss is counted all the same, and called
unproven.
"""

from collections.abc import Sequence
from dataclasses import replace

from requorum.survey.evidence import (
    Checked,
    DbEvidence,
    LogEvidence,
    MemberConfig,
    MemberEvidence,
    SnapshotEvidence,
    Survey,
    Tail,
)
from requorum.verdict.membership import Electorate, majority, member_id
from requorum.verdict.values import BARE_DB, OWN_LOG, SNAPSHOT, Finding, Loss, Source

LEAST_BUMP = 1_000_000
BLIND_BUMP = 1_000_000_000
_ORDER = {OWN_LOG: 0, BARE_DB: 1, SNAPSHOT: 2}


def ranked(survey: Survey, cluster: Electorate) -> tuple[tuple[Source, ...], tuple[Finding, ...]]:
    """All sources, the one that loses least first; ties go to what is proven, then to the plainer kind."""
    newest = _Newest.of(cluster)
    findings: list[Finding] = []
    found = [source for member in cluster.counted for source in _of_member(member, newest, cluster)]
    for snapshot in survey.snapshots:
        source = _of_snapshot(snapshot, survey, newest, cluster, findings)
        if source is not None:
            found.append(source)
    found.sort(key=lambda one: (*loss_order(one.loss), _ORDER[one.kind], -one.to_term, -one.to_index, one.id))
    return tuple(found), tuple(findings)


def loss_order(loss: Loss) -> tuple[bool, int, bool, bool]:
    """Less is better: a known bound, a small one, a proven one, an exact one."""
    return not loss.known, loss.at_most, bool(loss.unproven), not loss.exact


class _Newest:
    """The newest state that the surveyed disks still show."""

    def __init__(self, revision: int, uncertain: int, why: tuple[str, ...], last_index: int, unproven: str) -> None:
        self.revision = revision
        self.uncertain = uncertain
        self.why = why
        self.last_index = last_index
        self.unproven = unproven

    @classmethod
    def of(cls, cluster: Electorate) -> "_Newest":
        """Compute it from the members that count."""
        logs = [member.log for member in cluster.counted if isinstance(member.log, LogEvidence)]
        tails = [
            member.tail
            for member in cluster.counted
            if isinstance(member.tail, Tail) and isinstance(member.db, DbEvidence) and member.db.sound
        ]
        dbs = [member.db for member in cluster.counted if isinstance(member.db, DbEvidence)]
        revision = reached = 0
        why: list[str] = []
        if tails:
            best = max(tails, key=lambda one: (one.to_term, one.to_index))
            revision, reached = best.revision, best.to_index
            why += best.doubts
        for db in dbs:
            if db.sound and db.consistent_index > reached:
                revision, reached = db.revision, db.consistent_index
        last_index = max((log.last_index for log in logs), default=0)
        uncertain, reasons = _beyond(logs, reached, last_index)
        return cls(revision, uncertain, (*why, *reasons), max(last_index, reached), _unproven(cluster))


def _beyond(logs: Sequence[LogEvidence], reached: int, last: int) -> tuple[int, list[str]]:
    """How many entries above ``reached`` may be writes: whole ones that could be, and ones nobody can read."""
    if last <= reached:
        return 0, []
    whole: set[int] = set()
    writes: set[int] = set()
    for log in logs:
        for run in log.runs:
            whole |= set(range(max(run.first, reached + 1), run.last + 1))
        for one in log.possible_writes:
            writes |= set(range(max(one.first, reached + 1), one.last + 1))
    wanted = set(range(reached + 1, last + 1))
    unreadable = wanted - whole
    reasons = []
    if unreadable:
        reasons.append(f"{len(unreadable)} entries cannot be read on any disk: each is counted as one write")
    if writes & wanted:
        reasons.append("writes behind a damaged entry: guards, deletes and leases may make it less")
    return len(unreadable | (writes & wanted)), reasons


def _unproven(cluster: Electorate) -> str:
    """Why there may be acknowledged writes that no surveyed disk shows; empty when there cannot be."""
    if not cluster.voters:
        return "no log tells who votes"
    for each in cluster.voter_sets:
        read = [
            member
            for member in cluster.counted
            if isinstance(member.log, LogEvidence) and member.log.end_is_read and member_id(member) in each.voters
        ]
        if len(read) < majority(len(each.voters)):
            return (
                f"{len(read)} of {len(each.voters)} voters' logs were read to their end, {majority(len(each.voters))} "
                f"are needed: what only the others hold cannot be known"
            )
    return ""


def _loss(revision: int, exact: bool, newest: _Newest) -> Loss:
    lost = max(newest.revision - revision, 0) + newest.uncertain
    doubts = newest.why if exact else (*newest.why, "the source's own revision is a bound")
    return Loss(at_most=lost, exact=not doubts and newest.uncertain == 0, why=tuple(doubts), unproven=newest.unproven)


def _bump(loss: Loss, index: int, newest: _Newest, cluster: Electorate) -> int:
    """What to add to the revision so that none that was ever given out is given out again: nothing when it goes on."""
    if loss.proven_none:
        return 0
    read = {member_id(member) for member in cluster.counted if isinstance(member.log, LogEvidence)}
    if not loss.known or not cluster.voters or set(cluster.voters) - read:
        return BLIND_BUMP
    return max(LEAST_BUMP, -(-12 * (newest.last_index - index) // 10))


def _of_member(member: MemberEvidence, newest: _Newest, cluster: Electorate) -> list[Source]:
    db = member.db
    if not isinstance(db, DbEvidence) or not db.sound:
        return []
    base = Source(
        id=f"{member.name}: bare db",
        kind="bare db",
        member=member.name,
        host=member.host,
        db=db.path,
        modified=db.modified,
        wal_dir=member.wal_dir,
        from_index=db.applied_index,
        to_index=db.applied_index,
        to_term=db.term,
        revision=db.revision,
        revision_exact=True,
        saved_snapshot=db.saved_snapshot,
        loss=_loss(db.revision, True, newest),
        bump=0,
        alarms=db.alarms,
    )
    out = [replace(base, bump=_bump(base.loss, db.consistent_index, newest, cluster))]
    tail = member.tail
    if isinstance(tail, Tail) and tail.to_index > tail.from_index:
        exact = not tail.doubts
        loss = _loss(tail.revision, exact, newest)
        log = replace(
            base,
            id=f"{member.name}: db + own log",
            kind="own log",
            from_index=tail.from_index,
            to_index=tail.to_index,
            to_term=tail.to_term,
            revision=tail.revision,
            revision_exact=exact,
            loss=loss,
            bump=_bump(loss, db.consistent_index, newest, cluster),
        )
        out.insert(0, log)
    return out


def _of_snapshot(
    snapshot: SnapshotEvidence, survey: Survey, newest: _Newest, cluster: Electorate, findings: list[Finding]
) -> Source | None:
    db = snapshot.db
    if not isinstance(db, DbEvidence):
        findings.append(Finding(level="warning", subject=snapshot.path, text=f"cannot be used: {db.unknown}"))
        return None
    if not db.sound:
        what = db.faults[0].detail if db.faults else "revisions are missing"
        findings.append(Finding(level="danger", subject=snapshot.path, text=f"cannot be used: it is damaged ({what})"))
        return None
    ours = known_peers(survey, cluster)
    theirs = {url for peer in db.peers for url in peer.peer_urls}
    if ours and theirs and not ours & theirs:
        text = f"refused: it was taken from other members ({', '.join(sorted(theirs))})"
        findings.append(Finding(level="danger", subject=snapshot.path, text=text))
        return None
    if newest.revision or newest.uncertain:
        loss = _loss(db.revision, True, newest)
        ahead = db.revision - newest.revision - newest.uncertain
        if ahead > 0:
            text = (
                f"it is {ahead} revisions ahead of every disk: were the disks restored from an older backup, or lost?"
            )
            findings.append(Finding(level="danger", subject=snapshot.path, text=text))
            loss = replace(loss, unproven=loss.unproven or "the snapshot is ahead of every disk")
    else:
        why = f"no disk is left to tell what was written after the snapshot's revision {db.revision}"
        loss = Loss(at_most=-1, exact=False, why=(why,), unproven=why)
    return Source(
        id=f"snapshot {snapshot.path}",
        kind="snapshot",
        member="",
        host=snapshot.host,
        db=snapshot.path,
        modified=db.modified,
        wal_dir="",
        from_index=0,
        to_index=0,
        to_term=db.term,
        revision=db.revision,
        revision_exact=True,
        saved_snapshot=isinstance(db.checked, Checked) and db.checked.trailer,
        loss=loss,
        bump=_bump(loss, 0, newest, cluster),
        alarms=db.alarms,
    )


def known_peers(survey: Survey, cluster: Electorate) -> set[str]:
    """The peer URLs of this cluster, from its configurations and its dbs."""
    urls: set[str] = set()
    for member in survey.members:
        if isinstance(member.config, MemberConfig):
            urls |= set(member.config.peer_urls)
    for member in cluster.counted:
        if isinstance(member.db, DbEvidence):
            urls |= {url for peer in member.db.peers for url in peer.peer_urls}
    return urls
