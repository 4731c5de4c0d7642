"""A db read in full: page structure, every record, the hash and counts of ``etcdutl snapshot status``, revision gaps.

bbolt has no page checksums: a flipped value byte cannot be seen in one file alone, only by comparing members. What can
be seen is seen here: that the tree is sound (:mod:`requorum.etcdfiles.tree`), each record's proto and its revision, and
that no main revision above the compact revision is missing.
"""

import hashlib
import os
from array import array
from bisect import bisect_right
from dataclasses import dataclass, field
from typing import Dict, List, Optional, Set, Tuple

from requorum.etcdfiles import bbolt, mvcc
from requorum.etcdfiles.bbolt import BadPage, Bolt, Bucket, Page
from requorum.etcdfiles.checksum import crc32c
from requorum.etcdfiles.faults import Damage
from requorum.etcdfiles.messages import KeyValue, decode_key_value, scan_key_value
from requorum.etcdfiles.protowire import WireError
from requorum.etcdfiles.tree import Items, Leaf, Tree

STATES_KEPT = 100_000
"""Of so many of the last revisions the state is known afterwards: members that were killed together are less apart."""
_SPREAD = 0x9E3779B97F4A7C15
"""Odd, so that multiplying by it loses nothing: sums of digests then differ in every bit."""


@dataclass(frozen=True)
class KeysWanted:
    """Which live keys a caller wants to know: single keys, [start, end) ranges, and all keys of some leases."""

    keys: Set[bytes] = field(default_factory=set)
    ranges: Tuple[Tuple[bytes, bytes], ...] = ()
    leases: Set[int] = field(default_factory=set)

    def __bool__(self) -> bool:
        return bool(self.keys or self.ranges or self.leases)

    def wants(self, key: bytes, lease: int) -> bool:
        """Whether this key's live state is wanted. An end of ``\\0`` means "no end", as in etcd's ranges."""
        if key in self.keys or lease in self.leases:
            return True
        return bool(self.ranges) and any(start <= key and (end == b"\0" or key < end) for start, end in self.ranges)


@dataclass(frozen=True)
class States:
    """What the records up to each of the last revisions come to, as sums of digests that members can be compared by.

    ``live``: of what is live then; a compaction does not change it. ``alls``: of all records; differences of it tell what
    was written in between, on every member that was not compacted there.
    """

    mains: "array[int]"
    live: "array[int]"
    alls: "array[int]"

    def at(self, revision: int) -> Optional[Tuple[int, int]]:
        """(live, all) after a revision, ``None`` where it is not known any more."""
        found = bisect_right(self.mains, revision) - 1
        return (self.live[found], self.alls[found]) if found >= 0 else None


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
        return Walk(bolt, wanted, trailer=trailer).run()


