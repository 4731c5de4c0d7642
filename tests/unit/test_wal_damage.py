"""A damaged WAL gives up everything that is whole in it, and names what is not.

The damage is done to the WAL of a killed etcd. Its frames are taken apart here once more, strictly and without the
reader under test, so that the tests know where each record lies.
"""

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from requorum.etcdfiles import checksum, messages, protowire, wal, walscan, walwrite
from requorum.etcdfiles.faults import EtcdFileError
from requorum.etcdfiles.messages import Entry, HardState, SnapshotMark
from requorum.etcdfiles.wal import Log
from requorum.etcdfiles.walscan import CRC, ENTRY, METADATA, SNAPSHOT, STATE

TAIL = bytes(8192)
"""The beginning of what etcd preallocates behind the last record."""
LENGTH = 8
"""The bytes of a frame's length field."""


@dataclass(frozen=True)
class Frame:
    """A record where it lies: ``offset`` to ``end``, its body from ``offset + 8``, its data from ``data_at``."""

    offset: int
    end: int
    kind: int
    crc: int
    data: bytes
    data_at: int

    @property
    def index(self) -> int:
        """The raft index of an entry."""
        return messages.decode_entry(self.data).index


@dataclass(frozen=True)
class Real:
    """The WAL of a killed member, cut shortly behind its last record."""

    raw: bytes
    frames: tuple[Frame, ...]
    entries: dict[int, Entry]

    @property
    def of_entries(self) -> list[Frame]:
        """The frames that hold entries."""
        return [one for one in self.frames if one.kind == ENTRY]


def frames_of(raw: bytes) -> list[Frame]:
    """The frames of an undamaged segment; every checksum is asserted."""
    at = crc = 0
    found: list[Frame] = []
    while True:
        (field,) = struct.unpack_from("<Q", raw, at)
        if field == 0:
            return found
        size, pad = field & ((1 << 56) - 1), (field >> 56) & 7
        body = raw[at + LENGTH : at + LENGTH + size]
        parts = {number: value for number, _, value in protowire.fields(body)}
        kind, stored, data = parts[1], parts[2], bytes(memoryview(parts[3])) if 3 in parts else b""  # type: ignore[arg-type]
        assert isinstance(kind, int)
        assert isinstance(stored, int)
        crc = stored if kind == CRC else checksum.crc32c(data, crc)
        assert stored == crc
        end = at + LENGTH + size + pad
        found.append(Frame(at, end, kind, stored, data, at + LENGTH + size - len(data)))
        at = end


def frame(kind: int, crc: int, data: bytes) -> bytes:
    """One record as etcd frames it."""
    body = protowire.int_field(1, kind) + protowire.int_field(2, crc)
    body += b"" if kind == CRC else protowire.bytes_field(3, data)
    pad = -len(body) % 8
    return struct.pack("<Q", len(body) | ((0x80 | pad) << 56 if pad else 0)) + body + bytes(pad)


def chain(records: Iterable[tuple[int, bytes]], seed: int = 0) -> tuple[bytes, int]:
    """A segment that goes on from ``seed``, and the checksum it ends at."""
    out, crc = [frame(CRC, seed, b"")], seed
    for kind, data in records:
        crc = checksum.crc32c(data, crc)
        out.append(frame(kind, crc, data))
    return b"".join(out), crc


def entry(index: int, term: int = 1, data: bytes = b"x" * 50) -> tuple[int, bytes]:
    """A record of one log entry."""
    return ENTRY, messages.encode_entry(Entry(0, term, index, data))


def metadata(node: int = 7, cluster: int = 8) -> tuple[int, bytes]:
    """A record of a member's identity."""
    return METADATA, messages.encode_wal_metadata(node, cluster)


def state(term: int = 1, vote: int = 7, commit: int = 1) -> tuple[int, bytes]:
    """A record of a hard state."""
    return STATE, messages.encode_hard_state(HardState(term, vote, commit))


