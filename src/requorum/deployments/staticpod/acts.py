"""etcd as a static pod, as kubeadm sets it up: a manifest in kubelet's folder, an image, certificates on the host.

The fence is that no manifest in kubelet's folder runs etcd (:mod:`requorum.deployments.parked`). kubelet itself is stopped
with what writes to etcd; while one member is replaced it runs on, and then it must have ended the pod. etcd is stopped by a
signal to its process: that needs no runtime that answers. What must change before the first start is changed in the
manifest, and the manifest returns only once the data is in place: kubelet would make an empty folder otherwise.
"""

import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from requorum.deployments import hazards, kubelet, parked, reach, settings
from requorum.deployments.config import MemberConfig
from requorum.deployments.staticpod import manifest
from requorum.deployments.staticpod.podvariables import Node
from requorum.errors import RequorumError
from requorum.hosts import containers, files, net, podlogs, processes, units
from requorum.hosts.connection import Connection
from requorum.inventory.values import StaticPodDeployment

USUAL = "etcd.yaml"
GONE_SECONDS = 60.0
"""So long kubelet may take to end a pod whose manifest is gone; its grace period is 30 s."""
RUNTIMES = {"crio": "crio.service", "cri-dockerd": "cri-docker.service"}
"""The units of runtimes other than containerd, by what their sockets are called."""
RECENTLY_SECONDS = 600.0
STEADY_SECONDS = 60.0
"""Who has run for so long is not ended again and again."""
PROBED_SECONDS = 15.0
"""So long after a start nobody asks whether kubelet ends the container for its probe."""
LATE_SECONDS = 90.0
"""A pod that has not started by then has a reason; after a power cut it may take 50 s (measured)."""
STARTS_AT_ONCE = True


def find(host: Connection, named: StaticPodDeployment) -> StaticPodDeployment | None:
    """The pod as kubelet's folder has it, fenced or not; None when there is none."""
    local = kubelet.read(host)
    node = Node(name=local.node, ip=local.node_ip)
    folder = Path(named.manifest).parent if named.manifest else local.folder
    pods, odd = {}, {}
    for name in parked.names(host, folder):
        path = folder / name
        try:
            raw = parked.read(host, path)
        except OSError:
            if name == USUAL:
                raise
            continue
        try:
            pod = manifest.read(raw, str(path), node)
        except RequorumError as err:
            if name == USUAL:
                raise
            if seen := manifest.sight(raw, str(path)):
                odd[path] = (seen, err)
            continue
        if pod is not None:
            pods[path] = pod
    if not pods:
        if odd:
            raise odd[min(odd)][1]
        return None
    if not local.unit.there:
        raise RequorumError(f"{host.name}: there is no {kubelet.UNIT} that would run {min(pods)}")
    wanted = Path(named.manifest) if Path(named.manifest) in pods else folder / USUAL
    own = wanted if wanted in pods else min(pods)
    copies = [str(one) for one in sorted(pods) if one != own and _same_data(pods[one], pods[own])]
    copies += [
        str(one) for one in sorted(odd) if _may_be(odd[one][0], pods[own].name, pods[own].settings.get("data-dir", ""))
    ]
    return replace(
        named,
        manifests=(str(own), *copies),
        image=pods[own].image,
        pod=f"{pods[own].name}-{local.node}",
        namespace=pods[own].namespace,
        container=pods[own].container,
        socket=local.socket,
        user=str(pods[own].user) if pods[own].user else "root",
        wanted=local.unit.wanted,
        fenced_by=parked.fenced_by(host, own),
        node=local.node,
        node_ip=local.node_ip,
    )


def _same_data(one: manifest.EtcdPod, other: manifest.EtcdPod) -> bool:
    return one.settings.get("data-dir") == other.settings.get("data-dir")


