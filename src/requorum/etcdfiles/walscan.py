"""A WAL file frame by frame: every record that is there, sound or not, and how the file ends.

A frame is a length field (u64 LE: low 56 bits the record's bytes, bits 56-58 padding when the top bit is set), a
walpb.Record, and padding to 8 bytes. Each record stores the CRC-32C that runs over the data of all records before it
and its own, so any record can be checked from the stored value of the one before, and one damaged record does not hide
the rest. (wal/decoder.go, wal/encoder.go.) Where damage hides where the next record begins,
:mod:`requorum.etcdfiles.walchain` looks for it.
"""

import os
import time
from typing import Iterator, List, NamedTuple, Optional, Tuple

from requorum.etcdfiles import protowire
from requorum.etcdfiles.checksum import crc32c
from requorum.etcdfiles.faults import BLOCK, BadBlocks, Damage, EtcdFileError, next_data, read_past
from requorum.etcdfiles.protowire import WireError
from requorum.etcdfiles.walchain import CRC, ENTRY, METADATA, SNAPSHOT, STATE, Chains, entry_head

__all__ = [
    "BROKEN",
    "CLEAN",
    "CRC",
    "CUT",
    "ENTRY",
    "KINDS",
    "METADATA",
    "SECTOR",
    "SNAPSHOT",
    "STATE",
    "TORN",
    "Record",
    "Scan",
]
KINDS = {METADATA: "metadata", ENTRY: "entry", STATE: "state", CRC: "crc", SNAPSHOT: "snapshot"}
SECTOR = 512
"""The unit in which a torn write leaves zeroes (decoder.go, isTornEntry)."""
_CHUNK = 1 << 20
_ZEROES = bytes(_CHUNK)
_LENGTH = (1 << 56) - 1
_WAIT, _WAITS, _SAME = 0.02, 50, 5
"""A record that is being written is looked at again so often, after so many seconds; given up when nothing changes."""

_JUST_NOW = 10.0
"""Seconds: no record takes longer to be written to its end."""

CLEAN, TORN, CUT, BROKEN = "clean", "torn", "cut", "broken"
OF_ETCD_2 = "its records are not aligned to 8 bytes: etcd 2 wrote it. requorum reads what etcd 3.4 and later write"


class Record(NamedTuple):
    """One record that is there; ``sound`` says whether its checksum holds.

    ``checked`` is False for the first one behind damage: its data cannot be checked, only that what follows goes on from it.
    """

    path: str
    offset: int
    end: int
    type: int
    crc: int
    data: bytes
    sound: bool
    checked: bool = True


