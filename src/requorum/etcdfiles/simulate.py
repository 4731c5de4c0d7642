"""How many revisions a log adds to a db, computed without running etcd.

The rules are those of etcd's applier (server/etcdserver/apply.go, mvcc/kvstore_txn.go): a request that changes at least
one key adds exactly one revision. A put always does, unless its lease is not known or it keeps the value of a key that
is not there; a delete does when keys were there; a transaction when the branch its guards choose changed something; a
lease's end when keys were attached. Compactions, grants and a new leader's entry add none.

What is needed of the db are the live keys that the log touches: :func:`keys_wanted` names them, a full reading
(:mod:`requorum.etcdfiles.verify`) brings them. Without them :func:`count_at_most` bounds the count.
"""

from dataclasses import dataclass, field
from typing import Dict, Iterable, List, Optional, Sequence, Set, Tuple, Union

from requorum.etcdfiles import requests
from requorum.etcdfiles.messages import Entry, KeyValue
from requorum.etcdfiles.protowire import WireError
from requorum.etcdfiles.records import KeysWanted
from requorum.etcdfiles.requests import (
    AlarmChange,
    Compaction,
    Compare,
    DeleteRange,
    Grant,
    Op,
    Put,
    Range,
    Request,
    Revoke,
    Txn,
)

NO_END = b"\0"
MAX_LEASE_TTL = 9_000_000_000
"""Seconds; a longer lease is refused (lease/lessor.go)."""


@dataclass(frozen=True)
class Outcome:
    """What applying a run of entries comes to.

    ``revision`` is the store's after the last entry; ``writes`` the indexes of the entries that add a revision, in
    order. ``doubts`` are reasons why the count may be less than it says: it is exact when there are none.
    """

    revision: int
    writes: Tuple[int, ...]
    doubts: Tuple[str, ...]

    @property
    def exact(self) -> bool:
        """Whether the count is proven."""
        return not self.doubts


def keys_wanted(entries: Iterable[Entry]) -> KeysWanted:
    """The live keys that decide what these entries change. Entries that cannot be read are passed over."""
    wanted = KeysWanted()
    ranges: List[Tuple[bytes, bytes]] = []
    for entry in entries:
        try:
            _collect(requests.request_of(entry), wanted, ranges)
        except WireError:
            continue
    return KeysWanted(wanted.keys, tuple(sorted(set(ranges))), wanted.leases)


def _collect(request: Union[Request, Op], wanted: KeysWanted, ranges: List[Tuple[bytes, bytes]]) -> None:
    if isinstance(request, Put):
        wanted.keys.add(request.key)
    elif isinstance(request, (DeleteRange, Compare)):
        if request.end:
            ranges.append((request.key, request.end))
        else:
            wanted.keys.add(request.key)
    elif isinstance(request, Revoke):
        wanted.leases.add(request.lease)
    elif isinstance(request, Txn):
        for compare in request.compares:
            if compare.end:
                ranges.append((compare.key, compare.end))
            else:
                wanted.keys.add(compare.key)
        for one in (*request.success, *request.failure):
            _collect(one, wanted, ranges)


def count_at_most(entries: Sequence[Entry]) -> Tuple[int, ...]:
    """The indexes of all entries that could add a revision: an upper bound that needs nothing but the log."""
    found = []
    for entry in entries:
        try:
            request = requests.request_of(entry)
        except WireError:
            found.append(entry.index)
            continue
        if isinstance(request, (Put, DeleteRange, Revoke)) or (isinstance(request, Txn) and _may_write(request)):
            found.append(entry.index)
    return tuple(found)


def puts_only(entries: Sequence[Entry]) -> bool:
    """Whether every entry is a plain put without a lease (or changes no key): then the bound is exact."""
    for entry in entries:
        try:
            request = requests.request_of(entry)
        except WireError:
            return False
        if isinstance(request, (DeleteRange, Revoke)) or (isinstance(request, Txn) and _may_write(request)):
            return False
        if isinstance(request, Put) and (request.lease or request.ignore_value or request.ignore_lease):
            return False
        if may_refuse(request):
            return False
    return True


def may_refuse(request: Request) -> bool:
    """Whether etcd may refuse writes from here on, or has before: while an alarm is raised (NOSPACE), or to whom users and
    roles forbid them."""
    return isinstance(request, AlarmChange) or request == requests.Other("auth", False)


def _may_write(txn: Txn) -> bool:
    return any(
        isinstance(one, (Put, DeleteRange)) or (isinstance(one, Txn) and _may_write(one))
        for one in (*txn.success, *txn.failure)
    )


