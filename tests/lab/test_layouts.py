"""The ways in which hosts differ: how they are reached, who runs etcd, where its files lie, how much room there is."""

from collections.abc import Callable
from pathlib import Path

import pytest

from .world import World, fails_to_start, work_of

pytestmark = [pytest.mark.etcd, pytest.mark.timeout(1200), pytest.mark.rotates(of=3, together=True)]

MIDWAY = 7
LEFT_BYTES = 90 << 20


def there_and_back(world: World) -> None:
    """Rebuild, look at everything, take it back, look at everything, rebuild again and clean up."""
    fails_to_start(world, autostart=False)
    before, data = world.picture(), world.fingerprints()
    yes = world.yes
    report = world.requorum("recover", *yes, "-o", "json").answer
    world.whole(report)
    assert {name: world.set_aside(report["run"], name) for name in data} == data
    for host in world.hosts:
        disk = world.disk(host.name)
        for folder in (disk.data_dir, disk.wal_dir):
            owner = folder.stat().st_uid
            assert folder.stat().st_mode == before[host.name].configuration[str(folder)][2]
            assert owner == before[host.name].configuration[str(folder)][0]
            strangers = [path for path in rest(folder) if path.lstat().st_uid != owner]
            assert strangers == [], f"{host.name}: not the owner's: {strangers[:3]}"
    world.requorum("rollback", report["run"], *yes)
    assert world.picture() == before
    assert world.left_over() == []
    report = world.requorum("recover", *yes, "-o", "json").answer
    world.whole(report)
    world.requorum("cleanup", report["run"], *yes)
    for disk in world.disks.values():
        assert not (work_of(disk.data_dir) / report["run"]).exists()
    world.audited()


def rest(folder: Path) -> list[Path]:
    """What is etcd's in a dir."""
    return [path for path in folder.rglob("*") if not {".requorum", "lost+found"} & set(path.parts)]


def test_through_a_jump_host_as_a_user_with_sudo(up: Callable[..., World]) -> None:
    """Nobody may log in as root, and only the jump host is let in."""
    world = up(jump=True)
    world.ansible = True
    there_and_back(world)


def test_etcd_as_its_own_user_with_a_log_of_its_own(up: Callable[..., World]) -> None:
    """etcd is not root, and its WAL lies elsewhere: owners and modes are right afterwards."""
    there_and_back(up(user="etcd", wal_dir="/var/lib/etcd-wal"))


def test_a_data_dir_that_is_a_mount(up: Callable[..., World]) -> None:
    """A mount root cannot be renamed: its children are set aside inside it, and lost+found stays."""
    world = up(data_mount=True)
    there_and_back(world)
    for disk in world.disks.values():
        assert (disk.data_dir / "lost+found").is_dir()


def test_a_disk_without_room_stops_the_run_before_anything_is_moved(up: Callable[..., World]) -> None:
    """One host has too little room to restore beside the old data: it is named, nothing is moved; with room again the
    run is resumed and finishes.
    """
    world = up(data_mount=True)
    fails_to_start(world, autostart=False)
    before = world.fingerprints()
    yes = world.yes
    free = f"$(( $(df --output=avail -B1 /var/lib/etcd | tail -n 1) - {LEFT_BYTES} ))"
    world.lab.ssh("node2", f"mkdir /var/lib/etcd/lost+found/full; fallocate -l {free} /var/lib/etcd/lost+found/full/it")
    ended = world.requorum("recover", *yes, codes=(1, 4, MIDWAY))
    assert "etcd2" in ended.err
    assert "room" in ended.err or "free" in ended.err
    assert world.fingerprints() == before
    world.lab.ssh("node2", "rm -r /var/lib/etcd/lost+found/full")
    if ended.code == MIDWAY:
        assert "no member's data was changed" in ended.err
        report = world.requorum("resume", world.run_name(), *yes, "-o", "json").answer
    else:
        assert world.left_over() == []
        report = world.requorum("recover", *yes, "-o", "json").answer
    world.whole(report)


def test_a_host_without_a_python(up: Callable[..., World]) -> None:
    """Plain shell and etcdutl do there what requorum's own code does elsewhere, to the byte."""
    there_and_back(up(no_python=("node2",)))


def test_a_host_without_etcdutl(world: World) -> None:
    """etcd's programs are brought along from another host, into this run's folder; nothing is installed."""
    fails_to_start(world)
    world.lab.ssh("node2", "rm /usr/local/bin/etcdutl")
    report = world.recover()
    world.whole(report)
    root = world.lab.host("node2").root
    assert (root / f"var/lib/etcd.requorum/{report['run']}/tools/etcdutl").exists()
    assert not (root / "usr/local/bin/etcdutl").exists()
