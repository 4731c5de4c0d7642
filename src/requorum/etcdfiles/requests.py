"""What a log entry asks of the store: etcd's InternalRaftRequest (raft_internal.proto), as far as it changes keys.

Trap: 3.4 and 3.5 also log raw v2 requests (a member publishing its URLs); their field 2 is a string where an
InternalRaftRequest has a message, so an entry is looked at for that first.
"""

from dataclasses import dataclass
from typing import List, Optional, Tuple, Union

from requorum.etcdfiles import messages, protowire
from requorum.etcdfiles.messages import Entry, as_int, as_view
from requorum.etcdfiles.protowire import WireError, signed

EQUAL, GREATER, LESS, NOT_EQUAL = 0, 1, 2, 3
BY_VERSION, BY_CREATE, BY_MOD, BY_VALUE, BY_LEASE = 0, 1, 2, 3, 4
_V2_METHODS = (b"GET", b"PUT", b"POST", b"DELETE", b"QGET", b"SYNC", b"HEAD")


@dataclass(frozen=True)
class Put:
    """Write one key."""

    key: bytes
    value: bytes
    lease: int
    ignore_value: bool
    ignore_lease: bool


@dataclass(frozen=True)
class DeleteRange:
    """Delete one key (no end) or a range."""

    key: bytes
    end: bytes


@dataclass(frozen=True)
class Range:
    """A read inside a transaction; one at a revision that is gone or not there yet fails the whole transaction."""

    revision: int


@dataclass(frozen=True)
class Compare:
    """One guard of a transaction."""

    result: int
    target: int
    key: bytes
    end: bytes
    number: int
    value: bytes


@dataclass(frozen=True)
class Txn:
    """A guarded transaction."""

    compares: Tuple[Compare, ...]
    success: Tuple["Op", ...]
    failure: Tuple["Op", ...]


@dataclass(frozen=True)
class Grant:
    """A new lease; ``ttl`` in seconds."""

    lease: int
    ttl: int = 0


@dataclass(frozen=True)
class Revoke:
    """The end of a lease and of the keys attached to it."""

    lease: int


@dataclass(frozen=True)
class Compaction:
    """Old revisions are dropped; no new one is made."""

    revision: int


@dataclass(frozen=True)
class AlarmChange:
    """An alarm raised or disarmed: while NOSPACE stands, writes are refused."""

    raised: bool


@dataclass(frozen=True)
class Other:
    """A request that changes no key. ``membership`` ones speak of members and mean nothing to another cluster."""

    what: str
    membership: bool


Op = Union[Put, DeleteRange, Range, Txn]
Request = Union[Put, DeleteRange, Txn, Grant, Revoke, Compaction, AlarmChange, Other]

_OTHERS = {
    3: ("range", False),
    11: ("lease checkpoint", False),
    1300: ("cluster version", True),
    1301: ("member attributes", True),
    1302: ("downgrade", True),
}
MAX_NESTING = 32


def request_of(entry: Entry) -> Request:
    """The request that a normal entry carries; raises WireError when it cannot be read."""
    if entry.type != messages.ENTRY_NORMAL:
        return Other("configuration change", True)
    if not entry.data:
        return Other("new leader", False)
    found: List[Tuple[int, memoryview]] = []
    for number, _, value in protowire.fields(entry.data):
        if number == 2 and not isinstance(value, int) and bytes(value) in _V2_METHODS:
            return Other("v2 request", True)
        if number in (1, 100) or isinstance(value, int):
            continue
        found.append((number, value))
    for number, body in found:
        parsed = _request(number, body)
        if parsed is not None:
            return parsed
    return Other("nothing", False)


def _request(number: int, body: memoryview) -> Optional[Request]:
    if number == 4:
        return _put(body)
    if number == 5:
        return _delete(body)
    if number == 6:
        return _txn(body, MAX_NESTING)
    if number == 7:
        return Compaction(_number(body, 1))
    if number == 8:
        return Grant(_number(body, 2), _number(body, 1))
    if number == 9:
        return Revoke(_number(body, 1))
    if number == 10:
        action = _number(body, 1)
        return AlarmChange(action == 1) if action else Other("alarm list", False)
    if number in _OTHERS:
        return Other(*_OTHERS[number])
    if number >= 1000:
        return Other("auth", False)
    return None


def _number(body: memoryview, wanted: int) -> int:
    out = 0
    for number, _, value in protowire.fields(body):
        if number == wanted:
            out = signed(as_int(value))
    return out


def _put(body: memoryview) -> Put:
    key = value = b""
    lease, flags = 0, {5: False, 6: False}
    for number, _, one in protowire.fields(body):
        if number == 1:
            key = bytes(as_view(one))
        elif number == 2:
            value = bytes(as_view(one))
        elif number == 3:
            lease = signed(as_int(one))
        elif number in flags:
            flags[number] = bool(as_int(one))
    return Put(key, value, lease, flags[5], flags[6])


def _delete(body: memoryview) -> DeleteRange:
    key = end = b""
    for number, _, one in protowire.fields(body):
        if number == 1:
            key = bytes(as_view(one))
        elif number == 2:
            end = bytes(as_view(one))
    return DeleteRange(key, end)


def _txn(body: memoryview, depth: int) -> Txn:
    if depth == 0:
        raise WireError("transactions nested too deep")
    compares: List[Compare] = []
    branches: Tuple[List[Op], List[Op]] = ([], [])
    for number, _, one in protowire.fields(body):
        if number == 1:
            compares.append(_compare(as_view(one)))
        elif number in (2, 3):
            operation = _op(as_view(one), depth)
            if operation is not None:
                branches[number - 2].append(operation)
    return Txn(tuple(compares), tuple(branches[0]), tuple(branches[1]))


def _op(body: memoryview, depth: int) -> Optional[Op]:
    for number, _, one in protowire.fields(body):
        if number == 1:
            return Range(_number(as_view(one), 4))
        if number == 2:
            return _put(as_view(one))
        if number == 3:
            return _delete(as_view(one))
        if number == 4:
            return _txn(as_view(one), depth - 1)
    return None


def _compare(body: memoryview) -> Compare:
    result = target = number_value = 0
    key = end = value = b""
    for number, _, one in protowire.fields(body):
        if number == 1:
            result = as_int(one)
        elif number == 2:
            target = as_int(one)
        elif number == 3:
            key = bytes(as_view(one))
        elif number in (4, 5, 6, 8):
            number_value = signed(as_int(one))
        elif number == 7:
            value = bytes(as_view(one))
        elif number == 64:
            end = bytes(as_view(one))
    return Compare(result, target, key, end, number_value, value)
