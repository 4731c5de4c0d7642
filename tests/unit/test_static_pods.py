"""What is known of static pods without a kubelet: configuration, logs, Kubernetes' own data, the plan that goes by them."""

import contextlib
import dataclasses
import os
import time
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from requorum.deployments import kubelet
from requorum.errors import Refused, RequorumError
from requorum.etcdfiles.protowire import bytes_field
from requorum.hosts import containers, podlogs
from requorum.hosts.connection import Here
from requorum.hosts.units import Unit
from requorum.inventory import find
from requorum.inventory.values import ControlPod, StaticPodDeployment
from requorum.procedures.make import make_plan
from requorum.procedures.values import Plan
from requorum.proof import aftercare
from requorum.run import runbook
from requorum.survey import codec
from requorum.survey.evidence import HostEvidence, MemberEvidence, Service, Unknown
from requorum.verdict.decide import decide

from .evidence import db, log, member, survey

CONTAINERD, CRIO = "/run/containerd/containerd.sock", "/var/run/crio/crio.sock"


def unit(argv: tuple[str, ...], **more: object) -> Unit:
    """kubelet's unit with some command line."""
    nothing = {
        "name": kubelet.UNIT,
        "load": "loaded",
        "active": "active",
        "sub": "running",
        "enabled": "enabled",
        "fragment": "",
        "argv": argv,
        "environment": (),
        "env_files": (),
        "user": "root",
        "main_pid": 1,
        "condition": True,
        "result": "",
        "drop_ins": (),
        "fenced_by": "",
        "before": "",
    }
    return Unit(**{**nothing, **more})  # type: ignore[arg-type]


class TestKubelet:
    """Its command line, as kubeadm and Kubespray write it."""

    def test_kubeadms_variables_stand_for_several_words(self, tmp_path: Path) -> None:
        """``$VAR`` alone is split, from Environment= and from files; a file that is not there is passed over."""
        flags = tmp_path / "kubeadm-flags.env"
        flags.write_text(
            'KUBELET_KUBEADM_ARGS="--container-runtime-endpoint=unix:///run/x.sock --hostname-override=CP1"\n'
        )
        one = unit(
            ("/usr/bin/kubelet", "$KUBELET_CONFIG_ARGS", "$KUBELET_KUBEADM_ARGS", "$KUBELET_EXTRA_ARGS", "--v=2"),
            environment=(("KUBELET_CONFIG_ARGS", "--config=/var/lib/kubelet/config.yaml"),),
            env_files=(str(flags), "-/etc/default/kubelet-that-is-not-there"),
        )
        assert kubelet._words(Here(), one) == [
            *("/usr/bin/kubelet", "--config=/var/lib/kubelet/config.yaml"),
            *("--container-runtime-endpoint=unix:///run/x.sock", "--hostname-override=CP1", "--v=2"),
        ]

    def test_a_quote_that_is_not_closed_is_no_bug(self) -> None:
        """systemd takes it, up to the end of the value (extract-word.c, EXTRACT_RELAX); so does this."""
        one = unit(("kubelet", "$EXTRA"), environment=(("EXTRA", "--v=1 --node-labels=x=it's y"),))
        assert kubelet._words(Here(), one) == ["kubelet", "--v=1", "--node-labels=x=its y"]

    @pytest.mark.parametrize("raw", [b"", b"[", b"- a", b"\xff", b"staticPodPath: /other"])
    def test_any_configuration(self, tmp_path: Path, raw: bytes) -> None:
        """What cannot be read says nothing."""
        path = tmp_path / "config.yaml"
        path.write_bytes(raw)
        found = kubelet._config(Here(), str(path))
        assert found == ({"staticPodPath": "/other"} if b"other" in raw else {})


@pytest.mark.parametrize(
    ("image", "version", "reference"),
    [
        ("registry.k8s.io/etcd:3.5.15-0", "3.5.15", "registry.k8s.io/etcd:3.5.15-0"),
        ("quay.io/coreos/etcd:v3.5.16", "3.5.16", "quay.io/coreos/etcd:v3.5.16"),
        ("host:5000/etcd:3.5.15-0@sha256:ab", "3.5.15", "host:5000/etcd@sha256:ab"),
        ("host:5000/etcd@sha256:ab", "", "host:5000/etcd@sha256:ab"),
        ("etcd:latest", "", "etcd:latest"),
    ],
)
def test_images(image: str, version: str, reference: str) -> None:
    """The version by the tag, and the name that a runtime keeps."""
    assert StaticPodDeployment(image=image).version == version
    assert containers._reference(image) == reference


