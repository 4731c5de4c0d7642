"""A real API server on a cluster that is recovered: what was written through it is there, and no revision is given twice."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from ruamel.yaml import YAML

from lab.kube import CONFIG_MAPS

from . import wrecks
from .world import MANIFESTS, World, fails_to_start

pytestmark = [pytest.mark.etcd, pytest.mark.timeout(1200), pytest.mark.rotates(of=2, together=True)]

DONE, WITH_WARNINGS = 0, 3
BATCH = 40
WEBHOOK = {
    "apiVersion": "admissionregistration.k8s.io/v1",
    "kind": "ValidatingWebhookConfiguration",
    "metadata": {"name": "guard"},
    "webhooks": [
        {
            "name": "guard.example.org",
            "clientConfig": {"service": {"namespace": "guards", "name": "guard"}},
            "rules": [
                {"apiGroups": ["apps"], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["daemonsets"]}
            ],
            "failurePolicy": "Fail",
            "sideEffects": "None",
            "admissionReviewVersions": ["v1"],
        }
    ],
}


def written(world: World, host: str, batch: str) -> dict[str, int]:
    """Objects created through an API server: the revision that was given out for each name."""
    body = {"metadata": {"name": f"{batch}-NUMBER"}, "data": {"batch": batch}}
    said = world.lab.api(host, "POST", CONFIG_MAPS, json.dumps(body), "--count", str(BATCH))
    assert all(one["kind"] == "ConfigMap" for one in said), said[-1]
    return {one["metadata"]["name"]: int(one["metadata"]["resourceVersion"]) for one in said}


def listed(world: World, host: str) -> dict[str, int]:
    """What an API server lists: the revision of each name."""
    (said,) = world.lab.api(host, "GET", CONFIG_MAPS)
    return {one["metadata"]["name"]: int(one["metadata"]["resourceVersion"]) for one in said["items"]}


def watched(world: World, host: str, revision: int) -> list[dict[str, Any]]:
    """What a client is told that goes on with its watch behind a revision."""
    return world.lab.api(host, "GET", f"{CONFIG_MAPS}?watch=true&resourceVersion={revision}&timeoutSeconds=3")


def relist(told: list[dict[str, Any]]) -> bool:
    """Whether a watching client is told to list again."""
    return any(one["type"] == "ERROR" and one["object"]["code"] == 410 for one in told)


def names(told: list[dict[str, Any]]) -> set[str]:
    """The objects that a watching client is told of."""
    return {one["object"]["metadata"]["name"] for one in told if one["type"] == "ADDED"}


def test_api_servers_beside_etcd(up: Callable[..., World]) -> None:
    """Rebuilt without a loss: revisions go on. Rebuilt from a snapshot: revisions are raised, and a client is
    told to list again. What may hinder Kubernetes is pointed out; its API servers are ready when the run ends."""
    world = up(static_pods=True, api_server=True)
    first = written(world, "node1", "first")
    (said,) = world.lab.api(
        "node2", "POST", "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations", json.dumps(WEBHOOK)
    )
    assert said["kind"] == WEBHOOK["kind"], said
    world.lab.etcdctl("put", "/registry/masterleases/10.9.8.7", "x", hosts=["node1"])
    fails_to_start(world)
    report = world.recover()
    assert (report["verdict"], report["predicted_lost_max"]) == ("rebuild", 0)
    notes = "\n".join(report["proof"]["notes"])
    assert "kubectl delete validatingwebhookconfiguration guard" in notes
    assert "guards/guard" in notes
    assert "del /registry/masterleases/10.9.8.7" in notes
    for host in world.hosts:
        found = listed(world, host.name)
        assert first.items() <= found.items()
    second = written(world, "node2", "second")
    assert min(second.values()) > max(first.values())
    told = watched(world, "node3", max(first.values()))
    assert relist(told) or names(told) >= second.keys(), "it goes on without a gap, or is told to list again"
    told = watched(world, "node3", max(listed(world, "node3").values()))
    assert not relist(told)

    snapshot = f"{report['snapshot']['host']}:{report['snapshot']['path']}"
    world.lab.cut()
    for disk in world.disks.values():
        wrecks.lose_all(disk)
    world.lab.boot()
    name = world.requorum("plan", "--snapshot", snapshot, "-o", "json").answer["cluster"]
    words = ["--snapshot", snapshot, "--yes", "--confirm", name, "-o", "json"]
    report = world.requorum("recover", *words, codes=(DONE, WITH_WARNINGS)).answer
    assert report["bump"] > 0
    for host in world.hosts:
        found = listed(world, host.name)
        assert first.keys() <= found.keys()
        assert not second.keys() & found.keys(), "what was written after the snapshot is lost, as was said"
    third = written(world, "node1", "third")
    assert min(third.values()) > max(second.values())
    assert relist(watched(world, "node2", max(second.values())))


def test_api_server_on_another_host(up: Callable[..., World]) -> None:
    """etcd is a unit on three hosts, the control plane static pods on a fourth: they are stopped there while etcd is
    rebuilt, kubelet with them, and come back ready; a rollback stops and returns them too."""
    world = up(control_host=True)
    first = written(world, "cp1", "first")
    plain = world.folder / "requorum.yaml"
    world.end(world.start("init", "--save", plain, "--cluster", "found"))
    entries = YAML(typ="safe", pure=True).load(plain.read_text())["hosts"]
    assert entries["cp1"]["roles"] == ["control-plane"]
    assert entries["node1"]["roles"][0] == "etcd"
    world.ssh_knows_the_hosts()
    named = world.start("survey", "--hosts", "node1,node2,node3,cp1", "-o", "json", inventory=False)
    found = world.end(named).answer
    assert [one["host"] for one in found["survey"]["members"]] == ["node1", "node2", "node3"], "cp1 is no member"
    assert [one["pods"] != [] for one in found["survey"]["hosts"]] == [False, False, False, True]
    fails_to_start(world, autostart=False)
    yes = world.yes
    child = world.start("recover", *yes, "-o", "json")
    child.wait_for_step("look again")
    assert world.programs("cp1") == set()
    folder = world.lab.host("cp1").root / MANIFESTS
    assert list(folder.iterdir()) == []
    report = world.end(child).answer
    assert report["verdict"] == "rebuild"
    assert len(list(folder.iterdir())) == 3
    assert listed(world, "cp1").items() >= first.items()
    second = written(world, "cp1", "second")
    assert min(second.values()) > max(first.values())
    world.audited()
    world.requorum("rollback", report["run"], "--discard-writes", "1000000", *yes)
    assert world.left_over() == []
    assert len(list(folder.iterdir())) == 3
    assert not folder.with_name("manifests.requorum").exists()
