"""etcd's static pod is read as its container sees itself and its files as the host sees them; what is changed is little."""

import difflib
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from lab import staticpods
from lab.kubespray import Place
from requorum.deployments import manifest, settings
from requorum.errors import RequorumError

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
