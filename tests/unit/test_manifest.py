"""etcd's static pod is read as its container sees itself and its files as the host sees them; what is changed is little."""

import difflib
import io
import json
from pathlib import Path

import hypothesis
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from lab import staticpods
from lab.kubespray import Place
from requorum.deployments import settings
from requorum.deployments.staticpod import acts as staticpod
from requorum.deployments.staticpod import manifest
from requorum.deployments.staticpod.podvariables import Node
from requorum.errors import RequorumError
from requorum.hosts.connection import Here
from requorum.inventory.values import StaticPodDeployment

PATH = "/etc/kubernetes/manifests/etcd.yaml"
PLACES = [Place(name=f"cp{n}", etcd_name=f"etcd{n}", address=f"10.0.0.{n}") for n in (1, 2, 3)]
KUBEADM = staticpods.etcd_manifest(PLACES[0], PLACES, "registry.k8s.io/etcd:3.5.30-0", 2 << 30).encode()
OTHER = b"""# written by hand
apiVersion: v1
kind: Pod
metadata: {name: store}
spec:
  containers:
    - name: sidecar
      image: busybox
    - name: db
      image: "example.org/etcd:v3.5.16"   # pinned
      command: ['/usr/local/bin/etcd', --name, one]
      args:
        - --initial-cluster-state
        - new
        - '--data-dir=/data/etcd'
      env:
        - name: ETCD_INITIAL_CLUSTER_TOKEN
          value: old
        - name: ETCD_WAL_DIR
          value: /fast/wal
      volumeMounts:
        - {name: data, mountPath: /data}
        - {name: fast, mountPath: /fast/, subPath: etcd}
        - {name: scratch, mountPath: /tmp}
  volumes:
    - {name: data, hostPath: {path: /srv}}
    - {name: fast, hostPath: {path: /nvme/}}
    - {name: scratch, emptyDir: {}}
"""


def changed_lines(before: bytes, after: bytes) -> list[str]:
    """The lines that differ, marked - and +."""
    lines = difflib.unified_diff(before.decode().splitlines(), after.decode().splitlines(), n=0, lineterm="")
    return [line for line in lines if not line.startswith(("---", "+++", "@@"))]


def read(raw: bytes) -> manifest.EtcdPod:
    """The etcd of a manifest that has one."""
    found = manifest.read(raw, PATH)
    assert found is not None
    return found


def test_kubeadms() -> None:
    """The name, the image, and every setting that a member's configuration is made of."""
    pod = read(KUBEADM)
    assert (pod.name, pod.namespace, pod.container, pod.image) == (
        *("etcd", "kube-system", "etcd"),
        "registry.k8s.io/etcd:3.5.30-0",
    )
    config = settings.member_config(pod.settings, PATH)
    assert (config.name, config.data_dir, config.wal_dir) == ("cp1", "/var/lib/etcd", "/var/lib/etcd/member/wal")
    assert (config.endpoint, config.peer_urls) == ("https://10.0.0.1:2379", ("https://10.0.0.1:2380",))
    assert (config.ca, config.corrupt_check, config.state) == ("/etc/kubernetes/pki/etcd/ca.crt", True, "new")
    assert config.peer is not None
    assert config.peer.key == "/etc/kubernetes/pki/etcd/peer.key"


def test_paths_are_the_hosts() -> None:
    """A path is carried through the innermost mount that holds it; flags count more than variables."""
    pod = read(OTHER)
    assert (pod.name, pod.namespace, pod.container) == ("store", "default", "db")
    assert pod.settings["data-dir"] == "/srv/etcd"
    assert pod.settings["wal-dir"] == "/nvme/etcd/wal"
    assert (pod.settings["name"], pod.settings["initial-cluster-token"]) == ("one", "old")
    assert read(OTHER.replace(b"ETCD_WAL_DIR", b"ETCD_DATA_DIR")).settings["data-dir"] == "/srv/etcd"


def test_a_path_that_is_lost_with_the_container() -> None:
    """A data dir on no volume of the host is no data dir that can be recovered."""
    for other in (b"--data-dir=/home/etcd", b"--data-dir=/tmp/etcd"):
        with pytest.raises(RequorumError, match="on no volume of the host"):
            manifest.read(OTHER.replace(b"--data-dir=/data/etcd", other), PATH)


