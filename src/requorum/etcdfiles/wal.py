"""etcd's write-ahead log, read record by record, past damage.

A segment ``%016x-%016x.wal`` (sequence number, first index it may hold) is a row of frames: a length field (u64 LE: low
56 bits the record's bytes, bits 56-58 padding when the top bit is set), a walpb.Record, padding to 8 bytes. Each record
stores the CRC-32C that runs over the data of all records before it and its own, so any record can be checked from the
stored value of the one before: one damaged record does not hide the rest. (wal/decoder.go, wal/encoder.go, wal.go.)

etcd's own reader stops at the first fault, and in write mode zeroes what lies behind. This one goes on, and says what
it found: the entries that are whole, each damaged place, and how the log ends.
"""

import errno
import os
import re
from dataclasses import dataclass, field
from typing import Dict, Iterator, List, Optional, Tuple

from requorum.etcdfiles import messages, protowire
from requorum.etcdfiles.checksum import crc32c
from requorum.etcdfiles.faults import Damage, EtcdFileError
from requorum.etcdfiles.messages import Entry, HardState, SnapshotMark
from requorum.etcdfiles.protowire import WireError

METADATA, ENTRY, STATE, CRC, SNAPSHOT = 1, 2, 3, 4, 5
KINDS = {METADATA: "metadata", ENTRY: "entry", STATE: "state", CRC: "crc", SNAPSHOT: "snapshot"}
SEGMENT_NAME = re.compile(r"^([0-9a-f]{16})-([0-9a-f]{16})\.wal$")
SECTOR = 512
"""The unit in which a torn write leaves zeroes (decoder.go, isTornEntry)."""
_CHUNK = 1 << 20
_RESYNC_LIMIT = 64 << 20
_ZEROES = bytes(_CHUNK)

CLEAN, TORN, CUT, BROKEN = "clean", "torn", "cut", "broken"


@dataclass(frozen=True)
class Segment:
    """One WAL file by name."""

    path: str
    seq: int
    first_index: int


@dataclass(frozen=True)
class Record:
    """One record that is there; ``sound`` says whether its checksum holds."""

    path: str
    offset: int
    end: int
    type: int
    crc: int
    data: bytes
    sound: bool


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
            reading.previous = None
        reading.segment(segment, last=at == len(segments) - 1)
    return reading.log(tuple(segments), segments[first].first_index)


def records_of(wal_dir: str) -> Iterator[Record]:
    """Every record of a WAL as it lies there, sound or not."""
    previous: Optional[int] = None
    for segment in segments_of(wal_dir):
        scan = _Scan(segment.path, previous)
        yield from scan.records()
        previous = scan.previous


def entry_index(data: bytes) -> int:
    """The raft index in the data of an entry record; 0 when it has none."""
    head = _entry_head(data)
    return head[1] if head else 0


@dataclass
class _Reading:
    """The state of one pass over the segments."""

    wal_dir: str
    keep_after: int
    previous: Optional[int] = None
    """The stored checksum of the record before; ``None`` where it is not known."""
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

    def segment(self, segment: Segment, last: bool) -> None:
        scan = _Scan(segment.path, self.previous)
        faults = len(self.damage)
        for record in scan.records():
            if not record.sound:
                self.unsound(record)
            elif record.type == CRC and record.offset == 0 and self.previous not in (None, 0, record.crc):
                self.fault(record.path, 0, "chain", "it does not continue the WAL file before it")
            elif record.type != CRC:
                self.take(record)
        self.damage += scan.damage
        self.previous = scan.previous
        if last:
            self.end = scan.end
        elif scan.end in (TORN, CUT) and len(self.damage) == faults:
            self.fault(segment.path, scan.at, "cut", "the file ends within a record")

    def unsound(self, record: Record) -> None:
        index = None
        if record.type == ENTRY:
            head = _entry_head(record.data)
            expected = self.runs[-1][1] + 1 if self.runs else 0
            index = expected if head is None or head[1] != expected else head[1]
        kind = KINDS.get(record.type, f"type {record.type}")
        self.fault(record.path, record.offset, "checksum", f"the checksum of this {kind} record is wrong", index)

    def take(self, record: Record) -> None:
        try:
            if record.type == ENTRY:
                self.entry(record)
            elif record.type == STATE:
                self.hard_state = messages.decode_hard_state(record.data)
            elif record.type == METADATA:
                ids = messages.decode_wal_metadata(record.data)
                if self.ids not in ((0, 0), ids):
                    self.fault(record.path, record.offset, "identity", "it is of another member or cluster")
                else:
                    self.ids = ids
            elif record.type == SNAPSHOT:
                self.marks.append(messages.decode_snapshot_mark(record.data))
        except WireError as err:
            self.fault(record.path, record.offset, "record", f"cannot be decoded: {err}")

    def entry(self, record: Record) -> None:
        head = _entry_head(record.data)
        if head is None:
            entry = messages.decode_entry(record.data)
            head = (entry.type, entry.index, entry.term)
        kind, index, term = head
        if self.runs and index <= self.runs[-1][1]:
            self.truncate(index)
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
        unreadable: List[int] = []
        for before, after in zip(self.runs, self.runs[1:]):
            unreadable += range(before[1] + 1, after[0])
        beyond = self.runs[-1][1] if self.runs else 0
        unreadable += sorted({one.index for one in self.damage if one.index is not None and one.index > beyond})
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
            unreadable=tuple(unreadable),
            damage=tuple(self.damage),
            end=self.end,
        )


