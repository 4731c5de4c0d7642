"""What the cluster can be rebuilt from, and how many writes each choice would lose (:mod:`requorum.verdict.newest`)."""

from collections.abc import Mapping
from dataclasses import replace

from requorum.survey.evidence import (
    Checked,
    Comparison,
    DbEvidence,
    Footing,
    LogEvidence,
    MemberConfig,
    MemberEvidence,
    MergedLog,
    SnapshotEvidence,
    Survey,
    Tail,
    Unknown,
)
from requorum.verdict.identity import member_id
from requorum.verdict.membership import Electorate
from requorum.verdict.newest import Newest, Point, behind, loss_of, point_on, shared_to
from requorum.verdict.unproven import own_words
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
    found = [_on_altered(one, cluster) for one in found]
    least = min((loss_order(one.loss) for one in found), default=None)
    merged = [_on_altered(_of_merged(one, newest, cluster), cluster) for one in together]
    found += [one for one in merged if least is None or loss_order(one.loss) < least]
    if not found and newest.log is not None:
        # The db of a removed member is what the cluster's log wrote, record by record, as far as it goes.
        found = [source for member in cluster.removed for source in _of_member(member, newest, cluster)]
    ahead, saved = _snapshots(survey, newest, cluster, findings)
    if newest.log is not None and own_words(cluster, "index")[0] > newest.last:
        findings.append(Finding(level="danger", subject="cluster", text=newest.unproven))
    wrote, who = own_words(cluster, "revision")
    seen = max(survey.seen_revision, wrote)
    if seen > newest.point.revision + ahead:
        short = seen - newest.point.revision
        by = f" ({who} says so)" if wrote > survey.seen_revision else ""
        why = f"revision {seen} was served{by}, and the disks end {short} before it"
        found = [_less(one, short, why) for one in found]
        saved = [_less(one, min(seen - one.revision, short), why) if one.revision < seen else one for one in saved]
        findings.append(Finding(level="danger", subject="cluster", text=why))
    elif ahead:
        why = f"a snapshot is {ahead} revisions ahead of every disk: the disks went back in time"
        beside = max((one.writes for one in newest.beside), default=0)  # counted already
        found = [_less(one, max(ahead - beside, 0), why) for one in found]
        top = max(one.revision for one in saved if not one.last_resort)
        saved = [_less(one, min(top - one.revision, ahead), why) if one.revision < top else one for one in saved]
    held, why = newest.cut
    if held:
        found, saved = ([_less(one, max(held - one.revision, 0), why) for one in some] for some in (found, saved))
        findings.append(Finding(level="danger", subject="cluster", text=why))
    lives = of_another_life(cluster)
    found = [_beside_others(one, lives) for one in (*found, *saved)]
    found += [
        last_resort(one, f"its db contradicts what is checked: {cluster.claims.refuted[one.name]}")
        for one in cluster.counted
        if one.name in cluster.claims.refuted and isinstance(one.db, DbEvidence)
    ]
    found.sort(key=lambda one: _rank(one, one.member in cluster.claims.contradicted))
    if newest.apart:
        found = [replace(one, loss=_apart(one.loss, newest.apart), bump=BLIND_BUMP) for one in found]
    return tuple(found), tuple(findings)


def _apart(loss: Loss, why: str) -> Loss:
    """A loss beside a disk that may hold acknowledged writes of its own: nobody knows how many."""
    return (
        loss if not loss.known else Loss(at_most=-1, exact=False, why=(why, *loss.why), unproven=loss.unproven or why)
    )


def _less(source: Source, more: int, why: str) -> Source:
    """A source that loses so many writes more than the disks themselves tell."""
    loss = source.loss
    if loss.known:
        loss = replace(loss, at_most=loss.at_most + more, exact=False, why=(*loss.why, why))
    return replace(source, loss=replace(loss, unproven=loss.unproven or why), bump=BLIND_BUMP)


def last_resort(member: MemberEvidence, why: str) -> Source:
    """A member's db that does not count, for when nothing else is left."""
    return replace(_bare(member, Loss(at_most=-1, exact=False, why=(why,), unproven=why), BLIND_BUMP), last_resort=True)


def _on_altered(source: Source, cluster: Electorate) -> Source:
    """A source that is built on a db in which some record is another than was written: guards that are replayed onto it may
    go another way, so nobody knows what it comes to."""
    why = cluster.claims.altered.get(source.member, "") if source.db and source.member else ""
    if not why:
        return source
    return replace(
        source,
        loss=Loss(at_most=-1, exact=False, why=(f"{source.member}'s db: {why}",), unproven=why),
        revision_exact=False,
        bump=BLIND_BUMP,
        last_resort=True,
    )


