"""etcd's write-ahead log, read record by record, past damage.

A segment is named ``%016x-%016x.wal``: sequence number, first index it may hold. Each begins with a checksum mark, the
member's identity and the last hard state, so every one can be read alone; how records lie in it is in
:mod:`requorum.etcdfiles.walscan`.

etcd's own reader stops at the first fault, and in write mode zeroes what lies behind. This one goes on, and says what
it found: the entries that are whole, each damaged place, and how the log ends.
"""

import os
import re
from dataclasses import dataclass, field
from typing import Dict, Iterator, List, Optional, Tuple

from requorum.etcdfiles import messages, protowire
from requorum.etcdfiles.faults import Damage, EtcdFileError
from requorum.etcdfiles.messages import Entry, HardState, SnapshotMark
from requorum.etcdfiles.protowire import WireError
from requorum.etcdfiles.walscan import (
    BROKEN,
    CLEAN,
    CRC,
    CUT,
    ENTRY,
    KINDS,
    METADATA,
    SNAPSHOT,
    STATE,
    TORN,
    Record,
    Scan,
)

SEGMENT_NAME = re.compile(r"^([0-9a-f]{16})-([0-9a-f]{16})\.wal$")
LEAST_ENTRY = 24
"""Bytes: no record of an entry is shorter, its length field included."""
MAX_JUMP = 1 << 20
"""An entry whose index is further ahead than this is damage, not a gap."""


@dataclass(frozen=True)
class Segment:
    """One WAL file by name."""

    path: str
    seq: int
    first_index: int


@dataclass(frozen=True)
class TermRun:
    """Entries ``first`` to ``last`` (both included) are there, whole, and of one term."""

    first: int
    last: int
    term: int


@dataclass(frozen=True)
class Log:
    """What a WAL holds, as raft would take it (an entry with an index seen before replaces what followed).

    ``runs`` covers every whole entry, also those behind damage; ``entries`` has the bodies of the ones that the reader
    was asked to keep. ``unreadable`` are indexes that must have been there but cannot be read. ``end`` says how the
    last segment ends: ``clean`` (zeroes or the end of a full file), ``torn`` (one half-written record, then only
    zeroes), ``cut`` (the file stops within a record) or ``broken`` (damage with more behind it).
    """

    wal_dir: str
    segments: Tuple[Segment, ...]
    read_from: int
    member_id: int
    cluster_id: int
    hard_state: Optional[HardState]
    marks: Tuple[SnapshotMark, ...]
    runs: Tuple[TermRun, ...]
    entries: Dict[int, Entry]
    conf_changes: Tuple[Entry, ...]
    unreadable: Tuple[int, ...]
    damage: Tuple[Damage, ...]
    end: str

    @property
    def last(self) -> Tuple[int, int]:
        """(term, index) of the last whole entry; of the newest snapshot mark when no entry follows it; else (0, 0)."""
        mark = max(((mark.index, mark.term) for mark in self.marks), default=(0, 0))
        if self.runs and self.runs[-1].last >= mark[0]:
            return self.runs[-1].term, self.runs[-1].last
        return mark[1], mark[0]

    def term_at(self, index: int) -> Optional[int]:
        """The term of a whole entry, ``None`` where there is none."""
        for run in self.runs:
            if run.first <= index <= run.last:
                return run.term
        return None

    def readable_to(self, start: int) -> int:
        """The last index up to which every entry from ``start`` on is whole; ``start - 1`` when that one is not."""
        at = start - 1
        for run in self.runs:
            if run.first <= at + 1 <= run.last:
                at = run.last
        return at


def segments_of(wal_dir: str) -> List[Segment]:
    """The segments of a WAL dir in order; other files (``.tmp``, ``.broken``) are left alone."""
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


def read_log(wal_dir: str, *, from_index: int = 0, keep_after: int = 0) -> Log:
    """Read a WAL from the segment that holds ``from_index`` on; keep the bodies of entries above ``keep_after``.

    Raises EtcdFileError when the folder cannot be listed, holds no segment, or a segment cannot be read.
    """
    segments = segments_of(wal_dir)
    if not segments:
        raise EtcdFileError(wal_dir, "no WAL file in it")
    first = 0
    for at, segment in enumerate(segments):
        if segment.first_index <= max(from_index, 1):
            first = at
    reading = _Reading(wal_dir, keep_after)
    for at, segment in enumerate(segments[first:], first):
        before = segments[at - 1] if at > first else None
        if before is not None and segment.seq != before.seq + 1:
            reading.fault(segment.path, 0, "missing segment", f"WAL file {before.seq + 1:016x} is missing before it")
            reading.previous, reading.hidden = None, MAX_JUMP
        following = segments[at + 1] if at + 1 < len(segments) else None
        reading.segment(segment, following)
    return reading.log(tuple(segments), segments[first].first_index)


