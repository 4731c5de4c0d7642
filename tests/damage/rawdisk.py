"""etcd's files as the judge reads them: few lines, strict, and none of the code that is judged.

Frames and checksums of the WAL: etcd's wal/decoder.go. Pages of the db: bbolt's page.go, bucket.go, db.go. Nothing is
repaired, guessed or searched for: what does not hold is left out.
"""

import errno
import os
import re
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from crc32c import crc32c

METADATA, ENTRY, STATE, CRC = 1, 2, 3, 4
VALUE = re.compile(rb'\{"writer":\d+,"n":\d+,"data":"[0-9a-f]*"\}')
"""A value as the load's writers make it: no two are the same."""
_MAGIC, _LEAF = 0xED0CDAED, 2
_DEEP = 64


class Unreadable(Exception):
    """A file that does not hold what it must."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One record of a WAL file whose checksum holds; it begins at byte ``offset``, its data at ``data_at``."""

    path: Path
    offset: int
    end: int
    data_at: int
    type: int
    data: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Disk:
    """What a data dir's log and db say; 0 where they say nothing. ``values`` are all that lie whole in the log or the db;
    ``damaged``: the log shows that more was written to it."""

    member_id: int
    last_index: int
    commit: int
    consistent_index: int
    values: frozenset[str]
    damaged: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """One record of a db's key bucket."""

    revision: int
    sub: int
    deleted: bool
    key: str
    value: str
    lease: int


