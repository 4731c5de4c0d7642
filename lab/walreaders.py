"""etcd's own WAL reader of each minor version, as a program: ``lab/walreader`` built with etcd's ``wal`` package."""

import os
import sys
from pathlib import Path

from lab import golang
from lab.programs import run
from lab.rootfs import BUILD_SECONDS, kept, workplace

SOURCE = Path(__file__).with_name("walreader")
SERVER = "go.etcd.io/etcd/server/v3"
MODULES = {
    "3.4": ("go.etcd.io/etcd", "v0.5.0-alpha.5.0.20200910180754-dd1b699fc489"),
    "3.5": (SERVER, "v3.5.16"),
    "3.6": (SERVER, "v3.6.16"),
    "3.7": (SERVER, "v3.7.3"),
}
"""By minor version: the module that has the package, and its version. 3.4's module was never released under a version that
a Go command accepts: what is named is the commit of 3.4.13."""


def program_of(minor: str) -> Path:
    """The program for a minor version; builds them all if they are not there yet. Safe when two processes ask at once."""
    recipe = [*(f"{module}@{version}" for module, version in MODULES.values())]
    recipe += [one.read_text() for one in sorted(SOURCE.glob("*.go"))]
    return kept("walreaders", recipe, _build) / minor


def _build(folder: Path) -> None:
    print("building etcd's WAL readers, once (some minutes)", file=sys.stderr)
    with workplace(folder) as work:
        go, env = golang.environment(work)
        env["GOFLAGS"] = "-mod=mod -buildvcs=false"
        made = work / "made"
        made.mkdir()
        for minor, (path, version) in MODULES.items():
            module = work / minor
            module.mkdir()
            for name in ("main.go", f"reader_{minor}.go"):
                (module / name).write_bytes((SOURCE / name).read_bytes())
            for words in (
                ["mod", "init", "requorum.invalid/walreader"],
                ["get", f"{path}@{version}"],
                ["build", "-trimpath", "-o", os.fspath(made / minor), "."],
            ):
                run([go, "-C", module, *words], seconds=BUILD_SECONDS, env=env)
        made.rename(folder)
