"""What an inventory is made of. Names only: what a host says of itself is the survey's."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessDeployment:
    """etcd as a plain process, started as ``etcd --config-file CONFIG``. ``log`` is where its output goes, ``fenced_by`` the
    run that had fenced it when it was found."""

    config: str
    log: str
    fenced_by: str = ""
    kind: Literal["process"] = "process"

    @property
    def config_file(self) -> Path:
        """The config file."""
        return Path(self.config)

    @property
    def log_file(self) -> Path:
        """The log file."""
        return Path(self.log)


@dataclass(frozen=True, slots=True, kw_only=True)
class SystemdDeployment:
    """etcd as a systemd unit.

    ``argv`` is its ExecStart, ``env_files`` its EnvironmentFiles in the order in which they count, ``config`` the file
    named with --config-file (etcd then reads no flag and no variable), ``user`` whom it runs as. ``wanted``: it ran, or
    was to run at boot, before anybody fenced it. ``fenced_by`` is the run that had fenced it when it was found.
    """

    unit: str = "etcd.service"
    argv: tuple[str, ...] = ()
    env_files: tuple[str, ...] = ()
    environment: tuple[tuple[str, str], ...] = ()
    config: str = ""
    user: str = "root"
    wanted: bool = False
    fenced_by: str = ""
    kind: Literal["systemd"] = "systemd"

    @property
    def program(self) -> str:
        """The etcd that it runs."""
        return self.argv[0] if self.argv else "etcd"


@dataclass(frozen=True, slots=True, kw_only=True)
class StaticPodDeployment:
    """etcd as a static pod that kubelet runs.

    ``manifests`` are the files in kubelet's folder that run it, the member's own first; copies that were left there are
    run, too. ``pod``, ``namespace`` and ``container`` are its names in the runtime, whose ``socket`` kubelet talks to.
    ``wanted``: kubelet ran, or was to run at
    boot, before anybody fenced it. ``fenced_by`` is the run that had fenced it when it was found.
    """

    manifests: tuple[str, ...] = ()
    image: str = ""
    pod: str = ""
    namespace: str = ""
    container: str = ""
    socket: str = ""
    user: str = "root"
    wanted: bool = False
    fenced_by: str = ""
    kind: Literal["static-pod"] = "static-pod"

    @property
    def manifest(self) -> str:
        """The member's own manifest, where it lies when nobody has fenced it."""
        return self.manifests[0] if self.manifests else ""

    @property
    def version(self) -> str:
        """etcd's version by the tag of its image; empty where that does not tell."""
        match = re.search(r"\d+\.\d+\.\d+", self.image.partition("@")[0].rpartition(":")[2])
        return match.group(0) if match else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlPod:
    """A static pod of the control plane: its manifest where it lies when nobody has fenced it, the ``program`` in it, and
    its names in the runtime, whose ``socket`` kubelet talks to."""

    manifest: str
    program: str
    pod: str
    namespace: str
    socket: str
    fenced_by: str = ""
