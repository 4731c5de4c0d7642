"""One data dir or snapshot file, read into evidence. Reads only, takes no lock, and never raises for a bad file."""

from __future__ import annotations

import contextlib
import datetime
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from requorum.etcdfiles import (
    datadir,
    footing,
    messages,
    mvcc,
    provenance,
    remnants,
    restored,
    simulate,
    verify,
    wal,
)
from requorum.etcdfiles.faults import EtcdFileError
from requorum.etcdfiles.messages import Entry
from requorum.etcdfiles.mvcc import DbFacts
from requorum.etcdfiles.protowire import WireError
from requorum.etcdfiles.provenance import Provenance
from requorum.etcdfiles.records import States
from requorum.etcdfiles.remnants import Matched
from requorum.etcdfiles.verify import Verified
from requorum.etcdfiles.wal import Log
from requorum.etcdfiles.walhash import EntryHashes
from requorum.hosts import files, processes, trees
from requorum.hosts.bounds import made_of_parts, within
from requorum.survey import applied, logs
from requorum.survey.evidence import (
    Checked,
    DbEvidence,
    Footing,
    LogEvidence,
    Place,
    ProcessEvidence,
    Run,
    SnapshotEvidence,
    Tail,
    Unknown,
)

_STATES: dict[str, States] = {}
"""What the keys of a db came to after its last revisions, from when it was read in full."""
_HASHES: dict[str, EntryHashes] = {}
"""The hashes of a log's entries, from when it was read with a key."""
_READ: dict[tuple[str, str], tuple[Any, Any]] = {}
"""What was read in full, with the stamps that its files had: files that have not changed since are not read again."""


@within(1800.0)
def read_member(
    data_dir: str, wal_dir: str, *, in_full: bool, inner: str = "member", key: bytes = b"", live: bool = False
) -> tuple[DbEvidence | Unknown, LogEvidence | Unknown, Tail | Unknown]:
    """The db, the log and the log's tail of one member.

    Files that this process has read in full, and that have the same inode, size and times of change, are not read again.
    ``key``: the log's entries are hashed under it, for :func:`sums`. ``live``: an etcd that runs may be writing them.
    """
    layout = datadir.layout_of(data_dir, wal_dir, inner)
    stamps = _stamps(layout)
    if in_full and stamps and _READ.get((data_dir, wal_dir), (None,))[0] == stamps:
        found: tuple[DbEvidence | Unknown, LogEvidence | Unknown, Tail | Unknown] = _READ[data_dir, wal_dir][1]
        return found
    if in_full:
        _STATES.pop(layout.db, None)
    read = _read_member(layout, in_full=in_full, key=key, live=live)
    if in_full and stamps == _stamps(layout):
        _READ[data_dir, wal_dir] = stamps, read
    return read


def _stamps(layout: datadir.Layout) -> tuple[tuple[Any, ...], ...]:
    """Every file of a member as the file system knows it; empty where one cannot be looked at."""
    out = []
    try:
        for folder in (layout.snap_dir, layout.wal_dir):
            with os.scandir(folder) as entries:
                for one in entries:
                    info = one.stat(follow_symlinks=False)
                    out.append((folder, one.name, info.st_ino, info.st_size, info.st_mtime_ns, info.st_ctime_ns))
    except OSError:
        return ()
    return tuple(sorted(out))


