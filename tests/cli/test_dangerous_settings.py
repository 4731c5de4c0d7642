"""A setting that would do harm stops a recovery before anything is fenced, and is named with its line."""

import json

import pytest

from .clusters import Cluster
from .process import Requorum

pytestmark = pytest.mark.timeout(300)


def test_a_leftover_force_new_cluster(requorum: Requorum, three: Cluster) -> None:
    """The member would come up as a cluster of one: refused, with file and line, and nothing is changed."""
    victim = three.members[1]
    three.set(victim, force_new_cluster="true")
    line = len(victim.config.read_text().splitlines())
    before, configs = three.disks(), three.configs()
    ended = requorum("recover", "-i", three.inventory, *three.yes, code=4)
    assert f"{victim.config}:{line} has force-new-cluster: true" in ended.err
    assert f"take it out there ({victim.config}:{line})" in ended.hint
    assert (three.disks(), three.configs()) == (before, configs)
    told = json.loads(requorum("survey", "-i", three.inventory, "-o", "json", code=0).out)
    (found,) = told["survey"]["members"][1]["config"]["hazards"]
    assert (found["kind"], found["refuses"]) == ("force-new-cluster", True)
    victim.config.write_text(victim.config.read_text().replace("force-new-cluster: true", "force-new-cluster: false"))
    requorum("plan", "-i", three.inventory, code=0)


def test_no_fsync(requorum: Requorum, three: Cluster) -> None:
    """Told as a danger, and a fact of the survey."""
    three.set(three.first, unsafe_no_fsync="true")
    ended = requorum("survey", "-i", three.inventory, "-o", "json", code=0)
    told = json.loads(ended.out)
    assert [one["config"]["unsafe_no_fsync"] for one in told["survey"]["members"]] == [True, False, False]
    texts = [one["text"] for one in told["verdict"]["findings"] if one["level"] == "danger"]
    assert any("unsafe-no-fsync: true" in one for one in texts)


def test_names_that_do_not_resolve(requorum: Requorum, three: Cluster) -> None:
    """Said before anything is moved; nothing is fenced for it."""
    victim = three.members[2]
    three.replace_in_config(victim, victim.client_url, "http://etcd-c.invalid:2379")
    configs = three.configs()
    ended = requorum("recover", "-i", three.inventory, *three.yes, code=4)
    assert "etcd-c.invalid does not resolve" in ended.err
    assert "/etc/hosts" in ended.hint
    assert three.configs() == configs
