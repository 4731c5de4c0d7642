"""Caught in the middle of an upgrade: data of one minor version, programs of the next."""

from pathlib import Path

import pytest

from lab import etcds
from requorum.rehearsal.gateway import Gateway

from . import clusters
from .clusters import Cluster
from .process import Requorum

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="session")
def next_etcd_dir() -> Path:
    """etcd of the next minor version."""
    return etcds.folder_of("3.6.16")


def test_sound_disks_start_as_they_are(requorum: Requorum, three: Cluster, next_etcd_dir: Path) -> None:
    """etcd's own upgrade: carried through, with a warning, and nothing lost."""
    words = ("-i", three.inventory, "--etcd-dir", next_etcd_dir)
    ended = requorum("recover", *words, *three.yes, code=3, seconds=200)
    assert "own upgrade" in ended.out + ended.err
    gateway = Gateway(three.first.client_url)
    try:
        assert gateway.revision() > 300
    finally:
        gateway.close()


def test_a_rebuild_needs_the_programs_that_wrote_it(
    requorum: Requorum, three: Cluster, next_etcd_dir: Path, etcd_dir: Path
) -> None:
    """Refused before anything is touched, with what to bring; with that it goes on."""
    for member in three.members:
        clusters.spoil_log(member)
    before = three.disks()
    ended = requorum("recover", "-i", three.inventory, "--etcd-dir", next_etcd_dir, *three.yes, code=4)
    assert "m1 3.6.16" in ended.err
    assert "--etcd-dir DIR with etcd, etcdctl and etcdutl of 3.5" in ended.hint
    assert three.disks() == before
    requorum("plan", "-i", three.inventory, "--etcd-dir", etcd_dir, code=0)
    out = three.root / "out.db"
    ended = requorum(
        "rebuild", *(one.data_dir for one in three.members), "-o", out, "--etcd-dir", next_etcd_dir, code=4
    )
    assert "of 3.5" in ended.hint
    assert not out.exists()
