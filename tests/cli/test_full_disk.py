"""A full disk: a clear message, nothing lost, and once there is room the run goes on."""

import os
import shutil
import subprocess

import pytest

from requorum.rehearsal import wreck

from . import clusters
from .clusters import MB, Cluster
from .process import Requorum

PAGE = 4096


def _room(one: Cluster, size: int) -> None:
    """Make the file system that the data dir lies on so large."""
    options = f"remount,size={size}"
    subprocess.run(["mount", "-o", options, one.mounts[0]], check=True, capture_output=True, timeout=10)


@pytest.mark.parametrize("free", [0, 4 * PAGE, 6 * PAGE, 8 * PAGE, MB, 70 * MB])
def test_a_disk_with_little_room(requorum: Requorum, one: Cluster, free: int) -> None:
    """However little is free when the run begins: it fails or stops, nothing is lost, and with room it finishes."""
    clusters.spoil_log(one.first)
    disk = one.root / "disk"
    one.mount_tmpfs(disk, "size=900m")
    subprocess.run(["cp", "-a", "--sparse=always", one.data, disk / "data"], check=True, timeout=30)
    shutil.rmtree(one.data)
    one.data.symlink_to(disk / "data")
    before, configs = wreck.fingerprint(disk / "data"), one.configs()
    now = os.statvfs(disk)
    _room(one, (now.f_blocks - now.f_bfree) * now.f_frsize + free)
    child = requorum.start("recover", "-i", one.inventory, *one.yes)
    child.wait(60)
    ended = requorum.end(child, code=child.returncode)
    assert ended.code in (1, 7)
    assert "room" in ended.err or "No space left" in ended.err
    assert ended.hint
    assert wreck.fingerprint(disk / "data") == before
    _room(one, 900 * MB)
    if ended.code == 1:
        assert one.configs() == configs
        requorum("recover", "-i", one.inventory, *one.yes, code=0)
    else:
        requorum("resume", requorum.run_name(), *one.yes, code=0)
    assert one.revision() > 100
    run = next(path.parent.name for path in disk.glob("data.requorum/*/old"))
    assert wreck.fingerprint(disk / "data.requorum" / run / "old") == before
