"""A WAL file frame by frame: every record that is there, sound or not, and how the file ends.

A frame is a length field (u64 LE: low 56 bits the record's bytes, bits 56-58 padding when the top bit is set), a
walpb.Record, and padding to 8 bytes. Each record stores the CRC-32C that runs over the data of all records before it
and its own, so any record can be checked from the stored value of the one before, and one damaged record does not hide
the rest. (wal/decoder.go, wal/encoder.go.)
"""

import errno
import os
from dataclasses import dataclass
from typing import Iterator, List, Optional, Tuple

from requorum.etcdfiles import protowire
from requorum.etcdfiles.checksum import crc32c
from requorum.etcdfiles.faults import BLOCK, BadBlocks, Damage, EtcdFileError, read_past
from requorum.etcdfiles.protowire import WireError

METADATA, ENTRY, STATE, CRC, SNAPSHOT = 1, 2, 3, 4, 5
KINDS = {METADATA: "metadata", ENTRY: "entry", STATE: "state", CRC: "crc", SNAPSHOT: "snapshot"}
SECTOR = 512
"""The unit in which a torn write leaves zeroes (decoder.go, isTornEntry)."""
_CHUNK = 1 << 20
_RESYNC_LIMIT = 64 << 20
_ZEROES = bytes(_CHUNK)

CLEAN, TORN, CUT, BROKEN = "clean", "torn", "cut", "broken"


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


class Scan:
    """One segment's records, sound or not; resynchronises behind damage. Read in chunks, front to back."""

    def __init__(self, path: str, previous: Optional[int], following: Optional[int]) -> None:
        self.path = path
        self.previous = previous
        self.following = following
        self.damage: List[Damage] = []
        self.end = CLEAN
        self.at = 0
        self.bad = BadBlocks()

    def fault(self, offset: int, kind: str, detail: str) -> None:
        self.damage.append(Damage(self.path, offset, kind, detail))

    def records(self) -> Iterator[Record]:
        try:
            fd = os.open(self.path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0) | os.O_NONBLOCK)
        except OSError as err:
            raise EtcdFileError(self.path, err.strerror or str(err)) from err
        try:
            self.fd, self.size = fd, os.fstat(fd).st_size
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
        return value & ((1 << 56) - 1), (value >> 56) & 7 if value >> 63 else 0

    def _records(self) -> Iterator[Record]:
        if self.size == 0:
            self.end = BROKEN
            self.fault(0, "empty", "the file is empty")
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
                self.fault(self.at, "frames", f"{found - self.at} bytes here are no WAL records")
                self.at, self.previous = found, None
                continue
            if not record.sound and self.torn(record):
                self.end = TORN
                self.fault(record.offset, "torn", "the last record was only half written")
                return
            if record.type == CRC and record.offset != 0 and self.previous not in (None, record.crc):
                self.fault(record.offset, "chain", "a checksum mark does not fit")
            yield record
            self.at = record.end
            self.previous = record.crc if record.type or record.sound else None
        if self.at > self.size or self.bytes_at(self.at, 8).strip(b"\0"):
            self.end = CUT
            self.fault(min(self.at, self.size), "cut", "the file ends within a frame")

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
        right = crc if kind == CRC else crc32c(data, self.previous or 0)
        if kind == CRC:
            sound = not data
        elif self.previous is None:
            sound = self.follower_agrees(own_end, crc)
        else:
            sound = right == crc
            if not sound and self.follower_agrees(own_end, right):
                # The stored checksum itself is what was hit: the next record proves this one.
                self.fault(offset, "stored checksum", "the stored checksum is wrong, the record is whole")
                crc, sound = right, True
        if sound:
            if stated != length or pad != own_end - offset - 8 - length:
                self.fault(offset, "length", "the length field is wrong, the record is whole")
            return Record(self.path, offset, own_end, kind, crc, data, True)
        if not fits and not self.likely(own_end):
            return None
        end = stated_end if fits and (stated == length or self.likely(stated_end)) else own_end
        return Record(self.path, offset, end, kind, crc, data, False)

    def of_no_type(self, offset: int, end: int) -> Record:
        """What a length field frames that is no record of a known type. The checksum does not cover the type: where it
        holds all the same, the record is whole, and of type 0."""
        parsed = self.record(offset + 8, any_type=True)
        if parsed is None or self.previous is None or crc32c(parsed[2], self.previous) != parsed[1]:
            return Record(self.path, offset, end, 0, 0, b"", False)
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

    def likely(self, offset: int) -> bool:
        """Whether a frame, or nothing more, stands at ``offset``."""
        if offset + 8 > self.size:
            return offset <= self.size
        return not self.bytes_at(offset, 16).strip(b"\0") or self.record(offset + 8) is not None

    def follower_agrees(self, offset: int, crc: int) -> bool:
        """Whether what comes at ``offset``, here or in the next segment, continues a chain that stands at ``crc``."""
        parsed = self.record(offset + 8) if offset + 8 < self.size else None
        if parsed is None:
            return self.following == crc and (offset >= self.size or self.only_zeroes(offset))
        kind, stored, data, _ = parsed
        return stored == crc if kind == CRC else crc32c(data, crc) == stored

    def resync(self, offset: int) -> Optional[int]:
        """The next offset, a multiple of 8, where a record stands whose follower's checksum agrees with it."""
        limit = min(self.size, offset + _RESYNC_LIMIT)
        at = _round_up(offset + 1)
        while at + 16 <= limit:
            block = self.bytes_at(at, min(_CHUNK, limit - at))
            for pos in range(0, len(block) - 15, 8):
                if block[pos + 8] != 0x08 or block[pos + 10] != 0x10:
                    continue
                parsed = self.record(at + pos + 8)
                if parsed is not None and self.follower_agrees(_round_up(at + pos + 8 + parsed[3]), parsed[1]):
                    return at + pos
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
        stated, _ = self.stated(self.at)
        if stated > self.size - self.at - 8 and self.bytes_at(self.at + 8, 1) in (b"\x08", b""):
            self.end = CUT
            self.fault(self.at, "cut", "the file ends within this record")
            return
        self.end = BROKEN
        self.fault(self.at, "frames", "what follows is no WAL record")


def _round_up(offset: int) -> int:
    """Frames begin at multiples of 8."""
    return (offset + 7) // 8 * 8
