"""What a log's records come to: as etcd takes them, however far the index; and what is compared of it."""

import time
from pathlib import Path

import pytest

from requorum.etcdfiles import messages, v2log, wal, walscan
from requorum.etcdfiles.faults import EtcdFileError
from requorum.etcdfiles.indexes import Indexes
from requorum.etcdfiles.messages import Entry, SnapshotMark
from requorum.etcdfiles.walscan import ENTRY, SNAPSHOT
from tests.unit.test_wal_damage import (
    TAIL,
    chain,
    entry,
    flip,
    frames_of,
    indexes,
    metadata,
    overwrite,
    read,
    state,
    write,
)

FAR = 2_000_000
KEY = b"drawn for this test"


def mark(index: int, term: int) -> tuple[int, bytes]:
    """A record of a snapshot's mark."""
    return SNAPSHOT, messages.encode_snapshot_mark(SnapshotMark(index, term, None))


def test_an_entry_of_a_lower_term_replaces_one_of_a_higher(tmp_path: Path) -> None:
    """Figure 8 of the raft paper: the leader of term 4 brings back an entry of term 2 over a deposed leader's of term 3."""
    log = read(tmp_path, chain([metadata(), entry(1), entry(2, term=3), entry(2, term=2), entry(3, term=4)])[0] + TAIL)
    assert [(run.first, run.last, run.term) for run in log.runs] == [(1, 1, 1), (2, 2, 2), (3, 3, 4)]
    assert log.damage == ()
    assert log.last == (4, 3)


@pytest.mark.parametrize("known", ["hard state", "own snapshot"])
def test_what_is_committed_is_not_replaced(tmp_path: Path, known: str) -> None:
    """An entry at or below a known commit index is damage, and changes nothing; above it, it replaces."""
    said = state(term=1, commit=3) if known == "hard state" else mark(3, 1)
    records = [metadata(), *(entry(n) for n in range(1, 6)), said, entry(3, term=2), entry(4, term=2)]
    log = read(tmp_path, chain(records)[0] + TAIL)
    assert [(run.first, run.last, run.term) for run in log.runs] == [(1, 3, 1), (4, 4, 2)]
    assert [one.kind for one in log.damage] == ["record"]


def test_entries_behind_a_snapshot_that_was_sent_are_numbered_from_its_mark(tmp_path: Path) -> None:
    """A member that was added late: its log begins at the mark, in a file that is called 0. A follower that lagged: its old
    entries, the mark, and on from there. Nothing is missing in between."""
    added = read(tmp_path / "added", chain([metadata(), mark(0, 0), mark(FAR, 3), entry(FAR + 1, term=3)])[0] + TAIL)
    lagged = [metadata(), mark(0, 0), *(entry(n) for n in range(1, 11)), mark(FAR, 3), entry(FAR + 1, term=3)]
    followed = read(tmp_path / "lagged", chain(lagged)[0] + TAIL)
    for log in (added, followed):
        assert (log.damage, log.end, log.last) == ((), walscan.CLEAN, (3, FAR + 1))
        assert log.unreadable == ()
    assert indexes(followed) == [*range(1, 11), FAR + 1]


@pytest.mark.parametrize("before", [0, 10])
def test_the_first_damaged_entry_behind_a_mark_is_numbered_from_it(tmp_path: Path, before: int) -> None:
    """Not from the old log; and it alone is missing."""
    records = [metadata(), mark(0, 0), *(entry(n) for n in range(1, before + 1)), mark(FAR, 3)]
    raw, _ = chain([*records, *(entry(FAR + n, term=3) for n in (1, 2, 3))])
    hit = next(one for one in frames_of(raw + TAIL) if one.kind == ENTRY and one.index == FAR + 1)
    log = read(tmp_path, flip(raw, hit.data_at + len(hit.data) - 1, 0) + TAIL)
    assert [one.index for one in log.damage] == [FAR + 1]
    assert log.unreadable == (FAR + 1,)
    assert indexes(log) == [*range(1, before + 1), FAR + 2, FAR + 3]


def test_a_mark_that_is_lost_with_damage_hides_nothing(tmp_path: Path) -> None:
    """Sound entries far ahead count where the mark before them is what was hit; what may be missing before them is bounded by
    the damaged bytes, not by the gap."""
    raw, _ = chain(
        [metadata(), *(entry(n) for n in range(1, 11)), mark(FAR, 3), *(entry(FAR + n, term=3) for n in (1, 2))]
    )
    hit = next(one for one in frames_of(raw + TAIL) if one.kind == SNAPSHOT)
    log = read(tmp_path, overwrite(raw, hit.offset, bytes(hit.end - hit.offset)) + TAIL)
    assert indexes(log)[-2:] == [FAR + 1, FAR + 2]
    assert len(log.unreadable) < 5
    assert log.damage


