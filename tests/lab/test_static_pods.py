"""etcd and the control plane as static pods under a real kubelet: what must not start does not, and all comes back."""

import json
import tarfile
from collections.abc import Callable

import pytest

from lab import etcds

from . import wrecks
from .world import MANIFESTS, Picture, World, fails_to_start, frozen, thawed

pytestmark = [pytest.mark.etcd, pytest.mark.timeout(1200), pytest.mark.rotates(of=3, together=True)]

DONE, WITH_WARNINGS, REFUSED, MIDWAY = 0, 3, 4, 7
FOLDER = "/etc/kubernetes/manifests"


OTHERS = dict(zip(("3.6", "3.7"), etcds.GO, strict=True))
"""The versions that the other tests here do not run; kubeadm gives them other flags than 3.5."""


@pytest.fixture
def pods(up: Callable[..., World], request: pytest.FixtureRequest) -> World:
    """Three hosts as kubeadm leaves them; of another version where the test is marked so."""
    version = getattr(request, "param", "")
    return up(static_pods=True, etcd_dir=str(etcds.folder_of(version)) if version else "")


@pytest.mark.parametrize("pods", [OTHERS["3.7"]], indirect=True)
def test_power_cut_and_one_wrecked(pods: World) -> None:
    """Two start as they are; the third stays out of kubelet's folder until it is replaced, under a writing client. A
    replacement that is taken back midway starts no removed member, although kubelet runs all along; where containerd is
    down it is started, but not before the fence."""
    pods.write_until_cut()
    wrecks.lose_log(pods.disk("node1"))
    pods.lab.boot()
    pods.lab.isolate()  # or two serve before they are looked at, where that takes long
    child = pods.start("recover", *pods.yes, "-o", "json")
    child.wait_for_step("look again", "done")
    pods.lab.isolate(False)
    report = pods.end(child, codes=(WITH_WARNINGS,)).answer
    assert (report["verdict"], report["predicted_lost_max"]) == ("start as is", 0)
    pods.wait(lambda: pods.lab.healthy() == {"node1": False, "node2": True, "node3": True}, "two members serve")
    pods.audited("node2", "node3")
    pods.wait(lambda: pods.programs("node1") == pods.control_pods, "kubelet runs what it may, and no etcd", seconds=90)
    assert [one for one in pods.left_over() if "node1" in one]
    before = pods.fingerprints()
    pods.lab.ssh("node1", "systemctl stop containerd")
    yes = pods.yes
    child = pods.start("member", "replace", "node1", *yes, "-o", "json")
    child.wait_for_step("start")
    child.kill()
    pods.requorum("rollback", pods.run_name(), "--take-over", *yes)
    assert pods.fingerprints()["node1"] == before["node1"]
    assert "etcd" not in pods.programs("node1")
    members = pods.lab.etcdctl("member", "list", hosts=("node2", "node3"))["members"]
    assert sorted(one["name"] for one in members) == ["node2", "node3"]
    with pods.writing(100, patience=50):
        report = pods.requorum("member", "replace", "node1", *pods.yes, "-o", "json").answer
    pods.whole(report)
    assert pods.set_aside(report["run"], "node1") == before["node1"]


@pytest.mark.parametrize("pods", [OTHERS["3.6"]], indirect=True)
def test_every_log_is_corrupted(pods: World) -> None:
    """Whatever runs when it begins: kubelet on one host, no kubelet on the second, and no containerd on the third, where
    pods run on without it. It is rebuilt, nothing is lost, and nothing is left over after a cleanup."""
    fails_to_start(pods)
    pods.wait(
        lambda: all(pods.programs(name) >= pods.control_pods for name in ("node2", "node3")), "pods run", seconds=120
    )
    for name in ("node2", "node3"):
        pods.lab.ssh(name, "systemctl stop kubelet")
    pods.lab.ssh("node3", "systemctl stop containerd")
    assert pods.programs("node3") >= pods.control_pods, "what runs in containers outlives containerd"
    before = pods.fingerprints()
    yes = pods.yes
    report = pods.requorum("recover", *yes, "-o", "json").answer
    assert (report["verdict"], report["predicted_lost_max"]) == ("rebuild", 0)
    pods.whole(report)
    assert {name: pods.set_aside(report["run"], name) for name in before} == before
    assert pods.requorum("check", "-o", "json").answer["state"] == "ok"
    packed = pods.folder / "evidence.tar.gz"
    pods.requorum("evidence", report["run"], "--save", packed)
    with tarfile.open(packed) as file:
        logs = [one for one in file.getnames() if one.endswith(("/etcd.log", "/kubelet.log"))]
    assert len(logs) == 2 * len(pods.hosts)
    pods.requorum("cleanup", report["run"], *yes)
    for host in pods.hosts:
        assert not (host.root / "etc/kubernetes/manifests.requorum").exists()
        assert not (host.root / "var/lib/etcd.requorum").exists()
    pods.audited()


