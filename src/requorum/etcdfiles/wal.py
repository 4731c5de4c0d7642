"""etcd's write-ahead log, read record by record, past damage.

A segment is named ``%016x-%016x.wal``: sequence number, first index it may hold. Each begins with a checksum mark, the
member's identity and the last hard state, so every one can be read alone; how records lie in it is in
:mod:`requorum.etcdfiles.walscan`, what they come to in :mod:`requorum.etcdfiles.walread`.

etcd's own reader stops at the first fault, and in write mode zeroes what lies behind. This one goes on, and says what
it found: the entries that are whole, each damaged place, and how the log ends.
"""

import contextlib
import itertools
import os
import re
from typing import Iterator, List, Optional

from requorum.etcdfiles import messages
from requorum.etcdfiles.faults import EtcdFileError
from requorum.etcdfiles.protowire import WireError
from requorum.etcdfiles.walchain import ENTRY, SNAPSHOT, entry_head
from requorum.etcdfiles.walhash import EntryHashes
from requorum.etcdfiles.walread import Log, Reading, Segment, TermRun
from requorum.etcdfiles.walscan import Record, Scan

__all__ = [
    "SEGMENT_NAME",
    "Log",
    "Segment",
    "TermRun",
    "broken_copies",
    "entries_of",
    "entry_index",
    "read_log",
    "read_segment",
    "records_of",
    "restored_at",
    "segments_of",
]

SEGMENT_NAME = re.compile(r"^([0-9a-f]{16})-([0-9a-f]{16})\.wal$")
BEGINNING = 512
"""The first hard state of a log, and what it begins with, are among so many records."""
_BROKEN_NAME = re.compile(r"^([0-9a-f]{16})-([0-9a-f]{16})\.wal\.broken")
_TRIES = 3


def segments_of(wal_dir: str) -> List[Segment]:
    """The segments of a WAL dir in order; other files (``.tmp``, ``.broken``) are left alone. Where the path of one of
    :func:`broken_copies` is given in place of the dir, those of the log as it was before etcd cut that segment."""
    if is_broken_copy(wal_dir):
        return _before_the_cut(segments_of(os.path.dirname(wal_dir)), wal_dir)
    try:
        names = os.listdir(wal_dir)
    except OSError as err:
        raise EtcdFileError(wal_dir, err.strerror or str(err)) from err
    found = []
    for name in names:
        match = SEGMENT_NAME.match(name)
        if match:
            found.append(Segment(os.path.join(wal_dir, name), int(match.group(1), 16), int(match.group(2), 16)))
    return sorted(found, key=lambda one: one.seq)


def is_broken_copy(path: str) -> bool:
    """Whether a path is one of :func:`broken_copies`, by its name."""
    return bool(_BROKEN_NAME.match(os.path.basename(path)))


def broken_copies(wal_dir: str) -> List[str]:
    """The copies that etcd kept of last segments before it cut them (wal/repair.go), oldest segment first."""
    try:
        names = os.listdir(wal_dir)
    except OSError as err:
        raise EtcdFileError(wal_dir, err.strerror or str(err)) from err
    return [os.path.join(wal_dir, name) for name in sorted(names) if _BROKEN_NAME.match(name)]


def read_log(
    wal_dir: str,
    *,
    from_index: int = 0,
    keep_after: int = 0,
    key: bytes = b"",
    live: bool = False,
    with_broken: str = "",
    start: int = 0,
) -> Log:
    """Read a WAL from the segment that holds ``from_index`` on; keep the bodies of entries above ``keep_after``.

    With a ``key`` (up to 64 bytes) every whole entry is hashed under it (:mod:`requorum.etcdfiles.walhash`). ``live``: a
    running etcd may be writing it, so a half-written end is no damage. ``with_broken``: one of :func:`broken_copies`; the
    log is read as it was before etcd cut that segment: the copy in its place, and none that were begun since. ``start``: the
    index of the snapshot that etcd would start from; entries up to it are passed over as etcd does. Then they do not even
    replace what came behind them before: etcd brings such entries back.

    Raises EtcdFileError when the folder cannot be listed, holds no segment, or a segment cannot be read.
    """
    for tried in range(_TRIES if live else 1):
        segments = _before_the_cut(segments_of(wal_dir), with_broken)
        if not segments:
            raise EtcdFileError(wal_dir, "no WAL file in it")
        try:
            reading = Reading(wal_dir, max(keep_after, start), EntryHashes(key) if key else None, start)
            return _read(wal_dir, segments, reading, from_index, live)
        except EtcdFileError:
            # etcd removes old segments as it goes
            if tried + 1 == _TRIES or not live or all(os.path.exists(one.path) for one in segments):
                raise
    raise AssertionError


