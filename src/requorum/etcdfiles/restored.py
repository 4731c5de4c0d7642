"""Whether a restored db holds what its snapshot holds, at the cost of reading both once and parsing next to nothing.

``etcdutl snapshot restore`` copies the snapshot and then rewrites a few pages for the new members. A subtree whose pages
all lie where they lay, with the bytes that they had, holds what it held; so only leaves that were rewritten, or have
other neighbours than before, are compared item by item. What the snapshot itself holds was read in full before.
"""

import bisect
import os
import struct
from itertools import zip_longest
from typing import Dict, Iterator, List, Optional, Set, Tuple

from requorum.etcdfiles import bbolt, mvcc
from requorum.etcdfiles.bbolt import BadPage, Bolt, Bucket, LeafItem, Page
from requorum.etcdfiles.faults import EtcdFileError

REWRITTEN = frozenset((b"members", b"members_removed", b"meta", b"cluster"))
"""Buckets that a restore writes anew: who the members are, and where their log begins (etcdutl's snapshot/v3_snapshot.go)."""
_REVISION = struct.Struct(">QcQ")
"""A key of the bucket ``key``: the revision, ``_``, the number of the change within it (etcd's mvcc/revision.go)."""

_BLOCK = 1 << 20
_HEADER = struct.Struct("<QHHI")

Leaf = Tuple[int, int, Optional[bytes], Optional[bytes]]
"""A leaf's page id, its overflow, and the keys between which its parents say that it lies: from, and below."""


