"""What the cluster can be rebuilt from, and how many writes each choice would lose.

How a loss is counted: the highest log on any disk, by (term, index), is what raft would go on from; it leads to the
newest state. A source shares that history up to some entry (Log Matching: two logs with the same term at an index are
the same up to it). It loses the writes behind: as many as the revisions that lie between, where a db with its log
unbroken tells, and one for every entry beyond that may be a write or that nobody can read. That is exact when nothing
is in doubt; else it is a bound, with the reason.

Why nothing else can be lost: an acknowledged write is in the logs of a majority of voters, so it is in at least one log
out of any majority that was read to its end. Without such a majority the loss is counted all the same, and called
unproven.
"""

from dataclasses import dataclass, replace

from requorum.survey.evidence import (
    Checked,
    DbEvidence,
    LogEvidence,
    MemberConfig,
    MemberEvidence,
    MergedLog,
    Run,
    SnapshotEvidence,
    Survey,
    Tail,
)
from requorum.survey.runs import Runs, count, minus, union, within
from requorum.verdict.membership import Electorate, majority, member_id
from requorum.verdict.values import BARE_DB, MERGED_LOG, OWN_LOG, SNAPSHOT, Basis, Finding, Loss, Source, Witness

ASSUMPTION = "assumed: each disk kept what it had fsynced"
LEAST_BUMP = 1_000_000
BLIND_BUMP = 1_000_000_000
WORKBENCH = "requorum-workbench"
"""The only member that a snapshot names which requorum rebuilt itself."""
_ORDER = {OWN_LOG: 0, MERGED_LOG: 1, BARE_DB: 2, SNAPSHOT: 3}


def ranked(survey: Survey, cluster: Electorate) -> tuple[tuple[Source, ...], tuple[Finding, ...]]:
    """All sources, the one that loses least first; ties go to what is proven, then to the plainer kind."""
    together = tuple(one for one in survey.merged if _counts(one, cluster))
    newest = _newest(cluster, together)
    findings: list[Finding] = []
    found = [source for member in cluster.counted for source in _of_member(member, newest, cluster)]
    least = min((loss_order(one.loss) for one in found), default=None)
    merged = [_of_merged(one, newest, cluster) for one in together]
    found += [one for one in merged if least is None or loss_order(one.loss) < least]
    for snapshot in survey.snapshots:
        source = _of_snapshot(snapshot, survey, newest, cluster, findings)
        if source is not None:
            found.append(source)
    found.sort(key=_rank)
    return tuple(found), tuple(findings)


def basis(survey: Survey, cluster: Electorate) -> Basis | None:
    """What the logs prove; None where there is no log."""
    newest = _newest(cluster, tuple(one for one in survey.merged if _counts(one, cluster)))
    logs = [(one, one.log) for one in cluster.counted if isinstance(one.log, LogEvidence)]
    if newest.log is None:
        return None
    highest = newest.log
    witnesses = tuple(
        Witness(
            member=member.name,
            votes=member_id(member) in cluster.voters,
            term=log.last_term,
            index=log.last_index,
            to_end=log.end_is_read,
            unreadable=log.unreadable,
            agrees_to=_agrees_to(log, highest),
        )
        for member, log in logs
    )
    committed = max(
        [log.commit for _, log in logs]
        + [one.db.consistent_index for one in cluster.counted if isinstance(one.db, DbEvidence)]
    )
    return Basis(
        follows=next(member.name for member, log in logs if log is highest),
        voters=len(cluster.voters),
        needed=majority(len(cluster.voters)),
        read=sum(1 for one in witnesses if one.votes and one.to_end),
        witnesses=witnesses,
        unproven=newest.unproven,
        assumption=ASSUMPTION,
        committed=committed,
        may_surface=_behind(newest, committed)[0] if committed < newest.last else 0,
    )


def _agrees_to(log: LogEvidence, highest: LogEvidence) -> int:
    """The last entry that two logs share; they are the same up to it."""
    same = 0
    for run in log.runs:
        for other in highest.runs:
            first, last = max(run.first, other.first), min(run.last, other.last)
            if first <= last and run.term == other.term:
                same = max(same, last)
    return same


