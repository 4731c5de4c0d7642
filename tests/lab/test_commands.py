"""What an operator types beside ``recover``, on real hosts: check, init, fence, evidence, and what refuses early."""

import json
import tarfile
from collections.abc import Callable

import pytest

from lab import staticpods
from lab.kubespray import SERVICES
from requorum.hosts.units import FENCE, MARK, folder_of

from .world import World, fails_to_start

pytestmark = [pytest.mark.etcd, pytest.mark.timeout(1200), pytest.mark.rotates(of=3, together=True)]

USAGE, REFUSED = 2, 4
ETCD = "etcd.service"
KEY = "etc/ssl/etcd/ssl/member-node2.pem"


def states(world: World, name: str) -> set[str]:
    """What systemd says of etcd and of all that stands on it."""
    return set(world.lab.ssh(name, f"systemctl is-active etcd {' '.join(SERVICES)}", check=False).split())


def test_a_cluster_that_lives_is_checked_and_written_down(world: World) -> None:
    """``check`` has a table, findings and codes of its own, ``--nagios`` those of monitoring; ``init`` writes an inventory
    that finds the same members; a member that is down is named, and its replacement can be looked at.
    """
    found = world.end(world.start("check", "-o", "json"), codes=(0, 3)).answer
    assert [(row["member"], row["learner"], row["errors"]) for row in found["rows"]] == [
        (one.etcd_name, False, []) for one in world.hosts
    ]
    assert sum(row["leader"] for row in found["rows"]) == 1
    assert found["hash"]
    assert found["state"] == ("warning" if any(one["level"] == "warning" for one in found["findings"]) else "ok")
    well = world.end(world.start("check", "--nagios"), codes=(0, 1), judged=True)
    assert well.out.startswith(f"ETCD {found['state'].upper()} - ")

    made = world.folder / "requorum.yaml"
    world.requorum("init", "--save", made)
    refused = world.requorum("init", "--save", made, codes=(USAGE,))
    assert "overwrites nothing" in refused.err
    before = world.survey()["survey"]
    again = world.end(world.start("survey", "-i", made, "-o", "json", inventory=False)).answer["survey"]
    assert [(one["name"], one["host"], one["config"]) for one in again["members"]] == [
        (one["name"], one["host"], one["config"]) for one in before["members"]
    ]
    assert [one["roles"] for one in again["hosts"]] == [one["roles"] for one in before["hosts"]]

    refused = world.requorum("member", "replace", "etcd3", "--dry-run", codes=(REFUSED,))
    assert "there is nothing to replace" in refused.err
    refused = world.requorum("fence", codes=(REFUSED,))
    assert "this cluster lives" in refused.err
    world.lab.ssh("node3", "systemctl stop etcd")
    ill = world.end(world.start("check", "-o", "json"), codes=(1,), judged=True).answer
    assert ill["state"] == "critical"
    assert any("etcd3" in one["text"] for one in ill["findings"])
    critical = world.end(world.start("check", "--nagios"), codes=(2,), judged=True)
    assert critical.out.startswith("ETCD CRITICAL - ")
    members = world.lab.etcdctl("member", "list", hosts=("node1",))
    shown = world.requorum("member", "replace", "etcd3", "--dry-run")
    for command in ("member remove", "member add etcd3 --learner", "member promote"):
        assert command in shown.out
    assert world.lab.etcdctl("member", "list", hosts=("node1",))["members"] == members["members"]
    assert world.left_over() == []
    world.lab.ssh("node3", "systemctl start etcd")
    world.lab.wait_healthy()


def test_nobody_there_is_unknown_to_monitoring(world: World) -> None:
    """Every host is off: ``--nagios`` ends with 3, on one line."""
    world.lab.cut()
    said = world.end(world.start("check", "--nagios"), codes=(3,), judged=True)
    assert said.out.startswith("ETCD UNKNOWN - ")
    assert said.out.count("\n") == 1


