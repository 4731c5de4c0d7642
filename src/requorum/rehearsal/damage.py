"""The ways in which a disk comes back damaged: each as one function on a data dir, aimed by a random generator.

Their names and what etcd makes of each are those of the damage matrix that requorum's verdicts are held against
(``tests/damage``). A function raises :class:`Missed` where a data dir has nothing to hit: no second WAL file, say.
"""

import os
import shutil
from collections.abc import Callable, Collection
from pathlib import Path
from random import Random
from typing import Literal

from requorum.etcdfiles import bbolt, datadir, mvcc, snapfile, wal, walscan
from requorum.etcdfiles.bbolt import Bolt, Page
from requorum.etcdfiles.walscan import Record

Damage = Callable[[Path, Random], object]


class Missed(Exception):
    """There is nothing in this data dir that could be damaged in this way."""


def write_at(path: str | Path, offset: int, content: bytes) -> None:
    """Overwrite some bytes of a file."""
    with open(path, "r+b") as file:
        file.seek(offset)
        file.write(content)


def flip_bit(path: str | Path, offset: int, rng: Random) -> None:
    """Flip one bit of one byte."""
    with open(path, "r+b") as file:
        file.seek(offset)
        byte = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([byte ^ 1 << rng.randrange(8)]))


def _layout(data_dir: Path) -> datadir.Layout:
    return datadir.layout_of(str(data_dir))


def segments(data_dir: Path) -> list[str]:
    """The WAL files in order."""
    return [one.path for one in wal.segments_of(_layout(data_dir).wal_dir)]


def _entries(data_dir: Path) -> list[Record]:
    return [
        one
        for one in wal.records_of(_layout(data_dir).wal_dir)
        if one.type == walscan.ENTRY and one.sound and wal.entry_index(one.data)
    ]


def _last_entries(data_dir: Path) -> list[Record]:
    """The entries of the last WAL file that has any."""
    found = _entries(data_dir)
    if not found:
        raise Missed("no entry in the log")
    return [one for one in found if one.path == found[-1].path]


def consistent_index(data_dir: Path) -> int:
    """What the db counts as applied."""
    return mvcc.read_facts(_layout(data_dir).db).consistent_index


def none(data_dir: Path, rng: Random) -> None:
    """Nothing but the power cut."""


def oldest_wal_gone(data_dir: Path, rng: Random) -> None:
    """The first WAL file is missing."""
    _several(data_dir, 2)
    os.remove(segments(data_dir)[0])


def middle_wal_gone(data_dir: Path, rng: Random) -> None:
    """A WAL file between others is missing."""
    _several(data_dir, 3)
    os.remove(segments(data_dir)[1])


def last_wal_gone(data_dir: Path, rng: Random) -> None:
    """The last WAL file is missing."""
    _several(data_dir, 2)
    os.remove(segments(data_dir)[-1])


def wal_gone(data_dir: Path, rng: Random) -> None:
    """No WAL file is left."""
    for path in segments(data_dir):
        os.remove(path)


def _several(data_dir: Path, count: int) -> None:
    if len(segments(data_dir)) < count:
        raise Missed(f"fewer than {count} WAL files")