def _read_member(
    layout: datadir.Layout, *, in_full: bool, key: bytes, live: bool
) -> tuple[DbEvidence | Unknown, LogEvidence | Unknown, Tail | Unknown]:
    facts, why_no_db = _facts(layout.db)
    log, log_evidence = logs.read(layout, facts, in_full=in_full, key=key, live=live)
    if log is not None and log.hashes is not None and isinstance(log_evidence, LogEvidence):
        _HASHES[log_evidence.wal_dir] = log.hashes
    if facts is None:
        return why_no_db, log_evidence, Unknown(unknown="there is no db to replay the log onto")
    if log is None and _blank(facts):
        empty = Unknown(unknown="it is empty: etcd made it, and no cluster has written to it")
        return empty, log_evidence, Unknown(unknown="there is no db to replay the log onto")
    tied = footing.footing_of(facts, log) if log else None
    if log is not None and tied is None and _too_near(facts, log):
        with contextlib.suppress(EtcdFileError):
            log = wal.read_log(log.wal_dir, keep_after=0)
            tied = footing.footing_of(facts, log)
    moved = tied.index if tied is not None and tied.kind in (footing.MOVED, footing.UNCLEAR) else -1
    if log is not None and moved >= 0:
        # What is replayed begins elsewhere than the db says: other entries, and other keys that they touch.
        try:
            log = wal.read_log(log.wal_dir, keep_after=max(moved - logs.LOOK_BACK, 0))
        except EtcdFileError as err:
            log, moved = None, facts.consistent_index
            log_evidence = Unknown(unknown=str(err))
    near = sorted(log.entries.values(), key=lambda one: one.index) if log else []
    try:
        verified = verify.verify_db(layout.db, simulate.keys_wanted(near)) if in_full else None
    except EtcdFileError as err:
        return Unknown(unknown=str(err)), log_evidence, Unknown(unknown="the db cannot be read")
    if verified is not None and verified.sound:
        _STATES[layout.db] = verified.states
    applied_to = facts.consistent_index
    if moved >= 0:
        applied_to = moved
    elif log is not None:
        applied_to = applied.applied_index(facts, log, verified, tied)
    db = db_evidence(facts, verified, applied_to, tied)
    if log is None:
        return db, log_evidence, Unknown(unknown="there is no log that can be read")
    if facts.damage:
        return db, log_evidence, Unknown(unknown="the db is damaged")
    if tied is not None and tied.kind == footing.UNCLEAR:
        return db, log_evidence, Unknown(unknown="at which entry the data of the db ends is not certain")
    return db, log_evidence, _tail(facts, log, verified, applied_to)


def sums(wal_dir: str, ranges: tuple[tuple[int, int], ...]) -> tuple[int | None, ...]:
    """The sums of the hashes of some ranges of a log that was read with a key; None where one of its entries is not whole."""
    found = _HASHES.get(wal_dir)
    return tuple(found.sum(first, last) if found is not None else None for first, last in ranges)


def hashes_moved(wal_dir: str, name: str) -> None:
    """Let :func:`sums` know a log by another name, and forget it by that of the folder that it was read in."""
    _HASHES.pop(name, None)
    if wal_dir in _HASHES:
        _HASHES[name] = _HASHES.pop(wal_dir)


def states_at(db: str, revisions: tuple[int, ...]) -> tuple[tuple[int, int] | None, ...]:
    """What a db that was read in full came to after some revisions (:class:`States`); None where it is not known."""
    known = _STATES.get(db)
    return tuple(known.at(one) if known is not None else None for one in revisions)


@within(600.0)
def remnants_of(db: str, revision: int, key: str) -> bytes | None:
    """What a db still holds of the time up to a revision (:mod:`requorum.etcdfiles.remnants`); None where it cannot be read."""
    try:
        return remnants.remnants_of(db, revision, key)
    except EtcdFileError:
        return None


@within(600.0)
def matched(db: str, revision: int, key: str, asked: bytes) -> Matched | None:
    """Which remnants a db holds at the revision; None where it cannot be read."""
    try:
        return remnants.matched(db, revision, key, asked)
    except EtcdFileError:
        return None


@within(1800.0)
def read_snapshot(path: str, host: str, *, in_full: bool) -> SnapshotEvidence:
    """A saved snapshot, or a db file that was copied."""
    facts, why = _facts(path)
    if facts is None:
        return SnapshotEvidence(path=path, host=host, db=why)
    try:
        verified = verify.verify_db(path) if in_full else None
    except EtcdFileError as err:
        return SnapshotEvidence(path=path, host=host, db=Unknown(unknown=str(err)))
    if verified is not None and verified.sound:
        _STATES[path] = verified.states
    return SnapshotEvidence(path=path, host=host, db=db_evidence(facts, verified, facts.consistent_index))


@within(1800.0)
def fault_of_restored(path: str, snapshot: str, *, bump: int) -> str:
    """Why a restored db does not hold what its snapshot holds; empty when it does (:mod:`requorum.etcdfiles.restored`)."""
    return restored.fault_of(path, snapshot, bump=bump)


@within(600.0)
def written_since(db: str, wal_dir: str, revision: int) -> bool:
    """Whether the newest records of a db, those above a revision, are what the newest entries of the log beside it wrote."""
    facts, _ = _facts(db)
    if facts is None:
        return False
    back = 4 * max(facts.revision - revision, 0) + logs.LOOK_BACK
    begin = max(facts.consistent_index - back, 0)
    try:
        log = wal.read_log(wal_dir, from_index=begin + 1, keep_after=begin)
    except EtcdFileError:
        return False
    return provenance.written_since(facts, log, revision)


