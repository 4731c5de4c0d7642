"""Runs that are killed, cut off or lose a host in the middle: any machine goes on with them, or takes them back."""

import os
import signal
import time

import pytest

from .world import World, fails_to_start, frozen, thawed

pytestmark = [pytest.mark.etcd, pytest.mark.timeout(1200), pytest.mark.rotates(of=3, together=True)]

REFUSED, MIDWAY = 4, 7
PHASES = (
    "stop services",
    "fence",
    "look again",
    "build source",
    "restore beside",
    "ship",
    "set aside",
    "move in",
    "configure",
    "start",
    "prove",
    "save snapshot",
    "start services",
)
MOMENTS = (0.0, 0.03, 0.1)
"""Seconds after a step began: at once, and somewhere in the middle of it."""


def test_killed_in_every_phase_and_resumed_elsewhere(world: World) -> None:
    """requorum dies without a word in each phase of a rebuild; every time somebody else, who has the inventory alone,
    goes on. In the end nothing is lost, and nothing is left locked or fenced.

    A quick phase can be over before the kill meant for the one before it lands: then that kill counts for both, and at
    most three may go that way.
    """
    fails_to_start(world)
    before = world.fingerprints()
    yes = world.yes
    child = world.start("recover", *yes, "-o", "json")
    run = ""
    begun: set[str] = set()
    kills = 0
    for number, phase in enumerate(PHASES):
        if phase in begun:
            continue
        child.wait_for_step(phase)
        time.sleep(MOMENTS[number % len(MOMENTS)])
        child.kill()
        kills += 1
        begun |= child.begun()
        run = run or world.run_name()
        child = world.resume_elsewhere(run, yes)
    assert kills >= len(PHASES) - 3
    report = world.end(child).answer
    assert report["verdict"] == "rebuild"
    world.whole(report)
    assert {name: world.set_aside(run, name) for name in before} == before
    listed = world.requorum("runs", "-o", "json").answer
    assert [one["state"] for one in listed["runs"] if one["run"] == run] == ["finished"]


def test_killed_midway_and_rolled_back_elsewhere(world: World) -> None:
    """Wherever it died, somebody else puts everything back to the byte: data, logs, configuration, units."""
    fails_to_start(world, autostart=False)
    before = world.picture()
    yes = world.yes
    for phase in ("restore beside", "set aside", "move in", "configure", "start services"):
        child = world.start("recover", *yes, "-o", "json")
        child.wait_for_step(phase)
        time.sleep(MOMENTS[1])
        child.kill()
        run = world.run_name()
        world.another_machine()
        world.requorum("rollback", run, "--take-over", *yes)
        assert world.picture() == before, f"killed in '{phase}'"
        assert world.left_over() == [], f"killed in '{phase}'"
        world.another_machine()
    world.whole(world.recover())


def test_a_connection_that_drops_for_a_while_is_made_again(world: World) -> None:
    """A host is out of reach for 20 seconds while its data is restored, and nobody is told: the run goes on, or it stops
    at its barrier and is resumed.
    """
    fails_to_start(world)
    yes = world.yes
    child = world.start("recover", *yes, "-o", "json")
    child.wait_for_step("restore beside")
    frozen(child)
    world.lab.block("node2")
    thawed(child)
    time.sleep(20)
    world.lab.unblock("node2")
    ended = world.end(child, codes=(0, MIDWAY))
    if ended.code == MIDWAY:
        assert f"requorum resume {world.run_name()}" in ended.err
        ended = world.requorum("resume", world.run_name(), *yes, "-o", "json")
    world.whole(ended.answer)


def test_ssh_that_dies_in_every_phase_is_started_again(world: World) -> None:
    """The ssh client to one host is killed again and again: the step is looked at again, or the run stops at its barrier
    and is resumed; it never fails otherwise.
    """
    fails_to_start(world)
    yes = world.yes
    child = world.start("recover", *yes, "-o", "json")
    for phase in ("fence", "build source", "restore beside", "set aside", "configure", "start", "start services"):
        if not child.reaches(phase):
            world.end(child, codes=(MIDWAY,))
            child = world.start("resume", world.run_name(), *yes, "-o", "json")
            child.wait_for_step(phase)
        for pid, words in child.masters():
            if world.lab.host("node2").address in words:
                os.kill(pid, signal.SIGKILL)
    ended = world.end(child, codes=(0, MIDWAY))
    if ended.code == MIDWAY:
        ended = world.requorum("resume", world.run_name(), *yes, "-o", "json")
    world.whole(ended.answer)


def test_a_run_that_is_interrupted_says_how_to_go_on(world: World) -> None:
    """Ctrl-C in the middle: exit 7, the command that goes on, and no data moved; a rollback lifts the fences."""
    fails_to_start(world, autostart=False)
    before = world.picture()
    yes = world.yes
    for phase in ("fence", "look again", "build source", "restore beside"):
        child = world.start("recover", *yes, "-o", "json")
        child.wait_for_step(phase)
        child.process.send_signal(signal.SIGINT)
        ended = world.end(child, codes=(MIDWAY,))
        assert f"requorum resume {world.run_name()}" in ended.err
        world.requorum("rollback", world.run_name(), *yes)
        assert world.picture() == before, f"interrupted in '{phase}'"
        assert world.left_over() == []


def test_a_second_operator_is_kept_out(world: World) -> None:
    """While a run is on, nobody else begins one: exit 8, and the first one finishes undisturbed."""
    fails_to_start(world)
    yes = world.yes
    child = world.start("recover", *yes, "-o", "json")
    child.wait_for_step("build source")
    frozen(child)
    world.another_machine()
    try:
        ended = world.requorum("recover", *yes, codes=(8,))
        assert "locked by run" in ended.err
    finally:
        thawed(child)
    world.whole(world.end(child).answer)
