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


@pytest.mark.parametrize(
    ("numbers", "compact", "told"),
    [
        ((0, 1, 2), 0, []),
        ((0, 2), 0, ["revision 7 holds a change 2 where change 1 should be"]),
        ((1, 2), 0, ["revision 7 holds a change 1 where change 0 should be"]),
        ((1, 2), 7, []),
        ((1 << 43,), 6, [f"revision 7 holds a change {1 << 43} where change 0 should be"]),
    ],
)
def test_changes_of_a_revision_are_numbered(numbers: Sequence[int], compact: int, told: Sequence[str]) -> None:
    """From 0 on, unless a compaction has removed some. A run that others come before cannot tell of its first change; whoever
    joins it can."""
    changes = [Change(7, sub, b"a", False, 0) for sub in numbers] + [Change(8, 0, b"b", False, 0)]
    assert faults(Records(WANTED, compact), changes) == told
    rest = Records(WANTED, compact, rest=True)
    unseen = numbers[0] != 0
    assert faults(rest, changes) == ([] if unseen else told)
    if unseen:
        assert read([Change(6, 0, b"a", False, 0)], compact).join(rest) == (not told)


@pytest.mark.parametrize(
    ("following", "joined"), [(Change(7, 1, b"b", False, 0), True), (Change(7, 2, b"b", False, 0), False)]
)
def test_changes_are_numbered_across_runs(following: Change, joined: bool) -> None:
    """A revision may be cut anywhere."""
    rest = read([following, Change(8, 0, b"b", False, 0)], 0, rest=True)
    assert read([Change(7, 0, b"a", False, 0)], 0).join(rest) == joined


def faults(records: Records, changes: Sequence[Change]) -> list[str]:
    """What is said of records while they are read."""
    said: list[str] = []
    records.read(leaf(changes), lambda _pgid, _kind, why: said.append(why))
    return said


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
