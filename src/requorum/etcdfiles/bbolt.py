"""bbolt files read page by page: metas, the choice between them, buckets, and cursors. Nothing is locked or mapped.

Formats: bbolt's page.go, bucket.go and db.go. A page is trusted for nothing: every id, count, offset and length is
checked before it is used, and what does not hold raises :class:`BadPage`.
"""

import os
import struct
import time
from dataclasses import dataclass
from typing import Iterator, List, NamedTuple, Optional, Tuple

from requorum.etcdfiles import checksum
from requorum.etcdfiles.faults import BAD_SECTOR, BadBlocks, EtcdFileError, Unreadable

MAGIC, VERSION = 0xED0CDAED, 2
BRANCH, LEAF, META, FREELIST = 0x01, 0x02, 0x04, 0x10
_HEADER = struct.Struct("<QHHI")
_META = struct.Struct("<IIIIQQQQQQ")
BRANCH_ELEMENT = struct.Struct("<IIQ")
LEAF_ELEMENT = struct.Struct("<IIII")
_BUCKET = struct.Struct("<QQ")
HEADER_SIZE = _HEADER.size
ELEMENT_SIZE = LEAF_ELEMENT.size
"""Of a branch's elements as of a leaf's."""
MAX_DEPTH = 64
MOST_AT_ONCE = 16
"""So many pages are read at once at most, before it is known how many a page runs over into."""


class BadPage(Exception):
    """A page that is not what its place in the tree says it must be."""

    def __init__(self, pgid: int, why: str, kind: str = "page") -> None:
        super().__init__(f"page {pgid}: {why}")
        self.pgid = pgid
        self.why = why
        self.kind = kind
        """Of the :class:`~requorum.etcdfiles.faults.Damage` that it is."""


@dataclass(frozen=True)
class Meta:
    """One of the two meta pages: the roots of transaction ``txid``. ``hwm`` is the file's size in pages."""

    slot: int
    page_size: int
    root: int
    freelist: int
    hwm: int
    txid: int

    @property
    def size(self) -> int:
        """The bytes that the file must hold: what etcd calls the total size."""
        return self.hwm * self.page_size


class Page(NamedTuple):
    """A page with its overflow, as one buffer."""

    pgid: int
    flags: int
    elements: int
    overflow: int
    data: bytes


@dataclass(frozen=True)
class Bucket:
    """A bucket's root page: an id, or, for a small one, the inline page that lies in its parent's leaf."""

    root: int
    inline: Optional[Page] = None


class LeafItem(NamedTuple):
    """One element of a leaf."""

    key: memoryview
    value: memoryview
    is_bucket: bool