@within(600.0)
def provenance_of(
    db: str, wal_dir: str, *, begins_empty: bool, index_known: bool, brought: tuple[bytes, ...], brought_to: int
) -> tuple[Provenance, Footing | Unknown]:
    """A db's records, held against the log beside it (none where ``wal_dir`` is empty), and against the entries of another,
    encoded (:mod:`requorum.etcdfiles.provenance`); and, where there is none beside it, what ties it to those."""
    nothing = Unknown(unknown="no log is beside it")
    facts, _ = _facts(db)
    try:
        log = wal.read_log(wal_dir, keep_after=1 << 62) if wal_dir else None
        entries = [messages.decode_entry(one) for one in brought]
    except (EtcdFileError, WireError):
        return provenance.UNTOLD, nothing
    if facts is None:
        return provenance.UNTOLD, nothing
    tied = nothing if log is not None else _footing(applied.tied_to(facts, entries))
    return provenance.provenance(facts, log, begins_empty, index_known, entries, brought_to), tied


@made_of_parts
def read_process(folders: Sequence[str], port: int = 0) -> ProcessEvidence:
    """What runs on these folders; where nothing does, the etcd that listens on the member's own ``port`` all the same."""
    found = processes.holders_of([Path(one) for one in folders]) or (processes.serving(port) if port else ())
    return ProcessEvidence(
        pids=tuple(one.pid for one in found),
        commands=tuple(one.command for one in found),
        ports=tuple(sorted({port for one in found for port in one.ports})),
        locked=any(one.locks for one in found),
    )


