"""One data dir or snapshot file, read into evidence. Reads only, takes no lock, and never raises for a bad file."""

import contextlib
import datetime
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from requorum.etcdfiles import bbolt, datadir, messages, mvcc, requests, simulate, snapfile, verify, wal
from requorum.etcdfiles.bbolt import BadPage
from requorum.etcdfiles.faults import Damage, EtcdFileError
from requorum.etcdfiles.messages import ConfState, Entry
from requorum.etcdfiles.mvcc import DbFacts
from requorum.etcdfiles.protowire import WireError
from requorum.etcdfiles.snapfile import SnapFile
from requorum.etcdfiles.verify import Verified
from requorum.etcdfiles.wal import Log
from requorum.hosts import files, processes
from requorum.survey.evidence import (
    Checked,
    DbEvidence,
    Fault,
    LogEvidence,
    Peer,
    Place,
    ProcessEvidence,
    Run,
    SnapshotEvidence,
    Tail,
    TermRun,
    Unknown,
    VoterSet,
)

LOOK_BACK = 64
"""How many entries below the consistent index are compared with the db's last records."""


def read_member(
    data_dir: str, wal_dir: str, *, in_full: bool
) -> tuple[DbEvidence | Unknown, LogEvidence | Unknown, Tail | Unknown]:
    """The db, the log and the log's tail of one member."""
    layout = datadir.layout_of(data_dir, wal_dir)
    facts, why_no_db = _facts(layout.db)
    consistent = facts.consistent_index if facts else 0
    log, log_evidence = _log(layout, consistent, db_there=facts is not None, in_full=in_full)
    if facts is None:
        return why_no_db, log_evidence, Unknown(unknown="there is no db to replay the log onto")
    near = sorted(log.entries.values(), key=lambda one: one.index) if log else []
    try:
        verified = verify.verify_db(layout.db, simulate.keys_wanted(near)) if in_full else None
    except EtcdFileError as err:
        return Unknown(unknown=str(err)), log_evidence, Unknown(unknown="the db cannot be read")
    applied = _applied_index(facts, log, verified) if log else consistent
    db = _db(facts, verified, applied)
    if log is None:
        return db, log_evidence, Unknown(unknown="there is no log that can be read")
    if facts.damage:
        return db, log_evidence, Unknown(unknown="the db is damaged")
    return db, log_evidence, _tail(facts, log, verified, applied)


def read_snapshot(path: str, host: str, *, in_full: bool) -> SnapshotEvidence:
    """A saved snapshot, or a db file that was copied."""
    facts, why = _facts(path)
    if facts is None:
        return SnapshotEvidence(path=path, host=host, db=why)
    try:
        verified = verify.verify_db(path) if in_full else None
    except EtcdFileError as err:
        return SnapshotEvidence(path=path, host=host, db=Unknown(unknown=str(err)))
    return SnapshotEvidence(path=path, host=host, db=_db(facts, verified, facts.consistent_index))


def read_process(folders: Sequence[str]) -> ProcessEvidence:
    """What runs on these folders."""
    found = processes.holders_of([Path(one) for one in folders])
    return ProcessEvidence(
        pids=tuple(one.pid for one in found),
        commands=tuple(one.command for one in found),
        ports=tuple(sorted({port for one in found for port in one.ports})),
        locked=any(one.locks for one in found),
    )


def read_place(layout: datadir.Layout) -> Place | Unknown:
    """Where the files lie, and where a run may put its own."""
    inside = os.path.join(layout.data_dir, "member", "wal")
    apart = os.path.normpath(layout.wal_dir) != os.path.normpath(inside)
    data_dir, wal_dir = Path(os.path.realpath(layout.data_dir)), Path(os.path.realpath(layout.wal_dir))
    inner = [one for one in files.mounts() if data_dir in one.parents]
    if inner:
        return Unknown(unknown=f"{inner[0]} is a mount inside the data dir: it cannot be set aside by rename")
    if apart and data_dir in wal_dir.parents:
        return Unknown(unknown=f"the WAL dir {wal_dir} lies inside the data dir, but is not its member/wal")
    try:
        return Place(
            data_dir=str(data_dir),
            wal_dir=str(wal_dir),
            work=str(_work_beside(data_dir)),
            wal_work=str(_work_beside(wal_dir) if apart else _work_beside(data_dir)),
            wal_apart=apart,
            used=files.tree_size(data_dir) + (files.tree_size(wal_dir) if apart else 0),
            free=files.free_bytes(data_dir),
            wal_free=files.free_bytes(wal_dir),
        )
    except OSError as err:
        return Unknown(unknown=f"{err.filename or data_dir}: {err.strerror}")