class Bolt:
    """An open bbolt file. ``meta`` is the valid meta page with the highest transaction id (bbolt db.go, meta())."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.bad = BadBlocks()
        self._likely = 1  # pages that are read in one go: as many as the last one had
        try:
            self.fd = os.open(path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0) | os.O_NONBLOCK)
        except OSError as err:
            raise EtcdFileError(path, err.strerror or str(err)) from err
        try:
            self.reload()
        except BaseException:
            os.close(self.fd)
            raise

    def __enter__(self) -> "Bolt":
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self.fd)

    def reload(self) -> None:
        """Read the metas again: the roots of a live file move. It has grown before its metas say so: its size is asked last."""
        try:
            self.metas, self.meta_faults = _read_metas(self.fd, os.fstat(self.fd).st_size)
            self.file_size = os.fstat(self.fd).st_size
        except OSError as err:
            raise EtcdFileError(self.path, err.strerror or str(err)) from err
        if not self.metas:
            raise EtcdFileError(self.path, _why_no_meta(self.file_size, self.meta_faults))
        self.meta = max(self.metas, key=lambda meta: meta.txid)

    def read(self, offset: int, size: int) -> bytes:
        """``size`` bytes at ``offset``, or fewer at the end of the file."""
        try:
            return os.pread(self.fd, size, offset)
        except OSError as err:
            kind = Unreadable if err.errno in BAD_SECTOR else EtcdFileError
            raise kind(self.path, f"cannot be read at byte {offset}: {err.strerror or err}") from err

    def _read_of_page(self, pgid: int, offset: int, size: int) -> bytes:
        began = time.monotonic()
        try:
            return os.pread(self.fd, size, offset)
        except OSError as err:
            if err.errno in BAD_SECTOR and not self.bad.too_many:
                self.bad.add(offset, began)
                raise BadPage(pgid, "the disk does not give it back", "unreadable") from err
            raise EtcdFileError(self.path, f"cannot be read at byte {offset}: {err.strerror or err}") from err

    def page(self, pgid: int) -> Page:
        """The tree page ``pgid`` with its overflow; raises :class:`BadPage` unless it is a branch or a leaf."""
        meta = self.meta
        if not 2 <= pgid < meta.hwm:
            raise BadPage(pgid, f"lies outside the file's {meta.hwm} pages")
        size = meta.page_size
        if (pgid + 1) * size > self.file_size:
            raise BadPage(pgid, "the file ends before it")
        raw = self._read_of_page(pgid, pgid * size, self._likely * size)
        if len(raw) < size:
            raise BadPage(pgid, "the file ends before it")
        own, flags, count, overflow = _HEADER.unpack_from(raw)
        if own != pgid:
            raise BadPage(pgid, f"identifies itself as page {own}")
        if flags not in (BRANCH, LEAF):
            raise BadPage(pgid, f"has flags {flags:#x}, neither a branch nor a leaf")
        if pgid + overflow >= meta.hwm:
            raise BadPage(pgid, f"claims {overflow} overflow pages, past the end")
        pages = overflow + 1
        if pages * size != len(raw):
            if (pgid + pages) * size > self.file_size:
                raise BadPage(pgid, "the file ends within it")
            while len(raw) < pages * size:  # reading stops before a bad sector, and fails only at it
                more = self._read_of_page(pgid, pgid * size + len(raw), pages * size - len(raw))
                if not more:
                    raise BadPage(pgid, "the file ends within it")
                raw += more
            raw = raw[: pages * size]
            self._likely = min(pages, MOST_AT_ONCE)
        if HEADER_SIZE + count * ELEMENT_SIZE > len(raw):
            raise BadPage(pgid, f"claims {count} elements, more than fit")
        if flags == BRANCH and count == 0:
            raise BadPage(pgid, "is a branch without children")
        return Page(pgid, flags, count, overflow, raw)

    def root_bucket(self) -> Bucket:
        """The bucket that holds all others."""
        return Bucket(self.meta.root)

    def bucket(self, name: bytes) -> Optional[Bucket]:
        """A top-level bucket by name, ``None`` when there is none."""
        item = self.get(self.root_bucket(), name)
        if item is None:
            return None
        if not item.is_bucket:
            raise BadPage(self.meta.root, f"{name!r} is no bucket")
        return bucket_of(item, self.meta.root)

    def _load(self, bucket: Bucket) -> Page:
        return bucket.inline if bucket.inline is not None else self.page(bucket.root)

    def get(self, bucket: Bucket, key: bytes) -> Optional[LeafItem]:
        """The item stored under ``key``; reads one page a level."""
        page = self._load(bucket)
        for _ in range(MAX_DEPTH):
            if page.flags == LEAF:
                for item in leaf_items(page):
                    if item.key == key:
                        return item
                return None
            child = None
            for first, pgid in branch_items(page):
                if child is not None and bytes(first) > key:
                    break
                child = pgid
            assert child is not None
            page = self.page(child)
        raise BadPage(bucket.root, f"the tree is deeper than {MAX_DEPTH}")

    def last(self, bucket: Bucket) -> Optional[LeafItem]:
        """The last item of a bucket; reads one page a level (an empty last leaf is stepped over)."""
        return next(self.backwards(bucket), None)

    def backwards(self, bucket: Bucket) -> Iterator[LeafItem]:
        """All items, last first."""
        for page in self._leaves(bucket, backwards=True):
            yield from reversed(leaf_items(page))

    def items(self, bucket: Bucket) -> Iterator[LeafItem]:
        """All items in order."""
        for page in self._leaves(bucket, backwards=False):
            yield from leaf_items(page)

    def _leaves(self, bucket: Bucket, *, backwards: bool) -> Iterator[Page]:
        """The leaves in order. A tree that reaches more pages than the file has goes in circles: BadPage."""
        if bucket.inline is not None:
            yield bucket.inline
            return
        left = self.file_size // self.meta.page_size
        todo = [bucket.root]
        while todo:
            page = self.page(todo.pop())
            left -= 1
            if left < 0:
                raise BadPage(bucket.root, "the tree goes in circles")
            if page.flags == LEAF:
                yield page
                continue
            children = [child for _, child in branch_items(page)]
            todo += children if backwards else reversed(children)


def branch_items(page: Page) -> List[Tuple[memoryview, int]]:
    """A branch's (first key, child page id) pairs."""
    data, limit, out = memoryview(page.data), len(page.data), []
    at = HEADER_SIZE
    for _ in range(page.elements):
        pos, ksize, pgid = BRANCH_ELEMENT.unpack_from(data, at)
        start = at + pos
        if start + ksize > limit:
            raise BadPage(page.pgid, "a key runs past the page")
        out.append((data[start : start + ksize], pgid))
        at += ELEMENT_SIZE
    return out


