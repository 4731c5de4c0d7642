"""etcd's own programs on a host, and what each version can do."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from requorum.errors import RequorumError
from requorum.hosts import programs

NO_RESTORE_IN_CTL = (3, 6)
"""From this version on etcdctl has no ``snapshot restore`` any more."""
_VERSION = re.compile(r"(\d+)\.(\d+)\.(\d+)")
TOOL_SECONDS = 10.0


def numbers(version: str) -> tuple[int, ...]:
    """A version, to compare."""
    return tuple(int(one) for one in version.split("."))


def can_bump(version: str) -> bool:
    """Whether a version's restore knows --bump-revision (3.4.27, 3.5.10, 3.6.0)."""
    known = numbers(version) if version else ()
    return known >= (3, 6, 0) or (3, 5, 10) <= known < (3, 6) or (3, 4, 27) <= known < (3, 5)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tools:
    """The programs of one etcd version. ``etcdutl`` is etcdctl where an image of 3.5 has no other: it restores as well."""

    etcd: str
    etcdctl: str
    etcdutl: str
    version: str

    @property
    def folder(self) -> str:
        """Where etcd lies."""
        return os.path.dirname(self.etcd)

    @property
    def minor(self) -> str:
        """``3.5`` of ``3.5.30``."""
        return self.version.rsplit(".", 1)[0]

    @property
    def can_bump(self) -> bool:
        """Whether its restore can raise the revision."""
        return can_bump(self.version)

    @property
    def in_container(self) -> bool:
        """Whether they can be run only as long as a container lives."""
        return self.etcd.startswith("/proc/")


def find(folders: Sequence[Path | str], *, of_image: bool = False) -> Tools:
    """The programs in the first folder that has ``etcd``; raises RequorumError when one is missing or does not run. In an
    image of 3.5 etcdutl may be missing: etcdctl stands for it."""
    folders = [Path(one).absolute() for one in folders or programs.PATH.split(":")]
    for folder in folders:
        etcd = programs.which("etcd", [folder])
        if etcd is not None:
            break
    else:
        raise RequorumError(
            "etcd is not found in " + ", ".join(str(one) for one in folders),
            hint="name the folder that holds etcd, etcdctl and etcdutl with --etcd-dir DIR (tools: in the inventory)",
        )
    found = {name: programs.which(name, [etcd.parent, *folders]) for name in ("etcdctl", "etcdutl")}
    if of_image and found["etcdutl"] is None and numbers(version_of([etcd, "--version"])) < NO_RESTORE_IN_CTL:
        found["etcdutl"] = found["etcdctl"]
    for name, path in found.items():
        if path is None:
            raise RequorumError(f"{name} is not found beside {etcd}", hint=f"put {name} of the same version there")
    etcdctl, etcdutl = found["etcdctl"], found["etcdutl"]
    assert etcdctl is not None
    assert etcdutl is not None
    version = version_of([etcd, "--version"])
    for program in (etcdutl, etcdctl):
        other = version_of([program, "version"])
        minors = numbers(version)[:2], numbers(other)[:2]
        restores = program is etcdutl and minors == (
            (3, 4),
            (3, 5),
        )  # 3.4 has no etcdutl, and its etcdctl restores wrongly
        if minors[0] != minors[1] and not restores:
            raise RequorumError(
                f"{program} is version {other}, but {etcd} is {version}", hint="use programs of one minor version"
            )
    return Tools(etcd=str(etcd), etcdctl=str(etcdctl), etcdutl=str(etcdutl), version=version)


_VERSIONS: dict[Any, str] = {}
"""What programs said of themselves, by their path and the state of their file: a Go program takes long to start."""


def version_of(argv: Sequence[str | Path]) -> str:
    """The version that a program prints first; one that has not changed since is not asked again."""
    stamp = programs.stamp_of(argv[0])
    key = (tuple(str(one) for one in argv), stamp)
    if stamp is None or key not in _VERSIONS:
        _VERSIONS[key] = _asked(argv)
    return _VERSIONS[key]


def _asked(argv: Sequence[str | Path]) -> str:
    try:
        said = programs.run(argv, seconds=TOOL_SECONDS).out
    except programs.ProgramError as err:
        raise RequorumError(str(err), hint="is this the right program for this machine?") from err
    match = _VERSION.search(said)
    if match is None:
        raise RequorumError(f"{argv[0]} does not print a version: {programs.last_line(said)!r}")
    return match.group(0)


def client_flags(endpoint: str, ca: str, cert: str, key: str) -> list[str]:
    """etcdctl's flags for one endpoint."""
    flags = [f"--endpoints={endpoint}"]
    for name, value in (("cacert", ca), ("cert", cert), ("key", key)):
        if value:
            flags.append(f"--{name}={value}")
    return flags


def ctl_json(tools: Tools, flags: Sequence[str], words: Sequence[str], seconds: float, cwd: str | None = None) -> Any:
    """Run etcdctl with JSON output; raises ProgramError, also for output that is no JSON."""
    argv = [
        tools.etcdctl,
        *flags,
        f"--command-timeout={seconds:.0f}s",
        f"--dial-timeout={min(seconds, 3):.0f}s",
        "-w=json",
        *words,
    ]
    done = programs.run(argv, seconds=seconds + 5, env={"ETCDCTL_API": "3"}, cwd=cwd)
    try:
        return json.loads(done.out)
    except ValueError as err:
        raise programs.ProgramError(argv, "did not print JSON", done.out) from err