def loss_order(loss: Loss) -> tuple[bool, int, bool, bool]:
    """Less is better: a known bound, a small one, a proven one, an exact one."""
    return not loss.known, loss.at_most, bool(loss.unproven), not loss.exact


@dataclass(frozen=True, slots=True, kw_only=True)
class _Point:
    """A state that is known: the store's revision after an entry, and what makes it doubtful."""

    index: int
    revision: int
    doubts: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Newest:
    """The newest state that the surveyed disks still show.

    ``log`` is the highest log (None when no log is left), ``last`` the last entry that is known to have been in it,
    ``point`` the furthest known state of its history, ``extra`` entries at the ends of other logs that nobody can read:
    they may be of a later term.
    """

    log: LogEvidence | None
    last: int
    point: _Point
    extra: Runs
    others: tuple[LogEvidence, ...]
    unproven: str

    def agrees(self, index: int, term: int) -> bool:
        """Whether the highest log has this term at an index, as far as it tells."""
        own = _term_at(self.log, index) if self.log else 0
        return own in (0, term)


def _rank(one: Source) -> tuple[object, ...]:
    """Less is better. Where no loss is known, the revision is all there is to go by."""
    blind = 0 if one.loss.known else -one.revision
    return *loss_order(one.loss), blind, _ORDER[one.kind], -one.to_term, -one.to_index, one.id


def _counts(merged: MergedLog, cluster: Electorate) -> bool:
    """Whether a merged log is of this cluster, and its db counts."""
    names = {member.name for member in cluster.counted}
    follows = next((one for one in cluster.counted if one.name == merged.follows), None)
    return follows is not None and (not merged.base or merged.base in names - set(cluster.diverged))


def _newest(cluster: Electorate, together: tuple[MergedLog, ...]) -> _Newest:
    """Compute it from the members that count."""
    logs = tuple(member.log for member in cluster.counted if isinstance(member.log, LogEvidence))
    highest = max(logs, key=lambda one: one.last, default=None)
    blank = _Newest(log=highest, last=0, point=_Point(index=0, revision=0, doubts=()), extra=(), others=(), unproven="")
    best = blank.point
    for member in cluster.counted:
        if not isinstance(member.db, DbEvidence) or not member.db.sound or member.name in cluster.diverged:
            continue
        found = [_Point(index=member.db.applied_index, revision=member.db.revision, doubts=())]
        if isinstance(member.tail, Tail):
            to = _shared(member, blank, member.tail.to_index)
            found.append(_point_on(member.tail, member.db, to))
        best = max(best, *found, key=lambda one: (one.index, not one.doubts))
    for merged in together:
        if all(piece.proven for piece in merged.pieces):
            tail = merged.tail
            found_here = _Point(index=tail.to_index, revision=tail.revision, doubts=tail.doubts)
            best = max(best, found_here, key=lambda one: (one.index, not one.doubts))
    known = [log.commit for log in logs]
    known += [one.db.consistent_index for one in cluster.counted if isinstance(one.db, DbEvidence)]
    last = max([*known, best.index, highest.last_index if highest else 0])
    if highest:
        last = max([last, *(run.last for run in highest.unreadable)])
    beyond = [run for one in logs for run in within(one.unreadable, one.last_index + 1, 1 << 62)]
    return _Newest(
        log=highest,
        last=last,
        point=best,
        extra=minus(beyond, [Run(first=0, last=last)]) if highest else (),
        others=tuple(one for one in logs if one is not highest),
        unproven=_unproven(cluster),
    )


def _point_on(tail: Tail, db: DbEvidence, index: int) -> _Point:
    """The state after an entry of a tail."""
    if index >= tail.to_index:
        return _Point(index=tail.to_index, revision=tail.revision, doubts=tail.doubts)
    return _Point(index=index, revision=db.revision + count(within(tail.writes, 0, index)), doubts=tail.doubts)


def _term_at(log: LogEvidence, index: int) -> int:
    """The term of a whole entry; 0 where there is none."""
    return next((run.term for run in log.runs if run.first <= index <= run.last), 0)