@dataclass
class Store:
    """The live keys and leases that matter, and the revision they stand at."""

    revision: int
    compact_revision: int
    keys: Dict[bytes, KeyValue]
    leases: Set[int]
    doubts: List[str] = field(default_factory=list)

    def apply(self, entries: Iterable[Entry]) -> Outcome:
        """Apply entries in order; changes this store."""
        writes = []
        for entry in entries:
            before = self.revision
            try:
                self.request(requests.request_of(entry))
            except WireError as err:
                self.revision += 1
                self.doubt(f"entry {entry.index} cannot be read ({err})")
            if self.revision > before:
                writes.append(entry.index)
        return Outcome(self.revision, tuple(writes), tuple(self.doubts))

    def doubt(self, why: str) -> None:
        if why not in self.doubts:
            self.doubts.append(why)

    def request(self, request: Request) -> None:
        if isinstance(request, Put):
            if self.put_fails(request):
                return
            self.write([request])
        elif isinstance(request, DeleteRange):
            self.write([request])
        elif isinstance(request, Txn):
            if not self.txn_fails(request):
                self.write([request])
        elif isinstance(request, Grant):
            if request.ttl <= MAX_LEASE_TTL:
                self.leases.add(request.lease)
        elif isinstance(request, Revoke):
            self.revoke(request.lease)
        elif isinstance(request, Compaction):
            if request.revision <= self.revision:
                self.compact_revision = max(self.compact_revision, request.revision)
        elif isinstance(request, AlarmChange):
            self.doubt("an alarm was raised or disarmed on the way: some writes may have been refused")
        elif isinstance(request, requests.Other) and request.what == "auth":
            self.doubt("users or roles were changed on the way: some writes may have been refused")

    def put_fails(self, put: Put) -> bool:
        if put.lease and put.lease not in self.leases:
            return True
        return (put.ignore_value or put.ignore_lease) and put.key not in self.keys

    def txn_fails(self, txn: Txn) -> bool:
        """etcd checks all operations of the chosen branches first; one that cannot be done fails the whole."""
        for one in self.branch(txn):
            if isinstance(one, Put) and self.put_fails(one):
                return True
            if isinstance(one, Range) and (one.revision > self.revision or 0 < one.revision < self.compact_revision):
                return True
            if isinstance(one, Txn) and self.txn_fails(one):
                return True
        return False

    def branch(self, txn: Txn) -> Tuple[Op, ...]:
        return txn.success if all(self.holds(compare) for compare in txn.compares) else txn.failure

    def write(self, operations: Sequence[Op]) -> None:
        """Carry out operations as one revision; guards of nested transactions look at the state before all of it."""
        plan: List[Union[Put, DeleteRange]] = []
        self.flatten(operations, plan)
        main = self.revision + 1
        changed = False
        for one in plan:
            if isinstance(one, Put):
                old = self.keys.get(one.key)
                self.keys[one.key] = KeyValue(
                    key=one.key,
                    create_revision=old.create_revision if old else main,
                    mod_revision=main,
                    version=old.version + 1 if old else 1,
                    value=old.value if one.ignore_value and old else one.value,
                    lease=old.lease if one.ignore_lease and old else one.lease,
                )
                changed = True
            else:
                for key in self.matching(one.key, one.end):
                    del self.keys[key]
                    changed = True
        if changed:
            self.revision = main

    def flatten(self, operations: Sequence[Op], plan: List[Union[Put, DeleteRange]]) -> None:
        for one in operations:
            if isinstance(one, Txn):
                self.flatten(self.branch(one), plan)
            elif not isinstance(one, Range):
                plan.append(one)

    def revoke(self, lease: int) -> None:
        if lease not in self.leases:
            return
        attached = [key for key, kv in self.keys.items() if kv.lease == lease]
        self.leases.discard(lease)
        for key in attached:
            del self.keys[key]
        if attached:
            self.revision += 1

    def matching(self, key: bytes, end: bytes) -> List[bytes]:
        if not end:
            return [key] if key in self.keys else []
        return [one for one in self.keys if key <= one and (end == NO_END or one < end)]

    def holds(self, compare: Compare) -> bool:
        """One guard (apply.go, applyCompare): on a range every key must satisfy it; a value guard needs a key."""
        found = [self.keys[key] for key in self.matching(compare.key, compare.end)]
        if not found:
            if compare.target == requests.BY_VALUE:
                return False
            return _compare(compare, None)
        return all(_compare(compare, kv) for kv in found)


def _compare(compare: Compare, kv: Optional[KeyValue]) -> bool:
    left: Union[int, bytes] = 0
    right: Union[int, bytes] = compare.number
    if kv is not None:
        numbers = {
            requests.BY_VERSION: kv.version,
            requests.BY_CREATE: kv.create_revision,
            requests.BY_MOD: kv.mod_revision,
            requests.BY_LEASE: kv.lease,
        }
        left = numbers.get(compare.target, 0)
    if compare.target == requests.BY_VALUE:
        left, right = kv.value if kv else b"", compare.value
    if compare.result == requests.EQUAL:
        return left == right
    if compare.result == requests.NOT_EQUAL:
        return left != right
    if compare.result == requests.GREATER:
        return left > right  # type: ignore[operator]
    return left < right  # type: ignore[operator]


def written_by(request: Request) -> List[Tuple[Tuple[bool, bytes, bytes], ...]]:
    """The sets of (is delete, key, value) that a request may leave behind, one for each way its guards can go.

    A delete of a range or of a lease's keys cannot be told from the request alone: it gives no set.
    """
    if isinstance(request, Put):
        return [] if request.ignore_value else [((False, request.key, request.value),)]
    if isinstance(request, DeleteRange):
        return [] if request.end else [((True, request.key, b""),)]
    if isinstance(request, Txn):
        return [found for branch in (request.success, request.failure) for found in _branch_writes(branch)]
    return []


def _branch_writes(branch: Sequence[Op]) -> List[Tuple[Tuple[bool, bytes, bytes], ...]]:
    out: List[Tuple[bool, bytes, bytes]] = []
    for one in branch:
        if isinstance(one, Range):
            continue
        sets = written_by(one) if isinstance(one, (Put, DeleteRange)) else []
        if not sets:
            return []
        out += sets[0]
    return [tuple(out)] if out else []
