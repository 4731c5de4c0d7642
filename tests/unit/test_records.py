"""Records that are read in runs come to what they come to when they are read in one go."""

import itertools
import struct
from array import array
from collections.abc import Sequence
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from requorum.etcdfiles import records
from requorum.etcdfiles.bbolt import LEAF, Page
from requorum.etcdfiles.records import KeysWanted, Records
from requorum.etcdfiles.tree import Leaf

WANTED = KeysWanted(keys={b"a"}, ranges=((b"c", b"e"),), leases={7})


@dataclass(frozen=True)
class Change:
    """One record: a key that is written (in a lease or none), or deleted; without a key a mark."""

    main: int
    sub: int
    key: bytes
    deleted: bool
    lease: int


@st.composite
def histories(draw: st.DrawFn) -> list[Change]:
    """Records in the order of their revisions, with gaps, several in a transaction, and marks between them."""
    out, main = [], draw(st.integers(1, 3))
    for _ in range(draw(st.integers(0, 25))):
        main += draw(st.sampled_from([1, 1, 1, 2, 5]))
        if draw(st.integers(0, 9)) == 0:
            out.append(Change(main, 0, b"", False, 0))
            continue
        for sub in range(draw(st.integers(1, 3))):
            key, lease = draw(st.sampled_from([b"a", b"b", b"c", b"d"])), draw(st.sampled_from([0, 0, 7]))
            out.append(Change(main, sub, key, draw(st.booleans()), lease))
    return out


def varint(value: int) -> bytes:
    """A number as protobuf writes it."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def leaf(changes: Sequence[Change]) -> Leaf:
    """A leaf with these records (mvccpb.KeyValue: key 1, mod_revision 3, lease 6)."""
    data, items = b"", []
    for one in changes:
        name = struct.pack(">qcq", one.main, b"_", one.sub) + (b"t" if one.deleted else b"")
        value = b"\x0a" + varint(len(one.key)) + one.key if one.key else b""
        if one.key and not one.deleted:
            value += b"\x18" + varint(one.main) + (b"\x30" + varint(one.lease) if one.lease else b"")
        middle = len(data) + len(name)
        data += name + value
        items.append((name, middle, len(data)))
    return Leaf(Page(9, LEAF, len(items), 0, data), items, True)


def read(changes: Sequence[Change], compact: int, *, rest: bool = False) -> Records:
    """These records, two in a leaf."""
    out = Records(WANTED, compact, rest=rest)

    def note(pgid: int, kind: str, why: str) -> None:
        raise AssertionError(f"page {pgid}: {kind}: {why}")

    for at in range(0, len(changes), 2):
        out.read(leaf(changes[at : at + 2]), note)
    return out


def known(read: Records, kept: int) -> tuple[object, ...]:
    """Everything that is asked of them; of the states the last ``kept``."""
    states = read.states()
    last: tuple[array[int], ...] = (states.mains[-kept:], states.live[-kept:], states.alls[-kept:])
    assert len(states.mains) == len(states.live) == len(states.alls)
    return read.last_main, read.live_keys, read.live, read.gaps, last


@settings(deadline=None, max_examples=400)
@given(
    history=histories(),
    cuts=st.lists(st.integers(0, 60), max_size=3),
    compact=st.integers(0, 20),
    kept=st.sampled_from([1, 2, 5, 100_000]),
)
def test_runs_come_to_the_whole(history: list[Change], cuts: list[int], compact: int, kept: int) -> None:
    """Cut anywhere, within a transaction too; and where most states were forgotten."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(records, "STATES_KEPT", kept)
        ends = [*sorted({min(one, len(history)) for one in cuts}), len(history)]
        joined = read(history[: ends[0]], compact)
        for begin, end in itertools.pairwise(ends):
            assert joined.join(read(history[begin:end], compact, rest=True))
        assert known(joined, kept) == known(read(history, compact), kept)


def test_what_cannot_come_behind_is_refused() -> None:
    """A run whose revisions lie before those that were read."""
    early, late = [[Change(main, 0, b"a", False, 0)] for main in (5, 9)]
    assert not read(late, 0).join(read(early, 0, rest=True))
    assert read(early, 0).join(read(late, 0, rest=True))