class _Changed:
    """The pages that differ between two files; a page that only one of them has counts as one."""

    def __init__(self, new: Bolt, old: Bolt) -> None:
        size = new.meta.page_size
        self.common = min(new.meta.size, old.meta.size, new.file_size, old.file_size) // size
        self.pages: Set[int] = set()
        ours, theirs = bytearray(_BLOCK), bytearray(_BLOCK)
        for at in range(0, self.common * size, _BLOCK):
            want = min(_BLOCK, self.common * size - at)
            if _into(new, at, ours, want) < want or _into(old, at, theirs, want) < want:
                raise EtcdFileError(new.path, "it, or its snapshot, became shorter while it was read")
            if ours == theirs:  # what is left of an earlier block is the same in both
                continue
            for page in range(0, want, size):
                if ours[page : page + size] != theirs[page : page + size]:
                    self.pages.add((at + page) // size)

    def touches(self, pgid: int, overflow: int) -> bool:
        """Whether a page, or what it runs over into, is another than before."""
        if pgid + overflow >= self.common or pgid in self.pages:
            return True
        return overflow > 0 and any(one in self.pages for one in range(pgid + 1, pgid + overflow + 1))


def fault_of(path: str, snapshot: str, *, bump: int) -> str:
    """Why a restored db does not hold what a sound snapshot holds; empty when it does.

    ``bump``: by how much the revision was raised: an empty record of just that revision has to follow the last one. Raises
    EtcdFileError when a file cannot be read at all.
    """
    with Bolt(path) as new, Bolt(snapshot) as old:
        if new.meta.page_size != old.meta.page_size:
            return f"its pages have {new.meta.page_size} bytes, those of the snapshot {old.meta.page_size}"
        if new.meta.size > new.file_size:
            return f"{new.file_size} of {new.meta.size} bytes are there"
        changed = _Changed(new, old)
        try:
            ours, theirs = _buckets(new), _buckets(old)
            for name in sorted(ours.keys() | theirs.keys()):
                fault = _fault_of_bucket(name, new, ours.get(name), old, theirs.get(name), changed, bump)
                if fault:
                    return f"bucket {name.decode(errors='replace')!r}: {fault}"
        except BadPage as err:
            return str(err)
    return ""


def _into(bolt: Bolt, offset: int, buffer: bytearray, size: int) -> int:
    try:
        return os.preadv(bolt.fd, [memoryview(buffer)[:size]], offset)
    except OSError as err:
        raise EtcdFileError(bolt.path, f"cannot be read at byte {offset}: {err.strerror or err}") from err


def _buckets(bolt: Bolt) -> Dict[bytes, Bucket]:
    out = {}
    for item in bolt.items(bolt.root_bucket()):
        if not item.is_bucket:
            raise BadPage(bolt.meta.root, f"{bytes(item.key)!r} at the top is no bucket")
        out[bytes(item.key)] = bbolt.bucket_of(item, bolt.meta.root)
    return out


def _fault_of_bucket(
    name: bytes,
    new: Bolt,
    ours: Optional[Bucket],
    old: Bolt,
    theirs: Optional[Bucket],
    changed: _Changed,
    bump: int,
) -> str:
    if ours is None:
        return "it is missing"
    if name in REWRITTEN or theirs is None:
        items = sum(1 for _ in new.items(ours))
        return "" if name in REWRITTEN or (not items and name in mvcc.BUCKETS) else "the snapshot has none"
    bump = bump if name == b"key" else 0
    if ours.root == theirs.root and ours.root and not bump and _untouched(new, ours.root, changed):
        return ""
    own, before = list(_leaves(new, ours)), list(_leaves(old, theirs))
    kept = {one for one in set(own) & set(before) if not changed.touches(one[0], one[1])}
    mine = _items(new, ours, (one for one in own if one not in kept))
    those = _items(old, theirs, (one for one in before if one not in kept))
    return _difference(mine, those, bump)


def _difference(mine: Iterator[LeafItem], those: Iterator[LeafItem], bump: int) -> str:
    last, before = b"", b""
    for one, other in zip_longest(mine, those):
        if one is None:
            return f"the snapshot's {bytes(other.key).hex()} is missing"
        key = bytes(one.key)
        if key <= last and last:
            return f"{key.hex()} is out of order"
        last = key
        if other is None:
            if bump and key == _raised(before, bump) and not one.value:
                bump = 0
                continue
            return f"the snapshot has no {key.hex()}"
        before = bytes(other.key)
        if (one.key, one.value, one.is_bucket) != (other.key, other.value, other.is_bucket):
            return f"{key.hex()} is another than in the snapshot"
    return f"its revision was not raised by {bump}" if bump else ""


def _raised(last: bytes, bump: int) -> bytes:
    """The key that etcdutl puts behind the last one to raise the revision (unsafeBumpBucketsRevision)."""
    main, mark, sub = _REVISION.unpack(last[: _REVISION.size]) if len(last) >= _REVISION.size else (0, b"_", 0)
    return _REVISION.pack(main + bump, mark, sub)


def _items(bolt: Bolt, bucket: Bucket, leaves: Iterator[Leaf]) -> Iterator[LeafItem]:
    """The items of some leaves, each within the keys of its parents."""
    if bucket.inline is not None:
        yield from bbolt.leaf_items(bucket.inline)
        return
    for pgid, _, low, high in leaves:
        for item in bbolt.leaf_items(bolt.page(pgid)):
            key = bytes(item.key)
            if (low is not None and key < low) or (high is not None and key >= high):
                raise BadPage(pgid, "its keys lie outside its parent's")
            yield item


def _untouched(bolt: Bolt, root: int, changed: _Changed) -> bool:
    """Whether a tree's pages are all as they were, told from its branches alone.

    bbolt's trees are balanced: what lies as deep as the first leaf is a leaf. Its overflow matters only where a page that
    changed lies behind it.
    """
    level, pages = [root], []
    for _ in range(bbolt.MAX_DEPTH):
        pages += level
        if max(level) >= changed.common or not changed.pages.isdisjoint(level):
            return False
        if _header(bolt, level[0])[0] == bbolt.LEAF:
            break
        if len(pages) > changed.common:
            raise BadPage(root, "the tree goes in circles")
        level = [child for pgid in level for child in _children(bolt.page(pgid))]
    pages.sort()
    for one in changed.pages:
        at = bisect.bisect_left(pages, one)
        if at and pages[at - 1] + _header(bolt, pages[at - 1])[1] >= one:
            return False
    return pages[-1] + _header(bolt, pages[-1])[1] < changed.common


def _children(page: Page) -> List[int]:
    if page.flags != bbolt.BRANCH:
        raise BadPage(page.pgid, "is a leaf among branches")
    end = bbolt.HEADER_SIZE + page.elements * bbolt.ELEMENT_SIZE
    return [pgid for _, _, pgid in bbolt.BRANCH_ELEMENT.iter_unpack(page.data[bbolt.HEADER_SIZE : end])]


def _leaves(bolt: Bolt, bucket: Bucket) -> Iterator[Leaf]:
    """A bucket's leaves in order; of each only the header is read. Raises BadPage for a page that is reached twice."""
    if bucket.inline is not None:
        return
    seen: Set[int] = set()
    todo: List[Tuple[int, Optional[bytes], Optional[bytes], int]] = [(bucket.root, None, None, bbolt.MAX_DEPTH)]
    while todo:
        pgid, low, high, depth = todo.pop()
        if pgid in seen:
            raise BadPage(pgid, "is reached twice")
        if not depth:
            raise BadPage(pgid, f"the tree is deeper than {bbolt.MAX_DEPTH}")
        seen.add(pgid)
        flags, overflow = _header(bolt, pgid)
        if flags == bbolt.LEAF:
            yield pgid, overflow, low, high
            continue
        children = [(bytes(key), child) for key, child in bbolt.branch_items(bolt.page(pgid))]
        firsts: List[Optional[bytes]] = [key for key, _ in children]
        firsts[0] = low  # whatever sorts before the first key goes there, too
        bounds = zip(children, firsts, [*firsts[1:], high])
        todo += [(child, first, below, depth - 1) for (_, child), first, below in reversed(list(bounds))]


def _header(bolt: Bolt, pgid: int) -> Tuple[int, int]:
    """Kind and overflow of a tree page."""
    if not 2 <= pgid < bolt.meta.hwm:
        raise BadPage(pgid, f"lies outside the file's {bolt.meta.hwm} pages")
    raw = bolt.read(pgid * bolt.meta.page_size, _HEADER.size)
    if len(raw) < _HEADER.size:
        raise BadPage(pgid, "the file ends before it")
    own, flags, _, overflow = _HEADER.unpack(raw)
    if own != pgid or flags not in (bbolt.BRANCH, bbolt.LEAF):
        raise BadPage(pgid, f"identifies itself as page {own} with flags {flags:#x}")
    if pgid + overflow >= bolt.meta.hwm:
        raise BadPage(pgid, f"claims {overflow} overflow pages, past the end")
    return flags, overflow
