"""What of Kubernetes writes to etcd from static pods: the API server, the controller-manager, the scheduler.

They are taken out of kubelet's folder as etcd's own manifest is, stopped, and come back unchanged: the API server first,
the others once it is ready.
"""

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from shlex import quote as q

from requorum.deployments import parked, settings
from requorum.deployments.kubelet import Kubelet
from requorum.deployments.staticpod import manifest
from requorum.errors import RequorumError
from requorum.hosts import containers, net, processes
from requorum.hosts.connection import Connection
from requorum.inventory.values import ControlPod

PROGRAMS = ("kube-apiserver", "kube-controller-manager", "kube-scheduler")
"""In the order in which they are stopped, and in which they come back."""
READY_SECONDS = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Read:
    pod: manifest.Pod
    program: str
    command: tuple[str, ...]


def find(host: Connection, local: Kubelet) -> tuple[ControlPod, ...]:
    """The control plane's pods on a host, fenced or not, in their order."""
    found = []
    for name in parked.names(host, local.folder):
        path = local.folder / name
        read = _read(host, path)
        if read is not None:
            found.append(
                ControlPod(
                    manifest=str(path),
                    program=read.program,
                    pod=f"{read.pod.name}-{local.node}",
                    namespace=read.pod.namespace,
                    socket=local.socket,
                    fenced_by=parked.fenced_by(host, path),
                )
            )
    return tuple(sorted(found, key=lambda one: (PROGRAMS.index(one.program), one.manifest)))


def _read(host: Connection, path: Path) -> _Read | None:
    try:
        pod = manifest.read_pod(parked.read(host, path), str(path))
    except (OSError, RequorumError):
        return None
    if pod is None:
        return None
    for command in pod.commands:
        for word in command:
            if os.path.basename(word) in PROGRAMS:
                return _Read(pod=pod, program=os.path.basename(word), command=command)
    return None


def fence(host: Connection, pods: Sequence[ControlPod], run: str) -> None:
    """Take their manifests out of kubelet's folder."""
    for one in pods:
        parked.fence(host, Path(one.manifest), run)


def stop(host: Connection, pods: Sequence[ControlPod]) -> None:
    """End their processes, kubelet being stopped, and see in the runtime that they are gone where it answers. Ended as well
    is what still runs of a pod whose manifest somebody has moved away."""
    lines = [read.command for one in pods if (read := _read(host, Path(one.manifest)))]
    host.call(processes.stop_commands, lines, PROGRAMS)
    for one in pods:
        deadline = time.monotonic() + processes.STOP_SECONDS
        while left := _running(host, one):
            if time.monotonic() > deadline:
                raise RequorumError(
                    f"container {left[0][:12]} of {one.pod} does not end",
                    hint="crictl stop, or ctr tasks kill, ends it",
                )
            time.sleep(0.2)


def _running(host: Connection, pod: ControlPod) -> tuple[str, ...]:
    try:
        return host.call(containers.running, pod.socket, pod.namespace, pod.pod, sandbox=False)
    except RequorumError:
        return ()


def give_back(host: Connection, pods: Sequence[ControlPod], run: str) -> None:
    """Let kubelet have their manifests again, as they were; it starts them."""
    for one in pods:
        parked.release(host, Path(one.manifest), run)


def ready_url(host: Connection, pod: ControlPod) -> str:
    """Where an API server says whether it is ready."""
    read = _read(host, Path(pod.manifest))
    flags = settings.from_flags(read.command) if read else {}
    address = flags.get("bind-address", "")
    if not address.strip("0.:"):
        address = "127.0.0.1"  # it listens everywhere
    return f"https://{address}:{flags.get('secure-port') or '6443'}/readyz"


def wait_ready(host: Connection, pod: ControlPod) -> str:
    """Wait until an API server serves; returns why it does not, empty when it does."""
    url = ready_url(host, pod)
    deadline = time.monotonic() + READY_SECONDS
    while True:
        said = host.call(net.ready, url)
        if not said:
            return ""
        if time.monotonic() > deadline:
            return f"{pod.pod} is not ready after {READY_SECONDS:.0f} s: {said}"
        time.sleep(0.5)


def fence_by_hand(pod: ControlPod, run: str) -> str:
    """What a person would type to take a manifest out of kubelet's folder."""
    path = Path(pod.manifest)
    folder, fenced = q(str(parked.folder_of(path.parent))), q(str(parked.fenced_path(path, run)))
    return f"mkdir -p -m 0700 {folder}; mv -n {q(str(path))} {fenced}"


def stop_by_hand(pod: ControlPod) -> str:
    """What a person would type to end its processes."""
    return f"pkill -TERM -x {pod.program}  # until it is gone: ctr -n k8s.io tasks list"


def give_back_by_hand(pod: ControlPod, run: str) -> str:
    """What a person would type to let kubelet have a manifest again."""
    back = f"mv -n {q(str(parked.fenced_path(Path(pod.manifest), run)))} {q(pod.manifest)}"
    return back + ("  # then wait for /readyz" if pod.program == PROGRAMS[0] else "")