def write(folder: Path, *segments: bytes, first: Sequence[int] = (0,)) -> Path:
    """A WAL dir of these segments, numbered from 0 on, each named after the first index it may hold."""
    folder.mkdir(parents=True, exist_ok=True)
    for seq, raw in enumerate(segments):
        (folder / f"{seq:016x}-{first[seq]:016x}.wal").write_bytes(raw)
    return folder


def read(folder: Path, *segments: bytes, first: Sequence[int] = (0,)) -> Log:
    """What the reader makes of these segments."""
    return wal.read_log(str(write(folder, *segments, first=first)))


def indexes(log: Log) -> list[int]:
    """The indexes of all whole entries."""
    return [index for run in log.runs for index in range(run.first, run.last + 1)]


def flip(raw: bytes, at: int, bit: int) -> bytes:
    """One bit turned over."""
    out = bytearray(raw)
    out[at] ^= 1 << bit
    return bytes(out)


def overwrite(raw: bytes, at: int, data: bytes) -> bytes:
    """Some bytes replaced."""
    return raw[:at] + data + raw[at + len(data) :]


@pytest.fixture(scope="module")
def real(crashed: Path) -> Real:
    """The WAL of the first member."""
    (path,) = (crashed / "m1/data/member/wal").glob("*.wal")
    with path.open("rb") as file:
        raw = file.read(8 << 20)
    frames = frames_of(raw)
    entries = [messages.decode_entry(one.data) for one in frames if one.kind == ENTRY]
    assert [one.index for one in entries] == list(range(1, len(entries) + 1)), "this member's log was never replaced"
    return Real(raw[: frames[-1].end] + TAIL, tuple(frames), {one.index: one for one in entries})


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that the examples of a property write over, one after the other."""
    return tmp_path_factory.mktemp("wal")


def assert_all_but(log: Log, real: Real, lost: Sequence[int]) -> None:
    """Every entry but the lost ones is whole, and the lost ones are said to be lost."""
    assert log.entries == {index: one for index, one in real.entries.items() if index not in lost}
    assert indexes(log) == sorted(log.entries)
    assert log.unreadable == tuple(lost)


def test_an_undamaged_wal_is_read_whole(real: Real, tmp_path: Path) -> None:
    """No damage is seen where there is none; ids, marks, hard state and every entry are those of the records."""
    log = read(tmp_path / "wal", real.raw)
    assert_all_but(log, real, [])
    assert log.damage == ()
    assert log.end == walscan.CLEAN
    assert log.last == (max(one.term for one in real.entries.values()), len(real.entries))
    last_state = [one.data for one in real.frames if one.kind == STATE][-1]
    assert log.hard_state == messages.decode_hard_state(last_state)
    identity = next(one.data for one in real.frames if one.kind == METADATA)
    assert (log.member_id, log.cluster_id) == messages.decode_wal_metadata(identity)
    assert log.marks == (SnapshotMark(0, 0, None),)


def test_entries_and_states_are_encoded_as_etcd_does(real: Real) -> None:
    """Every entry, hard state and identity in a real WAL is encoded again to the very bytes etcd wrote."""
    for one in real.frames:
        if one.kind == ENTRY:
            assert messages.encode_entry(messages.decode_entry(one.data)) == one.data
        elif one.kind == STATE:
            assert messages.encode_hard_state(messages.decode_hard_state(one.data)) == one.data
        elif one.kind == METADATA:
            assert messages.encode_wal_metadata(*messages.decode_wal_metadata(one.data)) == one.data


def test_only_the_wanted_bodies_are_kept(real: Real, tmp_path: Path) -> None:
    """Bodies up to ``keep_after`` are left out, the entries themselves still counted; member changes are kept."""
    log = wal.read_log(str(write(tmp_path / "wal", real.raw)), keep_after=500)
    assert sorted(log.entries) == list(range(501, len(real.entries) + 1))
    assert indexes(log) == sorted(real.entries)
    assert [one.index for one in log.conf_changes] == [1, 2, 3]


def test_term_and_reach_follow_the_runs(real: Real, tmp_path: Path) -> None:
    """``term_at`` and ``readable_to`` say of each index what its entry says."""
    lost = len(real.entries) // 2
    where = next(one for one in real.of_entries if one.index == lost)
    log = read(tmp_path / "wal", flip(real.raw, where.end - 9, 0))
    assert [log.term_at(index) for index in (1, lost - 1, lost, lost + 1, len(real.entries) + 1)] == [
        real.entries[1].term,
        real.entries[lost - 1].term,
        None,
        real.entries[lost + 1].term,
        None,
    ]
    assert log.readable_to(1) == lost - 1
    assert log.readable_to(lost) == lost - 1
    assert log.readable_to(lost + 1) == len(real.entries)


@pytest.mark.parametrize("which", [0, 1, 2, 300, -3, -2, -1])
def test_one_flipped_bit_of_an_entry_costs_that_entry_alone(real: Real, tmp_path: Path, which: int) -> None:
    """Exactly one damaged record, its raft index named, all others whole: first and last entries included."""
    hit = real.of_entries[which]
    log = read(tmp_path / "wal", flip(real.raw, hit.data_at + len(hit.data) - 1, 3))
    assert [(one.kind, one.index, one.offset) for one in log.damage] == [("checksum", hit.index, hit.offset)]
    assert_all_but(log, real, [hit.index])


@settings(deadline=None, max_examples=40)
@given(pick=st.data())
def test_any_flipped_bit_of_any_entry_costs_that_entry_alone(real: Real, scratch: Path, pick: st.DataObject) -> None:
    """The same for any bit of any entry's data, its own index and term included."""
    hit = pick.draw(st.sampled_from(real.of_entries[1:]))
    at = pick.draw(st.integers(0, len(hit.data) - 1))
    log = read(scratch, flip(real.raw, hit.data_at + at, pick.draw(st.integers(0, 7))))
    assert [(one.kind, one.index) for one in log.damage] == [("checksum", hit.index)]
    assert_all_but(log, real, [hit.index])


