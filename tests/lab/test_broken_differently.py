"""No member is whole, each in another way: the logs of all are put together, over ssh."""

from collections.abc import Callable
from random import Random

import pytest

from lab import etcds
from requorum.rehearsal import damage

from . import wrecks
from .world import WRITES, World

pytestmark = [pytest.mark.etcd, pytest.mark.timeout(1200), pytest.mark.rotates(of=3, together=True)]

DONE, WITH_WARNINGS = 0, 3


def by_log(world: World) -> list[str]:
    """The hosts, the highest log first."""
    return sorted(world.disks, key=lambda name: world.disks[name].last, reverse=True)


@pytest.mark.parametrize("version", [one for one in etcds.VERSIONS if not one.startswith("3.5.")])
def test_every_member_is_broken_differently(up: Callable[..., World], version: str) -> None:
    """A torn db beside the highest log, a flipped bit in the tail of the second, the third's log cut: nothing is lost, and
    what each member contributed is said. With the versions that no other lab runs (3.4 has the etcdutl of 3.5)."""
    world = up(etcd_dir=str(etcds.folder_of(version)))
    world.lazy_dbs()
    world.write_until_cut()
    rng, (first, second, third) = Random(1), by_log(world)
    damage.root_zeroed(world.disk(first).data_dir, rng)
    damage.tail_flipped(world.disk(second).data_dir, rng)
    damage.last_wal_cut_in_a_record(world.disk(third).data_dir, rng)
    world.no_autostart()  # etcd repairs the end of a cut log when it comes to it
    world.lab.boot()
    before = world.fingerprints()
    verdict = world.survey("--verify")["verdict"]
    source = verdict["sources"][0]
    assert source["kind"] == "merged log"
    assert world.member(first) in {piece["member"] for piece in source["pieces"]} | {verdict["basis"]["follows"]}
    report = world.recover()
    assert (report["verdict"], report["predicted_lost_max"]) == ("rebuild", 0)
    assert report["source"].startswith("merged log")
    world.whole(report)
    assert {name: world.set_aside(report["run"], name) for name in before} == before


def test_one_disk_gone_and_a_flipped_log(world: World) -> None:
    """What the second lacks is in the third's log, on another host."""
    world.lazy_dbs()
    world.write_until_cut()
    rng, (first, second, third) = Random(2), by_log(world)
    wrecks.lose_all(world.disk(third))
    damage.tail_flipped(world.disk(first).data_dir, rng)
    damage.root_zeroed(world.disk(second).data_dir, rng)
    world.lab.boot()
    report = world.recover(codes=(DONE, WITH_WARNINGS))
    assert report["verdict"] == "rebuild"
    assert report["predicted_lost_max"] is not None
    world.whole(report, lost_max=report["predicted_lost_max"])


def test_a_diverged_member_is_outvoted(world: World) -> None:
    """Its etcd would start and serve other data than the others': it stays fenced, and is replaced."""
    world.write_until_cut()
    lowest = by_log(world)[-1]
    damage.value_flipped(world.disk(lowest).data_dir, Random(3))
    world.no_autostart()
    world.lab.boot()
    verdict = world.survey("--verify")["verdict"]
    assert any(one["subject"] == world.member(lowest) and "outvoted" in one["text"] for one in verdict["findings"]), (
        verdict["findings"]
    )
    report = world.recover(codes=(WITH_WARNINGS,))
    assert (report["verdict"], report["predicted_lost_max"]) == ("start as is", 0)
    others = [name for name in world.disks if name != lowest]
    world.whole(report, *others)
    report = world.requorum("member", "replace", world.member(lowest), *world.yes, "-o", "json").answer
    world.whole(report)


def test_what_lies_on_a_host_without_python_is_taken_too(up: Callable[..., World]) -> None:
    """The only log that goes to the end is on a host that cannot run our functions: it is fetched over a plain shell."""
    world = up(no_python=("node2",))
    world.lazy_dbs()
    world.write_until_cut()
    rng = Random(4)
    damage.root_zeroed(world.disk("node2").data_dir, rng)
    for name in ("node1", "node3"):
        damage.last_wal_halved(world.disk(name).data_dir, rng)
    world.no_autostart()
    world.lab.boot()
    source = world.survey("--verify")["verdict"]["sources"][0]
    assert source["kind"] == "merged log"
    assert world.member("node2") in {piece["member"] for piece in source["pieces"]}
    report = world.recover(codes=(DONE, WITH_WARNINGS))
    assert report["verdict"] == "rebuild"
    world.whole(report, lost_max=WRITES)
