"""Writes what lies on the hosts' disks before they are first switched on: all in Kubespray's places."""

import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from lab import access, crictl, images, kubernetes, kubespray, staticpods
from lab.kubespray import CERTIFICATES, EVENTS, MAIN, SERVICES, Cluster, Place
from lab.options import Options
from lab.programs import run
from lab.staticpods import IMAGES, PAUSE

UNITS = "etc/systemd/system"
ENDS = (".pem", "-key.pem")


def clusters(options: Options) -> tuple[Cluster, ...]:
    """The etcd clusters of a lab."""
    return (MAIN, EVENTS) if options.events else (MAIN,)


def write_shared(layer: Path, options: Options) -> None:
    """Write the layer that all hosts have in common: the etcd programs, or kubelet and the images with them."""
    folder = layer / "usr/local/bin"
    folder.mkdir(parents=True)
    programs = [Path(options.etcd_dir) / name for name in ("etcd", "etcdctl", "etcdutl")]
    if options.static_pods or options.control_host:
        _write_images(layer / IMAGES.lstrip("/"), options, programs)
        programs = [kubernetes.built() / "kubelet", *([] if options.static_pods else programs)]
        programs += [crictl.built()] if options.crictl else []
    for program in programs:
        shutil.copy(program, folder / program.name)
        (folder / program.name).chmod(0o755)


def _write_images(folder: Path, options: Options, etcd: Sequence[Path]) -> None:
    """Write the images of the pods: etcd, the API server, and placeholders that only sleep under the others' names."""
    sleep = Path("/bin/sleep")
    images.write(folder / "pause.tar", PAUSE, {"/bin/sleep": sleep}, ["/bin/sleep", "infinity"])
    if options.static_pods:
        named = {f"/usr/local/bin/{one.name}": one for one in etcd if one.name != "etcdutl" or not options.no_etcdutl}
        images.write(folder / "etcd.tar", etcd_image(options), named, ["etcd"])
    for name in staticpods.PLACEHOLDERS:
        programs = {f"/usr/local/bin/{name}": Path("/usr/bin/timeout"), "/bin/sleep": sleep}
        images.write(folder / f"{name}.tar", staticpods.image_of(name), programs, [name])
    if options.api_server or options.control_host:
        name = staticpods.API_SERVER
        programs = {f"/usr/local/bin/{name}": kubernetes.built() / name}
        images.write(folder / f"{name}.tar", staticpods.image_of(name), programs, [name])


def write_host(root: Path, place: Place, places: Sequence[Place], gateway: str) -> None:
    """Write what any host has: its name, its address, who the others are."""
    (root / "etc/hostname").write_text(place.name + "\n")
    (root / "etc/machine-id").write_text(os.urandom(16).hex() + "\n")
    lines = ["127.0.0.1 localhost", *(f"{one.address} {one.name} {one.etcd_name}".strip() for one in places)]
    (root / "etc/hosts").write_text("\n".join(lines) + "\n")
    _enable(root, "lab-network", kubespray.network_unit(place.address, gateway))


def write_node(root: Path, place: Place, places: Sequence[Place], options: Options, pki: Path) -> None:
    """Write a host of etcd: certificates, environment files, units, empty data dirs."""
    if place.name in options.no_python:
        for path in (root / "usr/bin").glob("python3*"):
            path.unlink()
    if options.static_pods:
        _write_static_pods(root, place, places, options, pki)
        return
    owner = access.ids_of(root, options.user)
    folder = root / CERTIFICATES.lstrip("/")
    folder.mkdir(parents=True)
    for name in ("ca.pem", *(f"{kind}-{place.name}{end}" for kind in ("member", "admin", "node") for end in ENDS)):
        shutil.copy(pki / name, folder / name)
        (folder / name).chmod(0o600 if name.endswith("-key.pem") else 0o644)
    for path in (folder, *folder.iterdir()):
        os.chown(path, *owner)
    folder.chmod(0o700)
    for cluster in clusters(options):
        for data in filter(None, (cluster.data_dir, kubespray.wal_dir(cluster, options))):
            inside = root / data.lstrip("/")
            inside.mkdir(parents=True, exist_ok=True)
            inside.chmod(0o700)
            os.chown(inside, *owner)
        _enable(root, cluster.unit, kubespray.etcd_unit(cluster, options.user))
    let_wal_in(root, options, may=True)
    write_environment(root, place, places, options, "new")
    for service in SERVICES:
        _enable(root, service, kubespray.service_unit(service))