def test_killed_and_resumed_and_rolled_back(pods: World) -> None:
    """requorum dies while manifests are moved, while data is, and while kubelet starts; every time somebody else goes on.

    Rolled back, once when kubelet had just been started and once at the end, all is as it was: data, manifests, units; and
    nothing starts on the old data that had not run before. Then it is recovered once more.
    """
    fails_to_start(pods, autostart=False)
    before = pods.picture()
    yes = pods.yes
    child = pods.start("recover", *yes, "-o", "json")
    child.wait_for_step("start", "done")
    child.kill()
    pods.requorum("rollback", pods.run_name(), "--take-over", *yes)
    as_before(pods, before)
    child = pods.start("recover", *yes, "-o", "json")
    run = ""
    for phase in (
        "stop services",
        "fence",
        "set aside",
        "configure",
        "start",
        "prove",
        "start services",
    ):
        if child.reaches(phase):
            child.kill()
            run = run or pods.run_name()
            child = pods.resume_elsewhere(run, yes)
    report = pods.end(child).answer
    assert report["verdict"] == "rebuild"
    pods.whole(report)
    pods.requorum("rollback", run, "--take-over", *yes)
    as_before(pods, before)
    pods.another_machine()
    pods.whole(pods.recover())


def as_before(pods: World, before: dict[str, Picture]) -> None:
    """Everything is as it was, and neither kubelet nor a pod runs: they were off."""
    assert pods.picture() == before
    assert pods.left_over() == []
    for host in pods.hosts:
        assert pods.programs(host.name) == set()
        assert pods.lab.ssh(host.name, "systemctl is-active kubelet", check=False).strip() == "inactive"


def test_a_fence_outlasts_a_reboot_and_is_lifted(up: Callable[..., World]) -> None:
    """``requorum fence`` alone: no pod of etcd or of the control plane runs, after a power cut neither; --lift brings all
    back, and copies of the manifest that somebody left in kubelet's folder do not run."""
    pods = up(static_pods=True, crictl=True)
    with pods.writing(100):
        pass
    copy = f"cp {FOLDER}/etcd.yaml {FOLDER}/etcd.yaml.backup"
    pods.lab.ssh("node2", copy)
    yes = pods.yes
    pods.requorum("fence", *yes)
    for host in pods.hosts:
        assert pods.programs(host.name) == set()
        assert pods.lab.ssh(host.name, f"ls {FOLDER}").split() == []
    pods.lab.cut("node2")
    pods.lab.boot("node2")
    pods.lab.ssh("node2", "systemctl start kubelet; sleep 8; systemctl is-active kubelet", check=False)
    assert pods.programs("node2") == set()
    pods.requorum("fence", "--lift")
    pods.lab.wait_healthy(150)
    assert pods.left_over() == []
    pods.audited()