def _before_the_cut(segments: List[Segment], broken: str) -> List[Segment]:
    match = _BROKEN_NAME.match(os.path.basename(broken))
    if not broken:
        return segments
    if match is None:
        raise EtcdFileError(broken, "not named as etcd names a segment that it set aside")
    copy = Segment(broken, int(match.group(1), 16), int(match.group(2), 16))
    return [*(one for one in segments if one.seq < copy.seq), copy]


def _read(wal_dir: str, segments: List[Segment], reading: Reading, from_index: int, live: bool) -> Log:
    first = 0
    for at, segment in enumerate(segments):
        if segment.first_index <= from_index:
            first = at
    for at, segment in enumerate(segments[first:], first):
        before = segments[at - 1] if at > first else None
        if before is not None and segment.seq != before.seq + 1:
            reading.missing(segment, before.seq + 1)
        following = segments[at + 1] if at + 1 < len(segments) else None
        seed = _seed_of(following) if following else None
        reading.segment(segment, seed, last=following is None, live=live and following is None)
    return reading.log(tuple(segments), segments[first].first_index)


def restored_at(log: Log) -> Optional[int]:
    """The index of the snapshot that a restore wrote behind the members' entries (etcdutl's makeWALAndSnap); 0 where the log
    begins with an empty store; ``None`` where its beginning is gone or damaged, or was sent by a leader."""
    if log.segments[0].seq:
        return None
    last = 0
    try:
        for record in itertools.islice(records_of(log.wal_dir), BEGINNING):
            if not record.sound:
                return None
            if record.type == ENTRY:
                entry = messages.decode_entry(record.data)
                if entry.index != last + 1:
                    return None
                last = entry.index
                if entry.type == messages.ENTRY_NORMAL:
                    return 0
            elif record.type == SNAPSHOT:
                mark = messages.decode_snapshot_mark(record.data).index
                if mark:
                    return mark if mark == last else None
    except (EtcdFileError, WireError):
        return None
    return 0 if last else None


def records_of(wal_dir: str) -> Iterator[Record]:
    """Every record of a WAL as it lies there, sound or not."""
    previous: Optional[int] = None
    for segment in segments_of(wal_dir):
        scan = Scan(segment.path, previous, None)
        yield from scan.records()
        previous = scan.previous


def entries_of(log: Log) -> Iterator[messages.Entry]:
    """Every entry that is still in force in a log, read again; raises EtcdFileError."""
    for record in records_of(log.wal_dir):
        if record.type == ENTRY and record.sound:
            with contextlib.suppress(WireError):
                entry = messages.decode_entry(record.data)
                if log.term_at(entry.index) == entry.term:
                    yield entry


def entry_index(data: bytes) -> int:
    """The raft index in the data of an entry record; 0 when it has none."""
    head = entry_head(data)
    return head[1] if head else 0


def read_segment(path: str) -> Log:
    """Read one WAL file by itself, also one that etcd set aside; raises EtcdFileError when it cannot be read."""
    match = SEGMENT_NAME.match(os.path.basename(path)) or _BROKEN_NAME.match(os.path.basename(path))
    segment = Segment(path, int(match.group(1), 16), int(match.group(2), 16)) if match else Segment(path, 0, 0)
    reading = Reading(os.path.dirname(path), keep_after=1 << 62)
    reading.segment(segment, None, last=True, live=False)
    return reading.log((segment,), segment.first_index)


def _seed_of(segment: Segment) -> Optional[int]:
    """The checksum that a segment says the one before it ended with."""
    try:
        first = next(Scan(segment.path, None, None).records(), None)
    except EtcdFileError:
        return None
    return first.crc if first is not None and first.type == 4 and first.checked else None
