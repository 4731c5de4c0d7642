"""The newest state that the surveyed disks still show, and how many writes a choice loses against it.

How a loss is counted: the highest log on any disk, by (term, index), is what raft would go on from; it leads to the
newest state. A source shares that history up to some entry (Log Matching: two logs with the same term at an index are
the same up to it). It loses the writes behind: as many as the revisions that lie between, where a db with its log
unbroken tells, and one for every entry beyond that may be a write or that nobody can read. That is exact when nothing
is in doubt; else it is a bound, with the reason.

Why nothing else can be lost: an acknowledged write is in the logs of a majority of voters, so it is in at least one log
out of any majority that was read to its end. Without such a majority the loss is counted all the same, and called
unproven; then what a deposed leader's log holds on its own counts as well, as nothing shows that it was never acknowledged.
Where another log tells another history, what that holds behind the fork is lost with this one.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from requorum.survey.evidence import (
    Comparison,
    DbEvidence,
    Fork,
    LogEvidence,
    MemberEvidence,
    MergedLog,
    Run,
    Tail,
)
from requorum.survey.lineage import known_commit
from requorum.survey.runs import Runs, count, minus, union, within
from requorum.verdict import alone, asides, unproven
from requorum.verdict.asides import Aside
from requorum.verdict.membership import Electorate
from requorum.verdict.values import Loss


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """A state that is known: the store's revision after an entry, and what makes it doubtful."""

    index: int
    revision: int
    doubts: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Newest:
    """The newest state that the surveyed disks still show.

    ``log`` is the highest log (None when no log is left), ``last`` the last entry that is known to have been in it,
    ``point`` the furthest known state of its history, ``extra`` entries at the ends of other logs that nobody can read:
    they may be of a later term. ``aside`` is what other histories hold, ``beside`` what lies in a folder beside a data dir,
    ``strangers`` what members wrote as another cluster's, where nothing proves that this one's writes are all there.
    ``unproven``: why something else may be on disks that were not read; ``apart``: why some disk may hold acknowledged writes
    that nothing else has, and no log of these tells how many. ``cut``: the revision of a db whose log etcd's own repair has cut
    off before it, with that in words; 0 for none.
    """

    log: LogEvidence | None
    last: int
    point: Point
    extra: Runs
    others: tuple[LogEvidence, ...]
    unproven: str
    aside: tuple[Aside, ...] = ()
    beside: tuple[Aside, ...] = ()
    strangers: tuple[Aside, ...] = ()
    apart: str = ""
    cut: tuple[int, str] = (0, "")

    @property
    def doubted(self) -> str:
        """Why a loss is not proven; empty where it is."""
        return self.unproven or self.apart

    @property
    def held(self) -> tuple[Aside, ...]:
        """All that is held aside of the history that is followed."""
        return (*self.aside, *self.beside, *self.strangers)


def newest_of(
    cluster: Electorate,
    together: tuple[MergedLog, ...],
    forks: Sequence[Fork] = (),
    members: Sequence[MemberEvidence] = (),
    compared: Sequence[Comparison] = (),
) -> Newest:
    """Compute it from the members that count, and from what lies beside any member's data dir."""
    logs = tuple(member.log for member in cluster.counted if isinstance(member.log, LogEvidence))
    highest = cluster.head.log if cluster.head is not None and isinstance(cluster.head.log, LogEvidence) else None
    why = unproven.unproven(cluster, forks) or alone.unproven(cluster, members)
    blank = Newest(log=highest, last=0, point=Point(index=0, revision=0, doubts=()), extra=(), others=(), unproven="")
    best = blank.point
    told = 0
    for member in cluster.counted:
        if not isinstance(member.db, DbEvidence) or not member.db.sound or member.name in cluster.diverged:
            continue
        found = [Point(index=member.db.applied_index, revision=member.db.revision, doubts=())]
        if isinstance(member.tail, Tail):
            to = shared_to(member, blank, member.tail.to_index)
            found.append(point_on(member.tail, member.db, to))
        best = max(best, *found, key=lambda one: (one.index, not one.doubts))
        told = max(told, *(one.revision for one in found if member.name not in cluster.claims.altered), 0)
    for merged in together:
        if all(piece.proven for piece in merged.pieces):
            tail = merged.tail
            found_here = Point(index=tail.to_index, revision=tail.revision, doubts=tail.doubts)
            best = max(best, found_here, key=lambda one: (one.index, not one.doubts))
            told = max(told, tail.revision if merged.base not in cluster.claims.altered else 0)
    known = [log.commit for log in logs]
    known += [known_commit(one) for one in cluster.counted if one.name not in cluster.diverged]
    known += [asides.index_counted(one, cluster) for one in cluster.counted]
    last = max([*known, best.index, highest.last_index if highest else 0])
    if highest:
        last = max([last, *(run.last for run in highest.unreadable)])
    beyond = [run for one in logs for run in within(one.unreadable, one.last_index + 1, 1 << 62)]
    committed, who = unproven.own_words(cluster, "index")
    if highest and committed > last:
        why = (
            f"{who} says that entry {committed} was committed, and the disks end at {last}: since then they went back in time, "
            f"or lost their tails"
        )
    cut = unproven.behind_a_cut(cluster, told)
    why = why or cut[1]
    newest = Newest(
        log=highest,
        last=last,
        point=best,
        extra=minus(beyond, [Run(first=0, last=last)]) if highest else (),
        others=tuple(one for one in logs if one is not highest),
        unproven=why,
        apart=cluster.apart,
        aside=asides.histories(cluster, forks, deposed=bool(why)),
        beside=asides.beside(cluster, last, members),
        strangers=(*asides.strangers(cluster, members, compared), *asides.gone(cluster, compared)) if why else (),
        cut=cut,
    )
    reach = best.revision + behind(newest, best.index)[0]
    return newest if newest.apart else replace(newest, apart=unproven.before_a_restore(cluster, members, reach))


def point_on(tail: Tail, db: DbEvidence, index: int) -> Point:
    """The state after an entry of a tail."""
    if index >= tail.to_index:
        return Point(index=tail.to_index, revision=tail.revision, doubts=tail.doubts)
    return Point(index=index, revision=db.revision + count(within(tail.writes, 0, index)), doubts=tail.doubts)


def shared_to(member: MemberEvidence, newest: Newest, to_index: int) -> int:
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


def behind(newest: Newest, index: int) -> tuple[int, tuple[str, ...]]:
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


def loss_of(source: Point, shared: int, newest: Newest) -> Loss:
    """What a source loses that stands at ``source``, and shares the newest history up to the entry ``shared``."""
    if newest.log is None:
        why_not = "no log is left to tell what was written after a db was last saved"
        return Loss(at_most=-1, exact=False, why=(why_not,), unproven=newest.doubted or why_not)
    why: tuple[str, ...] = source.doubts
    lost = 0
    reached = shared
    if newest.point.index > shared:
        lost, reached = newest.point.revision - source.revision, newest.point.index
        why += newest.point.doubts
        if lost < 0:
            lost, reached = 0, shared
    beyond, reasons = behind(newest, reached)
    lost += beyond
    for one in newest.held:
        if one.writes:
            lost += one.writes
            reasons += (f"{' and '.join(one.names)} {one.what} from entry {one.fork} on: at most {one.writes} writes",)
    why = tuple(dict.fromkeys((*why, *reasons)))
    return Loss(at_most=lost, exact=not why and not beyond, why=why, unproven=newest.doubted)
