"""The raft and MVCC messages found on an etcd disk, as values.

Field numbers are those of raftpb/raft.proto, walpb/record.proto, mvccpb/kv.proto and etcdserverpb/*.proto of v3.5.30;
3.4 and 3.6 have the same. All ``decode_*`` functions raise :class:`~requorum.etcdfiles.protowire.WireError`.
"""

import json
import re
from dataclasses import dataclass
from typing import Any, List, Optional, Tuple, Union

from requorum.etcdfiles import protowire
from requorum.etcdfiles.checksum import Buffer
from requorum.etcdfiles.protowire import WireError, signed

ENTRY_NORMAL, ENTRY_CONF_CHANGE, ENTRY_CONF_CHANGE_V2 = 0, 1, 2
ADD_NODE, REMOVE_NODE, UPDATE_NODE, ADD_LEARNER_NODE = 0, 1, 2, 3


@dataclass(frozen=True)
class Entry:
    """One raft log entry. ``data`` is empty for the no-op of a new leader."""

    type: int
    term: int
    index: int
    data: bytes


@dataclass(frozen=True)
class HardState:
    """raft's durable vote. ``commit`` lags what clients were told: it is not flushed on its own."""

    term: int
    vote: int
    commit: int


@dataclass(frozen=True)
class ConfState:
    """The voters and learners of one configuration, by member id."""

    voters: Tuple[int, ...] = ()
    learners: Tuple[int, ...] = ()
    voters_outgoing: Tuple[int, ...] = ()


@dataclass(frozen=True)
class SnapshotMark:
    """A WAL record that names a .snap file by its (index, term)."""

    index: int
    term: int
    conf_state: Optional[ConfState]


@dataclass(frozen=True)
class ConfChange:
    """A change of one member. ``context`` is etcd's JSON of the member that is added or updated."""

    type: int
    node_id: int
    context: bytes
    change_id: int = 0


@dataclass(frozen=True)
class KeyValue:
    """One record of the key bucket; revisions are main revisions, ``lease`` 0 means none."""

    key: bytes
    create_revision: int
    mod_revision: int
    version: int
    value: bytes
    lease: int


def _ints(data: Buffer, wanted: int) -> List[int]:
    """The varint fields 1 to ``wanted`` of a message, 0 where absent; other fields are passed over."""
    out = [0] * (wanted + 1)
    for number, wire, value in protowire.fields(data):
        if number <= wanted and wire == protowire.VARINT:
            assert isinstance(value, int)
            out[number] = value
    return out


def as_int(value: Union[int, memoryview]) -> int:
    """A field that must be a varint."""
    if not isinstance(value, int):
        raise WireError("a number was expected")
    return value


def as_view(value: Union[int, memoryview]) -> memoryview:
    """A field that must be length-delimited."""
    if isinstance(value, int):
        raise WireError("bytes were expected")
    return value


def decode_entry(data: Buffer) -> Entry:
    """raftpb.Entry."""
    kind = term = index = 0
    payload = b""
    for number, _, value in protowire.fields(data):
        if number == 1:
            kind = as_int(value)
        elif number == 2:
            term = as_int(value)
        elif number == 3:
            index = as_int(value)
        elif number == 4:
            payload = bytes(as_view(value))
    if kind > ENTRY_CONF_CHANGE_V2 or index == 0:
        raise WireError(f"not a log entry (type {kind}, index {index})")
    return Entry(kind, term, index, payload)


def encode_entry(entry: Entry) -> bytes:
    """raftpb.Entry, byte for byte as etcd writes it."""
    out = protowire.int_field(1, entry.type) + protowire.int_field(2, entry.term) + protowire.int_field(3, entry.index)
    return out + protowire.bytes_field(4, entry.data) if entry.data else out


def decode_hard_state(data: Buffer) -> HardState:
    """raftpb.HardState: three numbers in order, of which 3.7 leaves out those that are 0; raises WireError for anything else."""
    numbers, last = [0, 0, 0, 0], 0
    for number, _, value in protowire.fields(data):
        if not last < number <= 3 or not isinstance(value, int):
            raise WireError("not a hard state")
        numbers[number], last = value, number
    _, term, vote, commit = numbers
    if not term and (vote or commit):
        raise WireError("not a hard state")
    return HardState(term, vote, commit)


def encode_hard_state(state: HardState) -> bytes:
    """raftpb.HardState."""
    return (
        protowire.int_field(1, state.term) + protowire.int_field(2, state.vote) + protowire.int_field(3, state.commit)
    )


def decode_wal_metadata(data: Buffer) -> Tuple[int, int]:
    """etcdserverpb.Metadata: (member id, cluster id)."""
    _, node, cluster = _ints(data, 2)
    return node, cluster


def encode_wal_metadata(node: int, cluster: int) -> bytes:
    """etcdserverpb.Metadata."""
    return protowire.int_field(1, node) + protowire.int_field(2, cluster)