def _may_be(seen: manifest.Sight, name: str, data_dir: str) -> bool:
    """Whether a pod that starts etcd in a way that is not understood may be this one: by its name, or by a folder that
    holds the data dir."""
    return seen.name == name or any(
        data_dir == one.rstrip("/") or data_dir.startswith(one.rstrip("/") + "/") for one in seen.folders
    )


def _node(deployment: StaticPodDeployment) -> Node:
    return Node(name=deployment.node, ip=deployment.node_ip)


def read_config(host: Connection, deployment: StaticPodDeployment) -> MemberConfig:
    """The member's configuration; raises RequorumError when it cannot be read or lacks what is needed."""
    path = Path(deployment.manifest)
    try:
        pod = manifest.read(parked.read(host, path), str(path), _node(deployment))
    except OSError as err:
        raise RequorumError(f"{path}: {err.strerror}") from err
    if pod is None:
        raise RequorumError(f"{path}: it runs no etcd any more")
    if pod.settings.get("config-file"):
        raise RequorumError(
            f"{path}: etcd has its settings from a config file, which requorum does not change in a pod"
        )
    return hazards.inspected(settings.member_config(pod.settings, str(path), _client(host, pod.settings)), pod.made)


def _client(host: Connection, found: Mapping[str, str]) -> dict[str, str] | None:
    """kubeadm's certificate to ask etcd with, where it lies beside etcd's own; else etcd is asked with that."""
    ca = found.get("trusted-ca-file", "")
    if not ca:
        return None
    cert, key = (Path(ca).with_name(f"healthcheck-client.{end}") for end in ("crt", "key"))
    if not all(host.call(files.there, one) for one in (cert, key)):
        return None
    return {"ca": ca, "cert": str(cert), "key": str(key)}


def fenced_by(host: Connection, deployment: StaticPodDeployment) -> str:
    """The run that fences this member; empty when none does, or a copy of its manifest still lies in kubelet's folder."""
    by = {parked.fenced_by(host, Path(one)) for one in deployment.manifests}
    return by.pop() if len(by) == 1 else ""


def fence(host: Connection, deployment: StaticPodDeployment, run: str) -> None:
    """Take the manifest, and what copies of it there are, out of kubelet's folder."""
    for one in deployment.manifests:
        parked.fence(host, Path(one), run)


def stop(host: Connection, deployment: StaticPodDeployment, folders: Sequence[Path]) -> tuple[int, ...]:
    """See the pod end, its manifest being fenced. A kubelet that runs ends it by itself, and would start it again if somebody
    else did; for that it needs its runtime."""
    if kubelet.runs(host):
        wake_runtime(host, deployment.socket)
    deadline = time.monotonic() + GONE_SECONDS
    while kubelet.runs(host) and host.call(processes.holders_of, list(folders)):
        if time.monotonic() > deadline:
            break
        time.sleep(0.2)
    stopped = host.call(processes.stop_holders, list(folders))
    if kubelet.runs(host):  # it may have been about to start the next try
        _wait_until_gone(host, deployment, sandbox=True)
        stopped += host.call(processes.stop_holders, list(folders))
    return stopped


def prove_fence(host: Connection, deployment: StaticPodDeployment, _: Path, folders: Sequence[Path]) -> str:
    """See that nothing can start etcd: no manifest, no container, no process, no open port.

    A kubelet that is fenced must refuse to start; one that runs must have ended the pod with its sandbox. Raises
    RequorumError with what is left.
    """
    folder = Path(deployment.manifest).parent
    config = read_config(host, deployment)
    for name in host.call(files.names_in, folder):
        if not name.startswith(".") and _runs(host, folder / name, deployment, config.data_dir):
            raise RequorumError(
                f"the fence does not hold: {folder / name} runs etcd", hint="move it out of that folder"
            )
    (unit,) = host.call(units.show, [kubelet.UNIT])
    said = host.call(units.prove_fence, kubelet.UNIT) if unit.fenced_by else f"{deployment.pod} is gone"
    _wait_until_gone(host, deployment, sandbox=unit.main_pid != 0)
    running = host.call(processes.holders_of, list(folders))
    if running:
        raise RequorumError(
            f"the fence does not hold: {running[0].command!r} (pid {running[0].pid}) is on the member's files",
            hint="something else than kubelet starts etcd: stop that first",
        )
    for url in (config.endpoint, *config.peer_urls):
        if host.call(net.answers, url):
            raise RequorumError(
                f"the fence does not hold: something answers at {url}", hint="find out what listens there, and stop it"
            )
    return said


