"""Records behind damage count only where their chain of checksums runs on to what is known, whatever a client wrote."""

import os
import random
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from requorum.etcdfiles import checksum, messages
from requorum.etcdfiles.faults import BadBlocks
from requorum.etcdfiles.messages import Entry
from requorum.etcdfiles.wal import Log
from requorum.etcdfiles.walchain import Chains
from requorum.etcdfiles.walscan import ENTRY
from tests.unit.test_wal_damage import (
    TAIL,
    chain,
    entry,
    flip,
    frame,
    frames_of,
    indexes,
    metadata,
    overwrite,
    read,
    state,
)

SECTOR = 512
INJECTED = b"never in the log"


def injected(indexes: Sequence[int], term: int, seed: int, closing: int = 0) -> bytes:
    """What a client may write into a value: records with checksums that fit each other. The last one has ``closing`` more
    bytes of data than it must."""
    out = b""
    for at, index in enumerate(indexes, 1):
        data = messages.encode_entry(Entry(0, term, index, INJECTED + bytes(closing if at == len(indexes) else 0)))
        seed = checksum.crc32c(data, seed)
        out += frame(ENTRY, seed, data)
    return out


def carrying(index: int, records: bytes, behind: int = 600) -> tuple[int, bytes]:
    """An entry whose value holds these bytes at each alignment, so that one of them is where records lie."""
    body = b"A" * 1200
    for shift in range(8):
        body += b"A" * (-len(body) % 8 + shift) + records
    return entry(index, data=body + b"A" * behind)


def headless(raw: bytes, *gone: int) -> bytes:
    """The sectors that begin at the heads of some entries' records are gone."""
    for hit in frames_of(raw + TAIL):
        if hit.kind == ENTRY and hit.index in gone:
            raw = overwrite(raw, hit.offset, bytes(SECTOR))
    return raw


def assert_nothing_injected(log: Log) -> None:
    """No entry of the reader's is one that a client made up."""
    assert [one.index for one in log.entries.values() if one.data.startswith(INJECTED)] == []


@pytest.mark.parametrize("count", [1, 2, 3, 40])
@pytest.mark.parametrize("gone", ["zeroes", "ones", "noise"])
def test_records_in_a_value_are_none(tmp_path: Path, count: int, gone: str) -> None:
    """Where the head of the record that carries them is lost, the entry is unreadable, and what follows it is whole."""
    false = injected(range(6, 6 + count), 1, 12345) if count < 40 else injected([6] * 40, 1, 12345)
    raw, _ = chain(
        [metadata(), *(entry(n) for n in range(1, 6)), carrying(6, false), *(entry(n) for n in range(7, 10))]
    )
    hit = next(one for one in frames_of(raw + TAIL) if one.kind == ENTRY and one.index == 6)
    lost = {"zeroes": bytes(SECTOR), "ones": b"\xff" * SECTOR, "noise": random.Random(1).randbytes(SECTOR)}[gone]
    log = read(tmp_path, overwrite(raw, hit.offset, lost) + TAIL)
    assert_nothing_injected(log)
    assert indexes(log) == [1, 2, 3, 4, 5, 7, 8, 9]
    assert log.unreadable == (6,)
    assert tuple(log.found) == (7, 8, 9)
    assert tuple(log.unchecked) == (7,)


def test_a_chain_that_ends_with_its_carrier_is_none(tmp_path: Path) -> None:
    """The last record of the false chain ends just where the real one does, so that a real record stands behind it."""
    for padding in range(8):
        false = injected([6, 7], 1, 4711)
        body = b"A" * (1200 + padding) + false
        raw, _ = chain([metadata(), *(entry(n) for n in range(1, 6)), entry(6, data=body), entry(7), entry(8)])
        log = read(tmp_path / str(padding), headless(raw, 6) + TAIL)
        assert_nothing_injected(log)
        assert indexes(log) == [1, 2, 3, 4, 5, 7, 8]


def test_a_false_chain_between_two_damaged_places_is_none(tmp_path: Path) -> None:
    """A second damaged record shortly behind does not make the false chain the longest one."""
    false = injected([6, 6, 6, 6, 6], 1, 99)
    records = [metadata(), *(entry(n) for n in range(1, 6)), carrying(6, false), *(entry(n) for n in range(7, 14))]
    raw, _ = chain(records)
    again = next(one for one in frames_of(raw + TAIL) if one.kind == ENTRY and one.index == 9)
    raw = headless(raw, 6)
    for damaged in (flip(raw, again.data_at + 20, 3), overwrite(raw, again.offset, bytes(20))):
        log = read(tmp_path, damaged + TAIL)
        assert_nothing_injected(log)
        assert indexes(log)[:5] == [1, 2, 3, 4, 5]
        assert indexes(log)[-4:] == [10, 11, 12, 13]
        assert set(log.unreadable) <= {6, 7, 8, 9}


