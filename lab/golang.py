"""A Go that is new enough, and the environment that a build of ours runs in."""

import os
import re
import shutil
from pathlib import Path

from lab import debian
from lab.programs import LabError, run

NEEDS = (1, 24)
COMPILER, COMPILER_RELEASE = ("golang-1.24-go", "golang-1.24-src"), "trixie"


def environment(work: Path) -> tuple[Path, dict[str, str]]:
    """A Go, and the environment that it builds in below ``work``; ``GOBIN`` is ``programs`` there."""
    go = _go(work)
    passed = ("GOPROXY", "GOSUMDB", "GONOSUMDB")
    kept = {
        name: value for name, value in os.environ.items() if name.startswith(passed) or name.lower().endswith("_proxy")
    }
    return go, {
        **kept,
        "PATH": os.pathsep.join([str(go.parent), os.environ.get("PATH", os.defpath)]),
        "HOME": os.environ.get("HOME", str(work)),
        "GOPATH": str(work / "go"),
        "GOCACHE": str(work / "build-cache"),
        "GOBIN": str(work / "programs"),
        "CGO_ENABLED": "0",
    }


def _go(work: Path) -> Path:
    """The machine's where it is new enough, else Debian's, unpacked beside the build."""
    for found in (shutil.which("go"), "/usr/local/go/bin/go"):
        if found and os.access(found, os.X_OK) and _is_new_enough(Path(found)):
            return Path(found)
    debian.unpack(work, COMPILER_RELEASE, COMPILER, work / "compiler")
    return work / "compiler/usr/lib/go-1.24/bin/go"


def _is_new_enough(go: Path) -> bool:
    try:
        said = run([go, "version"]).stdout
    except LabError:
        return False
    match = re.search(r"go(\d+)\.(\d+)", said)
    return match is not None and (int(match[1]), int(match[2])) >= NEEDS
