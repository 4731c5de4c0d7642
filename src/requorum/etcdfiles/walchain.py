"""Which bytes behind damage are records: those whose chain of checksums runs on to what is known.

A value that a client wrote may hold bytes that look like records, with checksums that fit each other. Where the head of
the record that carries them is lost, nothing near tells them from records. But they cannot fit what comes behind the
value: its first record goes on from a checksum that no client knows. So what counts is a chain that runs to the end of
the segment: to the checksum that the next segment begins with, to the zeroes behind the last record, or to a last record
that is half written. It is looked for from the end backwards, where each checksum is computed once, whatever the bytes.

A chain that ends at other damage before that counts only where it cannot lie within one record: it is longer than any
request may be, or it holds more entries than have room in what is damaged around it. What remains is the very last
record: where its head is lost, a client's bytes in it can run to the end, and look like records. The reader names the
entries that it found behind damage, so that other logs are believed first.
"""

import os
from array import array
from bisect import bisect_left
from typing import Dict, List, Optional, Tuple

from requorum.etcdfiles import protowire
from requorum.etcdfiles.checksum import crc32c, crc32c_joined
from requorum.etcdfiles.faults import BadBlocks, read_past
from requorum.etcdfiles.protowire import WireError

METADATA, ENTRY, STATE, CRC, SNAPSHOT = 1, 2, 3, 4, 5
LEAST_ENTRY = 24
"""Bytes: no record of an entry is shorter, its length field included."""
LONGEST_REQUEST = 10 << 20
"""Bytes: etcd warns of a --max-request-bytes beyond it (embed/config.go)."""
MOST_CANDIDATES = 2 << 20
"""No segment of etcd's own size holds more records; bytes that look like more are not looked through."""
_CHUNK = 4 << 20
_HEAD = 40
_ORDER = (1 << 31) - 1
"""The order of x modulo the polynomial of CRC-32C, which has the factor x + 1."""
_MANY = 4

Found = Tuple[int, int, int, int, bytes]
"""(offset, end, type, stored checksum, data)."""


def entry_head(data: bytes) -> Optional[Tuple[int, int, int, int]]:
    """(type, index, term, where its data begin) of an entry as etcd writes it, fields in order; ``None`` for other bytes.

    Since 3.7 a normal entry does not name its type.
    The checksum does not cover a record's type, so the form has to tell an entry from a hard state.
    """
    try:
        kind, at = (data[1], 2) if data[0] == 0x08 else (0, 0)
        if kind > 2 or data[at] != 0x10:
            return None
        term, at = data[at + 1], at + 2
        if term > 0x7F:
            term, at = protowire.read_varint(data, at - 1)
        if data[at] != 0x18:
            return None
        index, at = data[at + 1], at + 2
        if index > 0x7F:
            index, at = index & 0x7F | data[at] << 7, at + 1
            if index >> 14:
                index, at = index & 0x3FFF | data[at] << 14, at + 1
                if index >> 21:
                    index, at = protowire.read_varint(data, at - 3)
        end = len(data)
        if at < end:
            if data[at] != 0x22:
                return None
            size, at = protowire.read_varint(data, at + 1)
            if at + size != end:
                return None
    except (IndexError, WireError):
        return None
    return (kind, index, term, at) if index else None