def test_what_keeps_a_pod_from_starting_is_said_before_anything_is_moved(pods: World) -> None:
    """An image that is gone, a runtime that is broken, a pod whose user may not write where the data goes: the run stops with
    the data untouched, says what is needed, and goes on once it is there."""
    fails_to_start(pods, autostart=False)
    image = pods.lab.ssh("node3", "ctr -n k8s.io images list -q | grep etcd:").strip()
    pods.lab.ssh("node3", f"ctr -n k8s.io images remove {image}")
    before = pods.fingerprints()
    yes = pods.yes
    ended = pods.requorum("recover", *yes, codes=(MIDWAY,))
    assert image in ended.err
    assert "node3" in ended.err
    assert pods.fingerprints() == before
    pods.requorum("rollback", pods.run_name(), *yes)
    pods.lab.ssh("node3", "ctr -n k8s.io images import /var/lib/lab-images/etcd.tar")
    pods.lab.ssh(
        "node2",
        "systemctl stop containerd; mv /etc/containerd/config.toml /root/; echo '[' >/etc/containerd/config.toml",
    )
    ended = pods.requorum("recover", *yes, codes=(MIDWAY,))
    assert "containerd" in ended.err
    assert "node2" in ended.err
    assert pods.fingerprints() == before
    pods.requorum("rollback", pods.run_name(), *yes)
    pods.lab.ssh("node2", "mv /root/config.toml /etc/containerd/; systemctl start containerd")
    manifest = pods.lab.host("node2").root / MANIFESTS / "etcd.yaml"
    user = "  securityContext:\n    runAsUser: 999\n  hostNetwork: true"
    manifest.write_text(manifest.read_text().replace("  hostNetwork: true", user))
    ended = pods.requorum("recover", *yes, codes=(MIDWAY,))
    assert "node2 could not start: its pod runs as user 999, who may not write to /var/lib/etcd" in ended.err
    assert pods.fingerprints() == before
    pods.lab.ssh("node2", "chown -R 999 /var/lib/etcd /etc/kubernetes/pki/etcd")
    pods.whole(pods.requorum("resume", pods.run_name(), *yes, "-o", "json").answer)
    assert (pods.disk("node2").db.stat().st_uid, pods.disk("node1").db.stat().st_uid) == (999, 0)


def test_a_saved_snapshot_alone_is_enough(up: Callable[..., World]) -> None:
    """All data dirs are gone; the snapshot lies on a host. What was written before it is there. One host has no Python, and
    etcd's image no etcdutl: its etcdctl restores as well."""
    version = "3.5.16"  # one whose etcdctl restores, whatever the tests run on
    pods = up(static_pods=True, no_python=("node3",), no_etcdutl=True, etcd_dir=str(etcds.folder_of(version)))
    with pods.writing():
        pass
    certificates = "/etc/kubernetes/pki/etcd"
    tool = "/proc/$(pgrep -x etcd)/root/usr/local/bin/etcdctl --endpoints https://127.0.0.1:2379"
    client = f"{certificates}/healthcheck-client"
    flags = f"--cacert {certificates}/ca.crt --cert {client}.crt --key {client}.key"
    pods.lab.ssh("node2", f"ETCDCTL_API=3 {tool} {flags} snapshot save /root/backup.db")
    pods.lab.cut()
    for disk in pods.disks.values():
        wrecks.lose_all(disk)
    pods.no_autostart()
    pods.lab.boot()
    name = pods.requorum("plan", "--snapshot", "node2:/root/backup.db", "-o", "json").answer["cluster"]
    words = ["--snapshot", "node2:/root/backup.db", "--yes", "--confirm", name, "-o", "json"]
    report = pods.requorum("recover", *words, codes=(DONE, WITH_WARNINGS)).answer
    assert report["verdict"] == "rebuild"
    assert report["bump"] > 0
    pods.whole(report)


def test_an_image_without_a_program_that_restores(up: Callable[..., World]) -> None:
    """From 3.6 on etcdctl restores no more. Where the image has no etcdutl either, that is said with nothing changed; the
    programs of the operator's machine will do."""
    programs = etcds.folder_of(OTHERS["3.6"])
    pods = up(static_pods=True, no_etcdutl=True, etcd_dir=str(programs))
    fails_to_start(pods, autostart=False)
    before = pods.fingerprints()
    yes = pods.yes
    ended = pods.requorum("recover", *yes, codes=(MIDWAY,))
    assert "has no etcdutl" in ended.err
    assert ended.err.count("--etcd-dir DIR") == 1, "what holds for three hosts is said once"
    assert pods.fingerprints() == before
    pods.requorum("rollback", pods.run_name(), *yes)
    pods.whole(pods.requorum("recover", *yes, "--etcd-dir", programs, "-o", "json").answer)


