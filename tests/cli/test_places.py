"""Data dirs and WAL dirs that lie elsewhere: each is recovered, what is set aside is unchanged, and all of it comes back."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from requorum.etcdfiles import wal
from requorum.rehearsal import cluster, wreck
from requorum.rehearsal.gateway import b64

from . import clusters
from .clusters import Cluster
from .process import Requorum

OWN = (".requorum", "lost+found")
Prints = list[wreck.Fingerprint]


def _prints(folders: list[Path]) -> Prints:
    """What lies in some dirs, but for what stays there."""
    return [
        {name: seen for name, seen in wreck.fingerprint(one).items() if name.split("/")[0] not in OWN}
        for one in folders
    ]


def _there_and_back(requorum: Requorum, one: Cluster, folders: list[Path], aside: list[Path]) -> None:
    """Recover, look at what was set aside, roll back, compare, and clean up."""
    before, configs = _prints(folders), one.configs()
    requorum("recover", "-i", one.inventory, *one.yes, code=0)
    run = requorum.run_name()
    assert one.revision() > 100
    assert [wreck.fingerprint(Path(str(place).replace("RUN", run))) for place in aside] == before
    requorum("rollback", run, *one.yes, code=0)
    assert _prints(folders) == before
    assert one.configs() == configs
    requorum("cleanup", run, *one.yes, code=0)
    assert not list(one.root.glob("**/*.requorum*"))


def _own_wal_dir(one: Cluster, wal_dir: Path) -> None:
    """Run the member with a WAL dir of its own, with what was in member/wal."""
    old = one.data / "member" / "wal"
    wal_dir.mkdir(parents=True, exist_ok=True)
    for segment in old.iterdir():
        shutil.move(segment, wal_dir / segment.name)
    old.rmdir()
    one.set(one.first, wal_dir=str(wal_dir))


def test_beside(requorum: Requorum, one: Cluster) -> None:
    """The plain case; after a rollback and a cleanup it can be recovered again."""
    clusters.spoil_log(one.first)
    _there_and_back(requorum, one, [one.data], [one.root / "m1" / "data.requorum" / "RUN" / "old"])
    requorum("recover", "-i", one.inventory, *one.yes, code=0)
    requorum("cleanup", requorum.run_name(), *one.yes, code=0)
    assert one.revision() > 100
    assert not list(one.root.glob("**/*.requorum*"))


def test_a_data_dir_that_is_a_symlink(requorum: Requorum, one: Cluster) -> None:
    """The link stays a link, and what it points to is recovered."""
    clusters.spoil_log(one.first)
    real = one.root / "disk" / "etcd"
    real.parent.mkdir()
    one.data.rename(real)
    one.data.symlink_to(real)
    _there_and_back(requorum, one, [real], [one.root / "disk" / "etcd.requorum" / "RUN" / "old"])
    assert one.data.is_symlink()


def test_a_data_dir_that_is_a_mount_root(requorum: Requorum, one: Cluster) -> None:
    """Its children are set aside into a folder inside it; ``lost+found`` stays where it is."""
    clusters.spoil_log(one.first)
    kept = one.data.rename(one.root / "kept")
    one.mount_tmpfs(one.data, "size=600m,mode=0700")
    shutil.copytree(kept, one.data, dirs_exist_ok=True)
    shutil.rmtree(kept)
    (one.data / "lost+found").mkdir()
    (one.data / "lost+found" / "#17").write_text("a part of a file")
    _there_and_back(requorum, one, [one.data], [one.data / ".requorum" / "RUN" / "old"])
    assert (one.data / "lost+found" / "#17").read_text() == "a part of a file"
    assert one.data.is_mount()


def test_a_wal_dir_of_its_own(requorum: Requorum, one: Cluster) -> None:
    """Log and data are set aside each beside itself."""
    clusters.spoil_log(one.first)
    wal_dir = one.root / "fast" / "wal"
    _own_wal_dir(one, wal_dir)
    aside = [one.root / "m1" / "data.requorum" / "RUN" / "old", one.root / "fast" / "wal.requorum" / "RUN" / "old-wal"]
    _there_and_back(requorum, one, [one.data, wal_dir], aside)


def test_a_wal_dir_that_is_a_mount_root(requorum: Requorum, one: Cluster) -> None:
    """The log stays on its own disk."""
    clusters.spoil_log(one.first)
    wal_dir = one.root / "fast"
    one.mount_tmpfs(wal_dir, "size=600m,mode=0700")
    _own_wal_dir(one, wal_dir)
    (wal_dir / "lost+found").mkdir()
    aside = [one.root / "m1" / "data.requorum" / "RUN" / "old", wal_dir / ".requorum" / "RUN" / "old-wal"]
    _there_and_back(requorum, one, [one.data, wal_dir], aside)
    assert list(wal_dir.glob("*.wal"))


def test_a_wal_dir_inside_the_data_dir(requorum: Requorum, one: Cluster) -> None:
    """``--wal-dir /var/lib/etcd/wal`` with ``--data-dir /var/lib/etcd``: the log is set aside by itself, into the same folder."""
    clusters.spoil_log(one.first)
    _own_wal_dir(one, one.data / "wal")
    before, configs = _prints([one.data]), one.configs()
    requorum("recover", "-i", one.inventory, *one.yes, code=0)
    run = requorum.run_name()
    assert one.revision() > 100
    aside = one.root / "m1" / "data.requorum" / run
    assert {f"wal/{name}": seen for name, seen in wreck.fingerprint(aside / "old-wal").items()}.items() <= before[
        0
    ].items()
    assert list((one.data / "wal").glob("*.wal"))
    requorum("rollback", run, *one.yes, code=0)
    assert (_prints([one.data]), one.configs()) == (before, configs)
    requorum("cleanup", run, *one.yes, code=0)
    assert not list(one.root.glob("**/*.requorum*"))


@pytest.mark.parametrize("spoil", [True, False], ids=["rebuild", "start as is"])
def test_a_log_on_a_disk_of_its_own(requorum: Requorum, one: Cluster, spoil: bool) -> None:
    """A disk mounted at member/wal keeps its mount: else the next boot would mount the old log over the new data."""
    if spoil:
        clusters.spoil_log(one.first)
    folder = _on_a_disk_of_its_own(one, "wal")
    before = _prints([one.data, folder])
    requorum("recover", "-i", one.inventory, *one.yes, code=0)
    assert folder.is_mount(), "the disk was moved away with its mount point: after a reboot the old files are back"
    assert list(folder.glob("*.wal"))
    requorum("rollback", requorum.run_name(), *one.yes, code=0)
    assert folder.is_mount()
    after = _prints([one.data, folder])
    assert after[1] == before[1]
    assert {name: seen for name, seen in after[0].items() if ".requorum" not in name} == before[0]


def test_a_db_on_a_disk_of_its_own(requorum: Requorum, one: Cluster) -> None:
    """A disk mounted at member/snap is refused before anything is begun, with what to do."""
    clusters.spoil_log(one.first)
    _on_a_disk_of_its_own(one, "snap")
    before = one.disks(), one.configs()
    ended = requorum("recover", "-i", one.inventory, *one.yes, code=4)
    assert "is a mount inside the data dir" in ended.err
    assert "move the mount" in ended.hint
    assert before == (one.disks(), one.configs())


def _on_a_disk_of_its_own(one: Cluster, part: str) -> Path:
    """Mount a file system at member/PART, with what was in it."""
    folder = one.data / "member" / part
    kept = folder.rename(one.root / "kept")
    one.mount_tmpfs(folder, "size=600m,mode=0700")
    shutil.copytree(kept, folder, dirs_exist_ok=True)
    shutil.rmtree(kept)
    return folder


def test_a_start_as_is_is_taken_back(requorum: Requorum, one: Cluster) -> None:
    """A start as is leaves a copy, and a rollback brings every byte back."""
    before, configs = one.disks(), one.configs()
    requorum("recover", "-i", one.inventory, *one.yes, code=0)
    requorum("rollback", requorum.run_name(), *one.yes, code=0)
    assert (one.disks(), one.configs()) == (before, configs)


def _moves(three: Cluster) -> tuple[str, str]:
    """Let the member with the lowest log have another peer URL in every configuration: (the old one, the new one)."""
    moved = min(three.members, key=lambda one: wal.read_log(str(one.data_dir / "member/wal")).last)
    (port,) = cluster.free_ports(1)
    here = f"http://127.0.0.1:{port}"
    for one in three.members:
        three.replace_in_config(one, moved.peer_url, here)
    return moved.peer_url, here


def _listed(three: Cluster) -> str:
    argv = [str(three.etcd_dir / "etcdctl"), f"--endpoints={three.first.client_url}", "member", "list"]
    env = {"ETCDCTL_API": "3"}
    return subprocess.run(argv, capture_output=True, text=True, timeout=20, check=True, env=env).stdout


def test_a_member_that_moved_joins_by_itself(requorum: Requorum, three: Cluster) -> None:
    """Its host has another address since the outage: it calls the others. What they know of it is left to the operator, who is
    told what to type."""
    before, here = _moves(three)
    ended = requorum("recover", "-i", three.inventory, *three.yes, "-o", "json", code=3)
    told = json.loads(ended.out)
    assert told["verdict"] == "start as is"
    assert any("member update" in one and here in one for one in told["proof"]["warnings"])
    assert before in _listed(three)
    assert "member update" in requorum("check", "-i", three.inventory, code=3).out


def test_a_member_that_moved_and_must_be_sent_a_snapshot(requorum: Requorum, three: Cluster) -> None:
    """The others went on without it, past what their logs still hold: a leader has to reach it, so the run makes it known."""
    for one in three.members:
        three.set(one, snapshot_count="20", experimental_snapshot_catchup_entries="5")
    three.running += cluster.start(three.members[:2], three.etcd_dir)
    for number in range(100):
        three.call("/v3/kv/put", key=b64(f"/late/{number}"), value=b64("x"))
    three.kill()
    before, here = _moves(three)
    assert before == three.members[2].peer_url
    told = json.loads(requorum("recover", "-i", three.inventory, *three.yes, "-o", "json", code=3).out)
    assert told["verdict"] == "start as is"
    assert any("m3 did not join" in one and here in one for one in told["proof"]["warnings"])
    assert here in _listed(three)
    assert before not in _listed(three)