def test_a_fence_alone_then_a_recovery_with_its_evidence(world: World) -> None:
    """``fence`` stops the bleeding on every host, over a reboot too, and completes a fence that systemd was never told of;
    ``--lift`` brings back what ran; ``recover`` takes such fences over; what it did can be packed, without a secret.
    """
    fails_to_start(world)
    before = world.picture()
    drop_in = folder_of(ETCD) / FENCE
    half = (
        f"{MARK}fence-half: it must not start now\n# before: active enabled\n[Unit]\nConditionPathExists=!{drop_in}\n"
    )
    root = world.lab.host("node1").root
    (root / drop_in.relative_to("/")).parent.mkdir(exist_ok=True)
    (root / drop_in.relative_to("/")).write_text(half)
    rows = world.requorum("fence", "-o", "json").answer["hosts"]
    assert [row["ok"] for row in rows] == [True, True, True]
    assert "fence-half" in next(row["what"] for row in rows if row["host"] == "node1")
    world.lab.cut("node2")
    world.lab.boot("node2")
    for host in world.hosts:
        assert not {"active", "activating"} & states(world, host.name), host.name

    world.requorum("fence", "--lift")
    assert world.left_over() == []
    assert world.picture() == before
    for host in world.hosts:
        assert {"active", "activating"} & states(world, host.name), host.name

    world.requorum("fence")
    report = world.recover()
    world.whole(report)
    world.requorum("evidence", report["run"])
    with tarfile.open(world.folder / f"requorum-{report['run']}.tar.gz") as packed:
        parts = {one.name.partition("/")[2]: packed.extractfile(one) for one in packed.getmembers()}
        content = {name: part.read() for name, part in parts.items() if part is not None}
    assert {"README", "plan.json", "journal.jsonl", "survey.json", "node1/etcd.log", "node3/now.json"} <= set(content)
    keys = {json.loads(line)["key"] for path in world.operations for line in path.read_text().splitlines()[:50]}
    assert keys
    for name, raw in content.items():
        assert b"PRIVATE KEY" not in raw, name
        assert not [key for key in keys if key.encode() in raw], name


def test_an_expired_certificate_is_refused_before_anything_is_touched(world: World) -> None:
    """etcd could not serve with it: exit 4, nothing changed; with the right one the recovery goes through."""
    fails_to_start(world)
    before = world.picture()
    certificate = world.lab.host("node2").root / KEY
    good = certificate.read_bytes()
    key = certificate.with_name(certificate.name.replace(".pem", "-key.pem"))
    world.lab.operator(
        [
            *("openssl", "x509", "-in", certificate, "-signkey", key, "-days", "-1", "-out", certificate),
        ],
        capture_output=True,
        check=True,
        timeout=30,
    )
    refused = world.requorum("recover", *world.yes, codes=(REFUSED,))
    assert "member-node2.pem expired" in refused.err
    assert world.left_over() == []
    certificate.write_bytes(good)
    assert world.picture() == before
    world.whole(world.recover())


def test_a_sudo_password_is_asked_for(up: Callable[..., World]) -> None:
    """Without ``-K`` the hint names it; a wrong one is said to be wrong; the right one is all that a recovery needs."""
    world = up(jump=True)
    for host in world.hosts:
        world.lab.ssh(
            host.name, "sudo sh -c 'echo admin:a-secret | chpasswd; sed -i s/NOPASSWD:// /etc/sudoers.d/admin'"
        )
    refused = world.end(world.start("survey"), codes=(5,))
    assert "--ask-become-pass" in refused.err
    wrong = world.end(world.start("survey", "-K", said="no\n"), codes=(5,))
    assert "password" in wrong.err
    found = world.end(world.start("survey", "-K", "-o", "json", said="a-secret\n")).answer
    assert [one["reachable"] for one in found["survey"]["members"]] == [True, True, True]
    assert "a-secret" not in json.dumps(found)


def test_a_static_pod_in_the_place_of_the_unit_is_found(world: World) -> None:
    """Where etcd's unit is missing and kubeadm's manifest is there, the survey goes by the manifest; where neither is, it
    says what it looked for."""
    off = "systemctl disable --now etcd; rm /etc/systemd/system/etcd.service; systemctl daemon-reload"
    for name in ("node2", "node3"):
        world.lab.ssh(name, off)
    path = world.lab.host("node3").root / "etc/kubernetes/manifests/etcd.yaml"
    path.parent.mkdir(parents=True)
    places = [one.place for one in world.lab.hosts]
    path.write_text(staticpods.etcd_manifest(places[2], places, staticpods.etcd_image("3.5.30"), 2 << 30))
    members = {one["host"]: one for one in world.survey()["survey"]["members"]}
    assert members["node3"]["deployment"]["kind"] == "static-pod"
    assert members["node3"]["deployment"]["manifests"] == ["/etc/kubernetes/manifests/etcd.yaml"]
    assert members["node3"]["config"]["data_dir"] == "/var/lib/etcd"
    why = members["node2"]["config"]["unknown"]
    assert "no unit etcd.service" in why
    assert "no manifest in kubelet's folder" in why
    world.lab.ssh("node1", "systemctl stop etcd")
    refused = world.requorum("recover", *world.yes, codes=(REFUSED,))
    assert "etcd2" in refused.err or "node2" in refused.err
