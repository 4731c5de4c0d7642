"""The hand-written wire format and messages against the protobuf library, built from etcd's field numbers."""

from typing import Any

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError, Message
from hypothesis import example, given, settings
from hypothesis import strategies as st

from requorum.etcdfiles import messages, protowire, requests
from requorum.etcdfiles.messages import ConfChange, ConfState, Entry, HardState, SnapshotMark
from requorum.etcdfiles.protowire import WireError
from requorum.etcdfiles.requests import Compare, DeleteRange, Other, Put, Range, Txn

_KINDS = {
    "u64": descriptor_pb2.FieldDescriptorProto.TYPE_UINT64,
    "u32": descriptor_pb2.FieldDescriptorProto.TYPE_UINT32,
    "i64": descriptor_pb2.FieldDescriptorProto.TYPE_INT64,
    "i32": descriptor_pb2.FieldDescriptorProto.TYPE_INT32,
    "bool": descriptor_pb2.FieldDescriptorProto.TYPE_BOOL,
    "bytes": descriptor_pb2.FieldDescriptorProto.TYPE_BYTES,
    "string": descriptor_pb2.FieldDescriptorProto.TYPE_STRING,
}

# message: {field: (number, type)}; a type that is no scalar is a message, "*" marks a repeated field.
_SCHEMA: dict[str, dict[str, tuple[int, str]]] = {
    "Entry": {"type": (1, "i32"), "term": (2, "u64"), "index": (3, "u64"), "data": (4, "bytes")},
    "HardState": {"term": (1, "u64"), "vote": (2, "u64"), "commit": (3, "u64")},
    "ConfState": {
        "voters": (1, "u64*"),
        "learners": (2, "u64*"),
        "voters_outgoing": (3, "u64*"),
        "learners_next": (4, "u64*"),
        "auto_leave": (5, "bool"),
    },
    "ConfChange": {"id": (1, "u64"), "type": (2, "i32"), "node_id": (3, "u64"), "context": (4, "bytes")},
    "ConfChangeSingle": {"type": (1, "i32"), "node_id": (2, "u64")},
    "ConfChangeV2": {"transition": (1, "i32"), "changes": (2, "ConfChangeSingle*"), "context": (3, "bytes")},
    "Record": {"type": (1, "i64"), "crc": (2, "u32"), "data": (3, "bytes")},
    "SnapshotMark": {"index": (1, "u64"), "term": (2, "u64"), "conf_state": (3, "ConfState")},
    "Metadata": {"node_id": (1, "u64"), "cluster_id": (2, "u64")},
    "KeyValue": {
        "key": (1, "bytes"),
        "create_revision": (2, "i64"),
        "mod_revision": (3, "i64"),
        "version": (4, "i64"),
        "value": (5, "bytes"),
        "lease": (6, "i64"),
    },
    "PutRequest": {
        "key": (1, "bytes"),
        "value": (2, "bytes"),
        "lease": (3, "i64"),
        "prev_kv": (4, "bool"),
        "ignore_value": (5, "bool"),
        "ignore_lease": (6, "bool"),
    },
    "DeleteRangeRequest": {"key": (1, "bytes"), "range_end": (2, "bytes"), "prev_kv": (3, "bool")},
    "RangeRequest": {"key": (1, "bytes"), "range_end": (2, "bytes"), "limit": (3, "i64"), "revision": (4, "i64")},
    "Compare": {
        "result": (1, "i32"),
        "target": (2, "i32"),
        "key": (3, "bytes"),
        "version": (4, "i64"),
        "create_revision": (5, "i64"),
        "mod_revision": (6, "i64"),
        "value": (7, "bytes"),
        "lease": (8, "i64"),
        "range_end": (64, "bytes"),
    },
    "RequestOp": {
        "request_range": (1, "RangeRequest"),
        "request_put": (2, "PutRequest"),
        "request_delete_range": (3, "DeleteRangeRequest"),
        "request_txn": (4, "TxnRequest"),
    },
    "TxnRequest": {"compare": (1, "Compare*"), "success": (2, "RequestOp*"), "failure": (3, "RequestOp*")},
    "CompactionRequest": {"revision": (1, "i64"), "physical": (2, "bool")},
    "LeaseGrantRequest": {"TTL": (1, "i64"), "ID": (2, "i64")},
    "LeaseRevokeRequest": {"ID": (1, "i64")},
    "AlarmRequest": {"action": (1, "i32"), "memberID": (2, "u64"), "alarm": (3, "i32")},
    "ClusterVersionSetRequest": {"ver": (1, "string")},
    "RequestHeader": {"ID": (1, "u64"), "username": (2, "string"), "auth_revision": (3, "u64")},
    "V2Request": {"ID": (1, "u64"), "Method": (2, "string"), "Path": (3, "string"), "Val": (4, "string")},
    "InternalRaftRequest": {
        "header": (100, "RequestHeader"),
        "ID": (1, "u64"),
        "v2": (2, "V2Request"),
        "range": (3, "RangeRequest"),
        "put": (4, "PutRequest"),
        "delete_range": (5, "DeleteRangeRequest"),
        "txn": (6, "TxnRequest"),
        "compaction": (7, "CompactionRequest"),
        "lease_grant": (8, "LeaseGrantRequest"),
        "lease_revoke": (9, "LeaseRevokeRequest"),
        "alarm": (10, "AlarmRequest"),
        "auth_enable": (1000, "LeaseRevokeRequest"),
        "authenticate": (1012, "LeaseRevokeRequest"),
        "cluster_version_set": (1300, "ClusterVersionSetRequest"),
    },
}


