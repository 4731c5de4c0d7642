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
from typing import Literal

from requorum.survey.around_values import CUT_OFF_LOG, Around
from requorum.survey.evidence import (
    Comparison,
    DbEvidence,
    Fork,
    LogEvidence,
    MemberEvidence,
    MergedLog,
    Run,
    Tail,
    VoterSet,
)
from requorum.survey.lineage import agrees, fork_of, known_commit
from requorum.survey.runs import Runs, count, minus, union, within
from requorum.verdict import alone
from requorum.verdict.identity import member_id
from requorum.verdict.membership import Electorate
from requorum.verdict.values import Loss
from requorum.verdict.witnesses import majority, may_have_reached, read_to_end, runs_now


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """A state that is known: the store's revision after an entry, and what makes it doubtful."""

    index: int
    revision: int
    doubts: tuple[str, ...]


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
    unproven = _unproven(cluster, forks) or alone.unproven(cluster, members)
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
    known += [index_counted(one, cluster) for one in cluster.counted]
    last = max([*known, best.index, highest.last_index if highest else 0])
    if highest:
        last = max([last, *(run.last for run in highest.unreadable)])
    beyond = [run for one in logs for run in within(one.unreadable, one.last_index + 1, 1 << 62)]
    committed, who = own_words(cluster, "index")
    if highest and committed > last:
        unproven = (
            f"{who} says that entry {committed} was committed, and the disks end at {last}: since then they went back in time, "
            f"or lost their tails"
        )
    cut = _behind_a_cut(cluster, told)
    unproven = unproven or cut[1]
    newest = Newest(
        log=highest,
        last=last,
        point=best,
        extra=minus(beyond, [Run(first=0, last=last)]) if highest else (),
        others=tuple(one for one in logs if one is not highest),
        unproven=unproven,
        apart=cluster.apart,
        aside=_aside(cluster, forks, deposed=bool(unproven)),
        beside=_beside(cluster, last, members),
        strangers=(*_strangers(cluster, members, compared), *_gone(cluster, compared)) if unproven else (),
        cut=cut,
    )
    reach = best.revision + behind(newest, best.index)[0]
    return newest if newest.apart else replace(newest, apart=_before_a_restore(cluster, members, reach))


def _behind_a_cut(cluster: Electorate, told: int) -> tuple[int, str]:
    """What a db holds that nothing else tells (``told``: the revision that all else comes to), because etcd's own repair has cut
    off the end of its log: to what is left of that it looks altered."""
    held = [
        (one.db.last_revision, one.name)
        for one in cluster.counted
        if isinstance(one.db, DbEvidence)
        and one.name in cluster.claims.altered
        and isinstance(one.around, Around)
        and any(file.kind == CUT_OFF_LOG for file in one.around.files)
    ]
    revision, name = max(held, default=(0, ""))
    if revision <= told:
        return 0, ""
    return revision, (
        f"etcd has cut off the end of {name}'s log, and its db goes on to revision {revision}: what else was in that end, nobody "
        f"knows"
    )


def _before_a_restore(cluster: Electorate, members: Sequence[MemberEvidence], reach: int) -> str:
    """Whether data from before a restore lies beside these disks, and may hold more than they do. A restore makes new ids, so
    its entries cannot be compared with these logs; that it is of the same members their peer URLs tell."""
    if not any(isinstance(one.log, LogEvidence) and one.log.restored_at for one in cluster.counted):
        return ""
    urls = {
        url
        for one in cluster.counted
        if isinstance(one.db, DbEvidence)
        for peer in one.db.peers
        for url in peer.peer_urls
    }
    found = [
        (folder.revision + max(folder.last_index - folder.consistent_index, 0), one.name, folder.path)
        for one in members
        if isinstance(one.around, Around)
        for folder in one.around.folders
        if folder.cluster_id not in (0, cluster.cluster_id)
        and folder.db
        and not folder.note
        and urls & set(folder.urls)
    ]
    revision, name, path = max(found, default=(0, "", ""))
    if revision <= reach:
        return ""
    return (
        f"{name}'s {path} holds data of these members from before they were restored, perhaps up to revision {revision}, and "
        f"their disks end at {reach}"
    )


def own_words(cluster: Electorate, what: Literal["index", "revision"]) -> tuple[int, str]:
    """How far the members that count had come, by what their etcds wrote in their own logs since they were started last, and
    whose words those are; 0 where none says anything. One that runs has gone on since its files were read; one that was made
    anew in its first term has not been started since, and one that wrote under another id was another member then (a recovery
    that was rolled back)."""
    found = [
        (getattr(one.around.written, what), f"{one.name}'s etcd ({one.around.written.where})")
        for one in cluster.counted
        if isinstance(one.around, Around)
        and isinstance(one.log, LogEvidence)
        and one.log.last_term > 1
        and one.around.written.member_id == one.log.member_id
        and not runs_now(one)
    ]
    return max(found, default=(0, ""))


def index_counted(member: MemberEvidence, cluster: Electorate) -> int:
    """The index up to which a db's data goes, as far as it may move the yardstick: 0 for one that is not sound, or that
    something contradicts."""
    if not isinstance(member.db, DbEvidence) or not member.db.sound:
        return 0
    if member.name in cluster.diverged or member.name in cluster.claims.unfit:
        return 0
    return member.db.applied_index


def _beside(cluster: Electorate, last: int, members: Sequence[MemberEvidence]) -> tuple[Aside, ...]:
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


def _aside(cluster: Electorate, forks: Sequence[Fork], *, deposed: bool) -> tuple[Aside, ...]:
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


