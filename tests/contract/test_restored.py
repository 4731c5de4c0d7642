"""What a restore of 3.5 writes beside the db does not depend on the data; and what it makes of the db is seen through."""

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from requorum.etcdfiles import bbolt, emptydb, restored, snapfile
from requorum.etcdfiles.bbolt import BadPage, Bolt
from requorum.etcdfiles.faults import EtcdFileError

MEMBERS = [f"m{n}=https://10.0.0.{n}:2380" for n in (1, 2, 3)]
RAISED = 1_000_000
BUMP = ("--bump-revision", str(RAISED), "--mark-compacted")
PAGE = 4096
Items = dict[bytes, list[tuple[bytes, bytes]]]


@dataclass(frozen=True)
class Restored:
    """A snapshot, and what it was restored to: as it is, and with its revision raised (None: etcdutl is too old)."""

    etcdutl: Path
    snapshot: Path
    plain: Path
    bumped: Path | None


def restore(etcdutl: Path, snapshot: Path, target: Path, *more: str, name: str = "m2") -> int:
    """Restore a snapshot, as one of three members; returns the exit code."""
    argv: list[str | Path] = [
        etcdutl,
        "snapshot",
        "restore",
        snapshot,
        "--skip-hash-check=true",
        "--data-dir",
        target,
        "--name",
        name,
    ]
    argv += ["--initial-cluster", ",".join(MEMBERS), "--initial-cluster-token", "t", *more]
    argv += ["--initial-advertise-peer-urls", MEMBERS[int(name[1:]) - 1].partition("=")[2]]
    return subprocess.run(argv, capture_output=True, timeout=60, check=False).returncode


@pytest.fixture(scope="module")
def made(etcd_dir: Path, crashed: Path, tmp_path_factory: pytest.TempPathFactory) -> Restored:
    """A crashed member's db, restored."""
    root = tmp_path_factory.mktemp("restored")
    etcdutl, snapshot = etcd_dir / "etcdutl", crashed / "m1/data/member/snap/db"
    assert restore(etcdutl, snapshot, root / "plain") == 0
    helped = subprocess.run([etcdutl, "snapshot", "restore", "--help"], capture_output=True, text=True, check=True)
    can_bump = "--bump-revision" in helped.stdout
    if can_bump:
        assert restore(etcdutl, snapshot, root / "bumped", *BUMP) == 0
    return Restored(etcdutl, snapshot, root / "plain", root / "bumped" if can_bump else None)


def beside_the_db(data_dir: Path) -> dict[str, object]:
    """Every file of a data dir but the db. Of a .snap what it says: 3.6 writes the members into it in any order."""
    found: dict[str, object] = {}
    for one in (one for one in data_dir.rglob("*.*") if one.is_file()):
        raw = one.read_bytes()
        if one.suffix == ".snap":
            snap = snapfile.read_snap(str(one))
            found[one.name] = (snap.index, snap.term, snap.conf_state, sorted(re.findall(rb"[\w:/.]{8,}", raw)))
        else:
            found[one.name] = raw
    return found


@pytest.mark.parametrize("name", ["m1", "m2", "m3"])
def test_the_log_does_not_depend_on_the_data(made: Restored, tmp_path: Path, name: str) -> None:
    """From a db without data etcdutl makes the same WAL, to the byte, and the same .snap as from one with data."""
    empty = tmp_path / "empty.db"
    empty.write_bytes(emptydb.content())
    assert restore(made.etcdutl, empty, tmp_path / "empty", name=name) == 0
    assert restore(made.etcdutl, made.snapshot, tmp_path / "full", name=name) == 0
    found = beside_the_db(tmp_path / "empty")
    assert sorted(Path(one).suffix for one in found) == [".snap", ".wal"]
    assert found == beside_the_db(tmp_path / "full")
    if made.bumped is not None and name == "m2":
        assert found == beside_the_db(made.bumped)


def test_a_right_restore(made: Restored) -> None:
    """It holds what the snapshot holds; a raised revision is seen where none was asked for."""
    db = made.plain / "member/snap/db"
    assert restored.fault_of(str(db), str(made.snapshot), bump=0) == ""
    assert db.read_bytes() != made.snapshot.read_bytes()[: db.stat().st_size], "a restore changes the members"
    if made.bumped is not None:
        raised = str(made.bumped / "member/snap/db")
        assert restored.fault_of(raised, str(made.snapshot), bump=RAISED) == ""
        assert "the snapshot has no" in restored.fault_of(raised, str(made.snapshot), bump=0)


