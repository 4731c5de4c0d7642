"""A db read in full: page structure, every record, the hash and counts of ``etcdutl snapshot status``, revision gaps.

bbolt has no page checksums: a flipped value byte cannot be seen in one file alone, only by comparing members. What can
be seen is seen here: that the tree is sound (:mod:`requorum.etcdfiles.tree`), each record's proto and its revision, and
that no main revision above the compact revision is missing (:mod:`requorum.etcdfiles.records`).

A large db is read by several processes, as long as it is whole; at the first damage one process begins again, so what is
said of a damaged db never depends on who read it.
"""

import contextlib
import hashlib
import os
from dataclasses import dataclass
from typing import Callable, Dict, Optional, Sequence, Set, Tuple

from requorum.etcdfiles import bbolt, forks, mvcc
from requorum.etcdfiles.bbolt import BadPage, Bolt, Bucket
from requorum.etcdfiles.checksum import crc32c, crc32c_joined
from requorum.etcdfiles.faults import Damage, Unreadable
from requorum.etcdfiles.messages import KeyValue
from requorum.etcdfiles.records import KeysWanted, Records, States
from requorum.etcdfiles.tree import Leaf, Subtree, Tree

SHARED_FROM = 64 << 20
"""A file of so many bytes is worth more than one process."""


@dataclass(frozen=True)
class Verified:
    """What a full reading of a db says.

    ``hash`` (CRC-32C over all buckets), ``total_keys`` (items of all buckets, as 3.4 and 3.5 count), ``live_keys``
    (as 3.6 counts) and ``total_size`` are those of ``snapshot status``. They say nothing unless ``damage`` is empty.
    ``gaps`` are inclusive ranges of main revisions of which no record is left. ``live`` and ``leases`` answer
    :class:`KeysWanted`. ``states`` is there to compare members by.
    """

    path: str
    hash: int
    revision: int
    total_keys: int
    live_keys: int
    total_size: int
    sha256: Optional[str]
    gaps: Tuple[Tuple[int, int], ...]
    damage: Tuple[Damage, ...]
    live: Dict[bytes, KeyValue]
    leases: Set[int]
    states: States

    @property
    def sound(self) -> bool:
        """No damage, no gap."""
        return not self.damage and not self.gaps


NOTHING = KeysWanted()


def verify_db(path: str, wanted: KeysWanted = NOTHING, *, trailer: bool = True) -> Verified:
    """Read all of a db or saved snapshot; raises EtcdFileError only when there is no tree to read at all.

    Without ``trailer`` the sha256 at the end of a saved snapshot is not compared: for one that was just written.
    """
    with Bolt(path) as bolt:
        return Walk.over(bolt, wanted, trailer=trailer)


class NotShared(Exception):
    """Several processes cannot read this db: it is small, or not whole, or there can be no more processes."""


class Content:
    """What ``snapshot status`` tells of a run of leaves: their hash, and the number of their items."""

    def __init__(self) -> None:
        self.crc = self.size = self.items = 0

    def add(self, data: bytes) -> None:
        """Go on with some bytes."""
        self.crc = crc32c(data, self.crc)
        self.size += len(data)

    def add_leaf(self, leaf: Leaf) -> None:
        """Go on with a leaf's keys and values; mostly they lie one behind the other, and one slice will do."""
        items = leaf.items
        self.items += leaf.page.elements
        if not items:
            return
        data = memoryview(leaf.page.data)
        if leaf.joined:
            key, middle, _ = items[0]
            first, end = middle - len(key), items[-1][2]
            self.crc = crc32c(data[first:end], self.crc)
            self.size += end - first
            return
        for key, middle, end in items:
            self.crc = crc32c(data[middle:end], crc32c(key, self.crc))
            self.size += len(key) + end - middle

    def join(self, rest: "Content") -> None:
        """Add what comes right behind."""
        self.crc = crc32c_joined(self.crc, rest.crc, rest.size)
        self.size += rest.size
        self.items += rest.items