def _work_beside(folder: Path) -> Path:
    return folder / ".requorum" if os.path.ismount(folder) else folder.with_name(f"{folder.name}.requorum")


def runs_of(indexes: Iterable[int]) -> tuple[Run, ...]:
    """Sorted indexes as runs."""
    out: list[list[int]] = []
    for index in indexes:
        if out and out[-1][1] == index - 1:
            out[-1][1] = index
        else:
            out.append([index, index])
    return tuple(Run(first=first, last=last) for first, last in out)


def _facts(path: str) -> tuple[DbFacts | None, Unknown]:
    try:
        return mvcc.read_facts(path), Unknown(unknown="")
    except EtcdFileError as err:
        return None, Unknown(unknown=str(err))


def fault(damage: Damage) -> Fault:
    """Damage as evidence."""
    return Fault(
        path=damage.path, offset=damage.offset, kind=damage.kind, detail=damage.detail, index=damage.index or 0
    )


def _db(facts: DbFacts, verified: Verified | None, applied: int) -> DbEvidence:
    checked: Checked | Unknown = Unknown(unknown="only a few pages were read; --verify reads all")
    damage = facts.damage
    if verified is not None:
        damage = tuple(dict.fromkeys((*facts.damage, *verified.damage)))
        checked = Checked(
            hash=f"{verified.hash:x}",
            revision=verified.revision,
            total_keys=verified.total_keys,
            live_keys=verified.live_keys,
            total_size=verified.total_size,
            trailer=verified.sha256 is not None,
            gaps=tuple(Run(first=first, last=last) for first, last in verified.gaps),
        )
    return DbEvidence(
        path=facts.path,
        modified=_modified(facts.path),
        file_size=facts.file_size,
        total_size=facts.total_size,
        revision=facts.revision,
        last_revision=facts.last_revision,
        compact_revision=facts.compact_revision,
        consistent_index=facts.consistent_index,
        applied_index=applied,
        term=facts.term,
        peers=tuple(
            Peer(id=one.id, name=one.name, peer_urls=one.peer_urls, client_urls=one.client_urls, learner=one.learner)
            for one in facts.members
        ),
        removed=facts.removed,
        cluster_version=facts.cluster_version,
        storage_version=facts.storage_version,
        alarms=tuple(f"{one.kind} of member {one.member_id:x}" for one in facts.alarms),
        auth_enabled=facts.auth_enabled,
        saved_snapshot=facts.has_trailer,
        checked=checked,
        faults=tuple(fault(one) for one in damage),
    )


def _modified(path: str) -> str:
    written = datetime.datetime.fromtimestamp(os.stat(path).st_mtime, datetime.UTC)
    return written.isoformat(sep=" ", timespec="seconds").replace("+00:00", " UTC")


