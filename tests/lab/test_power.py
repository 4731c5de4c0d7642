"""Hosts that lose their power, again, while they are recovered: nothing starts on half of it, and nothing is lost."""

import time

import pytest

from .world import World, fails_to_start, frozen, thawed

pytestmark = [pytest.mark.etcd, pytest.mark.timeout(1200), pytest.mark.rotates(of=2, together=True)]

MIDWAY = 7


def fenced(world: World) -> None:
    """etcd and what stands on it do not run on any host, although the hosts were booted."""
    time.sleep(3)
    for host in world.hosts:
        states = world.lab.ssh(host.name, "systemctl is-active etcd kubelet kube-apiserver", check=False).split()
        assert not {"active", "activating"} & set(states), f"{host.name} is not fenced: {states}"


def test_a_host_that_dies_midway_stops_the_run_at_its_barrier(world: World) -> None:
    """A host loses its power while the snapshot is shipped: no data is moved anywhere, the fence holds over the reboot,
    resume finishes the job, and a rollback afterwards puts everything back.
    """
    fails_to_start(world)
    yes = world.yes
    before = world.picture()
    child = world.start("recover", *yes, "-o", "json")
    child.wait_for_step("ship")
    frozen(child)
    world.lab.cut("node2")
    thawed(child)
    ended = world.end(child, codes=(MIDWAY,))
    run = world.run_name()
    assert "node2" in ended.err
    assert "no member's data was changed" in ended.err
    assert f"requorum resume {run}" in ended.err
    world.lab.boot("node2")
    fenced(world)
    now = world.fingerprints()
    assert {name: now[name] for name in before} == {name: one.data for name, one in before.items()}
    report = world.requorum("resume", run, *yes, "-o", "json").answer
    world.whole(report)
    world.requorum("rollback", run, *yes)
    assert world.picture() == before
    assert world.left_over() == []


@pytest.mark.parametrize(
    ("phase", "hosts"), [("move in", ["node2"]), ("set aside", ["node1", "node2", "node3"]), ("start", ["node2"])]
)
def test_the_power_fails_again(world: World, phase: str, hosts: list[str]) -> None:
    """One host, or all of them, lose their power once more when data was moved already: the run stops, nothing starts on
    half of it, somebody else goes on when the hosts are back, and nothing is lost.
    """
    fails_to_start(world)
    yes = world.yes
    child = world.start("recover", *yes, "-o", "json")
    child.wait_for_step(phase)
    frozen(child)
    world.lab.cut(*hosts)
    thawed(child)
    ended = world.end(child, codes=(MIDWAY,))
    run = world.run_name()
    assert f"requorum resume {run}" in ended.err
    world.lab.boot(*hosts)
    if phase != "start":
        fenced(world)
    report = world.end(world.resume_elsewhere(run, yes)).answer
    world.whole(report)