def _shared(member: MemberEvidence, newest: _Newest, to_index: int) -> int:
    """The last entry, up to ``to_index``, that a member's own history shares with the highest log.

    Two logs with the same term at an index are the same up to it. Where they then contradict each other, or this one
    goes on where the highest one has ended, everything behind that index is its own.
    """
    own, highest = member.log, newest.log
    if highest is None or own is highest or not isinstance(own, LogEvidence):
        return to_index
    same = 0
    contradicts = to_index > highest.last_index and to_index > max((run.last for run in highest.unreadable), default=0)
    for run in own.runs:
        for other in highest.runs:
            first, last = max(run.first, other.first), min(run.last, other.last, to_index)
            if first <= last:
                same = last if run.term == other.term else same
                contradicts = contradicts or run.term != other.term
    return same if contradicts else to_index


def _behind(newest: _Newest, index: int) -> tuple[int, tuple[str, ...]]:
    """How many entries behind ``index``, up to the last known one, may be writes; and why that is no exact count."""
    wanted = within([Run(first=index + 1, last=newest.last)], 0, newest.last)
    if newest.log is None or not (wanted or newest.extra):
        return count(wanted), ()
    whole: Runs = ()
    harmless: Runs = ()
    for log in (newest.log, *newest.others):
        here: Runs = tuple(Run(first=run.first, last=run.last) for run in log.runs)
        if log is not newest.log:
            here = _agreeing(log, newest.log)
        whole = union(whole, here)
        told = within(here, log.classified_above + 1, newest.last)
        harmless = union(harmless, minus(told, log.possible_writes))
    maybe = minus(wanted, harmless)
    unreadable = count(minus(wanted, whole)) + count(newest.extra)
    reasons = []
    if unreadable:
        reasons.append(f"{unreadable} entries cannot be read on any disk: each is counted as one write")
    if count(maybe) > count(minus(wanted, whole)):
        reasons.append("writes behind a damaged entry: guards, deletes and leases may make it less")
    return count(maybe) + count(newest.extra), tuple(reasons)


def _agreeing(log: LogEvidence, highest: LogEvidence) -> Runs:
    """The whole entries of a log that the highest log does not contradict."""
    out: Runs = ()
    for run in log.runs:
        contradicted = [Run(first=one.first, last=one.last) for one in highest.runs if one.term != run.term]
        out = union(out, minus([Run(first=run.first, last=run.last)], contradicted))
    return out


def _unproven(cluster: Electorate) -> str:
    """Why there may be acknowledged writes that no surveyed disk shows; empty when there cannot be."""
    if not cluster.voters:
        return "no log tells who votes"
    for each in cluster.voter_sets:
        read = {
            member_id(member)
            for member in cluster.counted
            if isinstance(member.log, LogEvidence) and member.log.end_is_read and member_id(member) in each.voters
        }
        if len(read) < majority(len(each.voters)):
            return (
                f"{len(read)} of {len(each.voters)} voters' logs were read to their end, {majority(len(each.voters))} "
                f"are needed: what only the others hold cannot be known"
            )
    return ""


def _loss(source: _Point, shared: int, newest: _Newest) -> Loss:
    """What a source loses that stands at ``source``, and shares the newest history up to the entry ``shared``."""
    if newest.log is None:
        why_not = "no log is left to tell what was written after a db was last saved"
        return Loss(at_most=-1, exact=False, why=(why_not,), unproven=newest.unproven or why_not)
    why: tuple[str, ...] = source.doubts
    lost = 0
    reached = shared
    if newest.point.index > shared:
        lost, reached = newest.point.revision - source.revision, newest.point.index
        why += newest.point.doubts
        if lost < 0:
            lost, reached = 0, shared
    beyond, reasons = _behind(newest, reached)
    why = tuple(dict.fromkeys((*why, *reasons)))
    return Loss(at_most=lost + beyond, exact=not why and not beyond, why=why, unproven=newest.unproven)


