"""The files of a host whose etcd is a static pod, as kubeadm leaves them, and what a kubelet needs in a lab, as text.

Nothing here acts. The settings beyond kubeadm's are those without which kubelet and containerd do not run inside a
container of systemd-nspawn: control groups mounted anew, three sysctls made to look as kubelet wants them, no quality of
service groups, no lowered oom_score_adj, a snapshotter that works on an overlay.
"""

from collections.abc import Mapping, Sequence

from lab.kubespray import MAIN, Place
from requorum.etcd.versions import numbers

PKI = "/etc/kubernetes/pki/etcd"
MANIFESTS = "/etc/kubernetes/manifests"
IMAGES = "/var/lib/lab-images"
SOCKET = "/run/containerd/containerd.sock"
PAUSE = "registry.k8s.io/pause:3.6"
CERTIFICATES = {"server": "member", "peer": "member", "healthcheck-client": "admin"}
"""kubeadm's names, and the lab's kind of certificate that stands behind each."""


API_SERVER = "kube-apiserver"
PLACEHOLDERS = ("kube-controller-manager", "kube-scheduler")
API_PORT = 6443
TOKENS = "/etc/kubernetes/pki/tokens.csv"
TOKEN = "lab-operator"  # noqa: S105 - opens an API server of the lab


def image_of(program: str) -> str:
    """The name of the image of a part of the control plane."""
    return f"registry.k8s.io/{program}:v1.20.2"


def tokens() -> str:
    """The file with the one token that an API server of the lab takes."""
    return f'{TOKEN},lab,lab,"system:masters"\n'


def etcd_image(version: str) -> str:
    """The name of etcd's image, as kubeadm writes it."""
    return f"registry.k8s.io/etcd:{version}-0"


def etcd_manifest(place: Place, places: Sequence[Place], image: str, quota: int) -> str:
    """The manifest of a member. From 3.6 on kubeadm asks for the same with a feature gate (3.7 knows no experimental flag)."""
    client = f"https://{place.address}:{MAIN.client_port}"
    peer = f"https://{place.address}:{MAIN.peer_port}"
    together = ",".join(f"{one.name}=https://{one.address}:{MAIN.peer_port}" for one in places)
    version = image.rpartition(":")[2].partition("-")[0]
    if numbers(version) < (3, 6):
        asked = ["experimental-initial-corrupt-check=true", "experimental-watch-progress-notify-interval=5s"]
    else:
        asked = ["feature-gates=InitialCorruptCheck=true", "watch-progress-notify-interval=5s"]
    flags = [
        f"advertise-client-urls={client}",
        f"cert-file={PKI}/server.crt",
        "client-cert-auth=true",
        f"data-dir={MAIN.data_dir}",
        *asked,
        f"initial-advertise-peer-urls={peer}",
        f"initial-cluster={together}",
        f"key-file={PKI}/server.key",
        f"listen-client-urls=https://127.0.0.1:{MAIN.client_port},{client}",
        "listen-metrics-urls=http://127.0.0.1:2381",
        f"listen-peer-urls={peer}",
        f"name={place.name}",
        f"peer-cert-file={PKI}/peer.crt",
        "peer-client-cert-auth=true",
        f"peer-key-file={PKI}/peer.key",
        f"peer-trusted-ca-file={PKI}/ca.crt",
        f"quota-backend-bytes={quota}",
        "snapshot-count=10000",
        f"trusted-ca-file={PKI}/ca.crt",
    ]
    return (
        "apiVersion: v1\nkind: Pod\nmetadata:\n  annotations:\n"
        f"    kubeadm.kubernetes.io/etcd.advertise-client-urls: {client}\n"
        "  creationTimestamp: null\n  labels:\n    component: etcd\n    tier: control-plane\n"
        "  name: etcd\n  namespace: kube-system\nspec:\n  containers:\n  - command:\n    - etcd\n"
        + "".join(f"    - --{flag}\n" for flag in flags)
        + f"    image: {image}\n    imagePullPolicy: IfNotPresent\n"
        + _probe("livenessProbe", 8)
        + "    name: etcd\n    resources:\n      requests:\n        cpu: 100m\n        memory: 100Mi\n"
        + _probe("startupProbe", 24)
        + "    volumeMounts:\n"
        f"    - mountPath: {MAIN.data_dir}\n      name: etcd-data\n"
        f"    - mountPath: {PKI}\n      name: etcd-certs\n"
        "  hostNetwork: true\n  priorityClassName: system-node-critical\n"
        "  volumes:\n"
        f"  - hostPath:\n      path: {PKI}\n      type: DirectoryOrCreate\n    name: etcd-certs\n"
        f"  - hostPath:\n      path: {MAIN.data_dir}\n      type: DirectoryOrCreate\n    name: etcd-data\n"
        "status: {}\n"
    )


def api_server_manifest(place: Place, servers: Sequence[str]) -> str:
    """The manifest of a real API server. It makes its own certificate; callers show :data:`TOKEN`."""
    key = f"{PKI}/healthcheck-client.key"
    flags = [
        f"advertise-address={place.address}",
        "anonymous-auth=true",
        "authorization-mode=Node,RBAC",
        "cert-dir=/var/lib/kube-apiserver",
        f"etcd-cafile={PKI}/ca.crt",
        f"etcd-certfile={PKI}/healthcheck-client.crt",
        f"etcd-keyfile={key}",
        f"etcd-servers={','.join(servers)}",
        "insecure-port=0",
        f"secure-port={API_PORT}",
        "service-account-issuer=https://kubernetes.default.svc.cluster.local",
        f"service-account-key-file={PKI}/healthcheck-client.crt",
        f"service-account-signing-key-file={key}",
        "service-cluster-ip-range=10.96.0.0/12",
        f"token-auth-file={TOKENS}",
    ]
    probe = (
        "    livenessProbe:\n      failureThreshold: 8\n      httpGet:\n"
        f"        host: {place.address}\n        path: /livez\n        port: {API_PORT}\n        scheme: HTTPS\n"
        "      initialDelaySeconds: 10\n      periodSeconds: 10\n      timeoutSeconds: 15\n"
    )
    mounts = {"/etc/kubernetes/pki": "pki", "/var/lib/kube-apiserver": "own"}
    return _pod(API_SERVER, [f"--{one}" for one in flags], probe, mounts)