def _build(schema: dict[str, dict[str, tuple[int, str]]]) -> dict[str, type[Message]]:
    """Message classes of proto2, whose fields are written whenever they are set, as gogoproto writes raftpb."""
    file = descriptor_pb2.FileDescriptorProto(name="etcd_on_disk.proto", package="disk", syntax="proto2")
    for name, fields in schema.items():
        message = file.message_type.add(name=name)
        for field, (number, kind) in fields.items():
            base = kind.rstrip("*")
            one = message.field.add(
                name=field,
                number=number,
                label=(
                    descriptor_pb2.FieldDescriptorProto.LABEL_REPEATED
                    if kind.endswith("*")
                    else descriptor_pb2.FieldDescriptorProto.LABEL_OPTIONAL
                ),
                type=_KINDS.get(base, descriptor_pb2.FieldDescriptorProto.TYPE_MESSAGE),
            )
            if base not in _KINDS:
                one.type_name = f".disk.{base}"
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"disk.{name}")) for name in schema}


_CLASSES = _build(_SCHEMA)

U64 = st.integers(0, (1 << 64) - 1)
I64 = st.integers(-(1 << 63), (1 << 63) - 1)
INDEX = st.integers(1, (1 << 64) - 1)
BODY = st.binary(max_size=40)
modest = settings(deadline=None, max_examples=60)


def proto(name: str, **values: Any) -> Any:
    """A message of the library."""
    return _CLASSES[name](**values)


def encoded(name: str, **values: Any) -> bytes:
    """A message as the library encodes it."""
    return bytes(proto(name, **values).SerializeToString())


def decoded(name: str, data: bytes) -> Any:
    """A message as the library decodes it."""
    message: Any = _CLASSES[name]()
    message.ParseFromString(data)
    return message


def internal(**values: Any) -> Entry:
    """A log entry that holds an InternalRaftRequest."""
    return Entry(0, 1, 1, encoded("InternalRaftRequest", header=proto("RequestHeader", ID=7), **values))


@modest
@given(value=U64)
@example(value=0)
@example(value=(1 << 64) - 1)
def test_varints_are_read_as_they_were_written(value: int) -> None:
    """Any 64-bit number survives, and the reader stops right behind it."""
    data = protowire.varint(value)
    assert protowire.read_varint(data + b"\xff", 0) == (value, len(data))
    assert data == encoded("HardState", term=value)[1:]


@modest
@given(value=I64)
def test_signed_numbers_are_twos_complement(value: int) -> None:
    """An int64 is written in ten bytes when negative, and read back with its sign."""
    assert protowire.int_field(2, value) == encoded("KeyValue", create_revision=value)
    assert protowire.signed(protowire.read_varint(protowire.varint(value), 0)[0]) == value


