"""The kinds of deployment under one set of names: whoever acts on a member does not ask what kind it is."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from requorum.deployments.config import Deployment, MemberConfig
from requorum.deployments.process import acts as _process
from requorum.deployments.process import by_hand as _process_by_hand
from requorum.deployments.staticpod import acts as _staticpod
from requorum.deployments.staticpod import by_hand as _staticpod_by_hand
from requorum.deployments.systemd import acts as _systemd
from requorum.deployments.systemd import by_hand as _systemd_by_hand
from requorum.hosts.connection import Connection
from requorum.inventory.values import ProcessDeployment, StaticPodDeployment, SystemdDeployment

D = TypeVar("D", bound=Deployment)
D_contra = TypeVar("D_contra", bound=Deployment, contravariant=True)


class Acts(Protocol[D]):
    """What each kind can do; the modules say how. ``STARTS_AT_ONCE``: its supervisor starts it as soon as its configuration is
    back."""

    STARTS_AT_ONCE: bool

    def find(self, host: Connection, named: D, /) -> D | None: ...
    def read_config(self, host: Connection, deployment: D, /) -> MemberConfig: ...
    def fenced_by(self, host: Connection, deployment: D, /) -> str: ...
    def fence(self, host: Connection, deployment: D, run: str, /) -> None: ...
    def prove_fence(self, host: Connection, deployment: D, etcd: Path, folders: Sequence[Path], /) -> str: ...
    def lift(
        self, host: Connection, deployment: D, run: str, changes: Mapping[str, str], for_now: Mapping[str, str], /
    ) -> None: ...
    def forget(self, host: Connection, deployment: D, /) -> None: ...
    def put_back(self, host: Connection, deployment: D, run: str, holder: str = "", /) -> None: ...
    def stop(self, host: Connection, deployment: D, folders: Sequence[Path], /) -> tuple[int, ...]: ...
    def start(self, host: Connection, deployment: D, etcd: Path, /) -> None: ...
    def fault_of_start(self, host: Connection, deployment: D, /) -> str: ...
    def hindrance(self, host: Connection, deployment: D, /) -> str: ...
    def own_log(self, host: Connection, deployment: D, lines: int, /) -> dict[str, str]: ...
    def copy_out(self, host: Connection, deployment: D, names: Sequence[str], folder: Path, /) -> Collection[str]: ...
    def dead(self, host: Connection, deployment: D, folders: Sequence[Path], /) -> str: ...
    def remove_set_aside(self, host: Connection, deployment: D, run: str, /) -> None: ...


class ByHand(Protocol[D_contra]):
    """What a person would type instead, a line each; ``fence_at`` says where the fence stands."""

    def fence_at(self, deployment: D_contra, /) -> str: ...
    def fence(self, deployment: D_contra, run: str, /) -> tuple[str, ...]: ...
    def lift(
        self,
        deployment: D_contra,
        run: str,
        changes: Mapping[str, str],
        for_now: Mapping[str, str],
        config: MemberConfig,
        /,
    ) -> tuple[str, ...]: ...
    def start(self, deployment: D_contra, /) -> tuple[str, ...]: ...
    def bring(self, deployment: D_contra, folder: str, version: str, /) -> tuple[str, ...]: ...


@dataclass(frozen=True, slots=True)
class Kind(Generic[D]):
    """What can be done with a deployment, and what is typed for it by hand."""

    acts: Acts[D]
    by_hand: ByHand[D]


_PROCESS: Kind[ProcessDeployment] = Kind(_process, _process_by_hand)
_SYSTEMD: Kind[SystemdDeployment] = Kind(_systemd, _systemd_by_hand)
_STATIC_POD: Kind[StaticPodDeployment] = Kind(_staticpod, _staticpod_by_hand)
KINDS: dict[str, Kind[Any]] = {"process": _PROCESS, "systemd": _SYSTEMD, "static-pod": _STATIC_POD}


def of(deployment: D) -> Acts[D]:
    """What can be done with a deployment."""
    return _kind(deployment).acts


def by_hand(deployment: D) -> ByHand[D]:
    """What is typed for it by hand."""
    return _kind(deployment).by_hand


def _kind(deployment: D) -> Kind[D]:
    return KINDS[deployment.kind]


def find(host: Connection, named: Deployment) -> Deployment | None:
    """A member as it is deployed on its host. Where a unit is named that is not installed, or neither runs nor is to run at
    boot, and a static pod runs etcd, that pod is meant. None when there is neither."""
    found: Deployment | None = of(named).find(host, named)
    if isinstance(named, SystemdDeployment) and not (isinstance(found, SystemdDeployment) and found.wanted):
        return _staticpod.find(host, StaticPodDeployment()) or found
    return found


def missing(named: Deployment) -> str:
    """What was looked for where :func:`find` found nothing."""
    unit = f"no unit {named.unit}, and " if isinstance(named, SystemdDeployment) else ""
    return f"there is {unit}no manifest in kubelet's folder that runs etcd: is this an etcd host?"