def test_little_is_changed() -> None:
    """What is there is changed where it stands, what is not is added; every other byte stays."""
    changes = {"initial-cluster": "cp1=https://10.0.0.1:2380", "initial-cluster-state": "existing"}
    found = manifest.edited(KUBEADM, changes, PATH)
    flags = ",".join(f"{one.name}=https://{one.address}:2380" for one in PLACES)
    assert changed_lines(KUBEADM, found) == [
        f"-    - --initial-cluster={flags}",
        "+    - --initial-cluster=cp1=https://10.0.0.1:2380",
        "+    - --initial-cluster-state=existing",
    ]
    assert manifest.edited(found, changes, PATH) == found
    assert {name: read(found).settings[name] for name in changes} == changes


def test_what_stands_elsewhere_is_changed_there() -> None:
    """A flag in two words, a variable."""
    changes = {"initial-cluster-state": "existing", "initial-cluster-token": "fresh"}
    found = manifest.edited(OTHER, changes, PATH)
    assert {name: read(found).settings[name] for name in changes} == changes
    assert changed_lines(OTHER, found)[:2] == ["-        - new", "+        - existing"]
    assert b"# written by hand" in found
    assert b"# pinned" in found
    assert b"- new" not in found


@pytest.mark.parametrize(
    "raw", [b"kind: Service\n", b"kind: Pod\nspec: {containers: [{name: a, command: [kube-apiserver]}]}\n"]
)
def test_another_pod(raw: bytes) -> None:
    """What is not etcd is none of it."""
    assert manifest.read(raw, PATH) is None


@pytest.mark.parametrize(
    "raw",
    [b"", b"- a\n", b"\xff", b"{", b"kind: Pod\nspec: 1\n", b"kind: Pod\nspec: {containers: [{command: etcd}]}\n"],
)
def test_no_manifest(raw: bytes) -> None:
    """An error that names the file."""
    with pytest.raises(RequorumError, match=PATH):
        manifest.read(raw, PATH)


def test_whom_it_runs_as() -> None:
    """runAsUser of the container counts more than the pod's; root where nothing is said."""
    assert read(KUBEADM).user == 0
    of_pod = KUBEADM.replace(b"  hostNetwork: true", b"  securityContext:\n    runAsUser: 7\n  hostNetwork: true")
    assert read(of_pod).user == 7
    assert (
        read(of_pod.replace(b"    name: etcd\n", b"    securityContext: {runAsUser: 8}\n    name: etcd\n", 1)).user == 8
    )


KEYS = [
    "securityContext",
    "kind",
    "spec",
    "containers",
    "command",
    "args",
    "env",
    "name",
    "value",
    "volumes",
    "volumeMounts",
    "hostPath",
]
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.just("etcd"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=4),
    max_leaves=25,
)


@hypothesis.settings(deadline=None)  # a slow machine is no fault
@given(VALUES, VALUES)
def test_any_yaml(pod: object, container: object) -> None:
    """Whatever it says, it is read, or refused with an error of ours."""
    for data in (pod, {"kind": "Pod", "spec": pod}, {"kind": "Pod", "spec": {"containers": [container]}}):
        out = io.BytesIO()
        YAML(typ="safe", pure=True).dump(data, out)
        try:
            manifest.read_pod(out.getvalue(), PATH)
            manifest.read(out.getvalue(), PATH)
            manifest.edited(out.getvalue(), {"name": "x"}, PATH)
        except RequorumError:
            continue


def pod_of(command: str, *, env: str = "[]", more: str = "", metadata: str = "{name: etcd}") -> bytes:
    """A pod whose etcd has this command line and these variables."""
    return f"""apiVersion: v1
kind: Pod
metadata: {metadata}
spec:
  containers:
  - name: etcd
    image: registry.k8s.io/etcd:3.5.30-0
    command: {command}
    env: {env}{more}
    volumeMounts:
    - {{mountPath: /var/lib/etcd, name: data}}
  volumes:
  - {{name: data, hostPath: {{path: /srv/etcd}}}}
""".encode()


FROM_FIELD = "{{name: {name}, valueFrom: {{fieldRef: {{fieldPath: {path}}}}}}}"
NODE = Node(name="cp1", ip="10.0.0.1")


