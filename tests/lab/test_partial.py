"""Hosts that are gone, off, or only out of the operator's reach."""

import pytest

from . import wrecks
from .world import World

pytestmark = [pytest.mark.etcd, pytest.mark.timeout(1200), pytest.mark.rotates(of=2, together=True)]

WITH_WARNINGS, REFUSED, UNREACHABLE = 3, 4, 5


def test_a_host_that_is_lost_is_named_and_replaced_when_it_is_back(world: World) -> None:
    """Without ``--powered-off`` it is refused, with it the rest is recovered. The lost host comes back with its old data:
    it can neither join nor disturb; then it is made a member again.
    """
    world.write_until_cut()
    for name in ("node1", "node2"):
        wrecks.flip_below(world.disk(name))
    world.lab.boot("node1", "node2")
    before = world.fingerprints()
    yes = world.yes
    ended = world.requorum("recover", *yes, codes=(REFUSED,))
    assert "node3" in ended.err
    assert "--powered-off node3" in ended.err
    assert world.left_over() == []
    assert world.fingerprints() == before
    report = world.requorum("recover", "--powered-off", "node3", *yes, "-o", "json", codes=(WITH_WARNINGS,)).answer
    assert any("node3" in one or "etcd3" in one for one in report["warnings"])
    world.whole(report, "node1", "node2", lost_max=report["predicted_lost_max"])

    with world.writing(200, patience=1, count=2):
        world.lab.boot("node3")
        world.wait(lambda: "cluster ID mismatch" in _log(world, "node3"), "the old member finds that it is none")
    names = ("node1", "node2")
    members = world.lab.etcdctl("member", "list", hosts=names)["members"]
    assert sorted(one["name"] for one in members) == ["etcd1", "etcd2"]
    assert world.lab.healthy() == {"node1": True, "node2": True, "node3": False}
    old = world.fingerprints()["node3"]
    with world.writing(100, patience=1, count=2):
        report = world.requorum("member", "replace", "etcd3", *world.yes, "-o", "json").answer
    world.whole(report)
    kept = world.set_aside(report["run"], "node3")
    assert kept["member/snap/db"] == old["member/snap/db"]


def test_hosts_that_live_behind_a_dropped_way_are_not_called_dead(world: World) -> None:
    """Two of three hosts cannot be reached by ssh, but serve: recover is refused, with ``--powered-off`` too, because
    their ports answer. Nothing is changed on the third.
    """
    world.write_until_cut()
    wrecks.flip_below(world.disk("node1"))
    world.lab.boot()
    world.wait(lambda: world.lab.healthy() == {"node1": False, "node2": True, "node3": True}, "two members serve")
    yes = world.yes
    before = world.picture()
    for name in ("node2", "node3"):
        world.lab.block(name)
    try:
        ended = world.requorum("recover", *yes, codes=(REFUSED,))
        assert "node2" in ended.err or "node3" in ended.err
        off = ["--powered-off", "node2", "--powered-off", "etcd3"]
        ended = world.requorum("recover", *off, *yes, codes=(REFUSED,))
        assert "answers" in ended.err
    finally:
        for name in ("node2", "node3"):
            world.lab.unblock(name)
    assert world.picture()["node1"] == before["node1"]
    assert world.left_over() == []
    assert world.lab.healthy() == {"node1": False, "node2": True, "node3": True}
    world.audited("node2", "node3")


def test_without_any_host_nothing_is_done(world: World) -> None:
    """All hosts are off: exit 5 for a survey and for a recovery, and nothing is changed."""
    world.write_until_cut()
    before = world.fingerprints()
    for words in (["survey"], ["recover", "--yes", "--confirm", "inventory-00000000"]):
        ended = world.requorum(*words, codes=(UNREACHABLE,))
        assert "node1" in ended.err
    assert world.fingerprints() == before
    assert world.left_over() == []
    assert not (world.state / "runs").exists()


def _log(world: World, name: str) -> str:
    return world.lab.ssh(name, "journalctl -u etcd -n 200 -o cat --no-pager", check=False)