def records_of(wal_dir: str) -> Iterator[Record]:
    """Every record of a WAL as it lies there, sound or not."""
    previous: Optional[int] = None
    for segment in segments_of(wal_dir):
        scan = Scan(segment.path, previous, None)
        yield from scan.records()
        previous = scan.previous


def entry_index(data: bytes) -> int:
    """The raft index in the data of an entry record; 0 when it has none."""
    head = _entry_head(data)
    return head[1] if head else 0


def read_segment(path: str) -> Log:
    """Read one WAL file by itself; raises EtcdFileError when it cannot be read."""
    match = SEGMENT_NAME.match(os.path.basename(path))
    segment = Segment(path, int(match.group(1), 16), int(match.group(2), 16)) if match else Segment(path, 0, 0)
    reading = _Reading(os.path.dirname(path), keep_after=1 << 62)
    reading.segment(segment, None)
    return reading.log((segment,), segment.first_index)


@dataclass
class _Reading:
    """The state of one pass over the segments."""

    wal_dir: str
    keep_after: int
    previous: Optional[int] = None
    """The stored checksum of the record before; ``None`` where it is not known."""
    first_index: int = 1
    last_damaged: int = 0
    hidden: int = 0
    """At most so many entries lie in what is damaged since the last whole one."""
    committed: int = 0
    """What was known to be committed before that damage."""
    ids: Tuple[int, int] = (0, 0)
    hard_state: Optional[HardState] = None
    marks: List[SnapshotMark] = field(default_factory=list)
    runs: List[List[int]] = field(default_factory=list)
    entries: Dict[int, Entry] = field(default_factory=dict)
    conf_changes: List[Entry] = field(default_factory=list)
    damage: List[Damage] = field(default_factory=list)
    end: str = CLEAN

    def fault(self, path: str, offset: int, kind: str, detail: str, index: Optional[int] = None) -> None:
        self.damage.append(Damage(path, offset, kind, detail, index))

    def segment(self, segment: Segment, following: Optional[Segment]) -> None:
        scan = Scan(segment.path, self.previous, _seed_of(following) if following else None)
        self.first_index = max(segment.first_index, 1)
        faults, empty, at = len(self.damage), True, 0
        for record in scan.records():
            if record.offset > at:
                self.hidden += (record.offset - at) // LEAST_ENTRY + 1
            at = record.end
            if empty and record.type != CRC:
                self.fault(record.path, record.offset, "chain", "it does not begin with a checksum mark")
            empty = False
            if not record.sound:
                self.unsound(record)
            elif record.type == CRC and record.offset == 0 and self.previous not in (None, 0, record.crc):
                self.fault(record.path, record.offset, "chain", "it does not continue the WAL file before it")
                self.hidden = MAX_JUMP
            elif record.type != CRC:
                self.take(record)
        if empty and not scan.damage:
            self.fault(segment.path, 0, "empty", "it holds no record")
            scan.end = BROKEN
        self.damage += scan.damage
        self.previous = scan.previous
        if following is None:
            self.end = scan.end
        elif scan.end != CLEAN:
            self.hidden = MAX_JUMP
        if following is not None and scan.end in (TORN, CUT) and len(self.damage) == faults:
            self.fault(segment.path, scan.at, "cut", "the file ends within a record")

    def unsound(self, record: Record) -> None:
        index = None
        self.hidden += 1
        if record.type == ENTRY:
            index = self.next_index(record)
            self.last_damaged = index
        kind = KINDS.get(record.type, f"type {record.type}")
        self.fault(record.path, record.offset, "checksum", f"the checksum of this {kind} record is wrong", index)

    def next_index(self, record: Record) -> int:
        """The index that a damaged entry must have had: the next one, when there was one before."""
        before = max(self.runs[-1][1] if self.runs else 0, self.last_damaged)
        if before:
            return before + 1
        head = _entry_head(record.data)
        return head[1] if head and self.plausible(head[1]) else self.first_index

    def plausible(self, index: int) -> bool:
        """Whether an index can follow: it may go back, but not jump ahead absurdly."""
        return index <= max(self.runs[-1][1] if self.runs else 0, self.last_damaged, self.first_index) + MAX_JUMP

    def take(self, record: Record) -> None:
        try:
            kind = record.type or (ENTRY if _entry_head(record.data) else STATE)
            if kind == ENTRY:
                self.entry(record)
            elif kind == STATE:
                state = messages.decode_hard_state(record.data)
                if messages.encode_hard_state(state) != record.data or (
                    not state.term and (state.vote or state.commit)
                ):
                    raise WireError("not a hard state")
                self.hard_state = state
                self.committed = self.committed if self.hidden else state.commit
            elif kind == METADATA:
                ids = messages.decode_wal_metadata(record.data)
                if messages.encode_wal_metadata(*ids) != record.data:
                    raise WireError("not the metadata of a WAL")
                if self.ids not in ((0, 0), ids):
                    self.fault(record.path, record.offset, "identity", "it is of another member or cluster")
                else:
                    self.ids = ids
            elif kind == SNAPSHOT:
                self.marks.append(messages.decode_snapshot_mark(record.data))
        except WireError as err:
            self.fault(record.path, record.offset, "record", f"cannot be decoded: {err}")

    def entry(self, record: Record) -> None:
        head = _entry_head(record.data)
        if head is None:
            raise WireError("not a log entry")
        kind, index, term = head
        if kind != messages.ENTRY_NORMAL and not messages.decode_entry(record.data).data:
            raise WireError("a configuration change without data")
        if not self.plausible(index) or (self.runs and term < self.runs[-1][2]):
            raise WireError(f"an entry {index} of term {term} cannot follow here")
        if self.runs and index <= self.runs[-1][1]:
            self.truncate(index)
        if self.hidden and self.runs and self.runs[-1][2] < term:
            # A new leader's first entries may be among what is damaged, and may have replaced some of these: they do
            # not count as read. What was committed before is never replaced.
            self.truncate(max(index - self.hidden, self.committed + 1))
        self.hidden, self.committed = 0, self.hard_state.commit if self.hard_state else 0
        if self.runs and self.runs[-1][1] == index - 1 and self.runs[-1][2] == term:
            self.runs[-1][1] = index
        else:
            self.runs.append([index, index, term])
        if index > self.keep_after or kind != messages.ENTRY_NORMAL:
            entry = messages.decode_entry(record.data)
            if index > self.keep_after:
                self.entries[index] = entry
            if kind != messages.ENTRY_NORMAL:
                self.conf_changes.append(entry)

    def truncate(self, index: int) -> None:
        """A new leader's entry replaces everything from its index on."""
        while self.runs and self.runs[-1][0] >= index:
            self.runs.pop()
        if self.runs:
            self.runs[-1][1] = min(self.runs[-1][1], index - 1)
        for gone in [one for one in self.entries if one >= index]:
            del self.entries[gone]
        self.conf_changes = [one for one in self.conf_changes if one.index < index]

    def log(self, segments: Tuple[Segment, ...], read_from: int) -> Log:
        unreadable = {one.index for one in self.damage if one.index is not None}
        for before, after in zip(self.runs, self.runs[1:]):
            unreadable.update(range(before[1] + 1, after[0]))
        unreadable = {one for one in unreadable if not any(first <= one <= last for first, last, _ in self.runs)}
        return Log(
            wal_dir=self.wal_dir,
            segments=segments,
            read_from=read_from,
            member_id=self.ids[0],
            cluster_id=self.ids[1],
            hard_state=self.hard_state,
            marks=tuple(self.marks),
            runs=tuple(TermRun(*run) for run in self.runs),
            entries=self.entries,
            conf_changes=tuple(self.conf_changes),
            unreadable=tuple(sorted(unreadable)),
            damage=tuple(self.damage),
            end=self.end,
        )


def _seed_of(segment: Segment) -> Optional[int]:
    """The checksum that a segment says the one before it ended with."""
    try:
        first = next(Scan(segment.path, None, None).records(), None)
    except EtcdFileError:
        return None
    return first.crc if first is not None and first.type == CRC else None


def _entry_head(data: bytes) -> Optional[Tuple[int, int, int]]:
    """(type, index, term) of an entry written as etcd does, fields in order; ``None`` for any other bytes.

    Since 3.7 a normal entry does not name its type.
    The checksum does not cover a record's type, so the form has to tell an entry from a hard state.
    """
    try:
        kind, at = (data[1], 2) if data[0] == 0x08 else (0, 0)
        if kind > 2 or data[at] != 0x10:
            return None
        term, at = protowire.read_varint(data, at + 1)
        if data[at] != 0x18:
            return None
        index, at = protowire.read_varint(data, at + 1)
        if at < len(data):
            if data[at] != 0x22:
                return None
            size, at = protowire.read_varint(data, at + 1)
            if at + size != len(data):
                return None
    except (IndexError, WireError):
        return None
    return (kind, index, term) if index else None
