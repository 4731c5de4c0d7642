"""Why there may be acknowledged writes that no surveyed disk shows. An acknowledged write is in the logs of a majority of voters,
so in at least one out of any majority that was read to its end; what else the disks tell may refute that each kept what it had.
"""

from collections.abc import Sequence
from typing import Literal

from requorum.survey.around_values import CUT_OFF_LOG, Around
from requorum.survey.evidence import DbEvidence, Fork, LogEvidence, MemberEvidence, VoterSet
from requorum.survey.lineage import fork_of
from requorum.verdict import alone
from requorum.verdict.identity import member_id
from requorum.verdict.membership import Electorate
from requorum.verdict.witnesses import majority, may_have_reached, read_to_end, runs_now


def unproven(cluster: Electorate, forks: Sequence[Fork]) -> str:
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


def behind_a_cut(cluster: Electorate, told: int) -> tuple[int, str]:
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


def before_a_restore(cluster: Electorate, members: Sequence[MemberEvidence], reach: int) -> str:
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