def fields(data: bytes) -> Iterator[tuple[int, int, int, int]]:
    """(number, value, begin, end) of each field of a protobuf message: a varint's value, or where bytes begin and end."""
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        if tag & 7 == 0:
            value, at = _varint(data, at)
            yield tag >> 3, value, at, at
        elif tag & 7 == 2:
            size, at = _varint(data, at)
            if at + size > len(data):
                raise Unreadable("a field runs over its message")
            yield tag >> 3, 0, at, at + size
            at += size
        else:
            raise Unreadable(f"wire type {tag & 7}")


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while at < len(data) and shift < 70:
        byte = data[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return value, at
    raise Unreadable("a number breaks off")


def written(path: Path) -> bytes:
    """A file without the zeroes at its end; the hole there, which a log is allocated ahead, is not read."""
    with path.open("rb", buffering=0) as file:
        end = at = 0
        while True:
            try:
                at = end = os.lseek(file.fileno(), os.lseek(file.fileno(), at, os.SEEK_DATA), os.SEEK_HOLE)
            except OSError as err:
                if err.errno != errno.ENXIO:
                    raise
                return os.pread(file.fileno(), end, 0).rstrip(b"\0")


def records(path: Path) -> Iterator[Record]:
    """The records of one WAL file whose checksum follows from the record before; up to the first that is no record."""
    raw = written(path) + bytes(8)
    at, seed = 0, 0
    while at + 8 <= len(raw):
        (length,) = struct.unpack_from("<Q", raw, at)
        size = length & ((1 << 56) - 1)
        if size == 0 or at + 8 + size > len(raw):
            return
        try:
            kind, crc, begin, end = 0, 0, 0, 0
            for number, value, first, last in fields(raw[at + 8 : at + 8 + size]):
                if number == 1:
                    kind = value
                elif number == 2:
                    crc = value
                elif number == 3:
                    begin, end = at + 8 + first, at + 8 + last
        except Unreadable:
            return
        data = raw[begin:end]
        pad = length >> 56 & 7 if length >> 63 else 0
        after = at + 8 + size + pad
        if kind == CRC or crc32c(data, seed) == crc:
            yield Record(path=path, offset=at, end=after, data_at=begin, type=kind, data=data)
        seed, at = crc, after


def wal_files(folder: Path) -> list[Path]:
    """Every WAL file below a folder, whatever was done to its name, by name; links are followed."""
    out, todo, seen = [], [folder], set()
    while todo:
        at = todo.pop()
        if not at.is_dir() or at.resolve() in seen:
            continue
        seen.add(at.resolve())
        for one in at.iterdir():
            if one.is_dir():
                todo.append(one)
            elif ".wal" in one.name:
                out.append(one)
    return sorted(out, key=lambda one: one.name)


@dataclass(frozen=True, slots=True, kw_only=True)
class LogFile:
    """What one WAL file says: its entries by index, as they lie there, with the load's values in each; ``whole``: it was read
    to where nothing but zeroes follows."""

    member_id: int
    commit: int
    entries: tuple[tuple[int, tuple[str, ...]], ...]
    whole: bool


_READ: dict[tuple[object, ...], LogFile] = {}
"""Files read already, by name, size and time of change: the same log is copied for every case of a cluster."""


def read_log_file(path: Path) -> LogFile:
    """Read one WAL file."""
    info = path.stat()
    known = (path.name, info.st_size, info.st_mtime_ns)
    if known not in _READ:
        member_id = commit = 0
        entries, end = [], 0
        for one in records(path):
            end = one.end
            if one.type == ENTRY:
                entries.append((_number(one.data, 3), tuple(found.decode() for found in VALUE.findall(one.data))))
            elif one.type == METADATA:
                member_id = _number(one.data, 1)
            elif one.type == STATE:
                commit = max(commit, _number(one.data, 3))
        whole = end >= len(written(path))
        _READ[known] = LogFile(member_id=member_id, commit=commit, entries=tuple(entries), whole=whole)
    return _READ[known]


def _number(data: bytes, wanted: int) -> int:
    return next((value for number, value, _, _ in fields(data) if number == wanted), 0)


def log_of(files: Iterable[Path]) -> dict[int, tuple[str, ...]]:
    """The values of each entry of a log; an entry with an index seen before replaces what followed (raft's rule)."""
    out: dict[int, tuple[str, ...]] = {}
    for path in files:
        for index, values in read_log_file(path).entries:
            last = next(reversed(out), 0)
            if index <= last:
                out = {at: some for at, some in out.items() if at < index}
            out[index] = values
    return out


def read_disk(data_dir: Path) -> Disk:
    """A data dir as it lies there."""
    own = [path for path in wal_files(data_dir) if path.suffix == ".wal" and path.parent.name == "wal"]
    logs = [read_log_file(path) for path in own]
    # What etcd's own repair has cut off lies there still, and ends where the disk was torn.
    cut = [read_log_file(path) for path in wal_files(data_dir) if path.name.endswith(".wal.broken")]
    values = set(values_in_logs(data_dir))
    index, db = 0, data_dir / "member" / "snap" / "db"
    try:
        index = int.from_bytes(meta_values(db).get(b"consistent_index", (0, b""))[1], "big")
        values |= db_values(db)
    except (Unreadable, OSError):
        pass
    return Disk(
        member_id=next((log.member_id for log in logs if log.member_id), 0),
        last_index=max(
            [next(reversed(log_of(own)), 0), *_snapshots(data_dir), *(index for log in cut for index, _ in log.entries)]
        ),
        commit=max((log.commit for log in logs), default=0),
        consistent_index=index,
        values=frozenset(values),
        damaged=not all(log.whole for log in (*logs, *cut)),
    )


def _snapshots(data_dir: Path) -> list[int]:
    """The indexes that a member's .snap files are of: its log may begin with one, and hold nothing yet."""
    names = [one.stem.partition("-")[2] for one in (data_dir / "member/snap").glob("*.snap")]
    return [int(one, 16) for one in names if re.fullmatch("[0-9a-f]{16}", one)]


def values_in_logs(folder: Path) -> frozenset[str]:
    """The values that lie whole in any log below a folder, overwritten ones not among them; what etcd set aside as
    ``.broken`` is a log of its own."""
    logs: dict[tuple[Path, bool], list[Path]] = {}
    for path in wal_files(folder):
        logs.setdefault((path.parent, path.suffix == ".wal"), []).append(path)
    return frozenset(value for files in logs.values() for values in log_of(files).values() for value in values)


_DBS: dict[tuple[object, ...], frozenset[str]] = {}


def db_values(path: Path) -> frozenset[str]:
    """The values that a db's records hold; raises Unreadable."""
    info = path.stat()
    known = (path.name, info.st_size, info.st_mtime_ns)
    if known not in _DBS:
        _DBS[known] = frozenset(one.value for one in read_keys(path))
    return _DBS[known]


def _fnv(data: bytes) -> int:
    value = 0xCBF29CE484222325
    for byte in data:
        value = (value ^ byte) * 0x100000001B3 & (1 << 64) - 1
    return value


@dataclass(frozen=True, slots=True)
class Pages:
    """A db file: its bytes, its page size, the root page of the newest transaction."""

    raw: bytes
    size: int
    root: int


def open_db(path: Path) -> Pages:
    """The newest valid meta page of a db; raises Unreadable."""
    raw = path.read_bytes()
    best: tuple[int, int, int] | None = None
    for slot in (0, 1):
        for size in (4096, 8192, 16384, 32768, 65536):
            at = slot * size + 16
            if at + 64 > len(raw):
                continue
            magic, version, page_size, _, root, _, _, _, txid, check = struct.unpack_from("<IIIIQQQQQQ", raw, at)
            good = magic == _MAGIC and version == 2 and page_size == size and _fnv(raw[at : at + 56]) == check
            if good and (best is None or txid > best[0]):
                best = (txid, root, size)
    if best is None:
        raise Unreadable("no valid meta page")
    return Pages(raw, best[2], best[1])


@dataclass(frozen=True, slots=True)
class Item:
    """One element of a leaf; its value begins at byte ``at`` of the file."""

    key: bytes
    value: bytes
    at: int
    bucket: bool


def items(db: Pages, page: int, depth: int = 0) -> Iterator[Item]:
    """The items below a page in order; raises Unreadable."""
    start = page * db.size
    if page < 2 or start + db.size > len(db.raw) or depth > _DEEP:
        raise Unreadable(f"page {page} is none of this file")
    own, kind, count, overflow = struct.unpack_from("<QHHI", db.raw, start)
    if own != page or kind not in (1, _LEAF):
        raise Unreadable(f"page {page} says that it is another")
    end = start + (overflow + 1) * db.size
    if kind == _LEAF:
        yield from _leaf(db.raw, start, end, count)
        return
    for n in range(count):
        at = start + 16 + 16 * n
        if at + 16 > min(end, len(db.raw)):
            raise Unreadable(f"page {page} runs over")
        _, _, child = struct.unpack_from("<IIQ", db.raw, at)
        yield from items(db, child, depth + 1)


def _leaf(raw: bytes, start: int, end: int, count: int) -> Iterator[Item]:
    for n in range(count):
        at = start + 16 + 16 * n
        if at + 16 > min(end, len(raw)):
            raise Unreadable("a leaf runs over")
        flags, pos, ksize, vsize = struct.unpack_from("<IIII", raw, at)
        begin = at + pos
        if begin + ksize + vsize > min(end, len(raw)):
            raise Unreadable("an item runs over its page")
        value = begin + ksize
        yield Item(raw[begin:value], raw[value : value + vsize], value, bool(flags & 1))


def bucket(db: Pages, name: bytes) -> Iterator[Item]:
    """The items of a bucket in order; raises Unreadable."""
    for one in items(db, db.root):
        if one.bucket and one.key == name:
            (root,) = struct.unpack_from("<Q", one.value)
            if root:
                yield from items(db, root)
            else:
                (count,) = struct.unpack_from("<H", one.value, 26)
                yield from _leaf(db.raw, one.at + 16, one.at + len(one.value), count)
            return


def meta_values(path: Path) -> dict[bytes, tuple[int, bytes]]:
    """What the meta bucket holds: where each value begins in the file, and the value."""
    return {one.key: (one.at, one.value) for one in bucket(open_db(path), b"meta")}


def read_keys(path: Path) -> list[Kept]:
    """Every record of a db in the order of its revision; raises Unreadable."""
    out = []
    for one in bucket(open_db(path), b"key"):
        if len(one.key) not in (17, 18):
            raise Unreadable("no revision key")
        revision, _, sub = struct.unpack(">qcq", one.key[:17])
        key = value = ""
        lease = 0
        for number, number_value, begin, end in fields(one.value):
            if number == 1:
                key = one.value[begin:end].decode(errors="surrogateescape")
            elif number == 5:
                value = one.value[begin:end].decode(errors="surrogateescape")
            elif number == 6:
                lease = number_value
        out.append(Kept(revision=revision, sub=sub, deleted=len(one.key) == 18, key=key, value=value, lease=lease))
    return sorted(out, key=lambda one: (one.revision, one.sub))