def _log(
    layout: datadir.Layout, consistent: int, *, db_there: bool, in_full: bool
) -> tuple[Log | None, LogEvidence | Unknown]:
    snaps: tuple[SnapFile, ...] = ()
    snap_damage: tuple[Damage, ...] = ()
    with contextlib.suppress(EtcdFileError):  # the folder is missing: the db's evidence says so
        snaps, snap_damage = snapfile.read_snaps(layout.snap_dir)
    try:
        newest = snaps[0].index if snaps and not in_full else 0
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
        refusals=_refusals(log, start, consistent, db_there=db_there),
        voter_sets=_voter_sets(log, start),
        possible_writes=runs_of(simulate.count_at_most(near)),
        unreadable=runs_of(log.unreadable),
        faults=tuple(fault(one) for one in (*log.damage, *snap_damage)),
        classified_above=max(consistent - LOOK_BACK, 0),
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
    first = 0
    for at, segment in enumerate(log.segments):
        if segment.first_index <= max(begin, 1):
            first = at
    if begin == 0 and log.segments[0].first_index > 1:
        reasons.append("no .snap file can be used, and the log does not reach back to its start")
    elif start is not None and log.segments[0].first_index > begin + 1:
        reasons.append(f"the log does not reach back to the .snap file at index {begin}")
    read = {segment.path for segment in log.segments[first:]}
    broken = [one for one in log.damage if one.path in read and one.kind != "torn"]
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


def _voter_sets(log: Log, start: SnapFile | None) -> tuple[VoterSet, ...]:
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


def _applied_index(facts: DbFacts, log: Log, verified: Verified | None) -> int:
    """The entry up to which the db's data goes.

    The last revision's records are looked for among the entries around the consistent index. When they are found at
    an earlier entry, and an entry between the two would have written something, the data lags the index (etcd#13766).
    """
    consistent, revision = facts.consistent_index, facts.last_revision
    if revision < 2 or facts.damage or facts.revision != revision:
        return consistent
    try:
        with bbolt.Bolt(facts.path) as bolt:
            records = mvcc.records_at(bolt, revision)
    except (BadPage, WireError, EtcdFileError):
        return consistent
    there = {(tombstone, kv.key, b"" if tombstone else kv.value) for tombstone, kv in records}
    for index in range(consistent, max(consistent - LOOK_BACK, 0), -1):
        entry = log.entries.get(index)
        if entry is None:
            return consistent
        try:
            request = requests.request_of(entry)
        except WireError:
            return consistent
        if any(set(found) == there for found in simulate.written_by(request)):
            return _first_missing(facts, log, verified, index)
        if simulate.count_at_most([entry]) and not simulate.written_by(request):
            return consistent
    return consistent


def _first_missing(facts: DbFacts, log: Log, verified: Verified | None, found: int) -> int:
    """The index before the first entry above ``found`` whose write the db lacks; the consistent index if none does."""
    between = [log.entries[index] for index in range(found + 1, facts.consistent_index + 1)]
    if not simulate.count_at_most(between) or verified is None:
        return facts.consistent_index
    outcome = _store(facts, verified).apply(between)
    return outcome.writes[0] - 1 if outcome.writes and outcome.exact else facts.consistent_index


def _store(facts: DbFacts, verified: Verified) -> simulate.Store:
    return simulate.Store(facts.revision, facts.compact_revision, dict(verified.live), set(verified.leases))


def _tail(facts: DbFacts, log: Log, verified: Verified | None, applied: int) -> Tail | Unknown:
    last = log.readable_to(applied + 1)
    entries: list[Entry] = [log.entries[index] for index in range(applied + 1, last + 1) if index in log.entries]
    if len(entries) != last - applied:
        return Unknown(unknown="the log does not reach back to the db")
    doubts: tuple[str, ...] = ()
    if verified is not None and verified.sound:
        outcome = _store(facts, verified).apply(entries)
        revision, writes, doubts = outcome.revision, outcome.writes, outcome.doubts
    else:
        writes = simulate.count_at_most(entries)
        revision = facts.revision + len(writes)
        if not simulate.puts_only(entries):
            doubts = ("counted without reading the whole db: guards, deletes and leases may make it less",)
    if facts.auth_enabled:
        doubts += ("users and roles are in force: etcd may have refused some of these writes",)
    if any(alarm.kind == "NOSPACE" for alarm in facts.alarms):
        doubts += ("a NOSPACE alarm stands: etcd may have refused some of these writes",)
    return Tail(
        from_index=applied,
        to_index=last,
        to_term=(log.term_at(last) or facts.term) if last > applied else facts.term,
        revision=revision,
        writes=runs_of(writes),
        doubts=doubts,
    )
