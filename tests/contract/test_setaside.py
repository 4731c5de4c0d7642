"""The end of what a run had set aside: etcd's files and the run's go, all others stay; in Python and in plain shell alike."""

import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from requorum.hosts import openssh, setaside
from requorum.hosts.connection import Connection, Here
from requorum.hosts.shell import Shell

pytestmark = pytest.mark.timeout(180)

SEGMENT = "0000000000000000-0000000000000000"
ETCDS = (
    *(f"member/snap/{name}" for name in ("db", "db.tmp.123", "tmp42", f"{SEGMENT}.snap", f"{SEGMENT}.snap.broken")),
    *("member/snap/0000000000000abc.snap.db", f"member/wal/{SEGMENT}.wal", f"member/wal/{SEGMENT}.wal.broken"),
    *("member/wal/0.tmp", "member/.touch", "fixtures/client/cert.pem", "fixtures/peer/key.pem"),
)
OTHERS = (
    *("snapshot.db", "backup/2024 01.db", "etcd.env", "member/snap/saved.db", "member/snap/db.bak", "member/notes"),
    *("member.bak/snap/db", f"member.bak/wal/{SEGMENT}.wal", "it's $HOME", ".hidden", "fixtures/ca.pem"),
)


def _open(script: str, words: Sequence[str]) -> openssh.Session:
    return openssh.Session(["sh", "-c"], openssh.as_root(script, words, password=False), "")


@pytest.fixture(params=["python", "shell"])
def host(request: pytest.FixtureRequest) -> Connection:
    """This machine, called in both ways."""
    return Here() if request.param == "python" else Shell("here", _open)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """The folder of a run beside a data dir, in a folder with an odd name."""
    made = tmp_path / "it's a $HOME" / "data.requorum" / "20260101-000000-abcd"
    made.mkdir(parents=True)
    (made.parent.parent / "data").mkdir()
    return made


def _lay(folder: Path, names: Sequence[str], content: str = "x") -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)


def _remove(host: Connection, run: Path) -> tuple[str, ...]:
    data = run.parent.parent / "data"
    return host.call(setaside.remove_run, run, data, data / "member" / "wal")


def test_all_goes_that_etcd_and_the_run_made(host: Connection, run: Path) -> None:
    """With nothing else in it the folder is gone, whatever the run kept there; a second time changes nothing."""
    for tree in setaside.TREES:
        _lay(run / tree, ETCDS)
    _lay(run / "old-wal", (f"{SEGMENT}.wal", "1.tmp"))
    _lay(run, ("plan.json", "journal.jsonl", "source.db", "bench/data/member/snap/db", "tools/etcd", ".made"))
    (run.parent / "lock.json").write_text("{}")
    assert _remove(host, run) == ()
    assert os.listdir(run.parent) == ["lock.json"]
    assert _remove(host, run) == ()


@pytest.mark.parametrize("tree", setaside.TREES)
def test_what_others_made_stays_where_it_lies(host: Connection, run: Path, tree: str) -> None:
    """Each of those files is kept to the byte and named, none of etcd's is."""
    _lay(run / tree, (*ETCDS, *OTHERS))
    _lay(run, ("plan.json",))
    assert _remove(host, run) == tuple(sorted(str(run / tree / name) for name in OTHERS))
    left = sorted(str(one.relative_to(run / tree)) for one in (run / tree).rglob("*") if one.is_file())
    assert left == sorted(OTHERS)
    assert os.listdir(run) == [tree]


def test_a_wal_dir_of_its_own(host: Connection, run: Path) -> None:
    """In a WAL dir that lay apart, WAL files are etcd's, a db is not."""
    _lay(run / "old-wal", (f"{SEGMENT}.wal", f"{SEGMENT}.wal.broken", "0.tmp", "db", "README"))
    assert _remove(host, run) == tuple(str(run / "old-wal" / name) for name in ("README", "db"))


def test_what_the_data_dir_has_as_well(host: Connection, run: Path) -> None:
    """A copy of a file that is still in the data dir goes; one that differs stays, and so does one behind a link."""
    data = run.parent.parent / "data"
    _lay(run / "copy", ("same", "other", "behind a link"))
    _lay(data, ("same",))
    _lay(data, ("other",), "y")
    (data / "behind a link").symlink_to(data / "same")
    assert _remove(host, run) == (str(run / "copy" / "behind a link"), str(run / "copy" / "other"))
    assert (data / "same").read_text() == "x"


def test_links_are_not_followed(host: Connection, run: Path, tmp_path: Path) -> None:
    """Nothing is removed through a link; one in etcd's place goes itself, any other stays and is named."""
    outside = tmp_path / "outside"
    _lay(outside, (f"{SEGMENT}.wal", "db"))
    (run / "old" / "member").mkdir(parents=True)
    (run / "old" / "member" / "wal").symlink_to(outside)
    (run / "old" / "mine").symlink_to(outside)
    (run / "new").symlink_to(outside)
    assert _remove(host, run) == (str(run / "old" / "mine"),)
    assert sorted(os.listdir(outside)) == [f"{SEGMENT}.wal", "db"]
    assert not (run / "new").is_symlink()