@pytest.mark.parametrize(
    "data",
    [b"\x80", b"\xff" * 9, b"\xff" * 10, b"\xff" * 9 + b"\x02", b"\x80" * 11 + b"\x00"],
    ids=["unended", "nine", "ten", "65 bits", "padded"],
)
def test_a_varint_that_is_none_is_refused(data: bytes) -> None:
    """A varint that runs past the end or past 64 bits is an error, never a wrong number."""
    with pytest.raises(WireError):
        protowire.read_varint(data, 0)


@pytest.mark.parametrize(
    "data",
    [b"\x00\x01", b"\x0b\x0c", b"\x0e", b"\x0f", b"\x0a\x05abcd", b"\x0d\x00\x00\x00", b"\x09" + bytes(7), b"\x0a"],
)
def test_bytes_that_are_no_message_are_refused(data: bytes) -> None:
    """Field number 0, groups, unknown wire types and fields that run past the end are errors."""
    with pytest.raises(WireError):
        list(protowire.fields(data))


@settings(deadline=None, max_examples=300)
@given(data=st.binary(max_size=60))
def test_what_the_library_refuses_is_refused_here(data: bytes) -> None:
    """Whatever is read here as a whole message, the library reads as one too."""
    try:
        found = list(protowire.fields(data))
    except WireError:
        return
    if any(number >= 1 << 29 for number, _, _ in found):
        return  # the library knows no such field numbers
    try:
        message = decoded("LeaseRevokeRequest", data)
    except DecodeError:
        pytest.fail(f"the library refuses {data.hex()}")
    last = [value for number, wire, value in found if number == 1 and wire == protowire.VARINT]
    assert not last or protowire.signed(int(last[-1])) == message.ID


@modest
@given(kind=st.integers(0, 2), term=U64, index=INDEX, data=BODY)
def test_entries_are_the_librarys(kind: int, term: int, index: int, data: bytes) -> None:
    """raftpb.Entry: the same bytes as the library's, and the same entry back; an empty body is left out."""
    entry = Entry(kind, term, index, data)
    values: dict[str, Any] = {"type": kind, "term": term, "index": index, **({"data": data} if data else {})}
    assert messages.encode_entry(entry) == encoded("Entry", **values)
    assert messages.decode_entry(messages.encode_entry(entry)) == entry


@pytest.mark.parametrize("data", [b"", encoded("Entry", type=3, index=1), encoded("Entry", type=0, term=4)])
def test_an_entry_without_an_index_or_of_an_unknown_type_is_refused(data: bytes) -> None:
    """raft's log begins at index 1 and knows three types of entry."""
    with pytest.raises(WireError):
        messages.decode_entry(data)


@modest
@given(term=U64, vote=U64, commit=U64)
def test_hard_states_are_the_librarys(term: int, vote: int, commit: int) -> None:
    """raftpb.HardState, all three fields always written."""
    state = HardState(term, vote, commit)
    assert messages.encode_hard_state(state) == encoded("HardState", term=term, vote=vote, commit=commit)
    if term or not (vote or commit):
        assert messages.decode_hard_state(messages.encode_hard_state(state)) == state
    else:
        with pytest.raises(WireError):
            messages.decode_hard_state(messages.encode_hard_state(state))


@pytest.mark.parametrize("data", ["1801", "1001", "08011002080118", "0801100218010801", "20010801", "0a0100"])
def test_what_is_no_hard_state_is_refused(data: str) -> None:
    """Nobody votes or commits in term 0; the numbers come in order, once each, and are numbers."""
    with pytest.raises(WireError):
        messages.decode_hard_state(bytes.fromhex(data))


@modest
@given(node=U64, cluster=U64)
def test_wal_metadata_is_the_librarys(node: int, cluster: int) -> None:
    """etcdserverpb.Metadata: member and cluster id."""
    data = messages.encode_wal_metadata(node, cluster)
    assert data == encoded("Metadata", node_id=node, cluster_id=cluster)
    assert messages.decode_wal_metadata(data) == (node, cluster)


conf_states = st.builds(
    ConfState,
    voters=st.lists(U64, max_size=5).map(tuple),
    learners=st.lists(U64, max_size=3).map(tuple),
    voters_outgoing=st.lists(U64, max_size=3).map(tuple),
)