def disk_of(layout: datadir.Layout) -> tuple[str, ...]:
    """A member's files as (machine, device, inode), links followed: the db, and the files of the log."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        boot = os.uname().nodename
    found = []
    for path in (layout.db, *(one.path for one in _segments(layout.wal_dir))):
        with contextlib.suppress(OSError):
            info = os.stat(path)
            found.append(f"{boot}:{info.st_dev}:{info.st_ino}")
    return tuple(found)


def _segments(wal_dir: str) -> list[wal.Segment]:
    try:
        return wal.segments_of(wal_dir)
    except EtcdFileError:
        return []


def read_place(layout: datadir.Layout) -> Place | Unknown:
    """Where the files lie, and where a run may put its own."""
    data_dir, wal_dir = Path(os.path.realpath(layout.data_dir)), Path(os.path.realpath(layout.wal_dir))
    inner = [one for one in trees.mounts() if data_dir in one.parents]
    apart = wal_dir != data_dir / "member" / "wal" or wal_dir in inner
    inside = data_dir in wal_dir.parents and apart
    strange = [one for one in inner if one != wal_dir]
    if strange:
        return Unknown(unknown=f"{strange[0]} is a mount inside the data dir: it cannot be set aside by rename")
    on_the_same = inside and wal_dir not in inner
    try:
        return Place(
            data_dir=str(data_dir),
            wal_dir=str(wal_dir),
            work=str(_work_beside(data_dir)),
            wal_work=str(_work_beside(wal_dir) if apart and not on_the_same else _work_beside(data_dir)),
            wal_apart=apart,
            wal_inside=inside,
            used=trees.tree_size(data_dir) + (trees.tree_size(wal_dir) if apart and not inside else 0),
            free=files.free_bytes(data_dir),
            wal_free=files.free_bytes(wal_dir),
        )
    except OSError as err:
        return Unknown(unknown=f"{err.filename or data_dir}: {err.strerror}")


def _work_beside(folder: Path) -> Path:
    return folder / ".requorum" if os.path.ismount(folder) else folder.with_name(f"{folder.name}.requorum")


def _facts(path: str) -> tuple[DbFacts | None, Unknown]:
    try:
        return mvcc.read_facts(path), Unknown(unknown="")
    except EtcdFileError as err:
        return None, Unknown(unknown=str(err))


def _blank(facts: DbFacts) -> bool:
    """Whether no cluster ever wrote to a db: etcd makes one before it finds out that it may not start on a wiped dir."""
    return not (facts.consistent_index or facts.members or facts.last_revision or facts.damage)


def db_evidence(
    facts: DbFacts, verified: Verified | None, applied: int, tied: footing.Footing | None = None
) -> DbEvidence:
    """What is said of a db: from a few pages, from a full reading, and from the log beside it."""
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
        peers=tuple(logs.peer_of(one) for one in facts.members),
        removed=facts.removed,
        cluster_version=facts.cluster_version,
        storage_version=facts.storage_version,
        alarms=tuple(f"{one.kind} of member {one.member_id:x}" for one in facts.alarms),
        auth_enabled=facts.auth_enabled,
        saved_snapshot=facts.has_trailer,
        checked=checked,
        faults=tuple(logs.fault(one) for one in damage),
        footing=_footing(tied),
        configuration=(facts.conf_state.voters, facts.conf_state.learners) if facts.conf_state else ((), ()),
    )


def _footing(tied: footing.Footing | None) -> Footing | Unknown:
    if tied is None:
        return Unknown(unknown="no entry of its log can be compared with it")
    return Footing(kind=tied.kind, index=tied.index, extra=tied.extra, why=tied.why)  # type: ignore[arg-type]


def _modified(path: str) -> str:
    written = datetime.datetime.fromtimestamp(os.stat(path).st_mtime, datetime.timezone.utc)
    return written.isoformat(sep=" ", timespec="seconds").replace("+00:00", " UTC")


def _too_near(facts: DbFacts, log: Log) -> bool:
    """Whether entries that may have written something were looked at, and there are earlier ones."""
    near = [one for one in log.entries.values() if one.index <= facts.consistent_index]
    if facts.damage or facts.last_revision < 2 or not near or not simulate.count_at_most(near):
        return False
    return min(one.index for one in near) > log.runs[0].first


def _tail(facts: DbFacts, log: Log, verified: Verified | None, applied_to: int) -> Tail | Unknown:
    last = log.readable_to(applied_to + 1)
    entries: list[Entry] = [log.entries[index] for index in range(applied_to + 1, last + 1) if index in log.entries]
    if len(entries) != last - applied_to:
        return Unknown(unknown="the log does not reach back to the db")
    term = (log.term_at(last) or facts.term) if last > applied_to else facts.term
    return _replayed(facts, entries, verified, applied_to, last, term)


@within(1800.0)
def replay(
    db: str, wal_dir: str, own: tuple[tuple[int, int], ...], brought: tuple[bytes, ...], after: int
) -> Tail | Unknown:
    """What entries ``after`` + 1 and on come to on top of a db (an empty one where ``db`` is empty): a simulated replay.

    ``own`` are the runs that are read from the log here, ``brought`` encoded entries of other members' logs. The db is
    read in full once more: which of its keys matter is not known before.
    """
    entries: dict[int, Entry] = {}
    try:
        if own:
            log = wal.read_log(wal_dir, from_index=min(own)[0], keep_after=after)
            wanted = {index for first, last in own for index in range(first, last + 1)}
            entries = {index: one for index, one in log.entries.items() if index in wanted}
        for raw in brought:
            one = messages.decode_entry(raw)
            entries[one.index] = one
        ordered = [entries[index] for index in sorted(entries)]
        if not ordered or [one.index for one in ordered] != [*range(after + 1, after + 1 + len(ordered))]:
            return Unknown(unknown="the logs have changed meanwhile")
        last = ordered[-1]
        if not db:
            outcome = simulate.Store(1, 0, {}, set()).apply(ordered)
            return Tail(
                from_index=after,
                to_index=last.index,
                to_term=last.term,
                revision=outcome.revision,
                writes=logs.runs_of(outcome.writes),
                doubts=outcome.doubts,
            )
        verified = verify.verify_db(db, simulate.keys_wanted(ordered))
        return _replayed(mvcc.read_facts(db), ordered, verified, after, last.index, last.term)
    except (EtcdFileError, WireError) as err:
        return Unknown(unknown=str(err))


def _replayed(
    facts: DbFacts, entries: list[Entry], verified: Verified | None, applied_to: int, last: int, term: int
) -> Tail:
    doubts: tuple[str, ...] = ()
    if verified is not None and verified.sound:
        outcome = applied.store_of(facts, verified).apply(entries)
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
        from_index=applied_to,
        to_index=last,
        to_term=term,
        revision=revision,
        writes=logs.runs_of(writes),
        doubts=doubts,
    )
