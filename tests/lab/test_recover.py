"""Whole clusters that lost their power, and brought back: every acknowledged write is looked for on every member."""

import pytest

from . import wrecks
from .world import WRITES, World, fails_to_start

pytestmark = [pytest.mark.etcd, pytest.mark.timeout(1200), pytest.mark.rotates(of=3, together=True)]

DONE, WITH_WARNINGS, REFUSED = 0, 3, 4


def test_a_cluster_that_came_back_by_itself_is_left_alone(world: World) -> None:
    """After a mere power cut all members serve again: there is nothing to recover, and it says so."""
    world.write_until_cut()
    world.lab.boot()
    world.lab.wait_healthy()
    ended = world.requorum("recover", *world.yes, codes=(REFUSED,))
    assert "nothing to recover" in ended.err
    assert world.left_over() == []
    world.audited()


def test_a_flip_below_every_db_loses_nothing(world: World) -> None:
    """No member starts by itself; the cluster is rebuilt, nothing is lost; the old data is kept until cleanup."""
    world.ansible = True
    fails_to_start(world)
    before = world.fingerprints()
    yes = world.yes
    report = world.requorum("recover", *yes, "-o", "json").answer
    assert (report["verdict"], report["predicted_lost_max"]) == ("rebuild", 0)
    world.whole(report)
    run = report["run"]
    assert {name: world.set_aside(run, name) for name in before} == before
    world.requorum("cleanup", run, *yes)
    for host in world.hosts:
        assert not (host.root / "var/lib/etcd.requorum").exists()
        assert not list((host.root / "etc").rglob(f"*{run}*"))
    world.audited()


def test_a_flip_above_every_db_loses_no_more_than_was_said(world: World) -> None:
    """What is damaged is in no db yet: what cannot be read may be lost, and was counted before."""
    world.write_until_cut()
    for disk in world.disks.values():
        wrecks.flip_above(disk)
    world.lab.boot()
    report = world.recover(codes=(DONE, WITH_WARNINGS))
    assert report["verdict"] == "rebuild"
    assert report["predicted_lost_max"] is not None
    world.whole(report, lost_max=report["predicted_lost_max"])


def test_dbs_alone_are_enough(world: World) -> None:
    """Every WAL and every .snap is gone: the cluster is rebuilt from a db, and what is not known is said."""
    world.write_until_cut()
    held = max(disk.consistent_index for disk in world.disks.values())
    for disk in world.disks.values():
        wrecks.lose_log(disk)
    world.lab.boot()
    source = world.survey("--verify")["verdict"]["sources"][0]
    assert source["kind"] == "bare db"
    assert source["loss"]["unproven"] or not source["loss"]["known"]
    report = world.recover(codes=(DONE, WITH_WARNINGS))
    assert report["verdict"] == "rebuild"
    predicted = report["predicted_lost_max"]
    world.whole(report, lost_max=WRITES if predicted is None or source["loss"]["unproven"] else predicted)
    assert report["proof"]["revision"] >= held // 2


@pytest.mark.parametrize("where", ["operator", "host"])
def test_a_saved_snapshot_alone_is_enough(world: World, where: str) -> None:
    """All data dirs are gone; a snapshot is on the operator's side, or on a host. What was written before it is there."""
    with world.writing():
        pass
    saved = world.folder / "backup.db"
    on_host = world.lab.host("node2").root / "root/backup.db"
    world.lab.ssh("node2", "set -a; . /etc/etcd.env; ETCDCTL_API=3 etcdctl snapshot save /root/backup.db")
    if where == "operator":
        saved.write_bytes(on_host.read_bytes())
        on_host.unlink()
    world.write_until_cut(50)
    later = world.operations.pop()
    for disk in world.disks.values():
        wrecks.lose_all(disk)
    world.lab.boot()
    given = str(saved) if where == "operator" else "node2:/root/backup.db"
    name = world.requorum("plan", "--snapshot", given, "-o", "json").answer["cluster"]
    words = ["--snapshot", given, "--yes", "--confirm", name, "-o", "json"]
    report = world.requorum("recover", *words, codes=(DONE, WITH_WARNINGS)).answer
    assert report["verdict"] == "rebuild"
    assert report["predicted_lost_max"] is None, "nothing tells what was written later"
    assert report["bump"] > 0
    assert later.exists()
    world.whole(report)