def conf_state_of(state: ConfState) -> Any:
    """A ConfState of the library, auto_leave written as etcd does."""
    return proto(
        "ConfState",
        voters=state.voters,
        learners=state.learners,
        voters_outgoing=state.voters_outgoing,
        auto_leave=False,
    )


@modest
@given(state=conf_states)
def test_conf_states_are_the_librarys(state: ConfState) -> None:
    """raftpb.ConfState, ids written one by one; packed ids are read as well."""
    assert messages.encode_conf_state(state) == conf_state_of(state).SerializeToString()
    assert messages.decode_conf_state(messages.encode_conf_state(state)) == state
    packed = b"".join(
        protowire.bytes_field(number, b"".join(protowire.varint(one) for one in ids))
        for number, ids in ((1, state.voters), (2, state.learners), (3, state.voters_outgoing))
    )
    assert messages.decode_conf_state(packed) == state


@modest
@given(index=U64, term=U64, state=st.none() | conf_states)
def test_snapshot_marks_are_the_librarys(index: int, term: int, state: ConfState | None) -> None:
    """walpb.Snapshot with (3.5) and without (3.4) a configuration."""
    mark = SnapshotMark(index, term, state)
    values: dict[str, Any] = {"index": index, "term": term}
    if state is not None:
        values["conf_state"] = conf_state_of(state)
    assert messages.encode_snapshot_mark(mark) == encoded("SnapshotMark", **values)
    assert messages.decode_snapshot_mark(messages.encode_snapshot_mark(mark)) == mark


@modest
@given(change_id=U64, kind=st.integers(0, 3), node=U64, context=BODY)
def test_conf_changes_are_read(change_id: int, kind: int, node: int, context: bytes) -> None:
    """A V1 change is one change, a V2 change the list of its single ones."""
    one = Entry(1, 1, 1, encoded("ConfChange", id=change_id, type=kind, node_id=node, context=context))
    assert messages.decode_conf_change(one) == (ConfChange(kind, node, context, change_id),)
    singles = [proto("ConfChangeSingle", type=kind, node_id=node), proto("ConfChangeSingle", type=0, node_id=5)]
    both = Entry(2, 1, 1, encoded("ConfChangeV2", transition=0, changes=singles, context=context))
    assert messages.decode_conf_change(both) == (ConfChange(kind, node, b""), ConfChange(0, 5, b""))


@modest
@given(key=BODY, create=I64, mod=I64, version=I64, value=BODY, lease=I64)
def test_key_values_are_the_librarys(key: bytes, create: int, mod: int, version: int, value: bytes, lease: int) -> None:
    """mvccpb.KeyValue, signed numbers included."""
    data = encoded(
        "KeyValue",
        key=key,
        create_revision=create,
        mod_revision=mod,
        version=version,
        value=value,
        lease=lease,
    )
    assert messages.decode_key_value(data) == messages.KeyValue(key, create, mod, version, value, lease)


@modest
@given(key=BODY, value=BODY, lease=I64, keep_value=st.booleans(), keep_lease=st.booleans(), prev=st.booleans())
def test_puts_are_read(key: bytes, value: bytes, lease: int, keep_value: bool, keep_lease: bool, prev: bool) -> None:
    """PutRequest, negative lease ids and the two ignore flags included."""
    body = proto(
        "PutRequest",
        key=key,
        value=value,
        lease=lease,
        prev_kv=prev,
        ignore_value=keep_value,
        ignore_lease=keep_lease,
    )
    assert requests.request_of(internal(put=body)) == Put(key, value, lease, keep_value, keep_lease)


