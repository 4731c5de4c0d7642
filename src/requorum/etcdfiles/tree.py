"""All leaves of a bbolt tree, in order, each one checked; nothing that is damaged stops the walk.

The checks are those of bbolt's ``tx.Check``: each page is reached once, in bounds, of the right kind, its keys in order
and within its parent's. Pages that cannot be read are named and passed over, so that the damage is listed whole.
"""

import operator
from typing import Iterator, List, NamedTuple, Optional, Sequence, Tuple

from requorum.etcdfiles import bbolt
from requorum.etcdfiles.bbolt import BadPage, Bolt, Bucket, Page
from requorum.etcdfiles.faults import Damage

MAX_DAMAGE = 200
"""At most so many damaged places are named one by one in a file."""
SUBTREES_A_PART = 16
"""A tree is cut into parts of at least so many subtrees, where it has them: they differ in size, their sums less."""

Items = List[Tuple[bytes, int, int]]
"""Of each item of a leaf its key, and where its value begins and ends; the key lies right before it."""


class Leaf(NamedTuple):
    """A leaf that was checked. ``joined``: its items lie one behind the other, without a gap."""

    page: Page
    items: Items
    joined: bool


class Subtree(NamedTuple):
    """Where a subtree begins, and which keys may be in it: from ``low`` on, below ``high`` (``None``: no bound)."""

    pgid: int
    low: Optional[bytes]
    high: Optional[bytes]
    depth: int


def in_order(keys: List[bytes]) -> bool:
    """Whether each key is greater than the one before."""
    return all(map(operator.lt, keys, keys[1:]))


class Tree:
    """The pages that one transaction's tree reaches, and what is wrong with them."""

    def __init__(self, bolt: Bolt) -> None:
        self.bolt = bolt
        self.damage: List[Damage] = []
        self.seen = bytearray(min(bolt.meta.hwm, bolt.file_size // bolt.meta.page_size + 1))

    def note(self, pgid: int, kind: str, why: str) -> None:
        """A page is damaged."""
        self.note_at(pgid * self.bolt.meta.page_size, kind, why)

    def note_at(self, offset: int, kind: str, why: str) -> None:
        """Something is damaged at a byte of the file."""
        if len(self.damage) < MAX_DAMAGE:
            self.damage.append(Damage(self.bolt.path, offset, kind, why))

    def leaves(self, bucket: Bucket) -> Iterator[Leaf]:
        """The bucket's leaves in order, each checked; damaged subtrees are noted and passed over."""
        if bucket.inline is not None:
            leaf = self.leaf(bucket.inline, None, None)
            if leaf is not None:
                yield leaf
            return
        yield from self.below([Subtree(bucket.root, None, None, 0)])

    def below(self, subtrees: Sequence[Subtree]) -> Iterator[Leaf]:
        """The same of some subtrees that lie one behind the other."""
        todo = list(reversed(subtrees))
        while todo:
            at = todo.pop()
            try:
                page = self.page(at.pgid)
                if page.flags == bbolt.LEAF:
                    leaf = self.leaf(page, at.low, at.high)
                    if leaf is not None:
                        yield leaf
                    continue
                children = self.children(page, at)
            except BadPage as err:
                self.note(err.pgid, err.kind, err.why)
                continue
            todo += reversed(children)

    def children(self, page: Page, at: Subtree) -> List[Subtree]:
        """What a branch leads to; raises BadPage."""
        if at.depth == bbolt.MAX_DEPTH:
            raise BadPage(at.pgid, f"the tree is deeper than {bbolt.MAX_DEPTH}")
        children = [(bytes(key), child) for key, child in bbolt.branch_items(page)]
        firsts = [key for key, _ in children]
        if not in_order(firsts) or (at.high is not None and firsts[-1] >= at.high):
            self.note(at.pgid, "page", "its keys are out of order")
        lows = [None if at.low is None else firsts[0], *firsts[1:]]  # what sorts before the first key goes there, too
        below = zip(children, lows, [*firsts[1:], at.high])
        return [Subtree(child, low, high, at.depth + 1) for (_, child), low, high in below]

    def cut(self, bucket: Bucket, parts: int) -> List[List[Subtree]]:
        """The bucket's subtrees in order, in so many parts that are about as large as each other. The branches above them are
        reached with this, the parts themselves are not. Raises BadPage where there is anything wrong, or too little."""
        level = [Subtree(bucket.root, None, None, 0)]
        while bucket.inline is None and len(level) < parts * SUBTREES_A_PART:
            if self.bolt.page(level[0].pgid).flags == bbolt.LEAF:
                break
            pages = [(self.page(one.pgid), one) for one in level]
            if any(page.flags == bbolt.LEAF for page, _ in pages):
                raise BadPage(bucket.root, "not all leaves are at one depth")
            level = [child for page, one in pages for child in self.children(page, one)]
        if len(level) < parts or self.damage:
            raise BadPage(bucket.root, "cannot be cut")
        ends = [len(level) * part // parts for part in range(parts + 1)]
        return [level[begin:end] for begin, end in zip(ends, ends[1:])]

    def join(self, seen: bytes) -> bool:
        """Take over what was reached by another reading of the same file; ``False`` if anything was reached by both."""
        both = int.from_bytes(self.seen, "big") | int.from_bytes(seen, "big")
        joined = both.to_bytes(len(self.seen), "big")
        apart = self.seen.count(1) + seen.count(1) == joined.count(1)
        self.seen[:] = joined
        return apart

    def page(self, pgid: int) -> Page:
        """A page that no other leads to."""
        page = self.bolt.page(pgid)
        end = pgid + page.overflow + 1
        if self.seen.find(1, pgid, end) >= 0:
            raise BadPage(pgid, "is reached twice")
        self.seen[pgid:end] = b"\1" * (end - pgid)
        return page

    def leaf(self, page: Page, low: Optional[bytes], high: Optional[bytes]) -> Optional[Leaf]:
        """A leaf's items, once they lie within it, in order, and within the keys of its parent; else ``None``."""
        raw, at = page.data, bbolt.HEADER_SIZE
        limit, end, last, joined = len(raw), 0, b"", True
        items: Items = []
        elements = raw[at : at + page.elements * bbolt.ELEMENT_SIZE]
        for _, pos, ksize, vsize in bbolt.LEAF_ELEMENT.iter_unpack(elements):
            start = at + pos
            if start != end and items:
                joined = False
            middle = start + ksize
            end = middle + vsize
            if end > limit:
                self.note(page.pgid, "page", "an item runs past the page")
                return None
            key = raw[start:middle]
            if key <= last and items:
                self.note(page.pgid, "page", "its keys are out of order")
                return None
            items.append((key, middle, end))
            last = key
            at += bbolt.ELEMENT_SIZE
        if items and ((low is not None and items[0][0] < low) or (high is not None and last >= high)):
            self.note(page.pgid, "page", "its keys lie outside its parent's")
            return None
        return Leaf(page, items, joined)
