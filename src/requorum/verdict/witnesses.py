"""Which logs count in the proof, and whether the assumption behind it holds on the disks that were seen.

The proof: an acknowledged write is in the logs of a majority of voters, so in one of any majority of logs that were read to
their end. It assumes that each disk kept what it had fsynced. So a log is no witness that was born after the outage (a disk
that was wiped and booted again has the same ids: they are made from the configuration), that is another member's, that
tells another history, or that contradicts what a majority must have held.
"""

import itertools
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from requorum.survey.evidence import (
    DbEvidence,
    Footing,
    Fork,
    LiveEvidence,
    LogEvidence,
    MemberConfig,
    MemberEvidence,
    ProcessEvidence,
    VoterSet,
)
from requorum.survey.lineage import agrees, known_commit
from requorum.verdict.claims import restored_beside
from requorum.verdict.identity import Identities, member_id
from requorum.verdict.values import Finding

MOST_TORN = 4096 // 24
"""So many entries fit on one page of a log (etcd, wal/encoder.go: walPageBytes), each of 24 bytes at least."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Witnesses:
    """``excluded`` are members whose logs are no witnesses, with the reason; ``suspects`` those of them that went back in
    time: the assumption of the proof is refuted by them."""

    excluded: dict[str, str]
    suspects: tuple[str, ...]
    findings: tuple[Finding, ...]


def majority(count: int) -> int:
    """The least number of voters that is more than half."""
    return count // 2 + 1


def read_to_end(member: MemberEvidence) -> bool:
    """Whether a member's log was read to the end that it had when it last ran. One that ends, however cleanly, before what
    its own commit index or its db knew has lost a tail, or never had it on disk: what else was in that, nobody knows."""
    log = member.log
    if not isinstance(log, LogEvidence) or not log.end_is_read:
        return False
    known = max(log.commit, _index_known(member))
    return known <= max([log.last_index, *(run.last for run in log.unreadable)])


def _index_known(member: MemberEvidence) -> int:
    """The entry up to which a member's db goes. An index that its own records refute is none."""
    if not isinstance(member.db, DbEvidence):
        return 0
    return min(member.db.applied_index, member.db.consistent_index)


def witnesses(
    counted: Sequence[MemberEvidence],
    head: MemberEvidence | None,
    sets: Sequence[VoterSet],
    who: Identities,
    forks: Sequence[Fork],
    over: Mapping[int, str],
) -> Witnesses:
    """Sort out the logs that do not count in the proof of the history that ``head`` ends. ``over``: members of it, by their ids,
    whose disks hold another cluster's log now."""
    findings: list[Finding] = []
    excluded: dict[str, str] = {}
    anew: set[str] = set()
    logs = [one for one in counted if isinstance(one.log, LogEvidence)]
    founders = {number for one in logs if isinstance(one.log, LogEvidence) for number in one.log.founders}
    for one in logs:
        why = _not_born_then(one, logs, founders) or _of_another_life(one, logs)
        if why:
            anew.add(one.name)
            findings.append(Finding(level="warning", subject=one.name, text=f"its log is no witness: {why}"))
        elif one.name in who.spare:
            why = who.copies.get(one.name, "another disk speaks for its member")
            if not isinstance(one.config, MemberConfig):
                anew.add(one.name)  # nothing tells which of the two is its member's own
        elif head is not None and not agrees(one, head, forks):
            why = f"it tells another history than {head.name}"
        elif isinstance(one.config, MemberConfig) and getattr(one.config, "unsafe_no_fsync", False):
            why = "it runs with unsafe-no-fsync: what it acknowledged need not be on its disk"
        if why:
            excluded[one.name] = why
    kept = [one for one in logs if one.name not in excluded]
    suspects, text = _forgotten(kept, anew, logs, sets, over) if head is not None else ((), "")
    if not suspects and head is not None:
        suspects, text = _without_votes(kept, anew, logs, sets, head)
    findings += [Finding(level="danger", subject=name, text=text) for name in suspects]
    for name in suspects:
        excluded[name] = "it contradicts what a majority must have held"
    return Witnesses(excluded=excluded, suspects=suspects, findings=tuple(findings))


def _not_born_then(one: MemberEvidence, logs: Sequence[MemberEvidence], founders: set[int]) -> str:
    """Why a log was begun after its member had been a member already; empty when nothing shows that."""
    log = one.log
    assert isinstance(log, LogEvidence)
    others = [other.log for other in logs if other is not one and isinstance(other.log, LogEvidence)]
    if log.blank and any(not other.blank and other.last_index > log.last_index for other in others):
        return "it holds nothing but its bootstrap, while others hold more: a disk that was wiped and booted again?"
    if log.born_term > 1 and member_id(one) in founders:
        return (
            f"its member founded the cluster, but this log began in term {log.born_term}: a disk that was emptied, and "
            f"joined again under its old id"
        )
    return ""


def _of_another_life(one: MemberEvidence, logs: Sequence[MemberEvidence]) -> str:
    """Why a disk, or its db and its log, cannot be of the others' life: it, or one of the two, was put there."""
    if why := restored_beside(one.log, [other.log for other in logs if other is not one]):
        return why
    footing = one.db.footing if isinstance(one.db, DbEvidence) and one.db.sound else None
    if isinstance(footing, Footing) and footing.kind == "refuted":
        return f"the db beside it was not made by it ({footing.why})"
    return ""


