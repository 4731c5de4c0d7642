"""A member's WAL and .snap files, read into evidence: who votes, how far it goes, and why etcd would not start from it."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import itertools
import os
from collections.abc import Iterable
from typing import Callable

from requorum.etcdfiles import datadir, footing, messages, requests, simulate, snapfile, v2log, wal, walchain
from requorum.etcdfiles.faults import Damage, EtcdFileError
from requorum.etcdfiles.messages import Entry
from requorum.etcdfiles.mvcc import DbFacts, MemberRecord
from requorum.etcdfiles.protowire import WireError
from requorum.etcdfiles.snapfile import SnapFile
from requorum.etcdfiles.wal import Log
from requorum.survey import voters
from requorum.survey.evidence import MOST_COMPACTIONS, CutOff, Fault, LogEvidence, Peer, Run, TermRun, Unknown

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


def read(
    layout: datadir.Layout, facts: DbFacts | None, *, in_full: bool, key: bytes = b"", live: bool = False
) -> tuple[Log | None, LogEvidence | Unknown]:
    """The log, and what it says; from the newest usable .snap on, or from its beginning when it is read in full.

    Its entries are hashed under a ``key``. ``live``: an etcd that runs may be writing it.
    """
    consistent = facts.consistent_index if facts else 0
    keep = max(consistent - LOOK_BACK, 0)
    snaps: tuple[SnapFile, ...] = ()
    snap_damage: tuple[Damage, ...] = ()
    with contextlib.suppress(EtcdFileError):  # the folder is missing: the db's evidence says so
        snaps, snap_damage = snapfile.read_snaps(layout.snap_dir)
    try:
        newest = min(snaps[0].index, consistent or snaps[0].index) if snaps and not in_full else 0
        whole, wal_dir = functools.partial(wal.read_log, key=key, live=live), layout.wal_dir
        log = whole(wal_dir, from_index=newest, keep_after=keep)
        before, cut_off, end = _before_repair(log, whole, keep) if not live else (None, None, log.end)
        if before is not None:
            log, newest = before, 0
            wal_dir, end = log.wal_dir, log.end
        start = _start_snap(log, snaps)
        if newest and start is None:
            log = whole(wal_dir, keep_after=keep)
            start = _start_snap(log, snaps)
        if keep >= log.last[1] > 0:
            # The db's index lies behind the log's end: what the log ends with is compared with the db's last records.
            keep = max(log.last[1] - LOOK_BACK - min(consistent - log.last[1], footing.DEEPEST), 0)
            log = whole(wal_dir, from_index=newest if start else 0, keep_after=keep)
    except EtcdFileError as err:
        return None, Unknown(unknown=str(err))
    near = [log.entries[index] for index in sorted(log.entries)]
    if facts is None and v2log.is_all_there_is(near):
        return None, Unknown(unknown=f"{layout.wal_dir}: {v2log.WHAT}")
    term, index = log.last
    sets, peers = voters.voter_sets(log, start, facts)
    commit = log.hard_state.commit if log.hard_state else 0
    refusals = _refusals(log, start, consistent, db_there=facts is not None)
    if before is not None:
        cut = f"etcd has cut it: {os.path.basename(wal_dir)} holds what came behind, up to entry {index}"
        refusals = (cut, *refusals)
    return log, LogEvidence(
        wal_dir=wal_dir,
        cluster_id=log.cluster_id,
        member_id=log.member_id,
        runs=tuple(TermRun(first=one.first, last=one.last, term=one.term) for one in log.runs),
        last_term=term,
        last_index=index,
        commit=commit,
        end=end,
        reads_from=start.index if start else 0,
        refusals=refusals,
        voter_sets=sets,
        possible_writes=runs_of(simulate.count_at_most(near)),
        unreadable=tuple(Run(first=first, last=last) for first, last in log.unreadable.runs),
        faults=tuple(fault(one) for one in (*log.damage, *snap_damage)),
        classified_above=keep,
        peers=peers,
        blank=_blank(log),
        founders=voters.founders(log),
        born_term=_born_term(log),
        restored_at=wal.restored_at(log),
        compactions=_compactions(near),
        shared_changes=_shared_changes(near),
        cut_off=cut_off,
    )


def _before_repair(log: Log, whole: Callable[..., Log], keep: int) -> tuple[Log | None, CutOff | None, str]:
    """The log as it was before etcd's own repair cut it, where that is the one to go by: it holds more, and the log has gone
    on without a client's write, if at all. Else what was cut off, where the log has gone on differently since. And how the log
    ended before, where it has not gone on at all: its end is what the damage left, however clean it is now."""
    end = log.end
    for copy in reversed(wal.broken_copies(log.wal_dir)):
        with contextlib.suppress(EtcdFileError):
            before = whole(copy, keep_after=keep)
            ends = max([before.last[1], *(last for _, last in before.unreadable.runs)], default=0)
            fork = _parting(log, before)
            if not fork and (ends <= log.last[1] or before.last < log.last):
                end = before.end if before.last == log.last else end
                continue
            since = log if keep < fork else whole(log.wal_dir, from_index=fork, keep_after=fork - 1)
            if not fork or all(_no_clients(since.entries.get(index)) for index in range(fork, log.last[1] + 1)):
                return dataclasses.replace(before, wal_dir=copy), None, end
            commit = before.hard_state.commit if before.hard_state else 0
            if fork <= commit:
                before = before if keep < fork else whole(copy, from_index=fork, keep_after=fork - 1)
                lost = [entry for index, entry in sorted(before.entries.items()) if index >= fork]
                holes = [
                    Run(first=max(first, fork), last=last) for first, last in before.unreadable.runs if last >= fork
                ]
                writes = len(simulate.count_at_most(lost)) + sum(one.count for one in holes)
                return None, CutOff(path=copy, fork=fork, last=ends, writes=writes), end
    return None, None, end


def _parting(log: Log, before: Log) -> int:
    """The first entry at which two readings of a log have different terms; 0 where they have not."""
    found = [
        max(run.first, other.first)
        for run in log.runs
        for other in before.runs
        if run.term != other.term and max(run.first, other.first) <= min(run.last, other.last)
    ]
    holes = [first for first, last in before.unreadable.runs if log.term_at(first) and log.last[0] > before.last[0]]
    return min([*found, *holes], default=0)


def _no_clients(entry: Entry | None) -> bool:
    """Whether an entry is known to be nobody's write."""
    if entry is None:
        return False
    if entry.type != messages.ENTRY_NORMAL or not entry.data:
        return True
    try:
        request = requests.request_of(entry)
    except WireError:
        return False
    return isinstance(request, requests.Other) and request.membership