def of_another_life(cluster: Electorate) -> dict[str, str]:
    """The members whose dbs may hold what the logs that are left do not, with the reason: dbs that do not count, and dbs
    without a log that are of another term than the highest log is where they end."""
    out = {}
    log = cluster.head.log if cluster.head is not None and isinstance(cluster.head.log, LogEvidence) else None
    for member in cluster.counted:
        db = member.db
        if not isinstance(db, DbEvidence) or not db.sound:
            continue
        if member.name in cluster.claims.elsewhere:
            continue
        if why := cluster.claims.refuted.get(member.name, ""):
            out[member.name] = f"{member.name}'s db does not count, and may hold what nothing else does: {why}"
        elif log is not None and isinstance(member.log, Unknown):
            index, behind_it = db.consistent_index, log.last_term if db.consistent_index > log.last_index else 0
            term = next((run.term for run in log.runs if run.first <= index <= run.last), behind_it)
            if term and db.term and term != db.term:
                out[member.name] = f"{member.name}'s db is of term {db.term}, the highest log says {term} there"
            elif index > log.last_index and not isinstance(db.footing, Footing):
                out[member.name] = f"{member.name}'s db goes beyond every log, and nothing ties it to them"
    return out


def _beside_others(source: Source, lives: Mapping[str, str]) -> Source:
    """A source whose loss is not proven, beside dbs of another life: nothing is promised against a disk by what is only the
    best of the rest."""
    loss = source.loss
    mine = source.member if source.db else ""
    why = next((why for name, why in lives.items() if name != mine), lives.get(mine, ""))
    if not why or not loss.known or not loss.unproven:
        return source
    unknown = Loss(at_most=-1, exact=False, why=(why, *loss.why), unproven=loss.unproven)
    return replace(source, loss=unknown, bump=BLIND_BUMP)


def loss_order(loss: Loss) -> tuple[bool, int, bool, bool]:
    """Less is better: a known bound, a small one, a proven one, an exact one."""
    return not loss.known, loss.at_most, bool(loss.unproven), not loss.exact


def _rank(one: Source, contradicted: bool) -> tuple[object, ...]:
    """Less is better. Where no loss is known, the revision is all there is to go by; of two that come to
    the same entry, the one whose db nothing contradicts."""
    blind = 0 if one.loss.known else -one.revision
    return *loss_order(one.loss), blind, _ORDER[one.kind], -one.to_term, -one.to_index, contradicted, one.id


def counting(survey: Survey, cluster: Electorate) -> tuple[MergedLog, ...]:
    """The merged logs that are of this cluster, and whose dbs count."""
    return tuple(one for one in survey.merged if _counts(one, cluster))


def _counts(merged: MergedLog, cluster: Electorate) -> bool:
    names = {member.name for member in (*cluster.counted, *cluster.removed)}
    follows = next((one for one in cluster.counted if one.name == merged.follows), None)
    return follows is not None and (not merged.base or merged.base in names - set(cluster.diverged))