class Walk:
    """One pass over the tree of one transaction. With several ``processes`` :meth:`run` raises NotShared where they cannot
    do it."""

    def __init__(self, bolt: Bolt, wanted: KeysWanted, *, trailer: bool, processes: int) -> None:
        self.check_trailer = trailer
        self.bolt = bolt
        self.wanted = wanted
        self.processes = processes
        self.tree = Tree(bolt)
        self.content = Content()
        self.records = Records(wanted, 0)
        self.leases: Set[int] = set()

    @classmethod
    def over(cls, bolt: Bolt, wanted: KeysWanted, *, trailer: bool) -> Verified:
        """What is found with as many processes as are good for the file."""
        processes = forks.processors() if bolt.file_size >= SHARED_FROM else 1
        if processes > 1:
            with contextlib.suppress(NotShared):
                return cls(bolt, wanted, trailer=trailer, processes=processes).run()
        return cls(bolt, wanted, trailer=trailer, processes=1).run()

    def run(self) -> Verified:
        bolt, meta, tree = self.bolt, self.bolt.meta, self.tree
        for fault in bolt.meta_faults:
            tree.note(0, "meta page", fault)
        if meta.size > bolt.file_size:
            tree.note(meta.hwm, "truncated", f"{bolt.file_size} of {meta.size} bytes are there")
        os.posix_fadvise(bolt.fd, 0, 0, os.POSIX_FADV_WILLNEED)
        self.records.compact = mvcc.read_facts(bolt.path).compact_revision
        for page, _, _ in tree.leaves(bolt.root_bucket()):
            for item in bbolt.leaf_items(page):
                name = bytes(item.key)
                if not item.is_bucket:
                    tree.note(page.pgid, "page", f"{name!r} at the top is no bucket")
                    continue
                try:
                    bucket = bbolt.bucket_of(item, page.pgid)
                except BadPage as err:
                    tree.note(page.pgid, err.kind, err.why)
                    continue
                self.content.add(name)
                self.bucket(name, bucket)
        return Verified(
            path=bolt.path,
            hash=self.content.crc,
            revision=self.records.last_main,
            total_keys=self.content.items,
            live_keys=len(self.records.live_keys),
            total_size=meta.size,
            sha256=self.trailer(),
            gaps=tuple(self.records.gaps),
            damage=tuple(tree.damage),
            live=self.records.live,
            leases=self.leases,
            states=self.records.states(),
        )

    def bucket(self, name: bytes, bucket: Bucket) -> None:
        if name == b"key":
            if self.processes > 1:
                self.key_bucket_shared(bucket)
                return
            for leaf in self.tree.leaves(bucket):
                self.key_leaf(leaf)
            return
        for leaf in self.tree.leaves(bucket):
            self.content.add_leaf(leaf)
            if name == b"lease":
                for key, _, _ in leaf.items:
                    self.leases.add(int.from_bytes(key, "big", signed=True))

    def key_leaf(self, leaf: Leaf) -> None:
        self.content.add_leaf(leaf)
        self.records.read(leaf, self.tree.note)

    def key_bucket_shared(self, bucket: Bucket) -> None:
        """This process reads the first part of the key bucket while forks of it read the others."""
        if self.tree.damage:
            raise NotShared
        above = Tree(self.bolt)
        try:
            own, *others = above.cut(bucket, self.processes)
            with forks.beside([self._part(one) for one in others], keep=(self.bolt.fd,)) as results:
                self._read_whole(own)
                if not self.tree.join(bytes(above.seen)):
                    raise NotShared
                for content, records, seen in results():
                    self.content.join(content)
                    if not (self.tree.join(seen) and self.records.join(records)):
                        raise NotShared
        except (BadPage, forks.Failed) as err:
            raise NotShared from err

    def _read_whole(self, subtrees: Sequence[Subtree]) -> None:
        """Read a part of the key bucket; raises NotShared at the first damage."""
        for leaf in self.tree.below(subtrees):
            self.key_leaf(leaf)
            if self.tree.damage:
                break
        if self.tree.damage:
            raise NotShared

    def _part(self, subtrees: Sequence[Subtree]) -> Callable[[], object]:
        """What a fork does: the fields of its own copy of this begin anew."""

        def read() -> Tuple[Content, Records, bytes]:
            self.tree, self.content = Tree(self.bolt), Content()
            self.records = Records(self.wanted, self.records.compact, rest=True)
            self._read_whole(subtrees)
            return self.content, self.records, bytes(self.tree.seen)

        return read

    def trailer(self) -> Optional[str]:
        """The sha256 at the end of a saved snapshot, once it is proven right; ``None`` where there is no trailer."""
        size = self.bolt.file_size
        if not self.check_trailer or not mvcc.has_trailer(size):
            return None
        digest = hashlib.sha256()
        at, end = 0, size - mvcc.TRAILER
        try:
            while at < end:
                block = self.bolt.read(at, min(1 << 20, end - at))
                if not block:
                    break
                digest.update(block)
                at += len(block)
            stored = self.bolt.read(end, mvcc.TRAILER)
        except Unreadable as err:
            self.tree.note_at(at, "unreadable", err.why)
            return None
        if stored != digest.digest():
            self.tree.note_at(end, "trailer", "the sha256 at the end does not match")
            return None
        return digest.hexdigest()