def _blank(log: Log) -> bool:
    """Whether a log holds nothing but its bootstrap: from its first entry on, whole, and no client wrote any of it."""
    if not log.runs or log.runs[0].first != 1 or len(log.entries) != log.last[1]:
        return False
    if any(mark.index for mark in log.marks):
        return False
    return all(_no_clients(entry) for entry in log.entries.values())


def _born_term(log: Log) -> int:
    """The term in which a log was begun: 1 where its first entries are its own, the term of its first hard state where that comes
    before them; 0 where its first file is gone.

    Who founds a cluster (or is restored) writes the members' entries with its first hard state, entries first (etcd, wal.Save):
    of term 1, or of a later one that it has just heard of, if the others were quicker. Who joins has no entries before it has
    heard of the leader's term, and answered.
    """
    if log.segments[0].seq:
        return 0
    with contextlib.suppress(EtcdFileError):
        for record in itertools.islice(wal.records_of(log.wal_dir), wal.BEGINNING):
            if record.type == walchain.ENTRY:
                return 1
            if record.type == walchain.STATE and record.sound:
                return messages.decode_hard_state(record.data).term
    return 0


def _shared_changes(entries: list[Entry]) -> tuple[int, ...]:
    """The entries that change members, versions or users."""
    found = []
    for entry in entries:
        with contextlib.suppress(WireError):
            request = requests.request_of(entry)
            if isinstance(request, requests.Other) and (request.membership or request.what == "auth"):
                found.append(entry.index)
    return tuple(found[-1024:])


def _compactions(entries: list[Entry]) -> tuple[int, ...]:
    """The revisions to which entries compact."""
    found = []
    for entry in entries:
        with contextlib.suppress(WireError):
            request = requests.request_of(entry)
            if isinstance(request, requests.Compaction):
                found.append(request.revision)
    return tuple(sorted(set(found))[-MOST_COMPACTIONS:])


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