@pytest.mark.parametrize("first", [10, -2])
def test_two_damaged_entries_in_a_row_are_both_named(real: Real, tmp_path: Path, first: int) -> None:
    """Each of two neighbours is named by its own index, at the end of the log too."""
    hits = [real.of_entries[first], real.of_entries[first + 1]]
    raw = real.raw
    for hit in hits:
        raw = flip(raw, hit.data_at + len(hit.data) - 1, 0)
    log = read(tmp_path / "wal", raw)
    assert [one.index for one in log.damage] == [hit.index for hit in hits]
    assert_all_but(log, real, [hit.index for hit in hits])


@pytest.mark.parametrize("which", [0, 1, 300, -3])
@pytest.mark.parametrize("bit", [0, 6])
def test_a_flipped_stored_checksum_costs_nothing(real: Real, tmp_path: Path, which: int, bit: int) -> None:
    """When the stored checksum is what was hit, the record behind it proves the record whole."""
    hit = real.of_entries[which]
    crc_at = hit.offset + LENGTH + 3
    log = read(tmp_path / "wal", flip(real.raw, crc_at, bit))
    assert [(one.kind, one.offset) for one in log.damage] == [("stored checksum", hit.offset)]
    assert_all_but(log, real, [])


@pytest.mark.parametrize("part", ["length", "unused", "padding"])
def test_a_flipped_bit_of_a_length_field_costs_nothing(real: Real, tmp_path: Path, part: str) -> None:
    """A record tells its own length: whichever bit of the length field is wrong, no entry is lost."""
    bits = {"length": range(56), "unused": range(59, 63), "padding": (56, 57, 58, 63)}[part]
    padded = next(one for one in real.of_entries[300:] if real.raw[one.offset + 7])
    wrong = []
    for bit in bits:
        log = read(tmp_path / "wal", flip(real.raw, padded.offset + bit // 8, bit % 8))
        lost = len(real.entries) - len(log.entries)
        if lost or log.unreadable or not {one.offset for one in log.damage} <= {padded.offset}:
            wrong.append((bit, lost, [one.detail for one in log.damage]))
    assert wrong == []


@pytest.mark.parametrize("change", [-64, -8, -1, 1, 8, 64, 1 << 40])
@pytest.mark.parametrize("which", [0, 300, -2, -1])
def test_a_wrong_length_field_costs_nothing(real: Real, tmp_path: Path, which: int, change: int) -> None:
    """Too short, too long or beyond the file: the record is whole and so is all that follows; the field is named."""
    hit = real.of_entries[which]
    (field,) = struct.unpack_from("<Q", real.raw, hit.offset)
    size = (field & ((1 << 56) - 1)) + change
    wrong = struct.pack("<Q", max(size, 1) | field >> 56 << 56)
    log = read(tmp_path / "wal", overwrite(real.raw, hit.offset, wrong))
    assert_all_but(log, real, [])
    assert [(one.kind, one.offset) for one in log.damage] == [("length", hit.offset)]


@pytest.mark.parametrize("which", [0, 300, -2, -1])
def test_a_zeroed_length_field_hides_nothing(real: Real, tmp_path: Path, which: int) -> None:
    """etcd takes a zero length for the end of the log and wipes what follows; here every record behind is found."""
    hit = real.of_entries[which]
    log = read(tmp_path / "wal", overwrite(real.raw, hit.offset, bytes(LENGTH)))
    assert_all_but(log, real, [])
    assert [(one.kind, one.offset) for one in log.damage] == [("length", hit.offset)]


@pytest.mark.parametrize("zeroed", [16, 24, 40])
def test_a_zeroed_head_costs_that_entry_alone(real: Real, tmp_path: Path, zeroed: int) -> None:
    """Where a record's head is gone the reader finds the next record, and the gap in the indexes names the lost one."""
    hit = real.of_entries[300]
    log = read(tmp_path / "wal", overwrite(real.raw, hit.offset, bytes(zeroed)))
    assert_all_but(log, real, [hit.index])
    assert log.damage


def test_a_zeroed_page_costs_what_it_held(real: Real, tmp_path: Path) -> None:
    """4 KiB of zeroes amid the log: all entries that do not touch it are whole, and each lost one is named."""
    at = real.of_entries[300].offset // 4096 * 4096
    lost = [one.index for one in real.of_entries if one.offset < at + 4096 and one.end > at]
    log = read(tmp_path / "wal", overwrite(real.raw, at, bytes(4096)))
    assert set(log.unreadable) <= set(lost)
    assert set(real.entries) - set(lost) <= set(log.entries)
    assert all(one == real.entries[index] for index, one in log.entries.items())
    assert log.damage
    assert log.end == walscan.CLEAN


@pytest.mark.parametrize("bit", [0, 1, 2, 7])
def test_a_flipped_bit_of_an_entrys_type_is_seen(real: Real, tmp_path: Path, bit: int) -> None:
    """The checksum does not cover a record's type: an entry that poses as another record is still noticed."""
    hit = real.of_entries[300]
    log = read(tmp_path / "wal", flip(real.raw, hit.offset + LENGTH + 1, bit))
    assert set(real.entries) - {hit.index} <= set(log.entries)
    assert set(log.unreadable) <= {hit.index}
    assert log.damage
    last_state = [one.data for one in real.frames if one.kind == STATE][-1]
    assert log.hard_state == messages.decode_hard_state(last_state)


@pytest.mark.parametrize("bit", [0, 1, 2])
def test_a_flipped_bit_of_a_hard_states_type_costs_no_entry(tmp_path: Path, bit: int) -> None:
    """A hard state that poses as an entry replaces no entry, whatever it says."""
    first, then = [entry(n) for n in range(1, 6)], [entry(6, term=2), entry(7, term=2)]
    raw, _ = chain([metadata(), *first, state(term=2, vote=1 << 60, commit=3), *then])
    hit = frames_of(raw + TAIL)[-3]
    log = read(tmp_path / "wal", flip(raw, hit.offset + LENGTH + 1, bit) + TAIL)
    assert indexes(log) == [1, 2, 3, 4, 5, 6, 7]
    assert log.last == (2, 7)
    assert log.damage


def test_what_damage_may_have_replaced_does_not_count(tmp_path: Path) -> None:
    """A damaged record at a change of term may be the new leader's first one, and have replaced an entry before it: that
    one is not believed. Entries that were committed before are."""
    old = [entry(n) for n in range(1, 6)]
    raw, _ = chain([metadata(), *old, entry(5, term=3), entry(6, term=3)])
    hit = frames_of(raw + TAIL)[-2]
    log = read(tmp_path / "one", overwrite(raw, hit.data_at + 12, b"\xff\xff") + TAIL)
    assert indexes(log) == [1, 2, 3, 4, 6]
    assert log.unreadable == (5,)
    raw, _ = chain([metadata(), *old, state(term=2, vote=1 << 60, commit=5), entry(6, term=3), entry(7, term=3)])
    hit = frames_of(raw + TAIL)[-2]
    log = read(tmp_path / "other", overwrite(raw, hit.data_at + 12, b"\xff\xff") + TAIL)
    assert indexes(log) == [1, 2, 3, 4, 5, 7]


def test_within_a_term_damage_replaces_nothing(tmp_path: Path) -> None:
    """A leader never replaces its own entries: what comes before a damaged one of the same term is believed."""
    raw, _ = chain([metadata(), *(entry(n) for n in range(1, 9))])
    hit = frames_of(raw + TAIL)[-3]
    log = read(tmp_path / "wal", overwrite(raw, hit.data_at + 12, b"\xff\xff") + TAIL)
    assert indexes(log) == [1, 2, 3, 4, 5, 7, 8]


def test_a_half_written_last_record_is_torn(tmp_path: Path) -> None:
    """A sector of zeroes in the last record, zeroes behind it: the log ends before it, and nothing else is lost."""
    raw, _ = chain([metadata(), *(entry(n) for n in range(1, 6)), entry(6, data=b"y" * 3000)])
    sector = (len(raw) - 1500) // 512 * 512
    for damaged in (overwrite(raw, sector, bytes(512)), raw[:sector] + bytes(len(raw) - sector)):
        log = read(tmp_path / "wal", damaged + TAIL)
        assert log.end == walscan.TORN
        assert log.last == (1, 5)
        assert [one.kind for one in log.damage] == ["torn"]
        assert indexes(log) == [1, 2, 3, 4, 5]


def test_of_a_half_written_record_the_length_may_be_all_there_is(tmp_path: Path) -> None:
    """Wherever the first sector ends within its head."""
    told = {}
    for filler in range(8, 520, 8):
        raw, _ = chain([metadata(), entry(1), entry(2, data=b"x" * filler), entry(3, data=b"y" * 3000)])
        last = frames_of(raw + TAIL)[-1]
        sector = (last.offset // 512 + 1) * 512
        if sector - last.offset <= 40:
            log = read(tmp_path / "wal", raw[:sector] + bytes(len(raw) - sector) + TAIL)
            told[sector - last.offset] = log.end, log.last, [one.kind for one in log.damage]
    assert told == dict.fromkeys((8, 16, 24, 32, 40), (walscan.TORN, (1, 2), ["torn"]))


def test_a_zeroed_sector_with_records_behind_it_is_no_torn_end(tmp_path: Path) -> None:
    """etcd would end the log here; the records behind the sector are whole, so the log goes on."""
    raw, _ = chain([metadata(), entry(1), entry(2, data=b"y" * 3000), entry(3), entry(4)])
    hit = frames_of(raw + TAIL)[3]
    log = read(tmp_path / "wal", overwrite(raw, (hit.offset // 512 + 2) * 512, bytes(512)) + TAIL)
    assert log.end == walscan.CLEAN
    assert indexes(log) == [1, 3, 4]
    assert log.unreadable == (2,)
    assert [(one.kind, one.index) for one in log.damage] == [("checksum", 2)]


@pytest.mark.parametrize("earlier", [False, True], ids=["sound", "damaged before"])
def test_a_file_cut_within_its_last_record_is_cut(tmp_path: Path, earlier: bool) -> None:
    """Wherever the cut lies within the last record, the end is ``cut`` and every record before it is whole."""
    raw, _ = chain([metadata(), *(entry(n) for n in range(1, 6))])
    frames = frames_of(raw + TAIL)
    last = frames[-1]
    if earlier:
        raw = flip(raw, frames[3].data_at + 20, 0)
    wrong = []
    for size in range(last.offset + 1, last.end):
        log = read(tmp_path / "wal", raw[:size])
        if log.end != walscan.CUT or indexes(log)[: 3 if earlier else 4] != ([1, 3, 4] if earlier else [1, 2, 3, 4]):
            wrong.append((size - last.offset, log.end, indexes(log)))
    assert wrong == []


def test_a_file_cut_between_records_ends_cleanly(tmp_path: Path) -> None:
    """Nothing on the disk tells that more was there."""
    raw, _ = chain([metadata(), *(entry(n) for n in range(1, 6))])
    log = read(tmp_path / "wal", raw[: frames_of(raw + TAIL)[-1].offset])
    assert log.end == walscan.CLEAN
    assert log.damage == ()
    assert log.last == (1, 4)


def in_three(real: Real) -> tuple[tuple[bytes, bytes, bytes], tuple[int, int, int], list[list[int]]]:
    """The real log cut into three segments as etcd does: checksum mark, identity, hard state, then the entries.

    Returns the segments, the first index each may hold, and the indexes that each holds.
    """
    identity = next((one.kind, one.data) for one in real.frames if one.kind == METADATA)
    body = [(one.kind, one.data) for one in real.frames if one.kind in (ENTRY, STATE)]
    parts = (body[:200], body[200:400], body[400:])
    held = [[messages.decode_entry(data).index for kind, data in part if kind == ENTRY] for part in parts]
    out, crc, last_state = [], 0, state(0, 0, 0)
    for part in parts:
        raw, crc = chain([identity, last_state, *part], crc)
        out.append(raw)
        last_state = [one for one in part if one[0] == STATE][-1]
    return (out[0], out[1], out[2] + TAIL), (0, held[1][0], held[2][0]), held


def test_segments_are_read_as_one_log(real: Real, tmp_path: Path) -> None:
    """A log in three segments is the same log, without damage; reading can begin at the segment of an index."""
    segments, first, held = in_three(real)
    folder = write(tmp_path / "wal", *segments, first=first)
    log = wal.read_log(str(folder))
    assert_all_but(log, real, [])
    assert log.damage == ()
    for from_index, begins in ((held[1][0], 1), (held[1][-1], 1), (held[2][0], 2), (1 << 40, 2), (1, 0)):
        part = wal.read_log(str(folder), from_index=from_index)
        assert part.read_from == first[begins]
        assert indexes(part) == [index for one in held[begins:] for index in one]
        assert part.damage == ()
        assert part.member_id == log.member_id


def test_other_files_are_no_segments(real: Real, tmp_path: Path) -> None:
    """Preallocated and set-aside files in a WAL dir are left alone."""
    folder = write(tmp_path / "wal", real.raw)
    (folder / "0.tmp").write_bytes(bytes(100))
    (folder / "0000000000000001-0000000000000009.wal.broken").write_bytes(b"?")
    assert_all_but(wal.read_log(str(folder)), real, [])


def test_a_missing_middle_segment_is_named(real: Real, tmp_path: Path) -> None:
    """What the missing file held is unreadable, what the files around it hold is whole."""
    segments, first, held = in_three(real)
    folder = write(tmp_path / "wal", *segments, first=first)
    (folder / f"{1:016x}-{first[1]:016x}.wal").unlink()
    log = wal.read_log(str(folder))
    assert_all_but(log, real, held[1])
    assert [one.kind for one in log.damage] == ["missing segment"]


@pytest.mark.parametrize("which", [0, 1, 2])
def test_an_empty_segment_is_named(real: Real, tmp_path: Path, which: int) -> None:
    """A file of no bytes is damage wherever it stands, and costs only what it held; at the end the log is broken."""
    segments, first, held = in_three(real)
    files = list(segments)
    files[which] = b""
    log = read(tmp_path / "wal", *files, first=first)
    assert [one for one in log.entries if one in held[which]] == []
    assert sorted(log.entries) == sorted(set(real.entries) - set(held[which]))
    assert "empty" in {one.kind for one in log.damage}
    assert (log.end == walscan.BROKEN) == (which == 2)


@pytest.mark.parametrize("which", [0, 1, 2])
def test_a_zeroed_segment_is_named(real: Real, tmp_path: Path, which: int) -> None:
    """Every segment begins with a checksum mark: one of zeroes alone has lost its records, and is no clean end."""
    segments, first, held = in_three(real)
    files = list(segments)
    files[which] = bytes(len(files[which]))
    log = read(tmp_path / "wal", *files, first=first)
    assert sorted(log.entries) == sorted(set(real.entries) - set(held[which]))
    assert log.damage


def test_a_cut_middle_segment_is_named(real: Real, tmp_path: Path) -> None:
    """A segment that stops within a record costs that record; the segments behind it are whole."""
    segments, first, held = in_three(real)
    last = [one for one in frames_of(segments[1] + TAIL) if one.kind == ENTRY][-1]
    log = read(tmp_path / "wal", segments[0], segments[1][: last.end - 20], segments[2], first=first)
    assert_all_but(log, real, held[1][-1:])
    assert log.damage
    assert log.end == walscan.CLEAN


def test_the_last_stored_checksum_of_a_segment_is_proven_by_the_next(tmp_path: Path) -> None:
    """The mark that begins a segment holds the checksum that the one before ends at: it proves its last record."""
    one, crc = chain([metadata(), entry(1), entry(2)])
    two, _ = chain([metadata(), state(), entry(3)], crc)
    hit = frames_of(one + TAIL)[-1]
    log = read(tmp_path / "wal", flip(one, hit.offset + LENGTH + 3, 0), two + TAIL, first=(0, 3))
    assert indexes(log) == [1, 2, 3]
    assert len(log.damage) == 1


def test_a_segment_of_another_wal_is_named(tmp_path: Path) -> None:
    """A segment whose first mark does not continue the one before is damage."""
    one, _ = chain([metadata(), entry(1), entry(2)])
    two, _ = chain([metadata(), state(), entry(3)], seed=12345)
    log = read(tmp_path / "wal", one, two + TAIL, first=(0, 3))
    assert [step.kind for step in log.damage] == ["chain"]


def test_an_entry_with_an_index_seen_before_replaces_what_followed(tmp_path: Path) -> None:
    """As in raft: a new leader's entry takes the place of its index and drops all that were behind it."""
    changed = ENTRY, messages.encode_entry(Entry(1, 1, 4, b"\x08\x01"))
    records = [metadata(), *(entry(n) for n in (1, 2, 3)), changed, entry(5), entry(3, term=2, data=b"new")]
    log = read(tmp_path / "wal", chain(records)[0] + TAIL)
    assert indexes(log) == [1, 2, 3]
    assert log.last == (2, 3)
    assert [(run.first, run.last, run.term) for run in log.runs] == [(1, 2, 1), (3, 3, 2)]
    assert sorted(log.entries) == [1, 2, 3]
    assert log.entries[3].data == b"new"
    assert log.conf_changes == ()
    assert log.unreadable == ()


def test_a_whole_log_can_be_replaced(tmp_path: Path) -> None:
    """Replacing begins anew even at the first entry that is there."""
    log = read(tmp_path / "wal", chain([metadata(), entry(5), entry(6), entry(5, term=2)])[0] + TAIL)
    assert [(run.first, run.last, run.term) for run in log.runs] == [(5, 5, 2)]


def test_damage_that_was_replaced_later_costs_nothing(tmp_path: Path) -> None:
    """A damaged entry whose index a later one took is not unreadable."""
    raw, _ = chain([metadata(), entry(1), entry(2), entry(3), entry(2, term=2), entry(3, term=2)])
    hit = frames_of(raw + TAIL)[3]
    log = read(tmp_path / "wal", flip(raw, hit.data_at + 20, 0) + TAIL)
    assert indexes(log) == [1, 2, 3]
    assert log.unreadable == ()


def test_a_change_of_identity_is_named(tmp_path: Path) -> None:
    """A segment of another member is damage, and does not change whose log it is."""
    one, crc = chain([metadata(7, 8), entry(1)])
    two, _ = chain([metadata(9, 8), state(), entry(2)], crc)
    log = read(tmp_path / "wal", one, two + TAIL, first=(0, 2))
    assert [step.kind for step in log.damage] == ["identity"]
    assert (log.member_id, log.cluster_id) == (7, 8)


def test_a_log_behind_a_snapshot_ends_at_its_mark(tmp_path: Path) -> None:
    """Where no entry follows the newest mark, the log ends at the mark."""
    mark = SNAPSHOT, messages.encode_snapshot_mark(SnapshotMark(9, 3, None))
    log = read(tmp_path / "wal", chain([metadata(), entry(1), entry(2), mark])[0] + TAIL)
    assert log.last == (3, 9)
    assert log.marks == (SnapshotMark(9, 3, None),)


@pytest.mark.parametrize("what", ["missing", "file", "no segment", "folder"])
def test_what_is_no_wal_is_an_error(tmp_path: Path, what: str) -> None:
    """Only where there is no segment to read at all is there an error, and it names the path."""
    path = tmp_path / "wal"
    if what == "file":
        path.write_bytes(b"x")
    elif what == "no segment":
        path.mkdir()
    elif what == "folder":
        (path / f"{0:016x}-{0:016x}.wal").mkdir(parents=True)
    with pytest.raises(EtcdFileError, match=str(path)):
        wal.read_log(str(path))


def test_a_written_wal_is_read_back(real: Real, tmp_path: Path) -> None:
    """The writer's WAL holds the same entries, ids, marks and hard state, without damage."""
    before = read(tmp_path / "old", real.raw)
    assert before.hard_state is not None
    mark = SnapshotMark(0, 0, messages.ConfState((1, 2, 3)))
    path = walwrite.write_wal(
        str(tmp_path / "new"),
        member_id=before.member_id,
        cluster_id=before.cluster_id,
        marks=[mark],
        entries=before.entries.values(),
        state=HardState(before.hard_state.term, before.hard_state.vote, before.last[1]),
    )
    after = wal.read_log(str(tmp_path / "new"))
    assert after.entries == before.entries
    assert (after.member_id, after.cluster_id) == (before.member_id, before.cluster_id)
    assert after.hard_state == HardState(before.hard_state.term, before.hard_state.vote, before.last[1])
    assert after.marks == (mark,)
    assert (after.damage, after.end) == ((), walscan.CLEAN)
    assert Path(path).stat().st_mode & 0o777 == 0o600
    assert [one.kind for one in frames_of(Path(path).read_bytes())][:3] == [CRC, METADATA, SNAPSHOT]


def test_the_writer_never_touches_a_wal_that_is_there(tmp_path: Path) -> None:
    """A folder that exists is refused, and left as it is."""
    folder = write(tmp_path / "wal", chain([metadata(), entry(1)])[0])
    with pytest.raises(FileExistsError):
        walwrite.write_wal(str(folder), member_id=1, cluster_id=2, marks=[], entries=[], state=HardState(1, 1, 0))
    assert len(list(folder.iterdir())) == 1
