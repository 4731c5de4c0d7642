"""What an inventory is made of. Names only: what a host says of itself is the survey's."""

from __future__ import annotations

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
