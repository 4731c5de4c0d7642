"""What the records of a db's key bucket come to: which keys live, what is missing, and sums to compare members by.

Records are read in the order of their revisions. They can be read in runs, by several processes: what a run does to keys
that were there before it is settled when it is joined to what comes before (:meth:`Records.join`).
"""

from array import array
from bisect import bisect_right
from dataclasses import dataclass, field
from typing import Callable, Dict, List, Optional, Set, Tuple

from requorum.etcdfiles import mvcc
from requorum.etcdfiles.checksum import crc32c
from requorum.etcdfiles.messages import KeyValue, decode_key_value, scan_key_value
from requorum.etcdfiles.protowire import WireError
from requorum.etcdfiles.tree import Leaf

STATES_KEPT = 100_000
"""Of so many of the last revisions the state is known afterwards: members that were killed together are less apart."""
_SPREAD = 0x9E3779B97F4A7C15
"""Odd, so that multiplying by it loses nothing: sums of digests then differ in every bit."""
_MASK = 0xFFFFFFFFFFFFFFFF


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


class Records:
    """A run of records, read one leaf after another; ``compact`` is the compact revision.

    ``last_main`` is the last main revision, ``live_keys`` has a digest of each key that lives, ``live`` those that are
    wanted, ``gaps`` the inclusive ranges of main revisions of which no record is left.

    With ``rest`` it is a run that others come before. Such a run notes when it first comes to each key (``touched``): the
    sums from there on lack what the key had been before.
    """

    def __init__(self, wanted: KeysWanted, compact: int, *, rest: bool = False) -> None:
        self.wanted = wanted
        self.compact = compact
        self.live_keys: Dict[bytes, int] = {}
        self.live: Dict[bytes, KeyValue] = {}
        self.gaps: List[Tuple[int, int]] = []
        self.last_main = 0
        self.touched: Optional[Dict[bytes, int]] = {} if rest else None
        self.opening: Optional[Tuple[int, int, bool]] = None
        """Of a rest: the revision that it begins with, the number of its first change there, and whether that is a mark."""
        self._sum = self._all = 0
        self._mains, self._sums, self._alls = array("q"), array("Q"), array("Q")
        self._change = 0
        """The number that the next change of the same revision has: each revision's begin with 0 (etcd, kvstore_txn.go)."""
        self._forgotten = 0
        """How many states were known once that stood before those in the three arrays."""

    def read(self, leaf: Leaf, note: Callable[[int, str, str], None]) -> None:
        """Go on with a leaf; ``note(page, kind, why)`` is told of each record that is damaged."""
        page, raw = leaf.page, leaf.page.data
        data = memoryview(raw)
        live, touched, wanted = self.live_keys, self.touched, self.wanted or None
        change = self._change
        for name, start, end in leaf.items:
            try:
                main, sub, tombstone = mvcc.parse_revision(name)
                found = scan_key_value(raw, start, end) if start < end else None
                if found is None:
                    kv = decode_key_value(raw[start:end])
                    key, mod, lease = kv.key, kv.mod_revision, kv.lease
                else:
                    first, last, mod, lease = found
                    key = raw[first:last]
            except WireError as err:
                note(page.pgid, "record", f"{name.hex()}: {err}")
                continue
            if main > self.last_main:
                change = sub if touched is not None and self.opening is None else 0
                self._next(main, sub, mark=start == end)
            if sub != change and main > self.compact and start < end:
                note(page.pgid, "record", f"revision {main} holds a change {sub} where change {change} should be")
            change = sub + 1
            if start == end:
                if not tombstone:
                    live[b""] = 0  # the mark that --bump-revision leaves; 3.6 counts it as a key
                continue
            digest = crc32c(data[start - len(name) : end]) * _SPREAD
            self._all += digest
            if not tombstone and mod != main:
                note(page.pgid, "record", f"revision {main} holds a record of revision {mod}")
                continue
            before = live.get(key)
            if before is None:
                before = 0
                if touched is not None and key not in touched:
                    touched[key] = self._forgotten + len(self._mains)
            if tombstone:
                self._sum -= before
                live.pop(key, None)
                self.live.pop(key, None)
                continue
            self._sum += digest - before
            live[key] = digest
            if wanted is None:
                continue
            if wanted.wants(key, lease):
                self.live[key] = decode_key_value(raw[start:end])
            elif self.live:
                self.live.pop(key, None)
        self._change = change

    def states(self) -> States:
        """The states after the last revisions."""
        self._state()
        return States(self._mains, self._sums, self._alls)

    def join(self, rest: "Records") -> bool:
        """Add the run that comes right behind this one; ``False`` when it cannot have come behind it."""
        assert rest.touched is not None
        if rest.opening is None:
            return not rest.touched and not rest.live_keys
        main, sub, mark = rest.opening
        if main < self.last_main:
            return False
        if sub != (0 if main > self.last_main else self._change) and main > self.compact and not mark:
            return False
        if main > self.last_main:
            self._next(main, sub, mark=mark)
        self._change = rest._change
        changes: Dict[int, int] = {}
        for key, at in rest.touched.items():
            before = self.live_keys.pop(key, 0)
            if before:
                changes[at] = changes.get(at, 0) - before
            self.live.pop(key, None)
        self.live_keys.update(rest.live_keys)
        self.live.update(rest.live)
        self.gaps += rest.gaps
        if rest._forgotten:
            for one in (self._mains, self._sums, self._alls):
                del one[:]
        # The first state of a rest is that before it, which is known here.
        begin = max(rest._forgotten, 1)
        total = self._sum + sum(change for at, change in changes.items() if at < begin)
        for at in range(begin, rest._forgotten + len(rest._mains)):
            total += changes.get(at, 0)
            place = at - rest._forgotten
            self._mains.append(rest._mains[place])
            self._sums.append((total + rest._sums[place]) & _MASK)
            self._alls.append((self._all + rest._alls[place]) & _MASK)
        self._sum += sum(changes.values()) + rest._sum
        self._all += rest._all
        self.last_main = rest.last_main
        self._forget()
        return True

    def _next(self, main: int, sub: int, *, mark: bool) -> None:
        """A new main revision begins; a mark may stand at any height, with nothing missing before it."""
        if self.touched is not None and self.opening is None:
            self.opening = (main, sub, mark)
        elif main > self.last_main + 1 and main > self.compact + 1 and not mark:
            missing = max(self.last_main, self.compact) + 1
            if missing > 2 or main > 2:
                self.gaps.append((max(missing, 2), main - 1))
        self._state()
        self.last_main = main

    def _state(self) -> None:
        """Write down what all comes to after the last revision."""
        self._mains.append(self.last_main)
        self._sums.append(self._sum & _MASK)
        self._alls.append(self._all & _MASK)
        self._forget()

    def _forget(self) -> None:
        while len(self._mains) > 2 * STATES_KEPT:
            self._forgotten += STATES_KEPT
            for one in (self._mains, self._sums, self._alls):
                del one[:STATES_KEPT]