@modest
@given(
    result=st.integers(0, 3),
    target=st.sampled_from([(0, "version"), (1, "create_revision"), (2, "mod_revision"), (3, "value"), (4, "lease")]),
    number=I64,
    value=BODY,
    end=BODY,
    revision=I64,
)
def test_transactions_are_read(
    result: int, target: tuple[int, str], number: int, value: bytes, end: bytes, revision: int
) -> None:
    """TxnRequest: each kind of guard, each kind of operation, and a transaction within a transaction."""
    kind, name = target
    guard = proto("Compare", result=result, target=kind, key=b"g", range_end=end)
    setattr(guard, name, value if name == "value" else number)
    put = proto("RequestOp", request_put=proto("PutRequest", key=b"p", value=value))
    delete = proto("RequestOp", request_delete_range=proto("DeleteRangeRequest", key=b"d", range_end=end))
    read = proto("RequestOp", request_range=proto("RangeRequest", key=b"r", revision=revision))
    inner = proto("RequestOp", request_txn=proto("TxnRequest", failure=[delete]))
    body = proto("TxnRequest", compare=[guard], success=[put, read], failure=[inner, delete])
    held = Compare(result, kind, b"g", end, 0 if name == "value" else number, value if name == "value" else b"")
    gone = DeleteRange(b"d", end)
    assert requests.request_of(internal(txn=body)) == Txn(
        (held,), (Put(b"p", value, 0, False, False), Range(revision)), (Txn((), (), (gone,)), gone)
    )


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"compaction": proto("CompactionRequest", revision=9, physical=True)}, requests.Compaction(9)),
        ({"lease_grant": proto("LeaseGrantRequest", TTL=60, ID=12)}, requests.Grant(12, 60)),
        ({"lease_grant": proto("LeaseGrantRequest", TTL=60, ID=-12)}, requests.Grant(-12, 60)),
        ({"lease_revoke": proto("LeaseRevokeRequest", ID=12)}, requests.Revoke(12)),
        ({"alarm": proto("AlarmRequest", action=1, memberID=3, alarm=1)}, requests.AlarmChange(True)),
        ({"alarm": proto("AlarmRequest", action=2, memberID=3, alarm=1)}, requests.AlarmChange(False)),
        ({"range": proto("RangeRequest", key=b"k")}, Other("range", False)),
        ({"auth_enable": proto("LeaseRevokeRequest")}, Other("auth", False)),
        ({"authenticate": proto("LeaseRevokeRequest")}, Other("auth", False)),
        ({"cluster_version_set": proto("ClusterVersionSetRequest", ver="3.5.0")}, Other("cluster version", True)),
        ({"v2": proto("V2Request", ID=1, Method="PUT", Path="/0/version")}, Other("nothing", False)),
        ({}, Other("nothing", False)),
    ],
)
def test_other_requests_are_read(values: dict[str, Any], expected: requests.Request) -> None:
    """Each kind of request is known by its field number."""
    assert requests.request_of(internal(**values)) == expected


def test_listing_alarms_is_no_change_of_alarms() -> None:
    """``etcdctl endpoint health`` logs an AlarmRequest that only lists (action GET): it refuses no write."""
    listed = requests.request_of(internal(alarm=proto("AlarmRequest")))
    assert not isinstance(listed, requests.AlarmChange)


@pytest.mark.parametrize("method", ["PUT", "GET", "POST", "DELETE", "QGET", "SYNC"])
def test_raw_v2_requests_are_not_taken_for_something_else(method: str) -> None:
    """3.4 and 3.5 log a member's URLs as a raw v2 request, whose field 4 is no PutRequest."""
    body = encoded("V2Request", ID=5, Method=method, Path="/0/members/1/attributes", Val='{"name":"m1"}')
    assert requests.request_of(Entry(0, 1, 1, body)) == Other("v2 request", True)


def test_entries_without_a_request_are_named() -> None:
    """A new leader's empty entry and a configuration change ask nothing of the store."""
    assert requests.request_of(Entry(0, 1, 1, b"")) == Other("new leader", False)
    assert requests.request_of(Entry(1, 1, 1, b"\x08\x01")) == Other("configuration change", True)


def test_transactions_nested_without_end_are_refused() -> None:
    """A transaction as deep as no client can send one is an error, not a crash."""
    txn = proto("TxnRequest", success=[proto("RequestOp", request_put=proto("PutRequest", key=b"k"))])
    for _ in range(requests.MAX_NESTING + 1):
        txn = proto("TxnRequest", success=[proto("RequestOp", request_txn=txn)])
    with pytest.raises(WireError):
        requests.request_of(internal(txn=txn))


@pytest.mark.parametrize("data", [b"{", b"\xff", b"", b"[" * 100_000], ids=["cut", "no text", "empty", "deep"])
def test_json_that_is_none_is_refused(data: bytes) -> None:
    """What is not JSON is a WireError, however it is broken."""
    with pytest.raises(WireError):
        messages.decode_json(data)