class Walk:
    """One pass over the tree of one transaction."""

    def __init__(self, bolt: Bolt, wanted: KeysWanted, *, trailer: bool) -> None:
        self.check_trailer = trailer
        self.bolt = bolt
        self.wanted = wanted
        self.tree = Tree(bolt)
        self.note, self.damage = self.tree.note, self.tree.damage
        self.crc = 0
        self.total_keys = 0
        self.live_keys: Dict[bytes, int] = {}
        self.sum = self.all = 0
        self.mains, self.sums, self.alls = array("q"), array("Q"), array("Q")
        self.live: Dict[bytes, KeyValue] = {}
        self.leases: Set[int] = set()
        self.gaps: List[Tuple[int, int]] = []
        self.compact = self.last_main = 0

    def run(self) -> Verified:
        bolt, meta = self.bolt, self.bolt.meta
        for fault in bolt.meta_faults:
            self.note(0, "meta page", fault)
        if meta.size > bolt.file_size:
            self.note(meta.hwm, "truncated", f"{bolt.file_size} of {meta.size} bytes are there")
        os.posix_fadvise(bolt.fd, 0, 0, os.POSIX_FADV_WILLNEED)
        facts = mvcc.read_facts(bolt.path)
        self.compact = facts.compact_revision
        for page, _, _ in self.tree.leaves(bolt.root_bucket()):
            for item in bbolt.leaf_items(page):
                name = bytes(item.key)
                if not item.is_bucket:
                    self.note(page.pgid, "page", f"{name!r} at the top is no bucket")
                    continue
                try:
                    bucket = bbolt.bucket_of(item, page.pgid)
                except BadPage as err:
                    self.note(page.pgid, "page", err.why)
                    continue
                self.crc = crc32c(name, self.crc)
                self.bucket(name, bucket)
        return Verified(
            path=bolt.path,
            hash=self.crc,
            revision=self.last_main,
            total_keys=self.total_keys,
            live_keys=len(self.live_keys),
            total_size=meta.size,
            sha256=self.trailer(),
            gaps=tuple(self.gaps),
            damage=tuple(self.damage),
            live=self.live,
            leases=self.leases,
            states=self.stated(),
        )

    def bucket(self, name: bytes, bucket: Bucket) -> None:
        for leaf in self.tree.leaves(bucket):
            self.hash_leaf(leaf)
            self.total_keys += leaf.page.elements
            if name == b"key":
                self.records(leaf.page, leaf.items)
            elif name == b"lease":
                for key, _, _ in leaf.items:
                    self.leases.add(int.from_bytes(key, "big", signed=True))

    def hash_leaf(self, leaf: Leaf) -> None:
        """Add a leaf's keys and values to the hash; mostly they lie one behind the other, and one slice will do."""
        items = leaf.items
        if not items:
            return
        data = memoryview(leaf.page.data)
        if leaf.joined:
            key, middle, _ = items[0]
            self.crc = crc32c(data[middle - len(key) : items[-1][2]], self.crc)
            return
        for key, middle, end in items:
            self.crc = crc32c(data[middle:end], crc32c(key, self.crc))

    def stated(self) -> States:
        self.state()
        return States(self.mains, self.sums, self.alls)

    def state(self) -> None:
        """Write down what all comes to after the last revision."""
        self.mains.append(self.last_main)
        self.sums.append(self.sum & 0xFFFFFFFFFFFFFFFF)
        self.alls.append(self.all & 0xFFFFFFFFFFFFFFFF)
        if len(self.mains) > 2 * STATES_KEPT:
            for one in (self.mains, self.sums, self.alls):
                del one[:STATES_KEPT]

    def records(self, page: Page, items: Items) -> None:
        raw = page.data
        data = memoryview(raw)
        live, wanted = self.live_keys, self.wanted or None
        for name, start, end in items:
            try:
                main, _, tombstone = mvcc.parse_revision(name)
                found = scan_key_value(raw, start, end) if start < end else None
                if found is None:
                    kv = decode_key_value(raw[start:end])
                    key, mod, lease = kv.key, kv.mod_revision, kv.lease
                else:
                    first, last, mod, lease = found
                    key = raw[first:last]
            except WireError as err:
                self.note(page.pgid, "record", f"{name.hex()}: {err}")
                continue
            if main > self.last_main:
                if main > self.last_main + 1 and main > self.compact + 1 and start < end:
                    missing = max(self.last_main, self.compact) + 1
                    if missing > 2 or main > 2:
                        self.gaps.append((max(missing, 2), main - 1))
                self.state()
                self.last_main = main
            if start == end:
                if not tombstone:
                    live[b""] = 0  # the mark that --bump-revision leaves; 3.6 counts it as a key
                continue
            digest = crc32c(data[start - len(name) : end]) * _SPREAD
            self.all += digest
            if tombstone:
                self.sum -= live.pop(key, 0)
                self.live.pop(key, None)
                continue
            if mod != main:
                self.note(page.pgid, "record", f"revision {main} holds a record of revision {mod}")
                continue
            self.sum += digest - live.get(key, 0)
            live[key] = digest
            if wanted is None:
                continue
            if wanted.wants(key, lease):
                self.live[key] = decode_key_value(raw[start:end])
            elif self.live:
                self.live.pop(key, None)

    def trailer(self) -> Optional[str]:
        """The sha256 at the end of a saved snapshot, once it is proven right; ``None`` where there is no trailer."""
        size = self.bolt.file_size
        if not self.check_trailer or not mvcc.has_trailer(size):
            return None
        digest = hashlib.sha256()
        at, end = 0, size - mvcc.TRAILER
        while at < end:
            block = self.bolt.read(at, min(1 << 20, end - at))
            if not block:
                break
            digest.update(block)
            at += len(block)
        if self.bolt.read(end, mvcc.TRAILER) != digest.digest():
            self.tree.note_at(end, "trailer", "the sha256 at the end does not match")
            return None
        return digest.hexdigest()