def placeholder_manifest(name: str) -> str:
    """The manifest of what only runs: ``timeout`` under another name, because it ends when it is asked to (``sleep`` as
    the first process of a container does not)."""
    return _pod(name, ["1000d", "/bin/sleep", "infinity"], "", {})


def _pod(name: str, words: Sequence[str], probe: str, mounts: Mapping[str, str]) -> str:
    return (
        f"apiVersion: v1\nkind: Pod\nmetadata:\n  creationTimestamp: null\n  labels:\n    component: {name}\n"
        f"    tier: control-plane\n  name: {name}\n  namespace: kube-system\nspec:\n  containers:\n"
        f"  - command:\n    - {name}\n"
        + "".join(f"    - {word}\n" for word in words)
        + f"    image: {image_of(name)}\n    imagePullPolicy: IfNotPresent\n{probe}    name: {name}\n"
        + ("    volumeMounts:\n" if mounts else "")
        + "".join(f"    - mountPath: {path}\n      name: {volume}\n" for path, volume in mounts.items())
        + "  hostNetwork: true\n  priorityClassName: system-node-critical\n"
        + ("  volumes:\n" if mounts else "")
        + "".join(
            f"  - hostPath:\n      path: {path}\n      type: DirectoryOrCreate\n    name: {volume}\n"
            for path, volume in mounts.items()
        )
        + "status: {}\n"
    )


def _probe(name: str, failures: int) -> str:
    return (
        f"    {name}:\n      failureThreshold: {failures}\n      httpGet:\n        host: 127.0.0.1\n"
        "        path: /health\n        port: 2381\n        scheme: HTTP\n"
        "      initialDelaySeconds: 10\n      periodSeconds: 10\n      timeoutSeconds: 15\n"
    )


def kubelet_config() -> str:
    """kubelet's configuration: no API server, only what is in its folder."""
    return (
        "apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\n"
        f"staticPodPath: {MANIFESTS}\n"
        "authentication:\n  anonymous:\n    enabled: true\n  webhook:\n    enabled: false\n"
        "authorization:\n  mode: AlwaysAllow\n"
        "cgroupDriver: cgroupfs\ncgroupsPerQOS: false\nenforceNodeAllocatable: []\nfailSwapOn: false\n"
        # A machine whose disk is rather full must not cost the pods their images, or their lives.
        "imageGCHighThresholdPercent: 100\nevictionHard:\n  imagefs.available: '0%'\n  nodefs.available: '0%'\n"
        "  memory.available: '0%'\n"
    )


def kubelet_unit(address: str) -> str:
    """kubelet's unit."""
    return (
        "[Unit]\nDescription=kubelet: The Kubernetes Node Agent\nWants=network-online.target\n"
        "After=network-online.target containerd.service lab-kubelet-host.service lab-images.service\n\n"
        "[Service]\nExecStart=/usr/local/bin/kubelet --config=/var/lib/kubelet/config.yaml "
        f"--container-runtime=remote --container-runtime-endpoint=unix://{SOCKET} --node-ip={address}\n"
        "Restart=always\nRestartSec=10\n\n[Install]\nWantedBy=multi-user.target\n"
    )


def containerd_config() -> str:
    """containerd's configuration."""
    cri = 'plugins."io.containerd.grpc.v1.cri"'
    return (
        f'version = 2\n[{cri}]\n  restrict_oom_score_adj = true\n  sandbox_image = "{PAUSE}"\n'
        f'[{cri}.containerd]\n  snapshotter = "native"\n'
    )


def host_unit() -> str:
    """The unit that makes the host one on which kubelet runs: control groups it may write to, sysctls as it wants them."""
    sysctls = {"kernel/panic": 10, "kernel/panic_on_oops": 1, "vm/overcommit_memory": 1}
    lines = [
        "ExecStart=/bin/sh -c 'for one in /sys/fs/cgroup/*; do mount -o remount,bind,rw $one || true; done'",
    ]
    for name, value in sysctls.items():
        path = f"/run/lab-{name.replace('/', '-')}"
        lines.append(f"ExecStart=/bin/sh -c 'echo {value} >{path}; mount --bind {path} /proc/sys/{name}'")
    return (
        "[Unit]\nDescription=what a kubelet wants of its host\nAfter=lab-network.service\nBefore=containerd.service\n\n"
        "[Service]\nType=oneshot\nRemainAfterExit=yes\n"
        + "\n".join(lines)
        + "\n\n[Install]\nWantedBy=multi-user.target\n"
    )


def images_unit() -> str:
    """The unit that gives containerd its images, once."""
    each = f"for one in {IMAGES}/*.tar; do ctr -n k8s.io images import $one || exit 1; done"
    load = f"test -e {IMAGES}/done || {{ {each}; touch {IMAGES}/done; }}"
    return (
        "[Unit]\nDescription=the images of the lab\nAfter=containerd.service\nRequires=containerd.service\n"
        "Before=kubelet.service\n\n"
        f"[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/sh -c '{load}'\n\n"
        "[Install]\nWantedBy=multi-user.target\n"
    )
