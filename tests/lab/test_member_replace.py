"""``requorum member replace`` while clients write: no acknowledged write is lost, wherever it is interrupted."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from . import wrecks
from .world import World, work_of

pytestmark = [pytest.mark.etcd, pytest.mark.timeout(1200), pytest.mark.rotates(of=3, together=True)]

SLOW_SECONDS = 1.0
REFUSED = 4
RecordProperty = Callable[[str, object], None]


def one_down(world: World) -> None:
    """Two members serve; the third's log is damaged, and it does not start."""
    world.write_until_cut()
    wrecks.flip_below(world.disk("node3"))
    world.lab.boot()
    world.wait(lambda: world.lab.healthy() == {"node1": True, "node2": True, "node3": False}, "two members serve")


def count(path: Path) -> dict[str, int]:
    """How the writers fared: requests, those without an answer, and those that took longer than a second."""
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    return {
        "requests": len(rows),
        "errors": sum(one["revision"] == 0 for one in rows),
        "slow": sum(one["revision"] > 0 and one["seconds"] > SLOW_SECONDS for one in rows),
    }


def test_a_member_is_replaced_under_writers(world: World, record_property: RecordProperty) -> None:
    """Writers go on while the broken member is removed, emptied, added and promoted; its old data is kept."""
    one_down(world)
    before = world.fingerprints()["node3"]
    yes = world.yes
    with world.writing(200, count=4, patience=200) as out:
        report = world.requorum("member", "replace", "etcd3", *yes, "-o", "json").answer
    for name, value in count(out).items():
        record_property(name, value)
    assert report["verdict"] == "replace member"
    world.whole(report)
    assert world.set_aside(report["run"], "node3") == before


def test_a_replacement_that_is_killed_is_finished_elsewhere(world: World) -> None:
    """Killed after each change of the members, and once the new one runs; somebody else goes on every time."""
    one_down(world)
    yes = world.yes
    with world.writing(200, count=4, patience=200):
        child = world.start("member", "replace", "etcd3", *yes, "-o", "json")
        run = ""
        for phase, event in (
            ("fence", "begin"),
            ("remove member", "done"),
            ("set aside", "begin"),
            ("add learner", "done"),
            ("start", "done"),
            ("promote", "done"),
        ):
            child.wait_for_step(phase, event)
            child.kill()
            run = run or world.run_name()
            if (phase, event) == ("promote", "done"):
                forget_that_it_was_promoted(world, run)
                refused = world.requorum("rollback", run, *yes, "--take-over", codes=(REFUSED,))
                assert "etcd3 was replaced and votes" in refused.err
            child = world.resume_elsewhere(run, yes)
        report = world.end(child).answer
    world.whole(report)


def forget_that_it_was_promoted(world: World, run: str) -> None:
    """As if requorum had died between the promotion and the line that says so, in every copy of the journal."""
    copies = [world.state / "runs" / run / "journal.jsonl"]
    copies += [work_of(world.disk(host.name).data_dir) / run / "journal.jsonl" for host in world.hosts]
    forgotten = 0
    for path in copies:
        whole = path.read_text().splitlines(keepends=True)
        kept = [line for line in whole if not ("-promote" in line and json.loads(line)["event"] == "done")]
        forgotten += len(whole) - len(kept)
        path.write_text("".join(kept))
    assert forgotten >= 1, "the kill may come before the line is on every member, but not before it is anywhere"


def test_a_replacement_is_taken_back_before_the_new_member_votes(world: World) -> None:
    """A rollback removes the learner and puts the old data back where it was; the two others are healthy all along."""
    one_down(world)
    yes = world.yes
    before = world.picture()["node3"]
    with world.writing(100, count=4, patience=200):
        child = world.start("member", "replace", "etcd3", *yes, "-o", "json")
        child.wait_for_step("start")
        child.kill()
        run = world.run_name()
        world.another_machine()
        world.requorum("rollback", run, "--take-over", *yes)
    assert world.picture()["node3"] == before
    assert world.left_over() == []
    members = world.lab.etcdctl("member", "list", hosts=("node1", "node2"))["members"]
    assert sorted(one["name"] for one in members) == ["etcd1", "etcd2"]
    assert world.lab.healthy() == {"node1": True, "node2": True, "node3": False}
    world.audited("node1", "node2")
    report = world.requorum("member", "replace", "etcd3", *world.yes, "-o", "json").answer
    world.whole(report)


def test_a_spare_host_takes_the_place_of_a_lost_one(up: Callable[..., World]) -> None:
    """A host is lost for good; another host of the inventory, empty and no member yet, becomes a member in its place."""
    world = up(hosts=5)
    members = {one["name"]: one["ID"] for one in world.lab.etcdctl("member", "list")["members"]}
    names = ("node1", "node2", "node3", "node4")
    world.lab.ssh("node5", "systemctl stop etcd; rm -r /var/lib/etcd/member")
    world.lab.etcdctl("member", "remove", f"{members['etcd5']:x}", hosts=names)
    with world.writing(300, count=4, patience=1):
        world.lab.cut("node3")
        words = ["member", "replace", "etcd3", "--with", "node5", "-o", "json", *world.yes]
        refused = world.requorum(*words, codes=(REFUSED,))
        assert "--powered-off node3" in refused.err
        report = world.requorum(*words, "--powered-off", "node3", codes=(0, 3)).answer
    world.whole(report, "node1", "node2", "node4", "node5")
    now = world.lab.etcdctl("member", "list", hosts=("node1",))["members"]
    assert sorted(one["name"] for one in now) == ["etcd1", "etcd2", "etcd4", "etcd5"]
