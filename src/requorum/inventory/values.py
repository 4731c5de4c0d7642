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

    ``argv`` holds the words before variables are filled in (``expands``), behind the marks in ``prefix``; it stands at
    ``exec_at``, and variables of Environment= at ``variables_at`` (file and line). ``etcd`` is the program where something
    else stands before it. ``unset`` are variables that are taken away, ``optional`` those env files that may be missing;
    ``odd`` says why the unit is not understood, empty when it is.
    """

    unit: str = "etcd.service"
    argv: tuple[str, ...] = ()
    env_files: tuple[str, ...] = ()
    environment: tuple[tuple[str, str], ...] = ()
    config: str = ""
    user: str = "root"
    wanted: bool = False
    fenced_by: str = ""
    prefix: str = ""
    expands: bool = True
    exec_at: str = ""
    variables_at: tuple[tuple[str, str], ...] = ()
    etcd: str = ""
    working_dir: str = ""
    unset: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    odd: str = ""
    kind: Literal["systemd"] = "systemd"

    @property
    def program(self) -> str:
        """The etcd that it runs."""
        return self.etcd or (self.argv[0] if self.argv else "etcd")


@dataclass(frozen=True, slots=True, kw_only=True)
class StaticPodDeployment:
    """etcd as a static pod that kubelet runs.

    ``manifests`` are the files in kubelet's folder that run it, the member's own first; copies that were left there are
    run, too. ``pod``, ``namespace`` and ``container`` are its names in the runtime, whose ``socket`` kubelet talks to.
    ``wanted``: kubelet ran, or was to run at
    boot, before anybody fenced it. ``fenced_by`` is the run that had fenced it when it was found. ``node`` is the name that
    kubelet has, ``node_ip`` the address that it was given, if any.
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
    node: str = ""
    node_ip: str = ""
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