class TestVariables:
    """``$(NAME)`` as kubelet fills it in."""

    @pytest.mark.parametrize(
        ("env", "word", "value"),
        [
            ("[{name: A, value: m1}]", "$(A)", "m1"),
            ("[{name: A, value: m}, {name: B, value: $(A)1}]", "$(B)", "m1"),
            ("[{name: B, value: $(A)1}, {name: A, value: m}]", "$(B)", "$(A)1"),
            ("[{name: A, value: m1}]", "$$(A)", "$(A)"),
            ("[{name: A, value: m1}]", "$(NONE)-$(A)", "$(NONE)-m1"),
            ("[{name: A}]", "x$(A)", "x"),
            ("[{name: A, value: a}, {name: A, value: b}]", "$(A)", "b"),
            (f"[{FROM_FIELD.format(name='A', path='metadata.name')}]", "$(A)", "etcd-cp1"),
            (f"[{FROM_FIELD.format(name='A', path='metadata.namespace')}]", "$(A)", "default"),
            (f"[{FROM_FIELD.format(name='A', path='spec.nodeName')}]", "$(A)", "cp1"),
            (f"[{FROM_FIELD.format(name='A', path='status.podIP')}]", "$(A)", "10.0.0.1"),
        ],
    )
    def test_filled_in(self, env: str, word: str, value: str) -> None:
        """From those above it, from the pod and its node; what nobody defines stays."""
        raw = pod_of(f'[etcd, "--name={word}", --data-dir=/var/lib/etcd]', env=env)
        found = manifest.read(raw, PATH, NODE)
        assert found is not None
        assert found.settings["name"] == value

    @pytest.mark.parametrize(
        "env",
        [
            FROM_FIELD.format(name="A", path="metadata.uid"),
            FROM_FIELD.format(name="A", path="status.hostIP"),
            "{name: A, valueFrom: {secretKeyRef: {name: s, key: k}}}",
            "{name: A, valueFrom: {resourceFieldRef: {resource: limits.cpu}}}",
        ],
    )
    def test_what_only_the_cluster_knows(self, env: str) -> None:
        """Refused by name where it is needed, also through another variable or as a setting; else it hinders nothing."""
        for command, more in (("[etcd, --name=$(A)]", ""), ("[etcd, --name=$(B)]", ", {name: B, value: x$(A)}")):
            with pytest.raises(RequorumError, match=r"\$\([AB]\)"):
                manifest.read(pod_of(command, env=f"[{env}{more}]"), PATH, Node(name="cp1"))
        with pytest.raises(RequorumError, match="ETCD_NAME"):
            manifest.read(pod_of("[etcd]", env=f"[{env.replace('name: A', 'name: ETCD_NAME', 1)}]"), PATH)
        assert read(pod_of("[etcd, --name=m1, --data-dir=/var/lib/etcd]", env=f"[{env}]")).settings["name"] == "m1"

    def test_variables_of_something_else(self) -> None:
        """Nobody here knows what envFrom brings."""
        more = "\n    envFrom: [{configMapRef: {name: settings}}]"
        with pytest.raises(RequorumError, match="envFrom"):
            read(pod_of("[etcd, --data-dir=/var/lib/etcd]", more=more))