def test_a_gap_that_no_mark_explains_is_held_in_few_bytes(tmp_path: Path) -> None:
    """A missing file may have held millions of entries."""
    one, crc = chain([metadata(), *(entry(n) for n in range(1, 4))])
    two, _ = chain([metadata(), state(commit=FAR), entry(FAR + 1), entry(FAR + 2)], crc + 1)
    folder = write(tmp_path / "wal", one, b"", two + TAIL, first=(0, 4, FAR + 1))
    (folder / f"{1:016x}-{4:016x}.wal").unlink()
    began = time.process_time()
    log = wal.read_log(str(folder))
    assert log.unreadable.runs == ((4, FAR),)
    assert (len(log.unreadable), log.unreadable[0], log.unreadable[-1]) == (FAR - 3, 4, FAR)
    assert time.process_time() - began < 1


def test_what_a_later_snapshot_superseded_is_named(tmp_path: Path) -> None:
    """etcd reads the old tail behind a snapshot that contradicts it; it was never committed."""
    old = [entry(n) for n in range(1, 9)]
    log = read(tmp_path, chain([metadata(), *old, mark(5, 3), state(term=3, commit=5)])[0] + TAIL)
    assert tuple(log.superseded) == (6, 7, 8)
    assert log.last == (3, 5)
    later = chain([metadata(), *old, mark(5, 3), state(term=3, commit=5), entry(6, term=3)])[0]
    assert tuple(read(tmp_path, later + TAIL).superseded) == ()


def test_damage_that_was_cut_off_later_is_not_unreadable(tmp_path: Path) -> None:
    """A damaged entry at the end that a new leader's entry cut off is no gap."""
    raw, _ = chain(
        [
            metadata(),
            *(entry(n) for n in range(1, 5)),
            state(commit=3),
            *(entry(n) for n in range(5, 9)),
            entry(4, term=2),
        ]
    )
    hit = next(one for one in frames_of(raw + TAIL) if one.kind == ENTRY and one.index == 8)
    log = read(tmp_path, flip(raw, hit.data_at + 20, 1) + TAIL)
    assert indexes(log) == [1, 2, 3, 4]
    assert log.unreadable == ()


@pytest.mark.timeout(60)
def test_a_log_that_is_replaced_again_and_again_is_read_in_proportion(tmp_path: Path) -> None:
    """Thousands of overwritten tails, each of hundreds of entries, damage between them: no step looks at the whole log."""
    records = [metadata()]
    for term in range(1, 60):
        records += [entry(n, term=term, data=b"") for n in range(1, 800)]
    began = time.process_time()
    log = read(tmp_path, chain(records)[0] + TAIL)
    assert time.process_time() - began < 15
    assert indexes(log) == [*range(1, 800)]


def test_the_copy_that_etcd_kept_shows_the_log_before_it_was_cut(tmp_path: Path) -> None:
    """etcd copies a torn last segment to .broken and cuts it. With the copy in its place, the log is what it was; files that
    were begun since do not belong to it."""
    one, crc = chain([metadata(), entry(1), entry(2)])
    two, _ = chain([metadata(), state(), *(entry(n) for n in range(3, 8))], crc)
    frames = frames_of(two + TAIL)
    torn = overwrite(two, frames[4].data_at, b"\xff\xff")
    folder = write(tmp_path / "wal", one, two[: frames[4].offset], first=(0, 3))
    assert wal.broken_copies(str(folder)) == []
    copy = folder / f"{1:016x}-{3:016x}.wal.broken"
    copy.write_bytes(torn + TAIL)
    (folder / f"{2:016x}-{4:016x}.wal").write_bytes(chain([metadata(), entry(4, term=9)], 5)[0])
    assert wal.broken_copies(str(folder)) == [str(copy)]
    log = wal.read_log(str(folder), with_broken=str(copy))
    assert indexes(log) == [1, 2, 3, 5, 6, 7]
    assert log.unreadable == (4,)
    assert [one.path for one in log.segments][-1] == str(copy)
    assert indexes(wal.read_segment(str(copy))) == [3, 5, 6, 7]
    with pytest.raises(EtcdFileError, match="named"):
        wal.read_log(str(folder), with_broken=str(folder / "0.tmp"))