def _bump(loss: Loss, index: int, newest: Newest, cluster: Electorate) -> int:
    """What to add to the revision so that none that was ever given out is given out again: nothing when it goes on."""
    if loss.proven_none:
        return 0
    read = {member_id(member) for member in cluster.counted if isinstance(member.log, LogEvidence)}
    if not loss.known or not cluster.voters or set(cluster.voters) - read:
        return BLIND_BUMP
    aside = (*newest.aside, *newest.beside)
    highest = max([newest.last, *(one.last_index for one in newest.others), *(one.last for one in aside)])
    return max(LEAST_BUMP, -(-12 * (highest - index) // 10))


def _of_member(member: MemberEvidence, newest: Newest, cluster: Electorate) -> list[Source]:
    db = member.db
    if not isinstance(db, DbEvidence) or not db.sound or member.name in cluster.diverged:
        return []
    stands = Point(index=db.applied_index, revision=db.revision, doubts=())
    loss = loss_of(stands, db.applied_index, newest)
    bare = _bare(member, loss, _bump(loss, db.applied_index, newest, cluster))
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
        wal_dir=member.log.wal_dir if isinstance(member.log, LogEvidence) else member.wal_dir,
        from_index=tail.from_index,
        to_index=tail.to_index,
        to_term=tail.to_term,
        revision=tail.revision,
        revision_exact=not tail.doubts,
        loss=loss,
        bump=_bump(loss, db.applied_index, newest, cluster),
    )
    return [own, bare]


def _bare(member: MemberEvidence, loss: Loss, bump: int) -> Source:
    """A member's db alone."""
    db = member.db
    assert isinstance(db, DbEvidence)
    return Source(
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
        bump=bump,
        alarms=db.alarms,
    )


def _of_merged(merged: MergedLog, newest: Newest, cluster: Electorate) -> Source:
    tail = merged.tail
    base = next((one for one in (*cluster.counted, *cluster.removed) if one.name == merged.base), None)
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


def _snapshots(
    survey: Survey, newest: Newest, cluster: Electorate, findings: list[Finding]
) -> tuple[int, list[Source]]:
    """The snapshots as sources, and how many revisions the newest of this cluster's history is ahead of every disk."""
    ahead, out = 0, []
    for snapshot in survey.snapshots:
        db = _usable(snapshot, survey, cluster, findings)
        if db is None:
            continue
        reach = newest.point.revision + behind(newest, newest.point.index)[0]
        beyond = db.revision - reach if newest.point.revision or newest.last else 0
        if beyond > 0 and (other := _another_life(snapshot, survey, cluster)):
            findings.append(Finding(level="danger", subject=snapshot.path, text=other))
            unknown = Loss(at_most=-1, exact=False, why=(other,), unproven=other)
            out.append(replace(_of_snapshot(snapshot, db, unknown, BLIND_BUMP), last_resort=True))
            continue
        if beyond > 0:
            text = (
                f"it is {beyond} revisions ahead of every disk: were the disks restored from an older backup, or lost?"
            )
            findings.append(Finding(level="danger", subject=snapshot.path, text=text))
            ahead = max(ahead, beyond)
        if newest.point.revision or newest.last:
            loss = _snapshot_loss(db, newest, _alike(snapshot, survey, cluster, newest))
            if beyond > 0:
                loss = replace(loss, unproven=loss.unproven or "the snapshot is ahead of every disk")
                if loss.known:
                    held = sum(min(one.writes, beyond) for one in newest.beside if one.db == snapshot.path)
                    loss = replace(loss, at_most=loss.at_most - held)
        else:
            why = f"no disk is left to tell what was written after the snapshot's revision {db.revision}"
            loss = Loss(at_most=-1, exact=False, why=(why,), unproven=why)
        # How far the cluster went on from a snapshot that is ahead of the disks, no log tells.
        out.append(_of_snapshot(snapshot, db, loss, BLIND_BUMP if beyond > 0 else _bump(loss, 0, newest, cluster)))
    return ahead, out


def _another_life(snapshot: SnapshotEvidence, survey: Survey, cluster: Electorate) -> str:
    """Why a snapshot is not of the history that the disks tell, although it is of these members; empty when nothing shows
    that: a cluster that was made anew begins at revision 1 again. One member that holds the same is enough."""
    found = _held_against(snapshot, survey, cluster)
    if not found or any(one.agreed for one in found):
        return ""
    return f"it is of another life of this cluster: {found[0].what} are not those of the disks"


def _held_against(snapshot: SnapshotEvidence, survey: Survey, cluster: Electorate) -> list[Comparison]:
    """What the members that count hold, compared with a snapshot."""
    names = {snapshot.name, *(one.name for one in cluster.counted)} - set(cluster.diverged)
    found = [
        replace(one, stands=tuple(two for two in one.stands if two.member in names))
        for one in survey.compared
        if any(two.member == snapshot.name for two in one.stands)
    ]
    return [one for one in found if len(one.stands) > 1]


def _usable(
    snapshot: SnapshotEvidence, survey: Survey, cluster: Electorate, findings: list[Finding]
) -> DbEvidence | None:
    """The db of a snapshot that is whole, and of these members."""
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
    return db


def _of_snapshot(snapshot: SnapshotEvidence, db: DbEvidence, loss: Loss, bump: int) -> Source:
    return Source(
        id=snapshot.name,
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
        bump=bump,
        alarms=db.alarms,
    )


def _alike(snapshot: SnapshotEvidence, survey: Survey, cluster: Electorate, newest: Newest) -> int:
    """Up to which revision a snapshot holds what a disk holds; 0 where that is not known. A quick survey compares nothing: there
    it is taken for one of this cluster's."""
    if not survey.verified:
        return newest.point.revision
    return max((one.records_up_to for one in _held_against(snapshot, survey, cluster) if one.agreed), default=0)


def _snapshot_loss(db: DbEvidence, newest: Newest, alike: int) -> Loss:
    """A snapshot's index may be of another life of the cluster: only its revision can be compared, and the records up to the
    revision ``alike`` are those of a disk."""
    if newest.point.revision and db.revision > newest.point.revision and alike > 1:
        loss = loss_of(Point(index=0, revision=alike, doubts=()), newest.point.index - 1, newest)
        return replace(loss, exact=loss.exact and not loss.at_most)
    if newest.point.revision:
        return loss_of(Point(index=0, revision=db.revision, doubts=()), min(0, newest.point.index - 1), newest)
    why = ("no db is left to compare its revision with: every entry of the logs is counted",)
    lost, reasons = behind(newest, 0)
    return Loss(at_most=lost, exact=False, why=(*why, *reasons), unproven=newest.doubted)


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