def leaf_items(page: Page) -> List[LeafItem]:
    """A leaf's items."""
    data, limit, out = memoryview(page.data), len(page.data), []
    at = HEADER_SIZE
    for _ in range(page.elements):
        flags, pos, ksize, vsize = LEAF_ELEMENT.unpack_from(data, at)
        start = at + pos
        middle = start + ksize
        if middle + vsize > limit:
            raise BadPage(page.pgid, "an item runs past the page")
        out.append(LeafItem(data[start:middle], data[middle : middle + vsize], bool(flags & 1)))
        at += ELEMENT_SIZE
    return out


def bucket_of(item: LeafItem, holder: int) -> Bucket:
    """The bucket whose header is ``item``'s value; ``holder`` is the page it lies in, for messages."""
    if len(item.value) < _BUCKET.size:
        raise BadPage(holder, "a bucket header is too short")
    root, _ = _BUCKET.unpack_from(item.value)
    if root:
        return Bucket(root)
    data = bytes(item.value[_BUCKET.size :])
    if len(data) < HEADER_SIZE:
        raise BadPage(holder, "an inline bucket is too short")
    _, flags, count, overflow = _HEADER.unpack_from(data)
    if flags != LEAF or overflow or HEADER_SIZE + count * ELEMENT_SIZE > len(data):
        raise BadPage(holder, "an inline bucket is not a leaf")
    return Bucket(0, Page(holder, flags, count, 0, data))


def _parse_meta(raw: bytes, slot: int) -> Meta:
    """A meta page's struct, checked as bbolt does (meta.validate); raises ValueError with the reason."""
    if len(raw) < HEADER_SIZE + _META.size:
        raise ValueError("is cut off")
    magic, version, page_size, _, root, _, freelist, hwm, txid, stored = _META.unpack_from(raw, HEADER_SIZE)
    if magic != MAGIC:
        raise ValueError("has a wrong magic number")
    if version != VERSION:
        raise ValueError(f"has version {version}")
    if checksum.fnv1a64(raw[HEADER_SIZE : HEADER_SIZE + _META.size - 8]) != stored:
        raise ValueError("has a wrong checksum")
    if page_size < 512 or page_size > 1 << 20 or page_size & (page_size - 1):
        raise ValueError(f"names a page size of {page_size}")
    if hwm < 3 or hwm > 1 << 48:
        raise ValueError(f"names {hwm} pages")
    return Meta(slot, page_size, root, freelist, hwm, txid)


def _read_meta(fd: int, offset: int, slot: int) -> Meta:
    try:
        raw = os.pread(fd, 4096, offset)
    except OSError as err:
        if err.errno not in BAD_SECTOR:
            raise
        raise ValueError("is not given back by the disk") from err
    return _parse_meta(raw, slot)


def _read_metas(fd: int, file_size: int) -> Tuple[List[Meta], List[str]]:
    """Both metas that validate, and what is wrong with the others. Page size from meta 0, else probed for meta 1."""
    metas, faults = [], []
    size_hints = [1024 << i for i in range(15)]
    try:
        metas.append(_read_meta(fd, 0, 0))
        size_hints = [metas[0].page_size]
    except ValueError as err:
        faults.append(f"meta 0 {err}")
    fault = "meta 1 is cut off"
    for size in size_hints:
        try:
            meta = _read_meta(fd, size, 1)
        except ValueError as err:
            if size in (4096, size_hints[0]):
                fault = f"meta 1 {err}"
            continue
        if meta.page_size == size:
            metas.append(meta)
            break
    else:
        faults.append(fault)
    return metas, faults


def _why_no_meta(file_size: int, faults: List[str]) -> str:
    if file_size == 0:
        return "the file is empty"
    return "no valid meta page: " + ", ".join(faults)