def test_one_wrecked_log_needs_no_restore(world: World) -> None:
    """Two of three members can start on their own disks: they are started, the third stays fenced until it is replaced.

    Units that are not enabled are started all the same, and are no more enabled afterwards.
    """
    world.write_until_cut()
    wrecks.lose_log(world.disk("node1"))
    world.no_autostart()
    world.lab.boot()
    before = world.fingerprints()
    report = world.recover(codes=(WITH_WARNINGS,))
    assert (report["verdict"], report["predicted_lost_max"]) == ("start as is", 0)
    world.wait(lambda: world.lab.healthy() == {"node1": False, "node2": True, "node3": True}, "two members serve")
    world.running("node2", "node3")
    world.audited("node2", "node3")
    assert [one for one in world.left_over() if "node1" in one], "the third must stay fenced"
    assert world.left_over("node2", "node3") == []
    assert world.fingerprints()["node1"] == before["node1"]
    with world.writing(100, patience=50):
        report = world.requorum("member", "replace", "etcd1", *world.yes, "-o", "json").answer
    world.whole(report)
    assert world.set_aside(report["run"], "node1") == before["node1"]
    assert world.lab.ssh("node2", "systemctl is-enabled etcd", check=False).strip() == "disabled"


def test_a_log_that_looks_clean_but_is_cut_is_not_believed(world: World) -> None:
    """The trap: leader and one follower acknowledged writes that the third member never saw; then the follower's log is
    cut at a record boundary, and the leader's is damaged so that it cannot start. The cut one and the slow one are a
    majority of logs that look clean: started together, they would overwrite what only the leader's log holds.
    """
    with world.writing():
        pass
    world.lazy_dbs()
    status = {one["Endpoint"]: one["Status"] for one in world.lab.etcdctl("endpoint", "status")}
    led = next(iter(status.values()))["leader"]
    by_url = {url: name for name, url in world.lab.endpoints.items()}
    leader = next(by_url[url] for url, one in status.items() if one["header"]["member_id"] == led)
    slow, follower = (name for name in by_url.values() if name != leader)
    world.lab.ssh(slow, "systemctl stop etcd")
    world.write_until_cut(300)
    highest, cut, behind = world.disk(leader), world.disk(follower), world.disk(slow)
    at = max(cut.consistent_index, behind.last[1] + 1)
    assert highest.last[1] - at >= 30, "nothing is left that only the leader's log would hold"
    wrecks.cut_behind(cut, at)
    wrecks.flip_below(highest)
    world.no_autostart()
    world.lab.boot()
    report = world.recover(codes=(DONE, WITH_WARNINGS))
    assert report["verdict"] == "rebuild"
    world.whole(report, lost_max=report["predicted_lost_max"])


def test_a_rollback_puts_everything_back(world: World) -> None:
    """After a finished rebuild: data, logs, configuration, owners, modes and units are as they were, to the byte.

    Then it is recovered once more, by somebody else.
    """
    fails_to_start(world, autostart=False)
    before = world.picture()
    yes = world.yes
    report = world.requorum("recover", *yes, "-o", "json").answer
    world.whole(report)
    world.requorum("rollback", report["run"], *yes)
    assert world.picture() == before
    assert world.left_over() == []
    world.wait(
        lambda: all(
            set(world.lab.ssh(one.name, "systemctl is-active kubelet kube-apiserver", check=False).split())
            == {"active"}
            for one in world.hosts
        ),
        "the services run as before",
    )
    world.another_machine()
    world.whole(world.recover())