def test_a_probe_that_kills_etcd_again_and_again(pods: World) -> None:
    """A liveness probe that can never succeed: the run does not wait for ever, says that it is the probe, and goes on once
    the manifests are mended."""
    fails_to_start(pods, autostart=False)
    folders = [host.root / MANIFESTS for host in pods.hosts]
    original = [(folder / "etcd.yaml").read_text() for folder in folders]
    for folder, own in zip(folders, original, strict=True):
        (folder / "etcd.yaml").write_text(with_deadly_probe(own))
    yes = pods.yes
    ended = pods.requorum("recover", *yes, codes=(MIDWAY,))
    assert "probe fails" in ended.err
    for folder in folders:
        now = (folder / "etcd.yaml").read_text()
        (folder / "etcd.yaml").write_text(now.replace("failureThreshold: 1\n", "failureThreshold: 100\n"))
    pods.whole(pods.requorum("resume", pods.run_name(), *yes, "-o", "json").answer)


def test_a_sandbox_name_that_is_taken(up: Callable[..., World]) -> None:
    """A sandbox that kubelet does not know has the name that it wants, left over of a runtime that was killed: it is said,
    with the command that removes it."""
    pods = up(static_pods=True, crictl=True)
    with pods.writing(100):
        pass
    listed = json.loads(pods.lab.ssh("node2", "crictl pods --name etcd-node2 -o json"))["items"]
    metadata = {**listed[0]["metadata"], "attempt": 0}
    yes = pods.yes
    pods.requorum("fence", *yes)
    for one in listed:
        pods.lab.ssh("node2", f"crictl stopp {one['id']}; crictl rmp {one['id']}")
    taken = {
        "metadata": metadata,
        "log_directory": "/tmp",
        "linux": {"security_context": {"namespace_options": {"network": 2}}},
    }
    (pods.lab.host("node2").root / "root/taken.json").write_text(json.dumps(taken))
    sandbox = pods.lab.ssh("node2", "crictl runp /root/taken.json").strip()
    pods.requorum("fence", "--lift")

    def said() -> str:
        return "".join(one["text"] for one in pods.survey()["verdict"]["findings"] if one["subject"] == "node2")

    pods.wait(lambda: f"crictl rmp --force {sandbox}" in said(), "the leftover is named", seconds=60)
    pods.lab.ssh("node2", f"crictl rmp --force {sandbox}; systemctl restart kubelet")
    pods.lab.wait_healthy(90)
    assert said() == ""
    pods.audited()


def with_deadly_probe(manifest: str) -> str:
    """A manifest whose probe asks where nothing answers, at once and once only, of an etcd that elects slowly."""
    startup = manifest[manifest.index("    startupProbe") : manifest.index("    volumeMounts")]
    out = manifest.replace(startup, "").replace("port: 2381", "port: 2399")
    out = out.replace("    - etcd\n", "    - etcd\n    - --election-timeout=10000\n    - --heartbeat-interval=1000\n")
    for name, value in (("failureThreshold: 8", 1), ("initialDelaySeconds: 10", 0), ("periodSeconds: 10", 1)):
        out = out.replace(name, f"{name.partition(':')[0]}: {value}")
    return out


def test_a_member_that_dies_on_its_files_is_told_from_one_that_is_slow(pods: World) -> None:
    """Files that etcd may not read: the run does not wait for minutes, says what etcd said, and goes on when it is mended.

    Meanwhile somebody's probe, or kubelet's back-off, makes nothing worse.
    """
    fails_to_start(pods, autostart=False)
    yes = pods.yes
    child = pods.start("recover", *yes, "-o", "json")
    child.wait_for_step("configure")
    frozen(child)
    db = pods.disk("node2").db
    db.rename(db.with_name("hidden"))
    db.mkdir()
    thawed(child)
    ended = pods.end(child, codes=(MIDWAY,))
    assert "node2 does not run" in ended.err
    pods.lab.ssh("node2", "systemctl stop kubelet; pkill -x etcd", check=False)
    db.rmdir()
    db.with_name("hidden").rename(db)
    pods.whole(pods.requorum("resume", pods.run_name(), *yes, "-o", "json").answer)