def last_wal_cut_in_a_record(data_dir: Path, rng: Random) -> None:
    """The last WAL file ends within its last entry."""
    last = _last_entries(data_dir)[-1]
    os.truncate(last.path, last.offset + 8 + max((last.end - last.offset) // 2, 4))


def last_wal_cut_between_records(data_dir: Path, rng: Random) -> None:
    """The last WAL file ends cleanly, some entries too early."""
    found = _last_entries(data_dir)
    if len(found) < 3:
        raise Missed("too few entries in the last WAL file")
    os.truncate(found[-1].path, found[-rng.randrange(2, min(20, len(found)))].offset)


def last_wal_halved(data_dir: Path, rng: Random) -> None:
    """The last WAL file has lost its second half."""
    last = _last_entries(data_dir)[-1]
    os.truncate(last.path, last.end // 2)


def middle_wal_cut(data_dir: Path, rng: Random) -> None:
    """A WAL file before the last ends within a record."""
    _several(data_dir, 2)
    path = segments(data_dir)[-2]
    last = [one for one in _entries(data_dir) if one.path == path][-1]
    os.truncate(path, last.offset + 12)


def last_wal_flipped(data_dir: Path, rng: Random) -> None:
    """One bit is wrong in an entry of the last WAL file."""
    _flip(rng.choice(_last_entries(data_dir)[:-1] or _last_entries(data_dir)), rng)


def middle_wal_flipped(data_dir: Path, rng: Random) -> None:
    """One bit is wrong in an entry of a WAL file before the last."""
    _several(data_dir, 2)
    path = segments(data_dir)[-2]
    _flip(rng.choice([one for one in _entries(data_dir) if one.path == path]), rng)


def tail_flipped(data_dir: Path, rng: Random, but: Collection[int] = ()) -> int:
    """One bit is wrong in an entry that the db does not hold yet, and that is none of ``but``; returns its index."""
    above = consistent_index(data_dir)
    found = [one for one in _entries(data_dir) if wal.entry_index(one.data) > above]
    found = [one for one in found[:-1] if wal.entry_index(one.data) not in but]
    if not found:
        raise Missed("the log holds nothing above the db")
    hit = rng.choice(found)
    _flip(hit, rng)
    return wal.entry_index(hit.data)


def _flip(record: Record, rng: Random) -> None:
    """Hit the second half of the entry's data: its index stays readable, as in most of a record's bytes."""
    flip_bit(record.path, record.end - 8 - rng.randrange(max(len(record.data) // 2 - 8, 1)), rng)


def length_zeroed(data_dir: Path, rng: Random) -> None:
    """The length of a record in the last WAL file is zero: etcd takes it for the end."""
    write_at(_middle(data_dir).path, _middle(data_dir).offset, bytes(8))


def block_zeroed_in_the_log(data_dir: Path, rng: Random) -> None:
    """4 KiB of zeroes in the last WAL file."""
    middle = _middle(data_dir)
    write_at(middle.path, (middle.offset + 4095) // 4096 * 4096, bytes(4096))


def _middle(data_dir: Path) -> Record:
    found = _last_entries(data_dir)
    return found[len(found) // 2]


def last_sector_zeroed(data_dir: Path, rng: Random) -> None:
    """A sector of the last record that spans one never reached the disk, nor anything behind it."""
    for last in reversed(_last_entries(data_dir)):
        sector = (last.offset // walscan.SECTOR + 1) * walscan.SECTOR
        if sector < last.end:
            write_at(last.path, sector, bytes(os.path.getsize(last.path) - sector))
            return
    raise Missed("no record spans a sector")


def _snaps(data_dir: Path) -> list[str]:
    return [one.path for one in snapfile.read_snaps(_layout(data_dir).snap_dir)[0]]


def newest_snap_gone(data_dir: Path, rng: Random) -> None:
    """The newest .snap file is missing."""
    if not _snaps(data_dir):
        raise Missed("no .snap file")
    os.remove(_snaps(data_dir)[0])


def newest_snap_flipped(data_dir: Path, rng: Random) -> None:
    """One bit is wrong in the newest .snap file."""
    if not _snaps(data_dir):
        raise Missed("no .snap file")
    path = _snaps(data_dir)[0]
    flip_bit(path, os.path.getsize(path) // 2, rng)


def snaps_gone(data_dir: Path, rng: Random) -> None:
    """No .snap file is left."""
    if not _snaps(data_dir):
        raise Missed("no .snap file")
    for path in _snaps(data_dir):
        os.remove(path)


def snaps_and_oldest_wal_gone(data_dir: Path, rng: Random) -> None:
    """No .snap file is left, and the log does not reach back to its start."""
    oldest_wal_gone(data_dir, rng)
    snaps_gone(data_dir, rng)


def db_empty(data_dir: Path, rng: Random) -> None:
    """The db file has no byte."""
    os.truncate(_layout(data_dir).db, 0)


def db_gone(data_dir: Path, rng: Random) -> None:
    """The db file is missing."""
    os.remove(_layout(data_dir).db)


def db_gone_and_snaps(data_dir: Path, rng: Random) -> None:
    """The db file and every .snap file are missing: the log alone is left."""
    db_gone(data_dir, rng)
    for path in _snaps(data_dir):
        os.remove(path)


def _leaves(bolt: Bolt) -> list[Page]:
    """The leaf pages of the key bucket that stand alone."""
    bucket = bolt.bucket(b"key")
    found: list[Page] = []
    todo = [bucket.root] if bucket is not None and bucket.inline is None else []
    while todo:
        page = bolt.page(todo.pop())
        if page.flags == bbolt.LEAF:
            found.append(page)
        else:
            todo += [child for _, child in bbolt.branch_items(page)]
    return sorted(found, key=lambda one: bytes(bbolt.leaf_items(one)[0].key) if one.elements else b"")


def _on_a_leaf(data_dir: Path, rng: Random, where: Literal["any", "old", "last"] = "any") -> tuple[str, int, Page]:
    """The db's path, the byte at which a leaf of the key bucket begins, and the leaf."""
    path = _layout(data_dir).db
    with Bolt(path) as bolt:
        leaves = [one for one in _leaves(bolt) if one.elements]
        if len(leaves) < 2:
            raise Missed("the db has too few pages")
        page = (
            leaves[-1] if where == "last" else rng.choice(leaves[: len(leaves) // 2] if where == "old" else leaves[:-1])
        )
        return path, page.pgid * bolt.meta.page_size, page


def leaf_zeroed(data_dir: Path, rng: Random) -> None:
    """A page of records is all zeroes."""
    path, at, page = _on_a_leaf(data_dir, rng)
    write_at(path, at, bytes(len(page.data)))


def last_leaf_zeroed(data_dir: Path, rng: Random) -> None:
    """The page with the newest records is all zeroes."""
    path, at, page = _on_a_leaf(data_dir, rng, "last")
    write_at(path, at, bytes(len(page.data)))


def leaf_misplaced(data_dir: Path, rng: Random) -> None:
    """A page says that it is another."""
    path, at, page = _on_a_leaf(data_dir, rng)
    write_at(path, at, (page.pgid + 1).to_bytes(8, "little"))


def leaf_flags_wrong(data_dir: Path, rng: Random) -> None:
    """A page is of a kind that does not exist."""
    path, at, _ = _on_a_leaf(data_dir, rng)
    write_at(path, at + 8, b"\xfd\xff")


def leaf_position_wrong(data_dir: Path, rng: Random) -> None:
    """An item of a page lies outside it."""
    path, at, _ = _on_a_leaf(data_dir, rng)
    write_at(path, at + bbolt.HEADER_SIZE + 4, b"\xf0\xff\xff\xff")


def revision_flipped(data_dir: Path, rng: Random) -> None:
    """The revision of a record is another, and out of order."""
    path, at, page = _on_a_leaf(data_dir, rng)
    item = at + bbolt.HEADER_SIZE + int.from_bytes(page.data[20:24], "little")
    write_at(path, item, b"\x7f")


def record_broken(data_dir: Path, rng: Random) -> None:
    """A record cannot be decoded."""
    path, at, page = _on_a_leaf(data_dir, rng)
    numbers = [int.from_bytes(page.data[16 + 4 * n : 20 + 4 * n], "little") for n in range(4)]
    write_at(path, at + bbolt.HEADER_SIZE + numbers[1] + numbers[2], b"\xff\xff\xff")


def value_flipped(data_dir: Path, rng: Random) -> None:
    """A byte of an older value is another, one that every db holds: no etcd can see that, only a comparison can."""
    path, at, page = _on_a_leaf(data_dir, rng, "old")
    for item in bbolt.leaf_items(page):
        spot = bytes(item.value).find(b'"data":"')
        if spot > 0:
            whole = bytes(page.data).find(bytes(item.value)) + spot + 9
            write_at(path, at + whole, b"X")
            return
    raise Missed("no value on this page")


def root_zeroed(data_dir: Path, rng: Random) -> None:
    """The page that everything hangs from is all zeroes."""
    path = _layout(data_dir).db
    with Bolt(path) as bolt:
        at, size = bolt.meta.root * bolt.meta.page_size, bolt.meta.page_size
    write_at(path, at, bytes(size))


def key_root_zeroed(data_dir: Path, rng: Random) -> None:
    """The page that all records hang from is all zeroes."""
    path = _layout(data_dir).db
    with Bolt(path) as bolt:
        bucket = bolt.bucket(b"key")
        if bucket is None or bucket.inline is not None:
            raise Missed("the db has too few pages")
        at, size = bucket.root * bolt.meta.page_size, bolt.meta.page_size
    write_at(path, at, bytes(size))


def newest_meta_flipped(data_dir: Path, rng: Random) -> None:
    """The newest meta page is wrong: etcd falls back on the one before."""
    path = _layout(data_dir).db
    with Bolt(path) as bolt:
        at = bolt.meta.txid % 2 * bolt.meta.page_size
    flip_bit(path, at + bbolt.HEADER_SIZE + 40 + rng.randrange(8), rng)


def both_metas_flipped(data_dir: Path, rng: Random) -> None:
    """Both meta pages are wrong."""
    path = _layout(data_dir).db
    with Bolt(path) as bolt:
        size = bolt.meta.page_size
    for slot in (0, 1):
        flip_bit(path, slot * size + bbolt.HEADER_SIZE + 40 + rng.randrange(8), rng)


def db_cut(data_dir: Path, rng: Random) -> None:
    """The db file has lost its second half: of what is used of it, a file may be larger than that."""
    path = _layout(data_dir).db
    with Bolt(path) as bolt:
        size = bolt.meta.size
    os.truncate(path, size // 2)


def disk_gone(data_dir: Path, rng: Random) -> None:
    """There is no data dir any more."""
    shutil.rmtree(data_dir)


LOG: dict[str, Damage] = {
    "oldest WAL gone": oldest_wal_gone,
    "middle WAL gone": middle_wal_gone,
    "last WAL gone": last_wal_gone,
    "all WAL gone": wal_gone,
    "last WAL cut in a record": last_wal_cut_in_a_record,
    "last WAL cut between records": last_wal_cut_between_records,
    "last WAL halved": last_wal_halved,
    "middle WAL cut": middle_wal_cut,
    "last WAL flipped": last_wal_flipped,
    "middle WAL flipped": middle_wal_flipped,
    "tail flipped": tail_flipped,
    "length zeroed": length_zeroed,
    "4 KiB of the log zeroed": block_zeroed_in_the_log,
    "last sector zeroed": last_sector_zeroed,
    "newest .snap gone": newest_snap_gone,
    "newest .snap flipped": newest_snap_flipped,
    "all .snap gone": snaps_gone,
    "all .snap and oldest WAL gone": snaps_and_oldest_wal_gone,
}
DB: dict[str, Damage] = {
    "db empty": db_empty,
    "db gone": db_gone,
    "db and all .snap gone": db_gone_and_snaps,
    "leaf zeroed": leaf_zeroed,
    "last leaf zeroed": last_leaf_zeroed,
    "leaf misplaced": leaf_misplaced,
    "leaf flags wrong": leaf_flags_wrong,
    "leaf position wrong": leaf_position_wrong,
    "revision flipped": revision_flipped,
    "record broken": record_broken,
    "value flipped": value_flipped,
    "root zeroed": root_zeroed,
    "key root zeroed": key_root_zeroed,
    "newest meta flipped": newest_meta_flipped,
    "both metas flipped": both_metas_flipped,
    "db cut": db_cut,
}
ALL: dict[str, Damage] = {"none": none, **LOG, **DB, "disk gone": disk_gone}