class TestShells:
    """etcd behind something else in a pod."""

    PLAIN = '[/bin/sh, -ec, "exec etcd --name=m1 --data-dir=/var/lib/etcd --initial-cluster-state new"]'

    def test_a_plain_command(self) -> None:
        """Read through, and changed where it stands."""
        assert read(pod_of(self.PLAIN)).settings["data-dir"] == "/srv/etcd"
        changed = manifest.edited(
            pod_of(self.PLAIN), {"initial-cluster-state": "existing", "initial-cluster-token": "t"}, PATH
        )
        found = read(changed).settings
        assert (found["initial-cluster-state"], found["initial-cluster-token"], found["name"]) == (
            "existing",
            "t",
            "m1",
        )
        assert b"/bin/sh" in changed

    def test_its_script_on_several_lines(self) -> None:
        """Continued with backslashes, as people write it."""
        raw = pod_of(
            '["sh", "-c"]', more='\n    args: ["exec etcd \\\\\\n  --name=m1 \\\\\\n  --data-dir=/var/lib/etcd"]'
        )
        assert read(raw).settings["name"] == "m1"
        again = read(manifest.edited(raw, {"initial-cluster-state": "existing"}, PATH)).settings
        assert (again["name"], again["initial-cluster-state"]) == ("m1", "existing")

    @pytest.mark.parametrize(
        "script",
        [
            "mkfifo /tmp/p; (tee -a /var/log/etcd.log < /tmp/p &) ; exec /usr/local/bin/etcd > /tmp/p 2>&1",
            "exec etcd --name=$HOSTNAME",
            "set -x\\netcd",
            "if true; then etcd; fi",
        ],
    )
    def test_more_than_that(self, script: str) -> None:
        """Seen to run etcd, and refused by name."""
        raw = pod_of(f'[/bin/sh, -c, "{script}"]')
        with pytest.raises(RequorumError, match="/bin/sh"):
            manifest.read(raw, PATH)
        assert manifest.sight(raw, PATH) == manifest.Sight(name="etcd", folders=("/srv/etcd",))

    @pytest.mark.parametrize(
        "words", ["[kube-apiserver, --etcd-servers=x]", '[sh, -c, "kube-apiserver --etcd-servers=x"]']
    )
    def test_what_only_talks_to_it(self, words: str) -> None:
        """No etcd."""
        assert manifest.read(pod_of(words), PATH) is None
        assert manifest.sight(pod_of(words), PATH) is None


class TestDocuments:
    """kubelet reads the first document of a file, and JSON as well."""

    FLAGS = "[etcd, --name=m1, --data-dir=/var/lib/etcd, --initial-cluster-state=new]"

    @pytest.mark.parametrize("tail", ["---\n", "---\napiVersion: v1\nkind: Pod\n", "...\n", "---\n{not: [yaml\n"])
    def test_several(self, tail: str) -> None:
        """What follows the first is neither read nor changed."""
        raw = b"---\n" + pod_of(self.FLAGS) + tail.encode()
        changed = manifest.edited(raw, {"initial-cluster-state": "existing"}, PATH)
        assert read(changed).settings["initial-cluster-state"] == "existing"
        assert changed.endswith(tail.encode())

    def test_json(self) -> None:
        """With tabs, which YAML does not allow; it stays JSON."""
        data = YAML(typ="safe", pure=True).load(pod_of(self.FLAGS).decode())
        raw = json.dumps(data, indent="\t").encode()
        changed = manifest.edited(raw, {"initial-cluster-state": "existing"}, PATH)
        before, after = json.loads(raw), json.loads(changed)
        assert after["spec"]["containers"][0]["command"].pop() == "--initial-cluster-state=existing"
        assert before["spec"]["containers"][0]["command"].pop() == "--initial-cluster-state=new"
        assert before == after

    def test_a_relative_dir(self) -> None:
        """Below the container's own working directory; where that is the image's, it is not guessed."""
        raw = pod_of("[etcd, --name=m1, --data-dir=data]", more="\n    workingDir: /var/lib/etcd")
        assert read(raw).settings["data-dir"] == "/srv/etcd/data"
        with pytest.raises(RequorumError, match="where etcd is started is not known"):
            read(pod_of("[etcd, --name=m1]"))


class TestCopies:
    """A copy in kubelet's folder runs as well, however it starts etcd."""

    @pytest.mark.parametrize(
        ("raw", "runs"),
        [
            (pod_of(TestDocuments.FLAGS), True),
            (pod_of(TestShells.PLAIN), True),
            (pod_of('[/bin/sh, -c, "etcd --name=$X; true"]'), True),
            (pod_of('[/bin/sh, -c, "etcd --name=$X; true"]', metadata="{name: backup}"), True),
            (pod_of(TestDocuments.FLAGS, metadata="{name: backup}"), True),
            (pod_of("[etcd, --data-dir=/var/lib/etcd/events]", metadata="{name: etcd-events}"), False),
            (pod_of("[kube-apiserver]", metadata="{name: etcd}"), False),
        ],
    )
    def test_seen_by_the_fence(self, tmp_path: Path, raw: bytes, runs: bool) -> None:
        """By its name or by its data."""
        path = tmp_path / "copy.yaml"
        path.write_bytes(raw)
        deployment = StaticPodDeployment(manifests=("/m/etcd.yaml",), pod="etcd-cp1", node="cp1")
        assert staticpod._runs(Here(), path, deployment, "/srv/etcd") is runs