def test_a_half_written_end_of_a_living_log_is_no_damage(tmp_path: Path) -> None:
    """Wherever the last record breaks off. With sound records behind it, it is damage all the same."""
    raw, _ = chain([metadata(), *(entry(n) for n in range(1, 5)), entry(5, data=b"y" * 9000), entry(6)])
    frames = frames_of(raw + TAIL)
    for cut in (frames[-2].offset + 4, frames[-2].offset + 20, frames[-2].offset + 4096, frames[-2].end - 100):
        log = wal.read_log(str(write(tmp_path / "wal", raw[:cut] + bytes(64_000))), live=True)
        assert (indexes(log), log.damage, log.end, log.growing) == ([1, 2, 3, 4], (), walscan.CLEAN, True)
    log = wal.read_log(
        str(write(tmp_path / "wal", overwrite(raw, frames[-3].data_at + 9, b"\xff\xff") + TAIL)), live=True
    )
    assert [one.index for one in log.damage] == [4]


def test_a_log_of_etcd_2_is_told_for_what_it_is(tmp_path: Path) -> None:
    """Until 2.2 frames were not padded; later ones hold nothing but requests of the v2 API."""
    folder = write(
        tmp_path / "wal", b"\x04" + bytes(7) + b"\x08\x04\x10\x00" + b"\x1f" + bytes(7) + b"\x08\x01" + bytes(50)
    )
    with pytest.raises(EtcdFileError, match="etcd 2"):
        wal.read_log(str(folder))
    request = b"\x08\x01\x12\x03PUT\x1a\x06/1/key\x22\x05value"
    sync = b"\x08\x02\x12\x04SYNC\x1a\x00"
    own = b"\x08\x03\x12\x03PUT\x1a\x0a/0/version\x22\x053.4.0"
    v3 = b"\xa2\x06\x02\x08\x01\x22\x06\x0a\x01k\x12\x01v"
    assert v2log.is_all_there_is([Entry(0, 1, 1, request), Entry(0, 1, 2, b""), Entry(1, 1, 3, b"x")])
    assert v2log.is_all_there_is([Entry(0, 1, 1, own), Entry(0, 1, 2, sync)])
    assert not v2log.is_all_there_is([Entry(0, 1, 1, own)])
    assert not v2log.is_all_there_is([Entry(0, 1, 1, request), Entry(0, 1, 2, v3)])


def test_entries_hash_alike_whoever_wrote_them(tmp_path: Path) -> None:
    """3.7 leaves out the type of a normal entry and empty data; what an entry says is the same, and so is its hash."""
    said = [Entry(0, 2, 1, b"data"), Entry(0, 2, 2, b""), Entry(1, 2, 300, b"change")]
    old = [(ENTRY, messages.encode_entry(one)) for one in said]
    new = [(ENTRY, raw[2:] if raw[:2] == b"\x08\x00" else raw) for _, raw in old]
    empty = [old[0], (ENTRY, old[1][1] + b"\x22\x00"), old[2]]
    sums = set()
    for at, records in enumerate((old, new, empty)):
        log = wal.read_log(str(write(tmp_path / str(at), chain([metadata(), *records])[0] + TAIL)), key=KEY)
        assert log.hashes is not None
        sums.add((log.hashes.sum(1, 2), log.hashes[300]))
    assert len(sums) == 1


def test_hashes_are_of_what_is_left_and_differ_where_entries_do(tmp_path: Path) -> None:
    """What was replaced is not hashed any more; another byte, term, index or key is another hash; a range is as good as its
    entries."""
    base = [metadata(), *(entry(n) for n in range(1, 40))]
    folder = write(tmp_path / "one", chain([*base, entry(20, term=2), entry(21, term=2)])[0] + TAIL)
    one = wal.read_log(str(folder), key=KEY)
    plain = wal.read_log(str(write(tmp_path / "two", chain(base[:21])[0] + TAIL)), key=KEY)
    assert one.hashes is not None
    assert plain.hashes is not None
    assert len(one.hashes) == 21
    assert one.hashes.sum(1, 19) == plain.hashes.sum(1, 19)
    assert one.hashes[20] != plain.hashes[20]
    assert one.hashes.sum(3, 7) == sum(one.hashes[index] for index in range(3, 8)) % (1 << 64)
    assert len({one.hashes[index] for index in range(1, 22)}) == 21
    assert wal.read_log(str(folder), key=b"another").hashes[5] != one.hashes[5]  # type: ignore[index]
    assert one.hashes.sum(20, 22) is None
    assert wal.read_log(str(folder)).hashes is None


def test_indexes_read_like_a_tuple() -> None:
    """Of the indexes that they hold, in order."""
    some = Indexes([(3, 5), (9, 9)])
    assert some == (3, 4, 5, 9)
    assert some != (3, 4, 5)
    assert (len(some), some[0], some[-1], some[1:3]) == (4, 3, 9, (4, 5))
    assert (4 in some, 6 in some, bool(Indexes())) == (True, False, False)
    with pytest.raises(IndexError):
        some[4]