def test_a_false_chain_at_the_end_of_a_segment_is_none(tmp_path: Path) -> None:
    """The next segment begins with a checksum that no client knows."""
    for padding in range(8):
        one, crc = chain(
            [
                metadata(),
                *(entry(n) for n in range(1, 6)),
                entry(6, data=b"A" * (900 + padding) + injected([6, 7], 1, 7)),
            ]
        )
        two, _ = chain([metadata(), state(), entry(7), entry(8)], crc)
        log = read(tmp_path / str(padding), headless(one, 6), two + TAIL, first=(0, 7))
        assert_nothing_injected(log)
        assert indexes(log) == [1, 2, 3, 4, 5, 7, 8]
        assert log.unreadable == (6,)


def test_what_is_found_at_the_very_end_is_named(tmp_path: Path) -> None:
    """In the last record of all, bytes of a client's that run to its end cannot be told from records: what the reader takes
    there is named, so that another log is believed first."""
    for padding in range(8):
        body = b"A" * (1200 + padding) + injected([6, 7], 1, 4711)
        raw, _ = chain([metadata(), *(entry(n) for n in range(1, 6)), entry(6, data=body)])
        log = read(tmp_path / str(padding), headless(raw, 6) + TAIL)
        taken = [index for index, one in log.entries.items() if one.data.startswith(INJECTED)]
        assert set(taken) <= set(log.found)


def test_entries_between_two_lost_heads_count_where_no_value_can_hold_them(tmp_path: Path) -> None:
    """More entries than there is room for in what is damaged around them: they are in the log."""
    raw, _ = chain([metadata(), *(entry(n) for n in range(1, 400))])
    log = read(tmp_path, headless(raw, 50, 300) + TAIL)
    held = set(indexes(log))
    assert set(range(1, 50)) | set(range(60, 300)) | set(range(310, 400)) <= held
    assert held | set(log.unreadable) == set(range(1, 400))
    assert not held & set(log.unreadable)


def test_what_a_long_log_holds_behind_damage_is_proven(tmp_path: Path) -> None:
    """A chain longer than any request is no client's: its entries count like all others."""
    rng = random.Random(3)
    raw, _ = chain([metadata(), *(entry(n, data=rng.randbytes(100_000)) for n in range(1, 130))])
    log = read(tmp_path, headless(raw, 5) + TAIL)
    assert indexes(log) == [1, 2, 3, 4, *range(6, 130)]
    assert tuple(log.found) == ()
    assert tuple(log.unchecked) == (6,)


@pytest.mark.parametrize(
    "unit",
    [
        b"\x08\x02\x10\x01\x1a\xff\xff\xff",
        (16).to_bytes(8, "little") + b"\x08\x02\x10\x01\x1a\x0a\x00\x00" + bytes(8),
        (4096 + 7).to_bytes(7, "little") + b"\x87" + b"\x08\x02\x10\x01\x1a\x80\x20" + b"\x00",
    ],
    ids=["heads", "small records", "long records"],
)
def test_looking_for_records_takes_time_in_proportion(tmp_path: Path, unit: bytes) -> None:
    """Megabytes of what looks like records are passed over in a few seconds, and cost only what they are."""
    body = b"A" * 1200 + unit * (4_000_000 // len(unit))
    raw, _ = chain(
        [metadata(), *(entry(n) for n in range(1, 11)), entry(11, data=body), *(entry(n) for n in range(12, 20))]
    )
    began = time.process_time()
    log = read(tmp_path, headless(raw, 11) + bytes(64_000_000))
    assert time.process_time() - began < 20
    assert indexes(log) == [*range(1, 11), *range(12, 20)]


def test_looking_for_records_is_given_up_by_name(tmp_path: Path) -> None:
    """A segment that holds more of what looks like records than etcd could have written says why it is not read on."""
    raw, _ = chain([metadata(), *(entry(n) for n in range(1, 40))])
    path = tmp_path / "segment"
    path.write_bytes(raw + TAIL)
    fd = os.open(path, os.O_RDONLY)
    try:
        whole = Chains(fd, len(raw + TAIL), 64, None, BadBlocks())
        assert whole.next_from(64, 1) is not None
        assert whole.why == ""
        capped = Chains(fd, len(raw + TAIL), 64, None, BadBlocks(), most=30)
        assert capped.next_from(64, 1) is None
        assert "too much" in capped.why
    finally:
        os.close(fd)
