"""crictl, which kubeadm brings along and Debian does not have: built once from its Go module, and kept in the user's cache."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from lab import debian
from lab.programs import LabError, run
from lab.rootfs import BUILD_SECONDS, kept

MODULE = "sigs.k8s.io/cri-tools/cmd/crictl"
VERSION = "v1.34.0"
"""Speaks to containerd 1.6 and newer (CRI v1)."""
NEEDS_GO = (1, 24)
COMPILER, COMPILER_RELEASE = ("golang-1.24-go", "golang-1.24-src"), "trixie"


def built() -> Path:
    """The program; builds it if it is not there yet. Safe when two processes ask at once."""
    return kept("crictl", (MODULE, VERSION), _build) / "crictl"


def _build(folder: Path) -> None:
    print(f"building crictl in {folder}, once (two minutes)", file=sys.stderr)
    work = folder.with_name(folder.name + ".new")
    subprocess.run(["rm", "-rf", work], check=False, stdin=subprocess.DEVNULL)
    work.mkdir(parents=True)
    try:
        go = _go(work)
        env = {
            **{
                name: value
                for name, value in os.environ.items()
                if name.startswith(("GOPROXY", "GOSUMDB", "GONOSUMDB"))
            },
            **{name: value for name, value in os.environ.items() if name.lower().endswith("_proxy")},
            "PATH": os.pathsep.join([str(go.parent), os.environ.get("PATH", os.defpath)]),
            "HOME": os.environ.get("HOME", str(work)),
            "GOPATH": str(work / "go"),
            "GOCACHE": str(work / "build-cache"),
            "GOBIN": str(work / "programs"),
            "CGO_ENABLED": "0",
        }
        run([go, "install", "-trimpath", f"{MODULE}@{VERSION}"], seconds=BUILD_SECONDS, env=env)
        (work / "programs").rename(folder)
    finally:
        subprocess.run(["rm", "-rf", work], check=False, stdin=subprocess.DEVNULL)


def _go(work: Path) -> Path:
    """A Go that is new enough: the machine's, else Debian's, unpacked beside the build."""
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
    return match is not None and (int(match[1]), int(match[2])) >= NEEDS_GO
