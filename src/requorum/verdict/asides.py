"""What is held aside of the history that is followed: other histories, folders beside a data dir, disks of other clusters, dbs of
members that are none any more. Where that history is chosen, it is lost.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from requorum.survey.around_values import Around
from requorum.survey.evidence import Comparison, DbEvidence, Fork, LogEvidence, MemberEvidence, Run
from requorum.survey.lineage import agrees, fork_of
from requorum.survey.runs import count, union, within
from requorum.verdict.membership import Electorate


@dataclass(frozen=True, slots=True, kw_only=True)
class Aside:
    """What is held aside of the history that is followed, and ``what`` it is: at most ``writes``, behind entry ``fork`` - 1.
    ``db``: the db that lies with it, where it is a folder beside a data dir."""

    names: tuple[str, ...]
    fork: int
    last: int
    writes: int
    what: str = "tells another history"
    db: str = ""


def beside(cluster: Electorate, last: int, members: Sequence[MemberEvidence]) -> tuple[Aside, ...]:
    """The folder beside a data dir that holds most of this cluster's log beyond all that the disks show: moved there, and
    forgotten. What the member itself holds now does not matter: it may have been wiped and booted since."""
    found = [
        (folder.last_index, folder.path, member.name, folder.db)
        for member in members
        if isinstance(member.around, Around) and cluster.cluster_id
        for folder in member.around.folders
        if folder.cluster_id == cluster.cluster_id and folder.last_index > last
    ]
    if not found:
        return ()
    index, path, name, db = max(found)
    return (
        Aside(
            names=(f"{name}'s {path}",),
            fork=last + 1,
            last=index,
            writes=index - last,
            what="holds more of this history",
            db=db,
        ),
    )


def histories(cluster: Electorate, forks: Sequence[Fork], *, deposed: bool) -> tuple[Aside, ...]:
    """What the logs of other histories hold; of those that agree with each other, the one that holds most. ``deposed``: also
    what deposed leaders' logs hold on their own."""
    head = cluster.head
    if head is None:
        return ()
    leaving = list(cluster.rivals)
    if deposed:
        leaving += [one for one in (*cluster.counted, *cluster.gone) if one is not head and fork_of(one, head, forks)]
    groups: list[list[MemberEvidence]] = []
    for one in leaving:
        if not isinstance(one.log, LogEvidence):
            continue
        group = next((group for group in groups if agrees(one, group[0], forks) or agrees(group[0], one, forks)), None)
        if group is None:
            groups.append([one])
        else:
            group.append(one)
    out = [
        Aside(
            names=(one.log.cut_off.path,),
            fork=one.log.cut_off.fork,
            last=one.log.cut_off.last,
            writes=one.log.cut_off.writes,
        )
        for one in cluster.counted
        if isinstance(one.log, LogEvidence) and one.log.cut_off is not None
    ][:1]
    for group in groups:
        told = []
        for one in group:
            assert isinstance(one.log, LogEvidence)
            at = _parted_from(one.log, head, fork_of(one, head, forks))
            end, writes = _from(one.log, at)
            told.append((at, end, writes + max(index_counted(one, cluster) - max(end, at - 1), 0)))
        out.append(
            Aside(
                names=tuple(sorted(one.name for one in group)),
                fork=min(at for at, _, _ in told),
                last=max(end for _, end, _ in told),
                writes=max(writes for _, _, writes in told),
            )
        )
    return tuple(out)


def _parted_from(log: LogEvidence, head: MemberEvidence, fork: int) -> int:
    """The entry from which on two histories may differ: before the first one that is known to, some may be unreadable."""
    hidden = [*log.unreadable, *(head.log.unreadable if isinstance(head.log, LogEvidence) else ())]
    while any(one.first <= fork - 1 <= one.last for one in hidden):
        fork -= 1
    return fork


def strangers(
    cluster: Electorate, members: Sequence[MemberEvidence], compared: Sequence[Comparison]
) -> tuple[Aside, ...]:
    """What the disks of other clusters hold: a member that was emptied, or restored by itself, and then served."""
    out = []
    for one in members:
        if not isinstance(one.log, LogEvidence) or one.log.cluster_id in (0, cluster.cluster_id):
            continue
        at = 1 + (one.log.restored_at or 0)
        last, writes = _from(one.log, at)
        writes += _of_its_own(one, cluster, compared) if one.log.restored_at else 0
        what = "is another cluster's, and holds what was written to it"
        out.append(Aside(names=(one.name,), fork=at, last=last, writes=writes, what=what))
    return tuple(out)


def gone(cluster: Electorate, compared: Sequence[Comparison]) -> tuple[Aside, ...]:
    """What the dbs of members that are none any more may hold, and nothing of this history does."""
    out = []
    for one in cluster.gone:
        writes = _of_its_own(one, cluster, compared) if isinstance(one.db, DbEvidence) and one.db.sound else 0
        if writes:
            what = "is no member any more, and has a db that may hold what the others do not,"
            at = one.db.applied_index if isinstance(one.db, DbEvidence) else 0
            out.append(Aside(names=(one.name,), fork=max(at - writes, 0) + 1, last=at, writes=writes, what=what))
    return tuple(out)


def _of_its_own(member: MemberEvidence, cluster: Electorate, compared: Sequence[Comparison]) -> int:
    """How many writes a restored db may hold that no disk of the cluster does: those behind the last revision up to which it is
    known to hold the same as one of theirs."""
    own = {one.name for one in cluster.counted} - cluster.claims.contradicted - set(cluster.diverged)
    agreed = 1
    for each in compared:
        mine = [stand.value for stand in each.stands if stand.member == member.name]
        theirs = {stand.value for stand in each.stands if stand.member in own}
        if each.of_records and mine and mine[0] in theirs:
            agreed = max(agreed, each.records_up_to)
    return max(member.db.last_revision - agreed, 0) if isinstance(member.db, DbEvidence) else 0


def _from(log: LogEvidence, at: int) -> tuple[int, int]:
    """The last entry of a log, and how many from one on may be writes."""
    end = max([log.last_index, *(run.last for run in log.unreadable)])
    untold = [Run(first=at, last=min(end, log.classified_above))] if at <= log.classified_above else []
    return end, count(union(within(log.possible_writes, at, end), within(log.unreadable, at, end), untold))


def index_counted(member: MemberEvidence, cluster: Electorate) -> int:
    """The index up to which a db's data goes, as far as it may move the yardstick: 0 for one that is not sound, or that
    something contradicts."""
    if not isinstance(member.db, DbEvidence) or not member.db.sound:
        return 0
    if member.name in cluster.diverged or member.name in cluster.claims.unfit:
        return 0
    return member.db.applied_index
