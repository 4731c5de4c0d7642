"""Values on their way to a host: what goes in comes out, and nothing else can be made of what arrives."""

import contextlib
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from requorum.errors import RequorumError
from requorum.etcdfiles import messages, protowire
from requorum.etcdfiles.faults import EtcdFileError
from requorum.etcdfiles.protowire import WireError
from requorum.hosts import programs, wire
from requorum.survey.evidence import Run, TermRun, Unknown

PLAIN = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.text()
    | st.binary()
    | st.just(Path("/a b"))
    | st.just(Run(first=1, last=2))
)
VALUES = st.recursive(
    PLAIN,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(st.text(), inner, max_size=3)
        | st.builds(Unknown, unknown=st.text())
    ),
    max_leaves=8,
)
JSON = st.recursive(
    st.none() | st.integers() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["list", "class", "fields", "dict", "x"]), inner)
    ),
    max_leaves=8,
)


@given(VALUES)
def test_there_and_back(value: Any) -> None:
    """Every value that may travel is the same after JSON, type included."""
    again = wire.decode(json.loads(json.dumps(wire.encode(value))))
    assert again == value
    assert type(again) is type(value)


@given(JSON)
def test_anything_else_is_a_fault(data: Any) -> None:
    """Whatever arrives is a value or a WireFault, never another error."""
    with contextlib.suppress(wire.WireFault):
        wire.decode(data)


@pytest.mark.parametrize(
    "name", ["os:system", "requorum.hosts.programs:run", "requorum.errors:RequorumError", "subprocess:Popen"]
)
def test_only_values_are_built(name: str) -> None:
    """A name that stands for no value of this package builds nothing."""
    with pytest.raises(wire.WireFault):
        wire.decode({"class": name, "fields": {}})


def test_a_field_too_many() -> None:
    """A value with fields that it has not is a fault."""
    with pytest.raises(wire.WireFault):
        wire.decode({"class": f"{TermRun.__module__}:TermRun", "fields": {"first": 1, "other": 2}})


@pytest.mark.parametrize(
    "err",
    [
        FileNotFoundError(2, "No such file or directory", "/a"),
        OSError(28, "No space left on device"),
        EtcdFileError("/db", "is empty"),
        programs.TimedOut(["sleep", "1 2"], "did not end", "why"),
        RequorumError("what", hint="do", changed="nothing"),
    ],
)
def test_errors(err: Exception) -> None:
    """An error is raised here as it was there, with all that it says."""
    with pytest.raises(type(err)) as caught:
        wire.raise_error(json.loads(json.dumps(wire.encode_error(err))))
    assert str(caught.value) == str(err)
    assert vars(caught.value) == vars(err)


@given(JSON)
def test_any_error(data: Any) -> None:
    """What is no error of ours is a WireFault, or an error that it describes."""
    with pytest.raises((wire.WireFault, OSError, RequorumError, EtcdFileError, programs.ProgramError)):
        wire.raise_error(data)


RECORDS = st.tuples(
    st.binary(max_size=200),
    st.integers(0, 1 << 62),
    st.integers(0, 1 << 62),
    st.integers(0, 1 << 20),
    st.binary(max_size=300),
    st.integers(0, 1 << 62),
)


@given(RECORDS, st.binary(max_size=20))
def test_a_scanned_record_is_the_decoded_one(record: tuple[bytes, int, int, int, bytes, int], around: bytes) -> None:
    """The quick look at a KeyValue in the form that etcd writes says what decoding it says."""
    key, create, mod, version, value, lease = record
    raw = b"\x0a" + protowire.varint(len(key)) + key
    for tag, number in ((0x10, create), (0x18, mod), (0x20, version)):
        raw += bytes([tag]) + protowire.varint(number) if number else b""
    raw += b"\x2a" + protowire.varint(len(value)) + value if value else b""
    raw += b"\x30" + protowire.varint(lease) if lease else b""
    kv = messages.decode_key_value(raw)
    found = messages.scan_key_value(around + raw + around, len(around), len(around) + len(raw))
    assert found is not None
    first, last, *rest = found
    assert ((around + raw)[first:last], *rest) == (kv.key, kv.mod_revision, kv.lease)


@given(st.binary(max_size=60))
def test_what_is_scanned_can_be_decoded(raw: bytes) -> None:
    """Of any bytes the quick look says nothing, or what decoding says: never more."""
    found = messages.scan_key_value(raw, 0, len(raw))
    if found is None:
        return
    try:
        kv = messages.decode_key_value(raw)
    except WireError as err:
        raise AssertionError("the quick look took what is no record") from err
    assert (raw[found[0] : found[1]], found[2], found[3]) == (kv.key, kv.mod_revision, kv.lease)