def _id_list(value: Union[int, memoryview]) -> List[int]:
    if isinstance(value, int):
        return [value]
    out, at = [], 0
    while at < len(value):
        one, at = protowire.read_varint(value, at)
        out.append(one)
    return out


def decode_conf_state(data: Buffer) -> ConfState:
    """raftpb.ConfState; both packed and plain repeated ids."""
    lists: List[List[int]] = [[], [], [], []]
    for number, _, value in protowire.fields(data):
        if number in (1, 2, 3):
            lists[number] += _id_list(value)
    return ConfState(tuple(lists[1]), tuple(lists[2]), tuple(lists[3]))


def encode_conf_state(state: ConfState) -> bytes:
    """raftpb.ConfState."""
    out = b"".join(protowire.int_field(1, one) for one in state.voters)
    out += b"".join(protowire.int_field(2, one) for one in state.learners)
    out += b"".join(protowire.int_field(3, one) for one in state.voters_outgoing)
    return out + protowire.int_field(5, 0)


def decode_snapshot_mark(data: Buffer) -> SnapshotMark:
    """walpb.Snapshot; the configuration is there since 3.5."""
    index = term = 0
    conf = None
    for number, _, value in protowire.fields(data):
        if number == 1:
            index = as_int(value)
        elif number == 2:
            term = as_int(value)
        elif number == 3:
            conf = decode_conf_state(as_view(value))
    return SnapshotMark(index, term, conf)


def encode_snapshot_mark(mark: SnapshotMark) -> bytes:
    """walpb.Snapshot."""
    out = protowire.int_field(1, mark.index) + protowire.int_field(2, mark.term)
    return out + protowire.bytes_field(3, encode_conf_state(mark.conf_state)) if mark.conf_state else out


def decode_conf_change(entry: Entry) -> Tuple[ConfChange, ...]:
    """The member changes of a configuration entry. etcd proposes V1 changes; a V2 entry holds a list of them."""
    if entry.type == ENTRY_CONF_CHANGE:
        kind = node = change_id = 0
        context = b""
        for number, _, value in protowire.fields(entry.data):
            if number == 1:
                change_id = as_int(value)
            elif number == 2:
                kind = as_int(value)
            elif number == 3:
                node = as_int(value)
            elif number == 4:
                context = bytes(as_view(value))
        return (ConfChange(kind, node, context, change_id),)
    out = []
    for number, _, value in protowire.fields(entry.data):
        if number == 2:
            _, kind, node = _ints(as_view(value), 2)
            out.append(ConfChange(kind, node, b""))
    return tuple(out)


def decode_key_value(data: Buffer) -> KeyValue:
    """mvccpb.KeyValue."""
    key = value = b""
    numbers = [0] * 7
    for number, _, field in protowire.fields(data):
        if number == 1:
            key = bytes(as_view(field))
        elif number == 5:
            value = bytes(as_view(field))
        elif number in (2, 3, 4, 6):
            numbers[number] = signed(as_int(field))
    return KeyValue(key, numbers[2], numbers[3], numbers[4], value, numbers[6])


_VARINT = rb"([\x80-\xff]{0,8}[\x00-\x7f])"
_KEY = re.compile(rb"\x0a" + _VARINT, re.DOTALL)
_AFTER_KEY = re.compile(rb"(?:\x10%b)?(?:\x18%b)?(?:\x20%b)?(?:\x2a%b)?" % ((_VARINT,) * 4), re.DOTALL)
_AFTER_VALUE = re.compile(rb"\x30" + _VARINT, re.DOTALL)


def scan_key_value(raw: bytes, at: int, end: int) -> Optional[Tuple[int, int, int, int]]:
    """Where the key of the KeyValue at ``raw[at:end]`` begins and ends, its mod_revision and its lease.

    Only for the form that etcd itself writes (each field once, in order): None for anything else, which
    :func:`decode_key_value` then decides about. It is read for every record of a db, so it builds next to nothing.
    """
    if at + 2 > end or raw[at] != 0x0A:
        return None
    size, first = raw[at + 1], at + 2
    if size > 0x7F:
        head = _KEY.match(raw, at, end)
        if head is None:
            return None
        size, first = _number(head[1]), head.end()
    last = first + size
    numbers = _AFTER_KEY.match(raw, last, end) if last <= end else None
    if numbers is None:
        return None
    mod, value, lease = numbers[2], numbers[4], 0
    at = numbers.end()
    if value:
        at += _number(value)
    if at != end:
        leased = _AFTER_VALUE.match(raw, at, end) if at < end else None
        if leased is None or leased.end() != end:
            return None
        lease = _number(leased[1])
    return first, last, _number(mod) if mod else 0, lease


def _number(varint: bytes) -> int:
    """The value of a varint of at most nine bytes."""
    value = varint[-1]
    for byte in varint[-2::-1]:
        value = value << 7 | byte & 0x7F
    return value


def decode_json(data: Buffer) -> Any:
    """A JSON value as etcd's cluster buckets hold it."""
    try:
        return json.loads(bytes(data))
    except (ValueError, RecursionError) as err:
        raise WireError(f"not JSON: {err}") from err