def _runs(host: Connection, path: Path, deployment: StaticPodDeployment, data_dir: str) -> bool:
    """Whether kubelet would run this member, or its copy, from a file in its folder: also where it is not understood how."""
    try:
        raw = host.call(files.read_file, path)
    except OSError:
        return str(path) in deployment.manifests
    seen = manifest.sight(raw, str(path))
    if seen is None:
        return False
    if f"{seen.name}-" == deployment.pod[: len(seen.name) + 1]:
        return True
    try:
        pod = manifest.read(raw, str(path), _node(deployment))
    except RequorumError:
        return _may_be(seen, "", data_dir)
    return pod is not None and pod.settings.get("data-dir") == data_dir


def _wait_until_gone(host: Connection, deployment: StaticPodDeployment, *, sandbox: bool) -> None:
    """A runtime that does not answer runs nothing new; what its containers still run is on the files, or on the port."""
    deadline = time.monotonic() + GONE_SECONDS
    while True:
        try:
            left = host.call(
                containers.running, deployment.socket, deployment.namespace, deployment.pod, sandbox=sandbox
            )
        except RequorumError:
            if sandbox:
                raise
            return
        if not left:
            return
        if time.monotonic() > deadline:
            raise RequorumError(
                f"the fence does not hold: container {left[0][:12]} of {deployment.pod} does not end",
                hint="journalctl -u kubelet says why; a leftover is removed with crictl rmp, or with the host's restart",
            )
        time.sleep(0.2)


def lift(
    host: Connection, deployment: StaticPodDeployment, run: str, changes: Mapping[str, str], _: Mapping[str, str]
) -> None:
    """Let kubelet have the member's manifest with some flags changed; copies of it do not come back.

    The originals stay set aside for a rollback.
    """
    own, *copies = (Path(one) for one in deployment.manifests)
    kept = parked.kept_path(own, run)
    raw = host.call(files.read_file, kept) if host.call(files.there, kept) else parked.read(host, own)
    for one in copies:
        parked.keep(host, one, run)
    parked.replace(host, own, run, manifest.edited(raw, changes, str(own), _node(deployment)))


def forget(_: Connection, __: StaticPodDeployment) -> None:
    """A manifest has no settings that are for the first start only: another manifest would be another pod."""


def put_back(host: Connection, deployment: StaticPodDeployment, run: str, holder: str = "") -> None:
    """Put the manifests back exactly as they were, by rename; where a ``holder`` is named they stay out of kubelet's folder,
    under its fence."""
    for one in deployment.manifests:
        if holder:
            parked.hold(host, Path(one), run, holder)
        else:
            parked.release(host, Path(one), run)


def start(host: Connection, deployment: StaticPodDeployment, _: Path) -> None:
    """Have kubelet running, and the runtime that it needs: it starts what lies in its folder. One that has seen the pod die
    is started anew: it waits longer after each try."""
    wake_runtime(host, deployment.socket)
    host.call(units.unfence, [kubelet.UNIT])
    if not host.bare and kubelet.runs(host) and dead(host, deployment, ()):
        host.call(units.stop, kubelet.UNIT)
    host.call(units.start, [kubelet.UNIT], wait=False)