class Chains:
    """All that is framed like a record from a damaged place to the end of a segment, and how each goes on."""

    def __init__(
        self, fd: int, size: int, begin: int, following: Optional[int], bad: BadBlocks, *, most: int = MOST_CANDIDATES
    ) -> None:
        self.fd, self.size, self.following, self.bad = fd, size, following, bad
        self.why = ""
        """Why nothing more is found, where that is not simply that nothing is there."""
        self.data_end = begin
        """Behind this there are zeroes only."""
        self.offsets = array("Q")
        self.ends = array("Q")
        self.crcs = array("I")
        self.kinds = bytearray()
        self.sizes = array("I")
        self._look(begin, most)
        if len(self.offsets) >= most:
            self.why = "too much of what follows looks like WAL records to tell which are"
            self.offsets = array("Q")
        self.known = bytearray(len(self.offsets))
        """1: the chain from this one runs to the end of the segment; 2: and a checksum proves it."""
        self._needs: Dict[int, int] = {}
        self._asked: Dict[int, int] = {}
        self._link()

    def next_from(self, offset: int, before: int) -> Optional[Found]:
        """The first record from ``offset`` on that is one. ``before``: the index of the last entry, 0 if none is known."""
        at = bisect_left(self.offsets, offset)
        known = self.known.find(2, at)
        island = self._island(at, known, offset, before)
        chosen = known if island is None else island
        if chosen < 0:
            if not self.why and at < len(self.offsets):
                self.why = "what follows looks like WAL records, but nothing proves that they are"
            return None
        data = self._data(chosen)
        return self.offsets[chosen], self.ends[chosen], self.kinds[chosen], self.crcs[chosen], data

    def _look(self, begin: int, most: int) -> None:
        """Note everything that is framed as etcd frames a record: its length field says what the record itself says."""
        base = (begin + 7) // 8 * 8
        while base < self.size and len(self.offsets) < most:
            try:
                base = max(base, os.lseek(self.fd, base, os.SEEK_DATA) // 8 * 8)
            except OSError:
                return
            chunk = read_past(self.fd, min(_CHUNK + _HEAD, self.size - base), base, self.bad)
            if not chunk:
                return
            content = len(chunk.rstrip(b"\0"))
            if content:
                self.data_end = max(self.data_end, base + content)
                self._look_through(chunk, base)
            base += _CHUNK

    def _look_through(self, chunk: bytes, base: int) -> None:
        types, fields, kinds, tops = chunk[8::8], chunk[10::8], chunk[9::8], chunk[7::8]
        last = min(len(fields), _CHUNK // 8)
        word = types.find(b"\x08", 0, last)
        while word >= 0:
            if fields[word] == 0x10 and METADATA <= kinds[word] <= SNAPSHOT and (tops[word] > 0x80 or not tops[word]):
                self._note(chunk, base, word * 8)
            word = types.find(b"\x08", word + 1, last)

    def _note(self, chunk: bytes, base: int, start: int) -> None:
        length = int.from_bytes(chunk[start : start + 7], "little")
        if not 0 < length <= self.size - base - start - 8:
            return
        head = chunk[start + 8 : start + _HEAD]
        try:
            crc, pos = protowire.read_varint(head, 3)
            kind, size = head[1], 0
            if kind != CRC:
                if head[pos] != 0x1A:
                    return
                size, pos = protowire.read_varint(head, pos + 1)
        except (IndexError, WireError):
            return
        pad = -length % 8
        if pos + size != length or crc >> 32 or size >> 32 or chunk[start + 7] != (0x80 | pad if pad else 0):
            return
        self.offsets.append(base + start)
        self.ends.append(base + start + 8 + length + pad)
        self.crcs.append(crc)
        self.kinds.append(kind)
        self.sizes.append(size)

    def _data(self, one: int) -> bytes:
        """The data of a candidate: they end where the record does, before the padding."""
        size = self.sizes[one]
        if not size:
            return b""
        start = self.offsets[one] + 8 + self._head_size(one)
        return read_past(self.fd, size, start, self.bad)

    def _head_size(self, one: int) -> int:
        return 3 + len(protowire.varint(self.crcs[one])) + 1 + len(protowire.varint(self.sizes[one]))

    def _link(self) -> None:
        """From the end backwards: which chains run to it."""
        following = -1
        for one in range(len(self.offsets) - 1, -1, -1):
            end = self.ends[one]
            if end >= self.data_end:
                if self.following is None:
                    self.known[one] = 1
                elif self.following == self.crcs[one]:
                    self.known[one] = 2
                continue
            following = self._at(end)
            if following < 0:
                if self._cut(end):
                    self.known[one] = 1
            elif self.known[following] and self._goes_on(one, following):
                self.known[one] = 2
            elif self.ends[following] >= self.data_end and self._half_written(following):
                self.known[one] = 1

    def _at(self, offset: int) -> int:
        at = bisect_left(self.offsets, offset)
        return at if at < len(self.offsets) and self.offsets[at] == offset else -1

    def _goes_on(self, one: int, following: int) -> bool:
        """Whether the second one's checksum goes on from the first one's."""
        crc = self.crcs[one]
        if self.kinds[following] == CRC:
            return self.crcs[following] == crc
        if following not in self._needs:
            self._asked[following] = self._asked.get(following, 0) + 1
            if self._asked[following] < _MANY:
                return crc32c(self._data(following), crc) == self.crcs[following]
            # Many ask: compute what the first one's must be, once. A CRC is shifted back by going on around.
            size = self.sizes[following]
            wrong = self.crcs[following] ^ crc32c(self._data(following))
            self._needs[following] = crc32c_joined(wrong, 0, -size % _ORDER)
        return self._needs[following] == crc

    def _cut(self, offset: int) -> bool:
        """Whether the file ends within a record that begins at ``offset``."""
        head = read_past(self.fd, min(_HEAD, self.size - offset), offset, self.bad)
        length = int.from_bytes(head[:7], "little")
        return len(head) < 16 or (length > self.size - offset - 8 and head[8] == 0x08 and head[10] == 0x10)

    def _half_written(self, one: int) -> bool:
        """Whether a sector of a last record is all zeroes (decoder.go, isTornEntry)."""
        start, end = self.offsets[one], min(self.ends[one], self.size)
        raw = read_past(self.fd, end - start, start, self.bad)
        for sector in range(start // 512 * 512, end, 512):
            piece = raw[max(sector - start, 0) : sector + 512 - start]
            if piece and not piece.strip(b"\0"):
                return True
        return False

    def _island(self, at: int, known: int, offset: int, before: int) -> Optional[int]:
        """The first record of a chain that ends at other damage, but cannot lie within one record."""
        stop = known if known >= 0 else len(self.offsets)
        until = self.offsets[known] if known >= 0 else self.data_end
        after = self._first_index(known) if known >= 0 and before else 0
        if until - offset <= LONGEST_REQUEST and after - before <= 2:
            return None
        seen, read = bytearray(stop), 0
        for begin in range(at, stop):
            one = begin
            chain: List[int] = []
            while 0 <= one < stop and not seen[one]:
                seen[one] = 1
                chain.append(one)
                following = self._at(self.ends[one])
                if following < 0 or following >= stop:
                    break
                read += self.sizes[following]
                if read > 2 * self.size:
                    self.why = "too much of what follows looks like WAL records to tell which are"
                    return None
                if not self._goes_on(one, following):
                    break
                one = following
            if len(chain) < 2:
                continue
            size = self.ends[chain[-1]] - self.offsets[begin]
            if size > LONGEST_REQUEST:
                return begin
            room = (until - offset - size) // LEAST_ENTRY
            if after and after - before - 2 > room and self._within(chain, before, after):
                return begin
        return None

    def _first_index(self, one: int) -> int:
        """The index of the first entry of a chain that is known to run to the end."""
        while one >= 0:
            if self.kinds[one] == ENTRY:
                head = entry_head(self._data(one))
                return head[1] if head else 0
            one = self._at(self.ends[one])
        return 0

    def _within(self, chain: List[int], before: int, after: int) -> bool:
        """Whether a chain's entries are consecutive and lie between two indexes."""
        last = before
        for one in chain:
            if self.kinds[one] == ENTRY:
                head = entry_head(self._data(one))
                if head is None or head[1] >= after or (head[1] != last + 1 if last > before else head[1] <= before):
                    return False
                last = head[1]
        return last > before