def _entry_head(data: bytes) -> Optional[Tuple[int, int, int]]:
    """(type, index, term) of an entry written as etcd does, fields in order; ``None`` for any other bytes."""
    try:
        if data[0] != 0x08 or data[1] > 2 or data[2] != 0x10:
            return None
        term, at = protowire.read_varint(data, 3)
        if data[at] != 0x18:
            return None
        index, _ = protowire.read_varint(data, at + 1)
    except (IndexError, WireError):
        return None
    return (data[1], index, term) if index else None


class _Scan:
    """One segment's records, sound or not; resynchronises behind damage. Read in chunks, front to back."""

    def __init__(self, path: str, previous: Optional[int]) -> None:
        self.path = path
        self.previous = previous
        self.damage: List[Damage] = []
        self.end = CLEAN
        self.at = 0

    def records(self) -> Iterator[Record]:
        try:
            fd = os.open(self.path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0) | os.O_NONBLOCK)
        except OSError as err:
            raise EtcdFileError(self.path, err.strerror or str(err)) from err
        try:
            self.fd, self.size = fd, os.fstat(fd).st_size
            self.base, self.chunk = 0, b""
            yield from self._records()
        except OSError as err:
            raise EtcdFileError(self.path, f"cannot be read at byte {self.at}: {err.strerror or err}") from err
        finally:
            os.close(fd)

    def bytes_at(self, offset: int, size: int) -> bytes:
        """``size`` bytes at ``offset`` (fewer at the end of the file), through one chunk that moves forward."""
        start = offset - self.base
        if start < 0 or start + size > len(self.chunk):
            self.base, start = offset, 0
            self.chunk = os.pread(self.fd, max(size, _CHUNK), offset)
        return self.chunk[start : start + size]

    def _records(self) -> Iterator[Record]:
        if self.size == 0:
            self.end = BROKEN
            self.damage.append(Damage(self.path, 0, "empty", "the file is empty"))
            return
        while self.at + 8 <= self.size:
            record = self.frame(self.at)
            if record is None:
                if self.only_zeroes(self.at):
                    return
                found = self.resync(self.at)
                if found is None:
                    self.broken_end()
                    return
                self.damage.append(
                    Damage(self.path, self.at, "frames", f"{found - self.at} bytes here are no WAL records")
                )
                self.at, self.previous = found, None
                continue
            if not record.sound and self.torn(record):
                self.end = TORN
                self.damage.append(
                    Damage(self.path, record.offset, "torn", "the last record was only half written", None)
                )
                return
            if record.type == CRC:
                if record.offset != 0 and self.previous not in (None, record.crc):
                    self.damage.append(Damage(self.path, record.offset, "chain", "a checksum mark does not fit"))
            yield record
            self.at = record.end
            self.previous = record.crc if record.type else None
        if self.damage:
            return
        if self.at < self.size and self.bytes_at(self.at, 8).strip(b"\0"):
            self.end = CUT

    def frame(self, offset: int) -> Optional[Record]:
        """The record framed at ``offset``; ``None`` when there is none that can be made out.

        A record tells its own length, so a wrong length field does not hide a record whose checksum holds.
        """
        field_value = int.from_bytes(self.bytes_at(offset, 8), "little")
        stated = field_value & ((1 << 56) - 1)
        pad = (field_value >> 56) & 7 if field_value >> 63 else 0
        fits = 0 < stated <= self.size - offset - 8 - pad
        if not fits and field_value == 0 and not self.bytes_at(offset + 8, 8).strip(b"\0"):
            return None
        parsed = self.record(offset + 8, stated if fits else None)
        if parsed is None:
            if not fits:
                return None
            return Record(self.path, offset, offset + 8 + stated + pad, 0, 0, b"", False)
        kind, crc, data, length = parsed
        if kind == CRC:
            sound = not data
        elif self.previous is None:
            sound = self.follower_agrees(offset + 8 + (stated if fits else length) + pad, crc)
        else:
            sound = crc32c(data, self.previous) == crc
        if fits and stated == length:
            end = offset + 8 + stated + pad
            if not sound and self.previous is not None:
                # The stored checksum itself may be what was hit: then the next record proves this one.
                right = crc32c(data, self.previous)
                if self.follower_agrees(end, right):
                    detail = "the stored checksum is wrong, the record is whole"
                    self.damage.append(Damage(self.path, offset, "stored checksum", detail))
                    return Record(self.path, offset, end, kind, right, data, True)
            return Record(self.path, offset, end, kind, crc, data, sound)
        if sound and kind != CRC:
            self.damage.append(Damage(self.path, offset, "length", "the length field is wrong, the record is whole"))
            return Record(self.path, offset, offset + 8 + (length + 7) // 8 * 8, kind, crc, data, True)
        if fits:
            return Record(self.path, offset, offset + 8 + stated + pad, kind, crc, data, False)
        return None

    def record(self, at: int, stated: Optional[int]) -> Optional[Tuple[int, int, bytes, int]]:
        """(type, crc, data, length) of the walpb.Record at ``at``; ``None`` when it is not one."""
        head = self.bytes_at(at, 32)
        try:
            if len(head) < 4 or head[0] != 0x08:
                return None
            kind, pos = protowire.read_varint(head, 1)
            if not METADATA <= kind <= SNAPSHOT or head[pos] != 0x10:
                return None
            crc, pos = protowire.read_varint(head, pos + 1)
            if crc >> 32:
                return None
            if stated == pos or pos >= len(head) or head[pos] != 0x1A:
                return kind, crc, b"", pos
            length, pos = protowire.read_varint(head, pos + 1)
        except (IndexError, WireError):
            return None
        if length > self.size - at - pos:
            return None
        if stated is not None and pos + length > stated:
            return kind, crc, self.bytes_at(at + pos, stated - pos) if stated > pos else b"", stated
        return kind, crc, self.bytes_at(at + pos, length), pos + length

    def follower_agrees(self, offset: int, crc: int) -> bool:
        """Whether the record at ``offset`` continues a chain that stands at ``crc``."""
        parsed = None
        size = int.from_bytes(self.bytes_at(offset, 8), "little") & ((1 << 56) - 1)
        if 0 < size <= self.size - offset - 8:
            parsed = self.record(offset + 8, size)
        if parsed is None:
            return False
        kind, stored, data, _ = parsed
        return stored == crc if kind == CRC else crc32c(data, crc) == stored

    def resync(self, offset: int) -> Optional[int]:
        """The next offset, a multiple of 8, where a record stands whose follower's checksum agrees with it."""
        limit = min(self.size, offset + _RESYNC_LIMIT)
        at = offset + 8
        while at + 16 <= limit:
            block = self.bytes_at(at, min(_CHUNK, limit - at))
            for pos in range(0, len(block) - 15, 8):
                if block[pos + 8] != 0x08 or block[pos + 5] or block[pos + 6] or block[pos + 10] != 0x10:
                    continue
                size = int.from_bytes(block[pos : pos + 7], "little")
                here = at + pos
                if not 0 < size <= self.size - here - 8:
                    continue
                parsed = self.record(here + 8, size)
                if parsed is not None and self.follower_agrees(here + 8 + (size + 7) // 8 * 8, parsed[1]):
                    return here
            at += max(len(block) - 15, 8) // 8 * 8
        return None

    def torn(self, record: Record) -> bool:
        """One half-written last record: a sector of it is all zeroes, and so is everything behind it."""
        start = record.offset
        while start < record.end:
            stop = min(record.end, (start // SECTOR + 1) * SECTOR)
            piece = self.bytes_at(start, stop - start)
            if piece and not piece.strip(b"\0"):
                return self.only_zeroes(record.end)
            start = stop
        return False

    def only_zeroes(self, offset: int) -> bool:
        """Whether nothing but zeroes follows; holes and preallocated space are stepped over unread."""
        while offset < self.size:
            try:
                offset = max(offset, os.lseek(self.fd, offset, os.SEEK_DATA))
            except OSError as err:
                if err.errno == errno.ENXIO:
                    return True
            block = self.bytes_at(offset, min(_CHUNK, self.size - offset))
            if not block:
                return True
            if block != _ZEROES[: len(block)]:
                return False
            offset += len(block)
        return True

    def broken_end(self) -> None:
        """Name what lies at the end, where no record can be made out any more."""
        field_value = int.from_bytes(self.bytes_at(self.at, 8), "little")
        stated = field_value & ((1 << 56) - 1)
        if stated > self.size - self.at - 8 and self.bytes_at(self.at + 8, 1) == b"\x08":
            self.end = CUT
            self.damage.append(Damage(self.path, self.at, "cut", "the file ends within this record"))
            return
        self.end = BROKEN
        self.damage.append(Damage(self.path, self.at, "frames", "what follows is no WAL record"))
