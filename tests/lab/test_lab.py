"""The lab itself: hosts that come up, come back after a power cut with all that was acknowledged, and leave nothing."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab import load, machine, network, options
from lab.lab import Lab
from lab.programs import LabError, run

NAME = f"selftest-{os.environ.get('PYTEST_XDIST_WORKER', 'alone')}"
BACK_SECONDS = 60

pytestmark = [pytest.mark.etcd, pytest.mark.timeout(1200)]


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    """Three hosts, as a user brings them up."""
    Lab.remove(NAME)
    made = Lab.up(NAME)
    try:
        yield made
    finally:
        made.down()


def remains(name: str) -> list[str]:
    """Processes, mounts, namespaces, control groups and interfaces that name the lab."""
    found = [str(one) for place in machine.hierarchies() for one in place.glob(f"rq-{name}-*")]
    found += [line for line in Path("/proc/mounts").read_text().splitlines() if f"/{name}/" in line]
    found += [str(path) for path in (network.path_of(name),) if path.exists()]
    found += [
        line for line in run(["ip", "-o", "link"]).stdout.splitlines() if options.machine_of(name, "node1") in line
    ]
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                command = (entry / "cmdline").read_bytes().decode(errors="replace")
            except OSError:
                continue
            if f"/{name}/" in command or f"rq-{name}" in command:
                found.append(command)
    return found


def test_every_member_is_healthy_and_every_host_lets_the_operator_in(lab: Lab) -> None:
    """After ``up``: etcd over TLS on all hosts, as a unit that systemd runs; the other services run too."""
    assert lab.healthy() == {"node1": True, "node2": True, "node3": True}
    for host in lab.hosts:
        assert lab.ssh(host.name, ["hostname"]).strip() == host.name
        services = "etcd kubelet kube-apiserver kube-controller-manager kube-scheduler"
        assert set(lab.ssh(host.name, f"systemctl is-active {services}").split()) == {"active"}
        assert "ETCD_INITIAL_CLUSTER_STATE=existing\n" in lab.ssh(host.name, "cat /etc/etcd.env")
    members = lab.etcdctl("member", "list")["members"]
    assert sorted(one["name"] for one in members) == ["etcd1", "etcd2", "etcd3"]


def test_without_a_client_certificate_etcd_says_nothing(lab: Lab) -> None:
    """Client certificates are asked for."""
    url = f"{lab.endpoints['node1']}/health"
    script = f"import ssl,urllib.request as u; u.urlopen({url!r}, context=ssl._create_unverified_context(), timeout=5)"
    done = lab.operator([shutil.which("python3") or "python3", "-c", script], capture_output=True, text=True)
    assert done.returncode != 0
    assert "certificate" in done.stderr.lower()


def test_a_power_cut_of_all_hosts_loses_nothing_acknowledged(lab: Lab, tmp_path: Path) -> None:
    """Killed at once while it is written to, the cluster comes back by itself with every acknowledged write."""
    operations = tmp_path / "operations.jsonl"
    child = load.start(lab, operations)
    try:
        load.wait_for(operations, 500, seconds=60)
        lab.cut()
    finally:
        load.stop(child)
    assert [one.pid for one in lab.hosts] == [0, 0, 0]
    assert all((one.root / "var/lib/etcd/member/snap/db").is_file() for one in lab.hosts)
    lab.boot()
    lab.wait_healthy(BACK_SECONDS)
    found = load.audited(lab, operations)
    assert found["acknowledged"] >= 500
    assert (found["lost"], found["wrong"]) == ([], [])


def test_a_blocked_host_is_out_of_reach_and_its_member_lives_on(lab: Lab) -> None:
    """``block`` drops what the operator sends to sshd, silently, and nothing else."""
    lab.block("node2")
    try:
        with pytest.raises(LabError, match=r"(?i)timed out|longer than"):
            lab.ssh("node2", "true", timeout=4)
        assert lab.healthy()["node2"]
        assert lab.ssh("node1", "true") == ""
    finally:
        lab.unblock("node2")
    assert lab.ssh("node2", "echo back").strip() == "back"


def test_down_leaves_nothing_behind() -> None:
    """No process, mount, namespace, interface, control group or folder; and a second time is no error."""
    name = f"{NAME}-down"
    Lab.remove(name)
    made = Lab.up(name, hosts=1, data_mount=True)
    try:
        init = made.hosts[0].pid
        assert init
        assert remains(name)
        with subprocess.Popen(network.enter(name, ["sleep", "300"]), start_new_session=True) as left:
            made.down()
            assert left.wait(10) != 0, "what an operator left running on the bridge is ended too"
    finally:
        made.down()
    assert remains(name) == []
    assert not machine.pids_of(made.hosts[0].machine.groups)
    assert not made.folder.exists()
    with pytest.raises(LabError, match="no lab"):
        Lab.load(name)


def test_what_a_killed_up_leaves_is_taken_down(tmp_path: Path) -> None:
    """``up`` killed while its hosts boot: ``down`` finds all of it again."""
    name = f"{NAME}-torn"
    Lab.remove(name)
    words = [sys.executable, "-m", "lab", "up", "--name", name, "--hosts", "1"]
    with (
        (tmp_path / "said").open("w") as said,
        subprocess.Popen(words, cwd=load.ROOT, stdin=subprocess.DEVNULL, stderr=said, stdout=said) as child,
    ):
        try:
            deadline = time.monotonic() + 60
            while not any(place.joinpath(f"rq-{name}-node1").exists() for place in machine.hierarchies()):
                assert child.poll() is None, "it ended before it booted a host"
                assert time.monotonic() < deadline
                time.sleep(0.01)
        finally:
            child.kill()
    try:
        assert remains(name)
    finally:
        Lab.remove(name)
    assert remains(name) == []