def _forgotten(
    kept: Sequence[MemberEvidence],
    anew: Collection[str],
    logs: Sequence[MemberEvidence],
    sets: Sequence[VoterSet],
    over: Mapping[int, str],
) -> tuple[tuple[str, ...], str]:
    """The ``kept`` members whose logs end before an entry that is known to be committed, and what that means, where too few
    voters are left that may have held it: some of these disks have forgotten it.

    A log that was begun ``anew``, or that ends before its own commit index or db, lacks the entry for sure, and is no witness
    anyhow, and so does the disk of a member that went ``over`` to another cluster; beside it, one that only lags by right cannot
    be told from one that lost its tail. A log that ends in what looks like a torn write may have held the entry: where that is
    explanation enough, only that log is no witness.
    """
    committed, source = max(((known_commit(one), one.name) for one in logs), default=(0, ""))
    if not sets or not committed:
        return (), ""
    voters = sets[-1].voters
    witnessing = {one.name for one in kept}
    short = [
        one
        for one in logs
        if (one.name in witnessing or one.name in anew)
        and isinstance(one.log, LogEvidence)
        and one.log.end_is_read
        and member_id(one) in voters
        and _end(one) < committed
        and not runs_now(one)
    ]
    ends = {member_id(one) for one in short} | {number for number in over if number in voters}
    if len(voters) - len(ends) >= majority(len(voters)):
        return (), ""
    known = f"{source} knows entry {committed} to be committed, so a majority held it, but"
    speaks = {one.name for one in short if one.name in witnessing and read_to_end(one)}
    torn = [one for one in short if one.name in speaks and may_have_reached(one, committed)]
    if torn and len(voters) - len(ends - {member_id(one) for one in torn}) >= majority(len(voters)):
        names = sorted(one.name for one in torn)
        return tuple(names), (
            f"{known} {_logs_end(names)} before it in what looks like a write that the power cut tore: it may have been "
            f"damaged later, and nobody knows what else was in it"
        )
    named = sorted(speaks)
    if not named:
        return (), ""
    others = sorted(
        {one.name for one in short if one.name not in speaks} | {over[one] for one in over if one in voters}
    )
    if others:
        return tuple(named), (
            f"{known} {_logs_end(named)} before it, and so does what is left on {' and '.join(others)}, begun anew, cut short or "
            f"restored: whether {' and '.join(named)} only lagged, or lost a tail as well, cannot be told, so that proves nothing"
        )
    return tuple(named), (
        f"{known} {_logs_end(named)} before it: these disks went back in time (an old image, a lost tail), and prove nothing"
    )


def _logs_end(names: Sequence[str]) -> str:
    return f"the log of {names[0]} ends" if len(names) == 1 else f"the logs of {' and '.join(names)} end"


def _without_votes(
    kept: Sequence[MemberEvidence],
    anew: Collection[str],
    logs: Sequence[MemberEvidence],
    sets: Sequence[VoterSet],
    head: MemberEvidence,
) -> tuple[tuple[str, ...], str]:
    """The members that cannot have voted by right for a leader of the highest log, and what that means, where too few are left
    that can: nobody votes for a log that ends in an earlier term than its own (the Raft paper, 5.4.1), and a disk that was begun
    ``anew`` has no right to vote before it was. Of those, the ``kept`` ones are named: the others are no witnesses anyhow."""
    if not sets or not isinstance(head.log, LogEvidence):
        return (), ""
    voters = sets[-1].voters
    for before, run in itertools.pairwise(head.log.runs):
        if run.first != before.last + 1:
            continue
        against = {
            member_id(one): one.name
            for one in logs
            if one is not head
            and member_id(one) in voters
            and not runs_now(one)
            and (_holds_of(one, before.term, run.term) or (one.name in anew and _born_in(one) >= run.term))
        }
        if len(voters) - len(against) >= majority(len(voters)):
            continue
        return tuple(sorted(set(against.values()) & {one.name for one in kept})), (
            f"the logs of {' and '.join(sorted(against.values()))} hold entries of a later term than {head.name}'s entry "
            f"{before.last}, or were begun later: they cannot have voted by right for its leader of term {run.term}, and without "
            f"them there is no majority. A disk was emptied, or went back in time, and two histories may have been acknowledged"
        )
    return (), ""


def _born_in(member: MemberEvidence) -> int:
    return member.log.born_term if isinstance(member.log, LogEvidence) and member.log.born_term > 1 else 0


def _holds_of(member: MemberEvidence, after: int, before: int) -> bool:
    """Whether a log has an entry of a term between two."""
    return isinstance(member.log, LogEvidence) and any(after < one.term < before for one in member.log.runs)


def runs_now(member: MemberEvidence) -> bool:
    """Whether an etcd runs on a log: it was read at another moment than the others, and has gone on since."""
    return isinstance(member.live, LiveEvidence) or (
        isinstance(member.process, ProcessEvidence) and member.process.running
    )


def may_have_reached(member: MemberEvidence, index: int) -> bool:
    """Whether what looks like a torn write at a log's end may hide an entry: etcd writes its log in pages."""
    return isinstance(member.log, LogEvidence) and member.log.end == "torn" and index - _end(member) <= MOST_TORN


def _end(member: MemberEvidence) -> int:
    assert isinstance(member.log, LogEvidence)
    return max([member.log.last_index, *(run.last for run in member.log.unreadable)])