def etcd_image(options: Options) -> str:
    """The name of etcd's image on hosts with static pods."""
    said = run([Path(options.etcd_dir) / "etcd", "--version"]).stdout
    return staticpods.etcd_image(said.splitlines()[0].rpartition(" ")[2])


def _write_static_pods(root: Path, place: Place, places: Sequence[Place], options: Options, pki: Path) -> None:
    """Write a host of etcd as kubeadm lays it out: certificates, the manifest, kubelet and containerd."""
    folder = root / staticpods.PKI.lstrip("/")
    folder.mkdir(parents=True)
    shutil.copy(pki / "ca.pem", folder / "ca.crt")
    for name, kind in staticpods.CERTIFICATES.items():
        shutil.copy(pki / f"{kind}-{place.name}.pem", folder / f"{name}.crt")
        shutil.copy(pki / f"{kind}-{place.name}-key.pem", folder / f"{name}.key")
    (root / MAIN.data_dir.lstrip("/")).mkdir(mode=0o700)
    nodes = [one for one in places if one.etcd_name]
    manifests = {"etcd": staticpods.etcd_manifest(place, nodes, etcd_image(options), options.quota)}
    if options.api_server:
        manifests[staticpods.API_SERVER] = staticpods.api_server_manifest(
            place, [f"https://127.0.0.1:{MAIN.client_port}"]
        )
    _write_kubelet(root, place, manifests)


def write_control_host(root: Path, place: Place, places: Sequence[Place], options: Options, pki: Path) -> None:
    """Write a host that has the control plane alone, as Kubespray lays it out today: static pods, etcd elsewhere."""
    folder = root / staticpods.PKI.lstrip("/")
    folder.mkdir(parents=True)
    shutil.copy(pki / "ca.pem", folder / "ca.crt")
    for end, kind in (("crt", ".pem"), ("key", "-key.pem")):
        shutil.copy(pki / f"admin-{place.name}{kind}", folder / f"healthcheck-client.{end}")
    servers = [f"https://{one.address}:{MAIN.client_port}" for one in places if one.etcd_name]
    _write_kubelet(root, place, {staticpods.API_SERVER: staticpods.api_server_manifest(place, servers)})


def _write_kubelet(root: Path, place: Place, manifests: Mapping[str, str]) -> None:
    """Write kubelet, containerd, and the manifests of the pods: those given, and the placeholders."""
    (root / staticpods.TOKENS.lstrip("/")).parent.mkdir(parents=True, exist_ok=True)
    others = {name: staticpods.placeholder_manifest(name) for name in staticpods.PLACEHOLDERS}
    for path, text in (
        *((f"{staticpods.MANIFESTS}/{name}.yaml", manifest) for name, manifest in {**manifests, **others}.items()),
        ("/var/lib/kubelet/config.yaml", staticpods.kubelet_config()),
        ("/etc/containerd/config.toml", staticpods.containerd_config()),
        (staticpods.TOKENS, staticpods.tokens()),
    ):
        file = root / path.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        file.chmod(0o600)
    _enable(root, "lab-kubelet-host", staticpods.host_unit())
    _enable(root, "lab-images", staticpods.images_unit())
    _enable(root, "kubelet", staticpods.kubelet_unit(place.address))


def let_wal_in(root: Path, options: Options, *, may: bool) -> None:
    """Let etcd make its WAL dir, or no longer: it makes it under another name beside it, and renames it.

    Only a first start does that, so an etcd that is not root has no need of the folder above later on.
    """
    if options.wal_dir and options.user != "root":
        above = (root / options.wal_dir.lstrip("/")).parent
        os.chown(above, access.ids_of(root, options.user if may else "root")[0], 0)  # systemd resets modes, not owners


def write_environment(root: Path, place: Place, places: Sequence[Place], options: Options, state: str) -> None:
    """Write the environment files of a host's members; ``state`` is new or existing."""
    nodes = [one for one in places if one.etcd_name]
    for cluster in clusters(options):
        path = root / f"etc/{cluster.unit}.env"
        path.write_text(kubespray.environment(cluster, place, nodes, options, state))
        path.chmod(0o640)


def _enable(root: Path, name: str, unit: str) -> None:
    """Write a unit and have it started at boot."""
    (root / UNITS / f"{name}.service").write_text(unit)
    wants = root / UNITS / "multi-user.target.wants"
    wants.mkdir(exist_ok=True)
    (wants / f"{name}.service").symlink_to(f"/{UNITS}/{name}.service")