def test_a_restore_of_another_snapshot(made: Restored, tmp_path: Path) -> None:
    """Nothing, or another member's db: what is missing is named."""
    empty = tmp_path / "empty.db"
    empty.write_bytes(emptydb.content())
    assert restore(made.etcdutl, empty, tmp_path / "empty") == 0
    found = restored.fault_of(str(tmp_path / "empty/member/snap/db"), str(made.snapshot), bump=RAISED)
    assert "bucket 'auth'" in found or "bucket 'alarm'" in found


def test_a_file_that_is_too_short(made: Restored, tmp_path: Path) -> None:
    """Cut off behind a page: it says so; without any page it cannot be read."""
    raw = used(made.plain / "member/snap/db")
    short = tmp_path / "db"
    for pages in (0, 1, 2, 3, 10, len(raw) // PAGE - 1):
        short.write_bytes(raw[: pages * PAGE])
        if pages < 1:
            with pytest.raises(EtcdFileError):
                restored.fault_of(str(short), str(made.snapshot), bump=0)
        else:
            assert "bytes are there" in restored.fault_of(str(short), str(made.snapshot), bump=0)


def changed(made: Restored, db: Path, old: bytes, new: bytes, tmp_path: Path) -> str:
    """What is said of a restored db in which some bytes are others."""
    raw = used(db / "member/snap/db")
    assert old in raw
    other = tmp_path / "db"
    other.write_bytes(raw.replace(old, new))
    return restored.fault_of(str(other), str(made.snapshot), bump=RAISED if db is made.bumped else 0)


def test_a_bucket_under_another_name(made: Restored, tmp_path: Path) -> None:
    """Also one that is empty, and one that a restore writes anew."""
    assert "missing" in changed(made, made.plain, b"members_removed", b"members_removee", tmp_path)
    assert "missing" in changed(made, made.plain, b"authUsers", b"authUserz", tmp_path)


def test_raised_to_another_revision(made: Restored, tmp_path: Path) -> None:
    """Clients would be given revisions a second time, or run out of them."""
    if made.bumped is None:
        return
    with Bolt(str(made.bumped / "member/snap/db")) as bolt:
        *_, last = bolt.items(restored._buckets(bolt)[b"key"])
        key = bytes(last.key)
    for other in (bytes([key[0] | 0x40]) + key[1:], key[:8] + b"-" + key[9:]):
        assert "the snapshot has no" in changed(made, made.bumped, key, other, tmp_path)
    plain = str(made.plain / "member/snap/db")
    assert "was not raised" in restored.fault_of(plain, str(made.snapshot), bump=RAISED)


def used(path: Path) -> bytes:
    """The pages that a db uses: bbolt lets its file grow in steps."""
    with Bolt(str(path)) as bolt:
        return path.read_bytes()[: bolt.meta.size]


def items_of(path: Path) -> Items:
    """All that a db holds, read the plain way."""
    with Bolt(str(path)) as bolt:
        return {
            bytes(top.key): [
                (bytes(item.key), bytes(item.value)) for item in bolt.items(bbolt.bucket_of(top, bolt.meta.root))
            ]
            for top in bolt.items(bolt.root_bucket())
            if bytes(top.key) not in restored.REWRITTEN
        }


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file that the examples write over."""
    return tmp_path_factory.mktemp("flipped") / "db"


@settings(max_examples=300, deadline=None)
@given(pick=st.data())
def test_whatever_is_changed_in_it(made: Restored, scratch: Path, pick: st.DataObject) -> None:
    """Bytes overwritten, pages swapped or copied over others: found, unless every item can still be read as it was."""
    db = made.plain if made.bumped is None or pick.draw(st.booleans()) else made.bumped
    raw = bytearray(used(db / "member/snap/db"))
    pages = len(raw) // PAGE
    page = st.integers(0, pages - 1)
    for _ in range(pick.draw(st.integers(1, 3))):
        how = pick.draw(st.sampled_from(["bytes", "header", "swap", "copy"]))
        one, other = pick.draw(page) * PAGE, pick.draw(page) * PAGE
        if how in ("bytes", "header"):
            at = one + pick.draw(st.integers(0, 60 if how == "header" else PAGE - 1))
            new = pick.draw(st.binary(min_size=1, max_size=12))[: len(raw) - at]
            raw[at : at + len(new)] = new
        else:
            first, second = bytes(raw[one : one + PAGE]), bytes(raw[other : other + PAGE])
            raw[other : other + PAGE] = first
            if how == "swap":
                raw[one : one + PAGE] = second
    scratch.write_bytes(raw)
    bump = RAISED if db is made.bumped else 0
    try:
        fault = restored.fault_of(str(scratch), str(made.snapshot), bump=bump)
    except EtcdFileError:
        return
    if fault:
        return
    try:
        assert items_of(scratch) == items_of(db / "member/snap/db")
    except BadPage as err:
        raise AssertionError(f"it was called right, and cannot be read: {err}") from err
