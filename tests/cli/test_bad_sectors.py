"""Disks that do not give back all they hold: one bad sector costs what lies in it, and nothing else.

The disk is a btrfs in a file, with a byte flipped underneath it: reading that block is an input/output error, as it is on a
disk with a bad sector.
"""

import json
import mmap
import os
import random
import struct
import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from lab import rootfs
from requorum.etcdfiles import bbolt, datadir, faults, mvcc, tree, verify, wal, walscan
from requorum.etcdfiles.walscan import Record

from .process import Requorum

pytestmark = pytest.mark.timeout(400)

MB = 1 << 20
MEMBERS = ("m1", "m2", "m3")
Hit = tuple[Path, int]
"""A file, and a byte of it whose block is to go bad."""


def run(*argv: str | Path) -> None:
    """One program to its end."""
    subprocess.run(argv, check=True, capture_output=True, timeout=60)


@pytest.fixture
def on_bad_disk(crashed: Path, tmp_path: Path) -> Iterator[Callable[..., Path]]:
    """``on_bad_disk(hits)``: the crashed cluster on a disk of its own, or the members ``names`` of it, with the sectors bad that
    ``hits`` names there."""
    rootfs.install_programs({"mkfs.btrfs": "btrfs-progs"})
    source, image, mounted = (tmp_path / name for name in ("source", "disk", "mounted"))

    def make(hits: Callable[[Path], Sequence[Hit]], names: Sequence[str] = MEMBERS) -> Path:
        source.mkdir()
        mounted.mkdir()
        for name in names:
            run("cp", "-a", "--sparse=always", crashed / name, source)
        for segment in source.rglob("*.wal"):
            os.truncate(segment, (len(segment.read_bytes().rstrip(b"\0")) // MB + 2) * MB)
        bad = [(path, at // faults.BLOCK * faults.BLOCK) for path, at in hits(source)]
        image.touch()
        os.truncate(image, 400 * MB)
        run("mkfs.btrfs", "-q", "-m", "single", "-d", "single", "--rootdir", source, image)
        with image.open("r+b") as file, mmap.mmap(file.fileno(), 0) as raw:
            for path, at in bad:
                block = path.read_bytes()[at : at + faults.BLOCK]
                place = raw.find(block)
                assert place >= 0
                assert raw.find(block, place + 1) < 0, "this block cannot be told from others"
                raw[place + 7] ^= 1
        run("mount", "-o", "loop,ro", image, mounted)
        for path, at in bad:
            with (
                (mounted / path.relative_to(source)).open("rb") as opened,
                pytest.raises(OSError, match="Input/output"),
            ):
                os.pread(opened.fileno(), 1, at)
        return mounted

    yield make
    if os.path.ismount(mounted):
        run("umount", mounted)


def entries(data_dir: Path) -> list[Record]:
    """The entry records of a member's log."""
    return [one for one in wal.records_of(datadir.layout_of(str(data_dir)).wal_dir) if one.type == walscan.ENTRY]


def middle(one: Record) -> Hit:
    """The middle of a record."""
    return Path(one.path), (one.offset + one.end) // 2


def test_a_log_is_read_past_a_bad_sector(on_bad_disk: Callable[..., Path], crashed: Path) -> None:
    """The entries in the bad block are unreadable, those that merely touch it may be, and all others are what they were."""
    disk = on_bad_disk(lambda root: [middle(entries(root / "m1/data")[300])])
    layout = datadir.layout_of(str(disk / "m1/data"))
    whole, log = wal.read_log(datadir.layout_of(str(crashed / "m1/data")).wal_dir), wal.read_log(layout.wal_dir)
    (path, at) = middle(entries(crashed / "m1/data")[300])
    block = at // faults.BLOCK * faults.BLOCK
    end, same_file = block + faults.BLOCK, [one for one in entries(crashed / "m1/data") if one.path == str(path)]
    within = {wal.entry_index(one.data) for one in same_file if block <= one.offset and one.end <= end}
    touched = {wal.entry_index(one.data) for one in same_file if block < one.end and one.offset < end}
    assert within
    assert within <= set(whole.entries) - set(log.entries) <= touched
    assert all(whole.entries[index] == entry for index, entry in log.entries.items())
    assert log.last == whole.last
    told = [(one.offset, one.detail) for one in log.damage if one.kind == "unreadable"]
    assert told == [(block, "the disk does not give back 4096 bytes")]


def test_a_log_whose_end_is_on_a_bad_sector_was_not_read_to_its_end(on_bad_disk: Callable[..., Path]) -> None:
    """What cannot be read may be an entry that was acknowledged: it is not taken for the empty room behind the last one."""

    def hits(root: Path) -> Sequence[Hit]:
        *_, last = wal.records_of(str(root / "m1/data/member/wal"))
        return [(Path(last.path), last.end - 1 if last.end % faults.BLOCK == 0 else last.end)]

    disk = on_bad_disk(hits)
    log = wal.read_log(datadir.layout_of(str(disk / "m1/data")).wal_dir)
    assert log.end != walscan.CLEAN or log.unreadable
    assert "unreadable" in {one.kind for one in log.damage}


def test_a_db_with_bad_sectors_tells_what_it_can(on_bad_disk: Callable[..., Path], crashed: Path) -> None:
    """A leaf and a meta page are bad: both are named, and the rest is read. The db is large enough for several processes."""

    def hits(root: Path) -> Sequence[Hit]:
        db = root / "m1/data/member/snap/db"
        os.truncate(db, verify.SHARED_FROM)
        with bbolt.Bolt(str(db)) as bolt:
            bucket = bolt.bucket(b"key")
            assert bucket is not None
            pages = [leaf.page.pgid for leaf in tree.Tree(bolt).leaves(bucket)]
            older = min(bolt.metas, key=lambda one: one.txid).slot
            size = bolt.meta.page_size
        return [(db, pages[len(pages) // 2] * size), (db, older * size)]

    db = on_bad_disk(hits, ["m1"]) / "m1/data/member/snap/db"
    whole, found = crashed / "m1/data/member/snap/db", verify.verify_db(str(db))
    assert [one.kind for one in found.damage] == ["meta page", "unreadable"]
    facts, right = mvcc.read_facts(str(db)), mvcc.read_facts(str(whole))
    assert (facts.consistent_index, facts.members, facts.revision) == (
        right.consistent_index,
        right.members,
        right.revision,
    )


@pytest.mark.parametrize("likely", [1, 3])
def test_a_bad_sector_within_a_page_that_runs_over(on_bad_disk: Callable[..., Path], likely: int) -> None:
    """A page of three, its last one bad: it is the disk, not the end of the file, however many are read in one go."""

    def hits(root: Path) -> Sequence[Hit]:
        db = root / "m1/data/member/snap/db"
        with bbolt.Bolt(str(db)) as bolt:
            size, at = bolt.meta.page_size, bolt.meta.hwm
            bucket = bolt.bucket(b"key")
            assert bucket is not None
            page = bolt.page(bucket.root)
            while page.flags == bbolt.BRANCH:
                page = bolt.page(bbolt.branch_items(page)[0][1])
        raw = struct.pack("<QHHI", page.pgid, bbolt.LEAF, page.elements, 2) + page.data[bbolt.HEADER_SIZE :]
        with db.open("r+b") as file:
            file.seek(page.pgid * size)
            file.write(raw[:size] + random.Random(1).randbytes(2 * size))
        assert page.pgid + 3 < at
        places.append(page.pgid)
        return [(db, (page.pgid + 2) * size)]

    places: list[int] = []
    disk = on_bad_disk(hits, ["m1"])
    with bbolt.Bolt(str(disk / "m1/data/member/snap/db")) as bolt:
        bolt._likely = likely
        with pytest.raises(bbolt.BadPage) as bad:
            bolt.page(places[0])
    assert bad.value.kind == "unreadable"


def test_bad_sectors_everywhere_and_nothing_lost(
    requorum: Requorum, on_bad_disk: Callable[..., Path], etcd_dir: Path, tmp_path: Path
) -> None:
    """Every log has a bad sector, each at another place, and there is no db any more: put together nothing is missing. It is
    said that the disks are not to be trusted."""

    def hits(root: Path) -> Sequence[Hit]:
        for name in MEMBERS:
            (root / name / "data/member/snap/db").unlink()
        logs = {name: entries(root / name / "data") for name in MEMBERS}
        return [middle(logs[name][at]) for name, at in zip(MEMBERS, (100, 200, 300), strict=True)]

    disk = on_bad_disk(hits)
    dirs = [disk / name / "data" for name in MEMBERS]
    verdict = json.loads(requorum("survey", "--verify", *dirs, "-o", "json", code=0, seconds=60).out)["verdict"]
    for name in MEMBERS:
        texts = [one["text"] for one in verdict["findings"] if one["subject"] == name and one["level"] == "danger"]
        assert any("disk gives errors" in text for text in texts), verdict["findings"]
    words = ("rebuild", *dirs, "-o", tmp_path / "out.db", "--etcd-dir", etcd_dir, "--format", "json")
    source = json.loads(requorum(*words, code=0, seconds=60).out)["source"]
    assert source["kind"] == "merged log"
    assert (source["loss"]["at_most"], source["loss"]["unproven"]) == (0, "")


def test_a_bad_sector_where_nothing_lies_does_no_harm(
    requorum: Requorum, on_bad_disk: Callable[..., Path], etcd_dir: Path, tmp_path: Path
) -> None:
    """A free page of the db is bad: nothing is damaged, and nothing is lost, although etcdutl cannot copy such a file.

    It is one disk of three: that the others held no more is not proven, exit 3.
    """

    def hits(root: Path) -> Sequence[Hit]:
        db = root / "m1/data/member/snap/db"
        raw = db.read_bytes()
        with bbolt.Bolt(str(db)) as bolt:
            walk, size = verify.Walk(bolt, verify.NOTHING, trailer=False, processes=1), bolt.meta.page_size
            walk.run()
        for pgid in range(2, len(walk.tree.seen)):
            page = raw[pgid * size : (pgid + 1) * size]
            if not walk.tree.seen[pgid] and page.strip(b"\0") and raw.count(page) == 1:
                return [(db, pgid * size)]
        raise AssertionError("no page of this db is free")

    data = on_bad_disk(hits, ["m1"]) / "m1/data"
    (found,) = json.loads(requorum("survey", "--verify", data, "-o", "json", code=0, seconds=60).out)["survey"][
        "members"
    ]
    assert (found["db"]["faults"], found["log"]["faults"]) == ([], [])
    words = ("rebuild", data, "-o", tmp_path / "out.db", "--etcd-dir", etcd_dir, "--format", "json")
    assert json.loads(requorum(*words, code=3, seconds=60).out)["source"]["kind"] == "own log"
    assert verify.verify_db(str(tmp_path / "out.db")).sound


def test_a_disk_that_is_gone_is_given_up(tmp_path: Path) -> None:
    """A few bad blocks are stepped over, once; where there is nothing else, reading ends."""
    path = tmp_path / "file"
    path.write_bytes(bytes(range(256)) * 64)
    with path.open("rb") as file:
        known = faults.BadBlocks()
        known.starts.add(faults.BLOCK)
        raw = faults.read_past(file.fileno(), 3 * faults.BLOCK, 100, known)
        whole = path.read_bytes()
        assert raw[: faults.BLOCK - 100] == whole[100 : faults.BLOCK]
        assert raw[faults.BLOCK - 100 : 2 * faults.BLOCK - 100] == b"\xff" * faults.BLOCK
        assert raw[2 * faults.BLOCK - 100 :] == whole[2 * faults.BLOCK : 3 * faults.BLOCK + 100]
        assert known.starts == {faults.BLOCK}
    unmapped = os.open("/proc/self/mem", os.O_RDONLY)  # reading where nothing is mapped is an input/output error, too
    try:
        bad = faults.BadBlocks()
        assert faults.read_past(unmapped, 8192, 0, bad) == b"\xff" * 8192
        assert bad.starts == {0, 4096}
        with pytest.raises(OSError, match="Input/output"):
            faults.read_past(unmapped, faults.BLOCK * (faults.MOST_BAD_BLOCKS + 1), 0, bad)
        slow = faults.BadBlocks()
        slow.seconds = faults.MOST_BAD_SECONDS + 1
        with pytest.raises(OSError, match="Input/output"):
            faults.read_past(unmapped, 1, 0, slow)
    finally:
        os.close(unmapped)