def wake_runtime(host: Connection, socket: str) -> None:
    """Start the container runtime where it does not answer; raises RequorumError when that does not help."""
    if not host.call(containers.fault_of, socket):
        return
    unit = next((unit for part, unit in RUNTIMES.items() if part in socket), "containerd.service")
    (found,) = host.call(units.show, [unit])
    if found.there and not found.main_pid:
        host.call(units.start, [unit], wait=True)
    fault = host.call(containers.fault_of, socket)
    if fault:
        said = host.call(units.last_words, unit) if found.there else "it is not installed"
        raise RequorumError(
            f"{host.name}: {fault}; {unit}: {said}", hint=f"kubelet starts nothing without it: put {unit} right first"
        )


def fault_of_start(host: Connection, deployment: StaticPodDeployment) -> str:
    """Why the pod could not start, as far as that can be told before anything is moved; empty when nothing speaks
    against it."""
    wake_runtime(host, deployment.socket)
    config = read_config(host, deployment)
    data_dir = Path(config.data_dir)
    if host.call(files.there, data_dir) and not host.call(files.may_write, data_dir, deployment.user):
        return f"its pod runs as user {deployment.user}, who may not write to {data_dir} (chown -R puts that right)"
    if not host.call(containers.has_image, deployment.socket, deployment.image):
        return f"its image {deployment.image} is not on the host (ctr -n k8s.io images import, or pull, brings it)"
    return reach.fault(host, config)


def dead(host: Connection, deployment: StaticPodDeployment, folders: Sequence[Path]) -> str:
    """Why a member that was started does not run, and will not: etcd died on its data, or kubelet cannot run its pod."""
    if host.bare:
        return ""
    (unit,) = host.call(units.show, [kubelet.UNIT])
    age = min(host.call(podlogs.age_of, deployment.manifest), host.call(processes.age_of, unit.main_pid))
    names = (deployment.namespace, deployment.pod, deployment.container)
    running = host.call(processes.holders_of, list(folders))
    steady = any(host.call(processes.age_of, one.pid) > STEADY_SECONDS for one in running)
    if age > PROBED_SECONDS and not steady and (said := host.call(podlogs.killed, *names, age)):
        return said
    if running:
        return ""
    if not unit.main_pid:
        return f"{kubelet.UNIT} is {unit.active} ({unit.sub}): {host.call(units.last_words, kubelet.UNIT)}"
    said = host.call(podlogs.last_words, *names, age)
    if said or age < LATE_SECONDS:
        return said
    return host.call(podlogs.complaint, kubelet.UNIT, deployment.pod, age)


def hindrance(host: Connection, deployment: StaticPodDeployment) -> str:
    """What keeps kubelet from running the pod, where it should and does not; empty where nothing is known to."""
    if host.bare or deployment.fenced_by:
        return ""
    (unit,) = host.call(units.show, [kubelet.UNIT])
    if not unit.main_pid:
        return f"{kubelet.UNIT}, which would run it, is {unit.active} ({unit.sub})"
    age = host.call(processes.age_of, unit.main_pid)
    return host.call(podlogs.complaint, kubelet.UNIT, deployment.pod, min(age, RECENTLY_SECONDS))


def remove_set_aside(host: Connection, deployment: StaticPodDeployment, run: str) -> None:
    """Remove what a run kept of the manifest. Copies of it that it took out of kubelet's folder stay where they are: they
    are nowhere else."""
    parked.forget(host, Path(deployment.manifest), run)


def own_log(host: Connection, deployment: StaticPodDeployment, lines: int) -> dict[str, str]:
    """The end of what etcd and kubelet wrote."""
    found = {"kubelet.log": host.call(units.log, kubelet.UNIT, lines)}
    path = None if host.bare else host.call(podlogs.newest, deployment.namespace, deployment.pod, deployment.container)
    if path is not None:
        found["etcd.log"] = host.call(podlogs.end_of, path)
    return found


def copy_out(host: Connection, deployment: StaticPodDeployment, names: Sequence[str], folder: Path) -> Collection[str]:
    """Copy programs out of the pod's image into a folder of the host's; returns those that it had."""
    wake_runtime(host, deployment.socket)
    return host.call(containers.copy_out, deployment.socket, deployment.image, names, folder)