class Scan:
    """One segment's records, sound or not; goes on behind damage. Read in chunks, front to back.

    ``live``: etcd may be writing it, so what looks half-written at its end is no damage: the scan ends before it, and
    ``growing`` is set. The same goes for a file that changes while it is read.
    """

    def __init__(self, path: str, previous: Optional[int], following: Optional[int], *, live: bool = False) -> None:
        self.path = path
        self.previous = previous
        self.following = following
        self.live = live
        self.growing = False
        self.damage: List[Damage] = []
        self.end = CLEAN
        self.at = 0
        self.bad = BadBlocks()
        self.last_entry = b""
        self.chains: Optional[Chains] = None
        self.settled = -1

    def fault(self, offset: int, kind: str, detail: str) -> None:
        self.damage.append(Damage(self.path, offset, kind, detail))

    def records(self) -> Iterator[Record]:
        try:
            fd = os.open(self.path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0) | os.O_NONBLOCK)
        except OSError as err:
            raise EtcdFileError(self.path, err.strerror or str(err)) from err
        try:
            self.fd, self.stamp = fd, _stamp(fd)
            self.size = self.stamp[0]
            self.base, self.chunk = 0, b""
            yield from self._records()
            self.tell_unreadable()
        except OSError as err:
            raise EtcdFileError(self.path, f"cannot be read at byte {self.at}: {err.strerror or err}") from err
        finally:
            os.close(fd)

    def tell_unreadable(self) -> None:
        """Name what the disk does not give back before what follows from it."""
        found: List[List[int]] = []
        for block in sorted(self.bad.starts):
            if found and found[-1][1] == block:
                found[-1][1] += BLOCK
            else:
                found.append([block, block + BLOCK])
        self.damage[:0] = [
            Damage(self.path, begin, "unreadable", f"the disk does not give back {end - begin} bytes")
            for begin, end in found
        ]

    def bytes_at(self, offset: int, size: int) -> bytes:
        """``size`` bytes at ``offset`` (fewer at the end of the file), through one chunk that moves forward."""
        start = offset - self.base
        if start < 0 or start + size > len(self.chunk):
            self.base, start = offset, 0
            wanted = min(max(size, _CHUNK), self.size - offset)
            self.chunk = read_past(self.fd, wanted, offset, self.bad)
        return self.chunk[start : start + size]

    def stated(self, offset: int) -> Tuple[int, int]:
        """(bytes, padding) as the length field at ``offset`` says (wal/decoder.go, decodeFrameSize)."""
        value = int.from_bytes(self.bytes_at(offset, 8), "little")
        return value & _LENGTH, (value >> 56) & 7 if value >> 63 else 0

    def _records(self) -> Iterator[Record]:
        if self.size == 0:
            self.end = BROKEN
            self.fault(0, "empty", "the file is empty")
            return
        if self.bytes_at(0, 12) == b"\x04\0\0\0\0\0\0\0\x08\x04\x10\0":
            raise EtcdFileError(self.path, OF_ETCD_2)
        while self.at + 8 <= self.size:
            record = self.quick() or self.frame(self.at)
            if record is None or not record.sound:
                if record is None and self.only_zeroes(self.at):
                    return
                if self.settle():
                    continue
            if record is None:
                found = self.resync(self.at)
                if found is None:
                    self.broken_end()
                    return
                if found.offset > self.at:
                    self.fault(self.at, "frames", f"{found.offset - self.at} bytes here are no WAL records")
                record = found
            elif not record.sound and (self.torn(record) or (self.being_written() and self.only_zeroes(record.end))):
                self.end_here(TORN, record.offset, "torn", "the last record was only half written")
                return
            if record.type == CRC and record.offset != 0 and self.previous not in (None, record.crc):
                self.fault(record.offset, "chain", "a checksum mark does not fit")
            if record.sound and record.type == ENTRY:
                self.last_entry = record.data
            yield record
            self.at = record.end
            self.previous = record.crc if record.type or record.sound else None
        if self.at > self.size or self.bytes_at(self.at, 8).strip(b"\0"):
            self.end_here(CUT, min(self.at, self.size), "cut", "the file ends within a frame")

    def end_here(self, end: str, offset: int, kind: str, detail: str) -> None:
        """What lies at ``offset`` is not whole: a record that is being written, or damage that is named."""
        if self.being_written():
            self.growing = True
            return
        self.end = end
        self.fault(offset, kind, detail)

    def being_written(self) -> bool:
        """Whether what is not whole at the end may become so: etcd runs, and wrote the file just now."""
        return self.live and time.time() - os.fstat(self.fd).st_mtime < _JUST_NOW

    def settle(self) -> bool:
        """Whether to look again at what begins here: etcd may just be writing it. Says so once for each place, after waiting
        until it is whole or does not change any more."""
        if not self.live and _stamp(self.fd) == self.stamp:
            return False
        self.live = True
        if self.settled == self.at:
            return False
        same, before = 0, b""
        for _ in range(_WAITS):
            self.base, self.chunk, self.size = 0, b"", _stamp(self.fd)[0]
            if self.at + 8 > self.size or self.quick() is not None or self.only_zeroes(self.at):
                return True
            same = same + 1 if before == self.chunk else 0
            if same == _SAME:
                break
            before = self.chunk
            time.sleep(_WAIT)
        self.settled, self.chains = self.at, None
        return True

    def quick(self) -> Optional[Record]:
        """The record at the current place, where it is framed just as etcd frames it and its checksum holds."""
        at = self.at
        start = at - self.base
        chunk = self.chunk
        if start < 0 or start + 32 > len(chunk):
            self.bytes_at(at, 32)
            start, chunk = at - self.base, self.chunk
        try:
            length = chunk[start] | chunk[start + 1] << 8 | chunk[start + 2] << 16 | chunk[start + 3] << 24
            if chunk[start + 8] != 0x08 or chunk[start + 10] != 0x10 or chunk[start + 16] != 0x1A:
                return None
            kind = chunk[start + 9]
            raw = int.from_bytes(chunk[start + 11 : start + 16], "little")
            if raw & 0xF080808080 != 0x0080808080 or self.previous is None or not METADATA <= kind <= SNAPSHOT:
                return None
            crc = raw & 0x7F | raw >> 1 & 0x3F80 | raw >> 2 & 0x1FC000 | raw >> 3 & 0xFE00000 | raw >> 4 & 0xF0000000
            size, pos = chunk[start + 17], start + 18
            if size > 0x7F:
                size, pos = size & 0x7F | chunk[pos] << 7, pos + 1
                if size >> 14:
                    size, pos = size & 0x3FFF | chunk[pos] << 14, pos + 1
                    if size >> 21:
                        return None
        except IndexError:
            return None
        if pos + size - start - 8 != length or kind == CRC:
            return None
        padded = -length % 8
        if chunk[start + 4 : start + 8] != (_PADDED[padded]):
            return None
        if pos + size > len(chunk):
            if at + 8 + length > self.size:
                return None
            body = self.bytes_at(at, 8 + length)
            if len(body) != 8 + length:
                return None
            data = body[pos - start :]
        else:
            data = chunk[pos : pos + size]
        if crc32c(data, self.previous) != crc:
            return None
        return Record(self.path, at, at + 8 + length + padded, kind, crc, data, True)

    def frame(self, offset: int) -> Optional[Record]:
        """The record framed at ``offset``; ``None`` when there is none that can be made out.

        A record tells its own length, so a wrong length field does not hide one whose checksum holds.
        """
        stated, pad = self.stated(offset)
        fits = 0 < stated <= self.size - offset - 8
        stated_end = _round_up(offset + 8 + stated)
        if not stated and not self.bytes_at(offset + 8, 8).strip(b"\0"):
            return None
        parsed = self.record(offset + 8)
        if parsed is None:
            return self.of_no_type(offset, stated_end) if fits else None
        kind, crc, data, length = parsed
        own_end = _round_up(offset + 8 + length)
        agree = stated == length and pad == own_end - offset - 8 - length
        if kind == CRC:
            sound = not data
        elif self.previous is None:
            return None
        else:
            right = crc32c(data, self.previous)
            sound = right == crc
            if not sound and self.follower_agrees(own_end, right):
                # The stored checksum itself is what was hit: the next record proves this one.
                self.fault(offset, "stored checksum", "the stored checksum is wrong, the record is whole")
                crc, sound = right, True
        if sound:
            if not agree:
                self.fault(offset, "length", "the length field is wrong, the record is whole")
            return Record(self.path, offset, own_end, kind, crc, data, True)
        if agree or self.follower_agrees(own_end, crc):
            return Record(self.path, offset, own_end, kind, crc, data, False)
        if fits and self.follower_agrees(stated_end, crc):
            return Record(self.path, offset, stated_end, kind, crc, data, False)
        return None

    def of_no_type(self, offset: int, end: int) -> Optional[Record]:
        """What a length field frames that is no record of a known type. The checksum does not cover the type: where it
        holds all the same, the record is whole, and of type 0."""
        parsed = self.record(offset + 8, any_type=True)
        if parsed is None or self.previous is None or crc32c(parsed[2], self.previous) != parsed[1]:
            found = self.resync(offset)
            known = found is not None and found.offset == end
            return Record(self.path, offset, end, 0, 0, b"", False) if known else None
        self.fault(offset, "type", "the type is wrong, the record is whole")
        return Record(self.path, offset, end, 0, parsed[1], parsed[2], True)

    def record(self, at: int, *, any_type: bool = False) -> Optional[Tuple[int, int, bytes, int]]:
        """(type, crc, data, length) of the walpb.Record at ``at``, by its own fields; ``None`` when it is not one."""
        head = self.bytes_at(at, 32)
        try:
            if len(head) < 4 or head[0] != 0x08:
                return None
            kind, pos = protowire.read_varint(head, 1)
            if not (any_type or METADATA <= kind <= SNAPSHOT) or head[pos] != 0x10:
                return None
            crc, pos = protowire.read_varint(head, pos + 1)
            if crc >> 32:
                return None
            if kind == CRC and (pos >= len(head) or head[pos] != 0x1A):
                return kind, crc, b"", pos
            if head[pos] != 0x1A:
                return None
            length, pos = protowire.read_varint(head, pos + 1)
        except (IndexError, WireError):
            return None
        if length > self.size - at - pos:
            return None
        return kind, crc, self.bytes_at(at + pos, length), pos + length

    def follower_agrees(self, offset: int, crc: int) -> bool:
        """Whether what comes at ``offset``, here or in the next segment, continues a chain that stands at ``crc``."""
        parsed = self.record(offset + 8) if offset + 8 < self.size else None
        if parsed is None:
            return self.following == crc and (offset >= self.size or self.only_zeroes(offset))
        kind, stored, data, _ = parsed
        return stored == crc if kind == CRC else crc32c(data, crc) == stored

    def resync(self, offset: int) -> Optional[Record]:
        """The first record from ``offset`` on that is known to be one (:class:`requorum.etcdfiles.walchain.Chains`)."""
        head = entry_head(self.last_entry)
        found = None
        for _ in range(_SAME if self.live else 1):
            if self.chains is None:
                self.chains = Chains(self.fd, self.size, offset, self.following, self.bad)
            found = self.chains.next_from(offset, head[1] if head else 0)
            if found is not None:
                break
            if self.live:  # the last record may have been half there just then
                time.sleep(_WAIT)
                self.chains, self.size = None, _stamp(self.fd)[0]
        if found is None:
            return None
        at, end, kind, crc, data = found
        return Record(self.path, at, end, kind, crc, data, True, False)

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
            data = next_data(self.fd, offset)
            if data is None:
                return True
            offset = data
            block = self.bytes_at(offset, min(_CHUNK, self.size - offset))
            if not block:
                return True
            if block != _ZEROES[: len(block)]:
                return False
            offset += len(block)
        return True

    def broken_end(self) -> None:
        """Name what lies at the end, where no record can be made out any more. Of one that is half there, the length may be
        all that was written: etcd cuts that off, too (wal/decoder.go, isTornEntry)."""
        stated, _ = self.stated(self.at)
        frame = Record(self.path, self.at, _round_up(self.at + 8 + stated), 0, 0, b"", False)
        if 0 < stated <= self.size - self.at - 8 and self.torn(frame):
            self.end_here(TORN, self.at, "torn", "the last record was only half written")
            return
        if stated > self.size - self.at - 8 and self.bytes_at(self.at + 8, 1) in (b"\x08", b""):
            self.end_here(CUT, self.at, "cut", "the file ends within this record")
            return
        why = self.chains.why if self.chains else ""
        self.end_here(BROKEN, self.at, "frames", why or "what follows is no WAL record")


_PADDED = [b"\0\0\0\0"] + [bytes((0, 0, 0, 0x80 | pad)) for pad in range(1, 8)]
"""The upper half of the length field of a record shorter than 4 GiB, by its padding."""


def _stamp(fd: int) -> Tuple[int, int]:
    """(size, time of change) of an open file."""
    info = os.fstat(fd)
    return info.st_size, info.st_mtime_ns


def _round_up(offset: int) -> int:
    """Frames begin at multiples of 8."""
    return (offset + 7) // 8 * 8
