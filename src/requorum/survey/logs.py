"""A member's WAL and .snap files, read into evidence: who votes, how far it goes, and why etcd would not start from it."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterable

from requorum.etcdfiles import datadir, messages, simulate, snapfile, wal
from requorum.etcdfiles.faults import Damage, EtcdFileError
from requorum.etcdfiles.messages import ConfState
from requorum.etcdfiles.mvcc import DbFacts, MemberRecord
from requorum.etcdfiles.protowire import WireError
from requorum.etcdfiles.snapfile import SnapFile
from requorum.etcdfiles.wal import Log
from requorum.survey.evidence import Fault, LogEvidence, Peer, Run, TermRun, Unknown, VoterSet

LOOK_BACK = 64
"""How many entries below the consistent index are compared with the db's last records."""


def runs_of(indexes: Iterable[int]) -> tuple[Run, ...]:
    """Sorted indexes as runs."""
    out: list[list[int]] = []
    for index in indexes:
        if out and out[-1][1] == index - 1:
            out[-1][1] = index
        else:
            out.append([index, index])
    return tuple(Run(first=first, last=last) for first, last in out)


def fault(damage: Damage) -> Fault:
    """Damage as evidence."""
    return Fault(
        path=damage.path, offset=damage.offset, kind=damage.kind, detail=damage.detail, index=damage.index or 0
    )


def entries(wal_dir: str, first: int, last: int, at_most: int) -> tuple[bytes, ...]:
    """Encoded entries from ``first`` on, up to ``last`` or about ``at_most`` bytes; none where ``first`` cannot be read."""
    log = wal.read_log(wal_dir, from_index=first, keep_after=first - 1)
    found, size = [], 0
    for index in range(first, last + 1):
        if index not in log.entries or size > at_most:
            break
        found.append(messages.encode_entry(log.entries[index]))
        size += len(found[-1])
    return tuple(found)


def read(layout: datadir.Layout, facts: DbFacts | None, *, in_full: bool) -> tuple[Log | None, LogEvidence | Unknown]:
    """The log, and what it says; from the newest usable .snap on, or from its beginning when it is read in full."""
    consistent = facts.consistent_index if facts else 0
    snaps: tuple[SnapFile, ...] = ()
    snap_damage: tuple[Damage, ...] = ()
    with contextlib.suppress(EtcdFileError):  # the folder is missing: the db's evidence says so
        snaps, snap_damage = snapfile.read_snaps(layout.snap_dir)
    try:
        newest = min(snaps[0].index, consistent or snaps[0].index) if snaps and not in_full else 0
        log = wal.read_log(layout.wal_dir, from_index=newest, keep_after=max(consistent - LOOK_BACK, 0))
        start = _start_snap(log, snaps)
        if newest and start is None:
            log = wal.read_log(layout.wal_dir, keep_after=max(consistent - LOOK_BACK, 0))
            start = _start_snap(log, snaps)
    except EtcdFileError as err:
        return None, Unknown(unknown=str(err))
    near = [log.entries[index] for index in sorted(log.entries)]
    term, index = log.last
    commit = log.hard_state.commit if log.hard_state else 0
    return log, LogEvidence(
        wal_dir=layout.wal_dir,
        cluster_id=log.cluster_id,
        member_id=log.member_id,
        runs=tuple(TermRun(first=one.first, last=one.last, term=one.term) for one in log.runs),
        last_term=term,
        last_index=index,
        commit=commit,
        end=log.end,
        reads_from=start.index if start else 0,
        refusals=_refusals(log, start, consistent, db_there=facts is not None),
        voter_sets=_voter_sets(log, start, facts),
        possible_writes=runs_of(simulate.count_at_most(near)),
        unreadable=runs_of(log.unreadable),
        faults=tuple(fault(one) for one in (*log.damage, *snap_damage)),
        classified_above=max(consistent - LOOK_BACK, 0),
        peers=_peers(log, start),
    )


