"""What the cluster can be rebuilt from, and how many writes each choice would lose (:mod:`requorum.verdict.newest`)."""

from dataclasses import replace

from requorum.survey.evidence import (
    Checked,
    DbEvidence,
    LogEvidence,
    MemberConfig,
    MemberEvidence,
    MergedLog,
    SnapshotEvidence,
    Survey,
    Tail,
)
from requorum.verdict.membership import Electorate, member_id
from requorum.verdict.newest import Newest, Point, behind, loss_of, point_on, shared_to
from requorum.verdict.values import BARE_DB, MERGED_LOG, OWN_LOG, SNAPSHOT, Finding, Loss, Source

LEAST_BUMP = 1_000_000
BLIND_BUMP = 1_000_000_000
WORKBENCH = "requorum-workbench"
"""The only member that a snapshot names which requorum rebuilt itself."""
_ORDER = {OWN_LOG: 0, MERGED_LOG: 1, BARE_DB: 2, SNAPSHOT: 3}


def ranked(
    survey: Survey, cluster: Electorate, together: tuple[MergedLog, ...], newest: Newest
) -> tuple[tuple[Source, ...], tuple[Finding, ...]]:
    """All sources, the one that loses least first; ties go to what is proven, then to the plainer kind."""
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


def loss_order(loss: Loss) -> tuple[bool, int, bool, bool]:
    """Less is better: a known bound, a small one, a proven one, an exact one."""
    return not loss.known, loss.at_most, bool(loss.unproven), not loss.exact


def _rank(one: Source) -> tuple[object, ...]:
    """Less is better. Where no loss is known, the revision is all there is to go by."""
    blind = 0 if one.loss.known else -one.revision
    return *loss_order(one.loss), blind, _ORDER[one.kind], -one.to_term, -one.to_index, one.id


def counting(survey: Survey, cluster: Electorate) -> tuple[MergedLog, ...]:
    """The merged logs that are of this cluster, and whose dbs count."""
    return tuple(one for one in survey.merged if _counts(one, cluster))


def _counts(merged: MergedLog, cluster: Electorate) -> bool:
    names = {member.name for member in cluster.counted}
    follows = next((one for one in cluster.counted if one.name == merged.follows), None)
    return follows is not None and (not merged.base or merged.base in names - set(cluster.diverged))


def _bump(loss: Loss, index: int, newest: Newest, cluster: Electorate) -> int:
    """What to add to the revision so that none that was ever given out is given out again: nothing when it goes on."""
    if loss.proven_none:
        return 0
    read = {member_id(member) for member in cluster.counted if isinstance(member.log, LogEvidence)}
    if not loss.known or not cluster.voters or set(cluster.voters) - read:
        return BLIND_BUMP
    highest = max([newest.last, *(one.last_index for one in newest.others)])
    return max(LEAST_BUMP, -(-12 * (highest - index) // 10))


def _of_member(member: MemberEvidence, newest: Newest, cluster: Electorate) -> list[Source]:
    db = member.db
    if not isinstance(db, DbEvidence) or not db.sound or member.name in cluster.diverged:
        return []
    stands = Point(index=db.applied_index, revision=db.revision, doubts=())
    loss = loss_of(stands, db.applied_index, newest)
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
    shared = shared_to(member, newest, tail.to_index)
    loss = loss_of(point_on(tail, db, shared), shared, newest)
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


def _of_merged(merged: MergedLog, newest: Newest, cluster: Electorate) -> Source:
    tail = merged.tail
    base = next((one for one in cluster.counted if one.name == merged.base), None)
    lies = base or next(one for one in cluster.counted if one.name == merged.follows)
    db = base.db if base is not None and isinstance(base.db, DbEvidence) else None
    loss = loss_of(Point(index=tail.to_index, revision=tail.revision, doubts=tail.doubts), tail.to_index, newest)
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
    snapshot: SnapshotEvidence, survey: Survey, newest: Newest, cluster: Electorate, findings: list[Finding]
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
        ahead = db.revision - newest.point.revision - behind(newest, newest.point.index)[0]
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


def _snapshot_loss(db: DbEvidence, newest: Newest) -> Loss:
    """A snapshot's index may be of another life of the cluster: only its revision can be compared."""
    stands = Point(index=0, revision=db.revision, doubts=())
    if newest.point.revision:
        return loss_of(stands, min(0, newest.point.index - 1), newest)
    why = ("no db is left to compare its revision with: every entry of the logs is counted",)
    lost, reasons = behind(newest, 0)
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
