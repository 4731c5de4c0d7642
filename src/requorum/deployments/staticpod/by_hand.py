"""What a person would type for a static pod. Pure."""

from collections.abc import Mapping
from pathlib import Path
from shlex import quote as q

from requorum.deployments import parked
from requorum.deployments.config import MemberConfig
from requorum.inventory.values import StaticPodDeployment


def fence_at(deployment: StaticPodDeployment) -> str:
    """Where its fence is looked for."""
    return f"{deployment.manifest} is out of kubelet's folder"


def fence(deployment: StaticPodDeployment, run: str) -> tuple[str, ...]:
    return (
        f"mkdir -p -m 0700 {q(str(parked.folder_of(_folder(deployment))))}",
        *(f"mv -n {q(one)} {q(str(parked.fenced_path(Path(one), run)))}" for one in deployment.manifests),
        f"pkill -TERM -x etcd; ctr -n k8s.io tasks list  # until no etcd is left ({deployment.pod})",
    )


def lift(
    deployment: StaticPodDeployment, run: str, changes: Mapping[str, str], _: Mapping[str, str], __: MemberConfig
) -> tuple[str, ...]:
    """Changed where it is parked, then given to kubelet."""
    manifest = Path(deployment.manifest)
    kept, changed = parked.kept_path(manifest, run), parked.folder_of(manifest.parent) / manifest.name
    return (
        f"mv {q(str(parked.fenced_path(manifest, run)))} {q(str(kept))}",
        f"cp -a {q(str(kept))} {q(str(changed))}",
        *(f"# in {changed}, under command: --{key}={value}" for key, value in changes.items()),
        f"mv {q(str(changed))} {q(str(manifest))}  # not before the data is in place",
    )


def start(_: StaticPodDeployment) -> tuple[str, ...]:
    return (
        "rm -f /etc/systemd/system/kubelet.service.d/90-requorum-fence.conf; systemctl daemon-reload",
        "systemctl start --no-block containerd kubelet  # kubelet starts etcd's pod",
    )


def bring(deployment: StaticPodDeployment, folder: str, _: str) -> tuple[str, ...]:
    tools, image = q(folder), q(f"{folder}/image")
    return (
        f"mkdir -p {image}; ctr -n k8s.io images mount {q(deployment.image)} {image}",
        f"cp {image}/usr/local/bin/etcd* {tools}/; ctr -n k8s.io images unmount {image}",
    )


def _folder(deployment: StaticPodDeployment) -> Path:
    return Path(deployment.manifest).parent
