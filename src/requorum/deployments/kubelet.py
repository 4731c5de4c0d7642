"""kubelet on a host, as its unit and its configuration say: which folder it takes static pods from, which runtime it uses,
under which name it knows the host."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml.error import YAMLError

from requorum.deployments import envfile, settings
from requorum.deployments.systemd import unitwords
from requorum.hosts import files, units
from requorum.hosts.connection import Connection
from requorum.hosts.units import Unit
from requorum.inventory import plain_yaml

UNIT = "kubelet.service"
FOLDER = "/etc/kubernetes/manifests"
"""kubeadm's staticPodPath, and Kubespray's."""
SOCKETS = ("/run/containerd/containerd.sock", "/var/run/crio/crio.sock")
CONFIG = "/var/lib/kubelet/config.yaml"


@dataclass(frozen=True, slots=True, kw_only=True)
class Kubelet:
    """``folder`` is its staticPodPath, ``socket`` its runtime's, ``node`` the name that its pods' names end in, ``node_ip``
    the address that it was told to have (empty where it looks for one itself)."""

    unit: Unit
    folder: Path
    socket: str
    node: str
    node_ip: str = ""


def read(host: Connection) -> Kubelet:
    """kubelet as it would start; what nothing says is as kubeadm leaves it."""
    (unit,) = host.call(units.show, [UNIT])
    flags = settings.from_flags(_words(host, unit))
    config = _config(host, flags.get("config", CONFIG))
    socket = flags.get("container-runtime-endpoint") or str(config.get("containerRuntimeEndpoint") or "")
    if not socket:
        socket = next((one for one in SOCKETS if host.call(files.there, Path(one))), SOCKETS[0])
    folder = flags.get("pod-manifest-path") or str(config.get("staticPodPath") or FOLDER)
    node = flags.get("hostname-override") or _hostname(host)
    return Kubelet(
        unit=unit,
        folder=Path(os.path.normpath(folder)),
        socket="/" + socket.removeprefix("unix:").lstrip("/"),
        node=node.lower(),
        node_ip=flags.get("node-ip", "").partition(",")[0],
    )


def runs(host: Connection) -> bool:
    """Whether it runs now."""
    (unit,) = host.call(units.show, [UNIT])
    return unit.main_pid != 0


def _hostname(host: Connection) -> str:
    return host.call(files.read_file, Path("/proc/sys/kernel/hostname")).decode(errors="replace").strip()


def _words(host: Connection, unit: Unit) -> list[str]:
    """Its command line; a word that is a variable alone stands for several (systemd.service(5))."""
    environment = dict(unit.environment)
    for path in unit.env_files:
        try:
            raw = host.call(files.read_file, Path(path.lstrip("-")))
        except OSError:
            continue
        environment.update(envfile.parse(raw.decode(errors="replace")))
    return unitwords.expanded(unit.argv, environment)


def _config(host: Connection, path: str) -> dict[str, Any]:
    try:
        data = plain_yaml.load(host.call(files.read_file, Path(path)).decode())
    except (OSError, YAMLError, ValueError, RecursionError):
        return {}
    return data if isinstance(data, dict) else {}
