"""etcd's own programs on a host."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from requorum.errors import RequorumError
from requorum.etcd import versions
from requorum.hosts import bounds, programs

_VERSION = re.compile(r"(\d+)\.(\d+)\.(\d+)")
TOOL_SECONDS = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Binaries:
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
        return versions.minor_of(self.version)

    @property
    def can_bump(self) -> bool:
        """Whether its restore can raise the revision."""
        return versions.can_bump(self.version)

    @property
    def in_container(self) -> bool:
        """Whether they can be run only as long as a container lives."""
        return self.etcd.startswith("/proc/")


@bounds.made_of_parts
def find(folders: Sequence[Path | str], *, of_image: bool = False) -> Binaries:
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
    if (
        of_image
        and found["etcdutl"] is None
        and versions.numbers(version_of([etcd, "--version"])) < versions.NO_RESTORE_IN_CTL
    ):
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
        minors = versions.numbers(version)[:2], versions.numbers(other)[:2]
        restores = program is etcdutl and minors == (
            (3, 4),
            (3, 5),
        )  # 3.4 has no etcdutl, and its etcdctl restores wrongly
        if minors[0] != minors[1] and not restores:
            raise RequorumError(
                f"{program} is version {other}, but {etcd} is {version}", hint="use programs of one minor version"
            )
    return Binaries(etcd=str(etcd), etcdctl=str(etcdctl), etcdutl=str(etcdutl), version=version)


_VERSIONS: dict[Any, str] = {}
"""What programs said of themselves, by their path and the state of their file: a Go program takes long to start."""


@bounds.made_of_parts
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