def _bump(loss: Loss, index: int, newest: _Newest, cluster: Electorate) -> int:
    """What to add to the revision so that none that was ever given out is given out again: nothing when it goes on."""
    if loss.proven_none:
        return 0
    read = {member_id(member) for member in cluster.counted if isinstance(member.log, LogEvidence)}
    if not loss.known or not cluster.voters or set(cluster.voters) - read:
        return BLIND_BUMP
    highest = max([newest.last, *(one.last_index for one in newest.others)])
    return max(LEAST_BUMP, -(-12 * (highest - index) // 10))


def _of_member(member: MemberEvidence, newest: _Newest, cluster: Electorate) -> list[Source]:
    db = member.db
    if not isinstance(db, DbEvidence) or not db.sound or member.name in cluster.diverged:
        return []
    stands = _Point(index=db.applied_index, revision=db.revision, doubts=())
    loss = _loss(stands, db.applied_index, newest)
    bare = Source(
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
        loss=loss,
        bump=_bump(loss, db.consistent_index, newest, cluster),
        alarms=db.alarms,
    )
    tail = member.tail
    if not isinstance(tail, Tail) or tail.to_index <= tail.from_index:
        return [bare]
    shared = _shared(member, newest, tail.to_index)
    loss = _loss(_point_on(tail, db, shared), shared, newest)
    if shared < tail.to_index:
        loss = replace(loss, why=(*loss.why, f"behind entry {shared} its log is another than the highest one"))
    own = replace(
        bare,
        id=f"{member.name}: db + own log",
        kind="own log",
        from_index=tail.from_index,
        to_index=tail.to_index,
        to_term=tail.to_term,
        revision=tail.revision,
        revision_exact=not tail.doubts,
        loss=loss,
        bump=_bump(loss, db.consistent_index, newest, cluster),
    )
    return [own, bare]


def _of_merged(merged: MergedLog, newest: _Newest, cluster: Electorate) -> Source:
    tail = merged.tail
    base = next((one for one in cluster.counted if one.name == merged.base), None)
    lies = base or next(one for one in cluster.counted if one.name == merged.follows)
    db = base.db if base is not None and isinstance(base.db, DbEvidence) else None
    loss = _loss(_Point(index=tail.to_index, revision=tail.revision, doubts=tail.doubts), tail.to_index, newest)
    doubtful = [one for one in merged.pieces if not one.proven]
    if doubtful:
        one = doubtful[0]
        where = f"entry {one.first}" if one.first == one.last else f"entries {one.first} to {one.last}"
        why = (
            f"{where} are {one.member}'s: {one.why}"
            if one.first != one.last
            else f"{where} is {one.member}'s: {one.why}"
        )
        loss = replace(loss, exact=False, unproven=loss.unproven or why)
    return Source(
        id=_name_of(merged),
        kind="merged log",
        member=lies.name,
        host=lies.host,
        db=db.path if db else "",
        modified=db.modified if db else "",
        wal_dir=lies.wal_dir,
        from_index=tail.from_index,
        to_index=tail.to_index,
        to_term=tail.to_term,
        revision=tail.revision,
        revision_exact=not tail.doubts,
        saved_snapshot=db.saved_snapshot if db else False,
        loss=loss,
        bump=_bump(loss, db.consistent_index if db else 0, newest, cluster),
        alarms=db.alarms if db else (),
        pieces=merged.pieces,
    )


def _name_of(merged: MergedLog) -> str:
    if merged.base:
        return f"merged log on {merged.base}'s db"
    whose = {piece.member for piece in merged.pieces}
    return f"{whose.pop()}: log from its first entry" if len(whose) == 1 else "merged log from its first entry"


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
    theirs = {url for peer in db.peers if peer.name != WORKBENCH for url in peer.peer_urls}
    if ours and theirs and not ours & theirs:
        text = f"refused: it was taken from other members ({', '.join(sorted(theirs))})"
        findings.append(Finding(level="danger", subject=snapshot.path, text=text))
        return None
    if newest.point.revision or newest.last:
        loss = _snapshot_loss(db, newest)
        ahead = db.revision - newest.point.revision - _behind(newest, newest.point.index)[0]
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


def _snapshot_loss(db: DbEvidence, newest: _Newest) -> Loss:
    """A snapshot's index may be of another life of the cluster: only its revision can be compared."""
    stands = _Point(index=0, revision=db.revision, doubts=())
    if newest.point.revision:
        return _loss(stands, min(0, newest.point.index - 1), newest)
    why = ("no db is left to compare its revision with: every entry of the logs is counted",)
    lost, reasons = _behind(newest, 0)
    return Loss(at_most=lost, exact=False, why=(*why, *reasons), unproven=newest.unproven)


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
