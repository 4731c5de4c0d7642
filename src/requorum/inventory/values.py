"""What an inventory is made of. Names only: what a host says of itself is the survey's.

Each kind of deployment answers the same questions, so that nobody else asks which kind a member is of:

- ``supervised``: something on its host starts it by itself; ``wanted``: it ran, or was to run at boot;
- ``files``: where it is written down where the member's data lies; ``written_to``: where its etcd writes what it has to say
  (:func:`requorum.survey.written.read`); ``units``: the units that it runs by;
- ``programs_in``: the folder of the etcd that it runs; ``image``: what it lies in where that is none of the host's, and
  ``sealed_by`` the runtime out of whose images nothing can be taken; ``version``: by name alone; empty where nothing tells;
- ``takes_variables``: a setting can be given to one start by a variable;
- ``upgrade``: what to do so that it runs another version; ``as_named``: how an inventory of requorum's own names it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessDeployment:
    """etcd as a plain process, started as ``etcd --config-file CONFIG``. ``log`` is where its output goes, ``fenced_by`` the
    run that had fenced it when it was found."""

    config: str
    log: str
    fenced_by: str = ""
    kind: Literal["process"] = "process"

    supervised: ClassVar[bool] = False
    wanted: ClassVar[bool] = False
    user: ClassVar[str] = ""
    units: ClassVar[tuple[str, ...]] = ()
    programs_in: ClassVar[str] = ""
    image: ClassVar[str] = ""
    sealed_by: ClassVar[str] = ""
    version: ClassVar[str] = ""
    takes_variables: ClassVar[bool] = False

    @property
    def files(self) -> tuple[str, ...]:
        return (self.config,)

    @property
    def written_to(self) -> tuple[str, ...]:
        return ("file", self.log) if self.log else ()

    def upgrade(self, _: str, __: str) -> str:
        return ""  # it is started by hand, with the programs of --etcd-dir

    def as_named(self) -> dict[str, str]:
        return {"deployment": "process", "config": self.config}

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

    supervised: ClassVar[bool] = True
    image: ClassVar[str] = ""
    sealed_by: ClassVar[str] = ""
    version: ClassVar[str] = ""

    @property
    def files(self) -> tuple[str, ...]:
        named = [one.lstrip("-") for one in (*self.env_files, self.config)]
        return tuple(one for one in named if one)

    @property
    def written_to(self) -> tuple[str, ...]:
        return "unit", self.unit

    @property
    def units(self) -> tuple[str, ...]:
        return (self.unit,)

    @property
    def programs_in(self) -> str:
        return self.program.rpartition("/")[0]

    @property
    def takes_variables(self) -> bool:
        return not self.config

    def upgrade(self, version: str, host: str) -> str:
        return f"put etcd, etcdctl and etcdutl of {version} into {self.programs_in or '/usr/local/bin'} on {host}"

    def as_named(self) -> dict[str, str]:
        return {"deployment": "systemd", "unit": self.unit} if self.unit != "etcd.service" else {}

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

    supervised: ClassVar[bool] = True
    units: ClassVar[tuple[str, ...]] = ("kubelet.service",)
    programs_in: ClassVar[str] = ""
    takes_variables: ClassVar[bool] = False

    @property
    def files(self) -> tuple[str, ...]:
        return self.manifests

    @property
    def written_to(self) -> tuple[str, ...]:
        return ("pod", self.namespace, self.pod, self.container) if self.container else ()

    @property
    def sealed_by(self) -> str:
        return "" if "containerd" in self.socket else self.socket

    def upgrade(self, version: str, host: str) -> str:
        return f"name an image of etcd {version} in {self.manifest} on {host}"

    def as_named(self) -> dict[str, str]:
        return {"deployment": "static-pod"}

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
