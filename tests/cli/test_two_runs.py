"""Two operators at once, and a plan that is older than the world: one proceeds, or none."""

from pathlib import Path

import pytest

from requorum.rehearsal.gateway import b64

from . import clusters
from .clusters import Cluster
from .process import Requorum


@pytest.mark.parametrize("members", ["one", "three"])
def test_two_runs_at_once(requorum: Requorum, members: str, request: pytest.FixtureRequest) -> None:
    """Of two recoveries started in the same instant exactly one proceeds; the other ends with 8 and names it."""
    made: Cluster = request.getfixturevalue(members)
    plans = [requorum.state / f"plan{n}.json" for n in range(2)]
    for saved in plans:
        requorum("plan", "-i", made.inventory, "--save", saved, code=0)
    children = [requorum.start("recover", "--plan", saved, *made.yes) for saved in plans]
    codes = [child.wait(60) for child in children]
    ended = [requorum.end(child, code=code) for child, code in zip(children, codes, strict=True)]
    assert sorted(codes) == [0, 8], "\n".join(one.err for one in ended)
    refused = ended[codes.index(8)]
    assert "is locked by run" in refused.err
    assert "requorum resume" in refused.hint
    assert made.revision() > 100
    assert not list(made.root.glob("m*/data.requorum/lock.json"))


def test_a_run_that_was_refused_by_a_lock_can_be_cleaned_up(requorum: Requorum, one: Cluster) -> None:
    """A run that never began does not stay in the list as one that could be resumed."""
    work = one.root / "m1" / "data.requorum"
    work.mkdir()
    (work / "lock.json").write_text('{"run": "x", "holder": "ann@elsewhere", "pid": 7}')
    requorum("recover", "-i", one.inventory, *one.yes, code=8)
    (work / "lock.json").unlink()
    assert "stopped or running" not in requorum("runs", code=0).out


def test_a_plan_whose_disks_were_written_to(requorum: Requorum, one: Cluster) -> None:
    """After another write the saved plan's source is another: refused, nothing is begun."""
    saved = requorum.state / "plan.json"
    requorum("plan", "-i", one.inventory, "--source", "m1: bare db", "--save", saved, code=0)
    one.start()
    for n in range(3):
        one.call("/v3/kv/put", key=b64(f"/more/{n}"), value=b64("x"))
    one.kill()
    _refused(requorum, one, saved)


def test_a_plan_whose_disks_were_damaged_since(requorum: Requorum, one: Cluster) -> None:
    """After other damage the same."""
    saved = requorum.state / "plan.json"
    requorum("plan", "-i", one.inventory, "--save", saved, code=0)
    clusters.cut_log_below_db(one.first)
    _refused(requorum, one, saved)


def _refused(requorum: Requorum, one: Cluster, saved: Path) -> None:
    before, configs = one.disks(), one.configs()
    ended = requorum("recover", "--plan", saved, *one.yes, code=4)
    assert "the cluster has changed since" in ended.err
    assert "requorum plan" in ended.hint
    assert (one.disks(), one.configs()) == (before, configs)
    assert not (requorum.state / "runs").exists()


def test_a_plan_that_was_carried_out_already(requorum: Requorum, one: Cluster) -> None:
    """The same plan a second time does not fit the cluster that it brought back."""
    saved = requorum.state / "plan.json"
    requorum("plan", "-i", one.inventory, "--save", saved, code=0)
    requorum("recover", "--plan", saved, *one.yes, code=0)
    assert "the cluster has changed since" in requorum("recover", "--plan", saved, *one.yes, code=4).err
    assert one.revision() > 100