def _start_snap(log: Log, snaps: tuple[SnapFile, ...]) -> SnapFile | None:
    """The .snap that etcd would load: the newest whole one that the WAL names and the commit index covers."""
    commit = log.hard_state.commit if log.hard_state else 0
    named = {(mark.index, mark.term) for mark in log.marks if mark.index <= commit}
    return next((one for one in snaps if (one.index, one.term) in named), None)


def _refusals(log: Log, start: SnapFile | None, consistent: int, *, db_there: bool) -> tuple[str, ...]:
    """Why etcd would not start from this log, or must not be let."""
    reasons = []
    begin = start.index if start else 0
    if begin == 0 and log.segments[0].first_index > 1:
        reasons.append("no .snap file can be used, and the log does not reach back to its start")
    elif start is not None and log.segments[0].first_index > begin + 1:
        reasons.append(f"the log does not reach back to the .snap file at index {begin}")
    # Also in files that are older than the .snap: etcd looks through all for their marks (wal.go, ValidSnapshotEntries).
    broken = [one for one in log.damage if one.kind != "torn"]
    if broken:
        one = broken[0]
        where = f" (entry {one.index})" if one.index else ""
        more = f", and {len(broken) - 1} more" if len(broken) > 1 else ""
        reasons.append(f"{os.path.basename(one.path)} is damaged at byte {one.offset}{where}: {one.detail}{more}")
    if not log.hard_state or not log.cluster_id:
        reasons.append("the log names no cluster or no vote")
    last = log.readable_to(begin + 1)
    if not broken and last < log.last[1]:
        reasons.append(f"entries are missing behind index {last}")
    if db_there and begin > consistent:
        reasons.append(f"the newest .snap file (index {begin}) is ahead of the db (index {consistent})")
    if log.last[1] < consistent:
        reasons.append(
            f"it would swallow writes: the log ends at index {log.last[1]}, the db is at {consistent} already"
        )
    return tuple(reasons)


def peer_of(one: MemberRecord) -> Peer:
    """A recorded member as evidence."""
    return Peer(id=one.id, name=one.name, peer_urls=one.peer_urls, client_urls=one.client_urls, learner=one.learner)


def _peers(log: Log, start: SnapFile | None) -> tuple[Peer, ...]:
    """The members that the .snap file names, and those that the log's configuration changes do."""
    found = {one.id: peer_of(one) for one in (start.members if start else ())}
    for entry in log.conf_changes:
        try:
            for change in messages.decode_conf_change(entry):
                said = json.loads(change.context or b"null")
                if isinstance(said, dict) and said.get("peerURLs"):
                    urls = tuple(str(one) for one in said["peerURLs"])
                    known = found.get(change.node_id)
                    name = str(said.get("name") or (known.name if known else ""))
                    found[change.node_id] = Peer(id=change.node_id, name=name, peer_urls=urls)
        except (WireError, ValueError, TypeError, RecursionError):
            continue
    return tuple(found.values())


def _voter_sets(log: Log, start: SnapFile | None, facts: DbFacts | None) -> tuple[VoterSet, ...]:
    """Every voter set in force from where the log is read on; a change counts from the entry that makes it."""
    state, index = ConfState(), 0
    if start is not None:
        state, index = start.conf_state, start.index
    else:
        for mark in log.marks:
            if (
                mark.conf_state is not None
                and mark.index >= index
                and mark.index < (log.runs[0].first if log.runs else 0)
            ):
                state, index = mark.conf_state, mark.index
    if not state.voters and log.runs and log.runs[0].first > 1:
        # Neither a .snap nor a mark tells: the db's own list does, up to the entry that it has applied.
        if facts is None or not facts.members:
            return ()
        index = facts.consistent_index
        state = ConfState(
            voters=tuple(sorted(one.id for one in facts.members if not one.learner)),
            learners=tuple(sorted(one.id for one in facts.members if one.learner)),
        )
    out = [VoterSet(index=index, voters=state.voters, learners=state.learners)] if state.voters else []
    for entry in log.conf_changes:
        if entry.index <= index:
            continue
        try:
            state = messages.apply_conf_changes(state, messages.decode_conf_change(entry))
        except WireError:
            continue
        out.append(VoterSet(index=entry.index, voters=state.voters, learners=state.learners))
    return tuple(out)