def _strangers(
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


def _gone(cluster: Electorate, compared: Sequence[Comparison]) -> tuple[Aside, ...]:
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


def _unproven(cluster: Electorate, forks: Sequence[Fork]) -> str:
    """Why there may be acknowledged writes that no surveyed disk shows; empty when there cannot be."""
    if not cluster.voters:
        return "no log tells who votes"
    before = _before_forks(cluster, forks)
    founders = alone.founders_of((*cluster.counted, *cluster.rivals))
    for each in (*cluster.standing, *before):
        read = cluster.read(each.voters) | _removed_since(cluster, each)
        if each in before:  # what other histories hold is counted, wherever it leads
            read |= alone.tell_all(cluster.rivals, each.voters, founders)
        if len(read) < majority(len(each.voters)):
            return (
                f"{len(read)} of {len(each.voters)} voters' logs were read to their end, {majority(len(each.voters))} "
                f"are needed: what only the others hold cannot be known"
            )
    return _committed_elsewhere(cluster, forks) or _applied_elsewhere(cluster)


def _applied_elsewhere(cluster: Electorate) -> str:
    """That a db without a log has applied what the history that is followed does not have, or what too few of its voters' logs
    go on to: it was committed, and disks went back in time, or were emptied."""
    head = cluster.head.log if cluster.head is not None and isinstance(cluster.head.log, LogEvidence) else None
    if head is None:
        return ""
    for one in cluster.counted:
        db = one.db
        if isinstance(one.log, LogEvidence) or not isinstance(db, DbEvidence) or not db.sound:
            continue
        if one.name in cluster.claims.contradicted or one.name in cluster.diverged:
            continue
        later = min((run.first for run in head.runs if run.term > db.term), default=0) if db.term else 0
        if later and later <= db.applied_index:
            return (
                f"{one.name}'s db is at entry {db.applied_index} of term {db.term}, and the highest log is of a later term from "
                f"entry {later} on: both were committed, and what else was lost nobody knows"
            )
        short = {
            member_id(two): two.name
            for two in cluster.counted
            if member_id(two) in cluster.voters
            and isinstance(two.log, LogEvidence)
            and two.log.end_is_read
            and two.log.last_index < db.applied_index
            and not may_have_reached(two, db.applied_index)
        }
        if len(cluster.voters) - len(short) < majority(len(cluster.voters)):
            return (
                f"{one.name}'s db is at entry {db.applied_index}, so a majority held it, but the logs of "
                f"{' and '.join(sorted(short.values()))} end before it: disks went back in time, or were emptied"
            )
    return ""


def _removed_since(cluster: Electorate, each: VoterSet) -> set[int]:
    """Voters of a set that were removed later, and whose logs hold this history up to their removal and beyond no end of it:
    what they held is known."""
    head = cluster.head.log if cluster.head is not None and isinstance(cluster.head.log, LogEvidence) else None
    out = set()
    for one in cluster.gone:
        number = member_id(one)
        if head is None or number not in each.voters or not isinstance(one.log, LogEvidence):
            continue
        gone = next(
            (later.index for later in head.voter_sets if later.index > each.index and number not in later.voters), 0
        )
        if gone and gone <= one.log.last_index <= head.last_index and read_to_end(one):
            out.add(number)
    return out


def _committed_elsewhere(cluster: Electorate, forks: Sequence[Fork]) -> str:
    """That of two histories one was committed by voters whose logs tell the other now, or that were emptied: then disks went back
    in time, and what they had held besides nobody knows. Empty where it was committed without them. One that was forced to be
    alone shows itself that it threw its end away."""
    every = (*cluster.counted, *cluster.rivals)
    for knows in every:
        if not isinstance(knows.log, LogEvidence):
            continue
        commit = knows.log.commit
        others = [one for one in every if one is not knows and _lacks(one, knows, forks)]
        if not any((one in cluster.rivals) != (knows in cluster.rivals) for one in others):
            continue  # whoever lags in the history that is followed, or led it once, is looked at elsewhere
        voters = next((one.voters for one in reversed(knows.log.voter_sets) if one.index <= commit), ())
        without = {
            member_id(one): one.name
            for one in others
            if member_id(one) in voters and isinstance(one.log, LogEvidence) and not alone.forced(one.log)[0]
        }
        if voters and len(voters) - len(without) < majority(len(voters)):
            return (
                f"{knows.name} knows entry {commit} to be committed, so a majority held it, but "
                f"{' and '.join(sorted(without.values()))} hold another history now: disks went back in time, or were emptied, "
                f"and what else was on them nobody knows"
            )
    return ""


def _lacks(one: MemberEvidence, knows: MemberEvidence, forks: Sequence[Fork]) -> bool:
    """Whether a log has not got what another knows to be committed."""
    if not isinstance(one.log, LogEvidence) or not isinstance(knows.log, LogEvidence):
        return False
    if 0 < fork_of(one, knows, forks) <= knows.log.commit:
        return True
    short = one.log.end_is_read and one.log.last_index < knows.log.commit
    return short and not may_have_reached(one, knows.log.commit)


def _before_forks(cluster: Electorate, forks: Sequence[Fork]) -> tuple[VoterSet, ...]:
    """Who voted where other histories leave this one: a history that has made its own voters proves nothing by them."""
    if cluster.head is None or not isinstance(cluster.head.log, LogEvidence):
        return ()
    out = []
    for rival in cluster.rivals:
        at = fork_of(rival, cluster.head, forks)
        before = [one for one in cluster.head.log.voter_sets if one.index < at]
        out += before[-1:]
    return tuple(out)


def supported(cluster: Electorate, forks: Sequence[Fork]) -> bool:
    """Whether a majority of those who voted before other histories left this one holds it."""
    bases = _before_forks(cluster, forks)
    return bool(bases) and all(len(cluster.read(one.voters)) >= majority(len(one.voters)) for one in bases)


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
