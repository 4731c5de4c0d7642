"""Every row of the damage matrix, on a real member's disk of every version: the verdict, the recovery, the audit."""

from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest

from lab import etcds
from requorum.etcdfiles import mvcc, snapfile, wal
from requorum.rehearsal import damage
from tests.damage import cases

START, REBUILD = "start as is", "rebuild"
START_OR_AHEAD = "start as is, unless the db is ahead"
"""A rebuild only where the db had applied what was cut off: etcd would pass over as many entries that come after the start."""
AHEAD = "it would swallow writes"
DRIFTED = "counts as applied"
"""etcd 3.5.0 to 3.5.2, killed, leave that behind by themselves now and then (etcd#13766): such a db is not started."""
LOSES = "loses"
"""The recovery may lose what the damage took: no more than was said."""

ROWS = {
    "none": (START, ""),
    "last WAL cut in a record": (REBUILD, LOSES),
    "last WAL cut between records": (START_OR_AHEAD, LOSES),
    "last WAL halved": (REBUILD, LOSES),
    "last WAL flipped": (REBUILD, LOSES),
    "tail flipped": (REBUILD, LOSES),
    "length zeroed": (REBUILD, LOSES),
    "4 KiB of the log zeroed": (REBUILD, LOSES),
    "last sector zeroed": (START_OR_AHEAD, LOSES),
    "all WAL gone": (REBUILD, LOSES),
    "newest .snap gone": (START, ""),
    "newest .snap flipped": (START, ""),
    "all .snap gone": (START, ""),
    "db empty": (REBUILD, ""),
    "db gone": (REBUILD, ""),
    "db and all .snap gone": (REBUILD, ""),
    "leaf zeroed": (REBUILD, ""),
    "last leaf zeroed": (REBUILD, ""),
    "leaf misplaced": (REBUILD, ""),
    "leaf flags wrong": (REBUILD, ""),
    "leaf position wrong": (REBUILD, ""),
    "revision flipped": (REBUILD, ""),
    "record broken": (REBUILD, ""),
    "root zeroed": (REBUILD, ""),
    "key root zeroed": (REBUILD, ""),
    "newest meta flipped": (REBUILD, ""),
    "both metas flipped": (REBUILD, ""),
    "db cut": (REBUILD, ""),
}
"""Of a member with one WAL file, whose log reaches back to its start."""
LONG = {
    "oldest WAL gone": (START, ""),
    "middle WAL gone": (REBUILD, ""),
    "last WAL gone": (REBUILD, LOSES),
    "middle WAL cut": (REBUILD, ""),
    "middle WAL flipped": (REBUILD, ""),
    "all .snap and oldest WAL gone": (REBUILD, ""),
    "db cut": (REBUILD, ""),
}
"""Of a member with several WAL files, whose newest .snap lies in the last: etcd refuses damage that is older, too."""
UNSEEN = {"value flipped"}
"""In one file alone nobody can see it: two members have to be compared."""


def test_every_way_is_in_the_matrix() -> None:
    """No way to damage a disk is left out."""
    assert {*ROWS, *LONG, *UNSEEN, "disk gone"} == {*damage.ALL}


@pytest.mark.rotates(of=4)
@pytest.mark.parametrize("version", etcds.VERSIONS)
@pytest.mark.parametrize("row", ROWS)
def test_one_member(killed: Callable[[str, str], cases.Killed], version: str, row: str, tmp_path: Path) -> None:
    """One damage on the only member of a cluster."""
    _hold(cases.play(killed(version, "one"), {"m1": [row]}, Random(1), tmp_path), version, *ROWS[row])


@pytest.mark.rotates(of=4)
@pytest.mark.parametrize("version", etcds.VERSIONS)
@pytest.mark.parametrize("row", LONG)
def test_one_member_with_several_wal_files(
    killed: Callable[[str, str], cases.Killed], version: str, row: str, tmp_path: Path
) -> None:
    """The same where the log was cut into files."""
    _hold(cases.play(killed(version, "long"), {"m1": [row]}, Random(1), tmp_path), version, *LONG[row])


@pytest.mark.rotates(of=4)
@pytest.mark.parametrize("version", etcds.VERSIONS)
def test_a_snap_file_names_the_members(killed: Callable[[str, str], cases.Killed], version: str) -> None:
    """Where every db is torn and the log begins late, the newest .snap still tells who the members are."""
    data_dir = killed(version, "long").members[0].data_dir
    newest = snapfile.read_snaps(str(data_dir / "member/snap"))[0][0]
    assert newest.index >= wal.segments_of(str(data_dir / "member/wal"))[-1].first_index
    facts = mvcc.read_facts(str(data_dir / "member/snap/db"))
    assert [(one.id, one.name, one.peer_urls) for one in newest.members] == [
        (one.id, one.name, one.peer_urls) for one in facts.members
    ]


def _hold(ended: cases.Ended, version: str, kind: str, loses: str) -> None:
    assert not ended.wrong
    proof = " ".join(ended.verdict.proof)
    if kind == START_OR_AHEAD:
        kind = REBUILD if AHEAD in proof else START
    if kind == START and version == "3.5.1" and DRIFTED in proof:
        kind = REBUILD
    assert ended.verdict.kind == kind, (ended.verdict.summary, *ended.verdict.proof)
    if not loses:
        assert not ended.lost