class TestLogs:
    """A container's logs, one for each time that it was started."""

    def log(self, folder: Path, number: int, *lines: str, ago: float = 0.0) -> None:
        """Write one, as a runtime does."""
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(time.time() - ago))
        path = folder / f"kube-system_etcd-cp1_0123/etcd/{number}.log"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(f"{stamp}.08Z stderr F {line}\n" for line in lines))

    def test_its_own_reason(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """The last fatal line, without what the runtime writes before it; nothing of what is too old."""
        monkeypatch.setattr(podlogs, "LOGS", tmp_path)
        assert podlogs.last_words("kube-system", "etcd-cp1", "etcd", 60) == ""
        self.log(tmp_path, 0, '{"level":"info"}', '{"level":"fatal","msg":"crc"}', "goroutine 1")
        assert podlogs.last_words("kube-system", "etcd-cp1", "etcd", 60).startswith('{"level":"fatal","msg":"crc"} (')
        assert podlogs.last_words("kube-system", "etcd-cp1", "etcd", 0) == ""

    def test_an_old_reason_in_a_new_file(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A file that is written to now may begin with the end of a start before: that is not why this one died."""
        monkeypatch.setattr(podlogs, "LOGS", tmp_path)
        self.log(tmp_path, 0, '{"level":"fatal","msg":"old"}', ago=3600)
        assert podlogs.last_words("kube-system", "etcd-cp1", "etcd", 60) == ""
        assert "old" in podlogs.last_words("kube-system", "etcd-cp1", "etcd", 7200)

    def test_ended_from_outside(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Started anew and again, without a failure of its own; a log that is a dangling link is passed over."""
        monkeypatch.setattr(podlogs, "LOGS", tmp_path)
        words = ("kube-system", "etcd-cp1", "etcd", 60)
        self.log(tmp_path, 1, '{"level":"info","signal":"terminated"}')
        assert podlogs.killed(*words) == "", "once may be chance"
        self.log(tmp_path, 2, '{"level":"info","signal":"terminated"}')
        self.log(tmp_path, 3, '{"level":"info"}')
        assert "started etcd-cp1 anew 3 times" in podlogs.killed(*words)
        (tmp_path / "kube-system_etcd-cp1_0123/etcd/9.log").symlink_to("gone")
        assert "anew 3 times" in podlogs.killed(*words)
        self.log(tmp_path, 2, "panic: torn")
        assert podlogs.killed(*words) == "", "it has a reason of its own"
        self.log(tmp_path, 2, '{"level":"info"}')
        hour_ago = time.time() - 3600
        os.utime(tmp_path / "kube-system_etcd-cp1_0123/etcd/2.log", (hour_ago, hour_ago))
        assert podlogs.killed(*words) == "", "it was ended long before this start"


def stored(*webhooks: bytes) -> bytes:
    """A webhook configuration as Kubernetes stores it."""
    raw = bytes_field(1, bytes_field(1, b"name")) + b"".join(bytes_field(2, one) for one in webhooks)
    return b"k8s\x00" + bytes_field(1, b"type") + bytes_field(2, raw)


def webhook(policy: bytes, service: bytes = b"guard") -> bytes:
    """One webhook that a service answers."""
    named = bytes_field(1, b"guards") + bytes_field(2, service)
    return bytes_field(1, b"w") + bytes_field(2, bytes_field(1, named)) + bytes_field(4, policy)


KEY = "/registry/validatingwebhookconfigurations/policy"


class TestAfterCare:
    """What in Kubernetes' own data may hinder its return."""

    def test_a_webhook_that_must_not_fail(self) -> None:
        """It is named, with the command; one that may fail, or that a URL answers, is not."""
        (note,) = aftercare.webhook_notes(KEY, stored(webhook(b"Ignore", b"other"), webhook(b"Fail")))
        assert "kubectl delete validatingwebhookconfiguration policy" in note
        assert "guards/guard" in note
        assert "other" not in note
        assert aftercare.webhook_notes(KEY, stored(webhook(b"Ignore"))) == ()
        assert aftercare.webhook_notes(KEY, stored(bytes_field(2, bytes_field(3, b"https://x")))) == ()
        assert aftercare.webhook_notes("/registry/pods/a/b", stored(webhook(b"Fail"))) == ()

    @given(st.binary(max_size=60))
    def test_any_value(self, raw: bytes) -> None:
        """JSON, encrypted or torn: nothing is said, nothing breaks."""
        assert aftercare.webhook_notes(KEY, raw) == () or raw.startswith(b"k8s\x00")
        aftercare.webhook_notes(KEY, b"k8s\x00" + raw)


@given(
    st.text(max_size=40) | st.just('{"containers":[{"id":1,"labels":{}}]}') | st.just('{"containers":[{"labels":1}]}')
)
def test_any_answer_of_a_runtime(said: str) -> None:
    """It is read, or refused with an error of ours."""
    with contextlib.suppress(RequorumError):
        assert containers._of_crictl(said, "containers", "kube-system", "etcd-cp1") == []


def pod(number: int, socket: str = CONTAINERD) -> MemberEvidence:
    """A member that is a static pod, whose log is damaged."""
    made = StaticPodDeployment(
        manifests=("/etc/kubernetes/manifests/etcd.yaml",),
        image="registry.k8s.io/etcd:3.5.30-0",
        pod=f"etcd-cp{number}",
        namespace="kube-system",
        container="etcd",
        socket=socket,
        wanted=True,
    )
    found = member(number, db(90), log(number, 100, hole=50))
    return dataclasses.replace(found, deployment=made, tools=Unknown(unknown="in the image"))


def plan(*those: MemberEvidence, tools: str = "") -> Plan:
    """The plan for them, on hosts with a control plane in pods."""
    server = ControlPod(
        manifest="/etc/kubernetes/manifests/kube-apiserver.yaml",
        program="kube-apiserver",
        pod="kube-apiserver-cp1",
        namespace="kube-system",
        socket=CONTAINERD,
    )
    service = Service(unit=kubelet.UNIT, active="active", wanted=True)
    hosts = tuple(HostEvidence(name=one.host, roles=("etcd",), services=(service,), pods=(server,)) for one in those)
    found = dataclasses.replace(survey(*those), hosts=hosts)
    return runbook.written_out(make_plan(found, decide(found), run="r1", tools=tools))


class TestPlan:
    """A plan for static pods."""

    def test_programs_are_brought_once_etcd_is_fenced(self) -> None:
        """It may take the runtime to be started, so not before; but before anything needs them."""
        kinds = [phase.steps[0].kind for phase in plan(pod(1), pod(2), pod(3)).phases]
        assert kinds.index("fence") < kinds.index("bring tools") < kinds.index("look again")

    def test_a_person_could_type_it(self) -> None:
        """Manifests go out of kubelet's folder before kubelet stops, and come back after the data, in the right order."""
        made = plan(pod(1), pod(2), pod(3))
        lines = {step.kind: "\n".join(step.commands) for phase in made.phases for step in phase.steps}
        parked = "/etc/kubernetes/manifests.requorum"
        assert f"mv -n /etc/kubernetes/manifests/etcd.yaml {parked}/etcd.yaml.fenced-r1" in lines["fence"]
        stop = lines["stop services"]
        assert stop.index("kube-apiserver.yaml") < stop.index("systemctl stop kubelet.service") < stop.index("pkill")
        assert "--initial-cluster-token=requorum-r1" in lines["configure"]
        assert "systemctl start --no-block containerd kubelet" in lines["start"]
        assert f"mv -n {parked}/kube-apiserver.yaml.fenced-r1" in lines["start services"]
        assert "images mount registry.k8s.io/etcd:3.5.30-0" in lines["bring tools"]

    def test_a_runtime_that_lets_nothing_be_taken_out(self) -> None:
        """Said before anything is stopped, unless the programs are brought along."""
        those = [pod(1, CRIO), pod(2, CRIO), pod(3, CRIO)]
        with pytest.raises(Refused, match="in the image registry"):
            plan(*those)
        assert plan(*those, tools="/opt/etcd").members[0].bring_tools

    def test_it_can_be_saved(self) -> None:
        """And read again, on another machine."""
        made = plan(pod(1), pod(2), pod(3))

        assert codec.decode(msgspec.json.encode(made), Plan) == made

    def test_what_keeps_it_from_running_is_said(self) -> None:
        """As a finding of its member."""
        one = dataclasses.replace(pod(1), hindrance="a sandbox that is left over has the name it wants")
        (said,) = (one.text for one in decide(survey(one, pod(2), pod(3))).findings if "sandbox" in one.text)
        assert said.startswith("does not run: ")


@pytest.mark.parametrize(("kind", "deployment"), [("kubeadm", "static-pod"), ("host", "systemd"), ("", "systemd")])
def test_kubesprays_deployment_types(tmp_path: Path, kind: str, deployment: str) -> None:
    """How etcd runs is the inventory's word; where it has none, it is looked for on the host."""
    said = f"    etcd_deployment_type: {kind}\n" if kind else "    x: y\n"
    path = tmp_path / "hosts.yaml"
    path.write_text(f"all:\n  vars:\n{said}  children:\n    etcd:\n      hosts:\n        n1:\n")
    (host,) = find.open_inventory(path).hosts
    assert host.etcd.kind == deployment
    assert not host.assumed


def test_docker_is_refused(tmp_path: Path) -> None:
    """And said before anything is looked at."""
    path = tmp_path / "hosts.yaml"
    path.write_text(
        "all:\n  vars:\n    etcd_deployment_type: docker\n  children:\n    etcd:\n      hosts:\n        n1:\n"
    )
    with pytest.raises(Refused, match="Docker"):
        find.open_inventory(path)


def test_hosts_alone() -> None:
    """Nobody said what they are for: whatever is found there counts."""
    found = find.open_inventory(None, "cp1,root@cp2").hosts
    assert [(one.name, one.assumed) for one in found] == [("cp1", True), ("cp2", True)]
