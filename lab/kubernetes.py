"""A real kubelet and kube-apiserver: built once from Debian's source package, and kept in the user's cache.

Debian ships the source of 1.20.2 with all that it vendors, and no kubelet. It wants Go 1.19 and the old layout of a
GOPATH; that compiler comes from Debian, too, and is unpacked beside the build, not installed.
"""

import os
import sys
from pathlib import Path

from lab import debian
from lab.programs import run
from lab.rootfs import BUILD_SECONDS, RELEASE, install_programs, kept, workplace

SOURCE = "kubernetes"
COMPILER = ("golang-1.19-go", "golang-1.19-src")
PROGRAMS = ("kubelet", "kube-apiserver")
NEEDED = {"make": "build-essential", "gcc": "build-essential", "rsync": "rsync"}
"""What the build runs besides the compiler, and the Debian package that has each."""
GENERATED = "make generated_files"
"""The API server is not whole without the code that its own tools generate."""
_VERSION = "1.20.2"


def built() -> Path:
    """The folder with the programs; builds them if they are not there yet. Safe when two processes ask at once."""
    return kept("kubernetes", (RELEASE, SOURCE, _VERSION, *COMPILER, *PROGRAMS, GENERATED), _build)


def _build(folder: Path) -> None:
    """Build beside ``folder`` and rename the programs to it; whoever calls holds the lock."""
    install_programs(NEEDED)
    print(f"building {' and '.join(PROGRAMS)} in {folder}, once (some ten minutes)", file=sys.stderr)
    with workplace(folder) as work:
        debian.unpack(work, RELEASE, COMPILER, work / "compiler")
        tree = work / "go/src/k8s.io/kubernetes"
        tree.mkdir(parents=True)
        run(
            ["tar", "-xf", debian.source(work, RELEASE, SOURCE), "-C", tree, "--strip-components=1"],
            seconds=BUILD_SECONDS,
        )
        env = _environment(work)
        run(["make", "-C", tree, "generated_files"], seconds=BUILD_SECONDS, env=env)
        done = work / "programs"
        done.mkdir()
        for program in PROGRAMS:
            words: list[str | Path] = ["go", "build", "-trimpath", "-o", done / program]
            run([*words, f"k8s.io/kubernetes/cmd/{program}"], seconds=BUILD_SECONDS, env=env)
        done.rename(folder)


def _environment(work: Path) -> dict[str, str]:
    root = work / "compiler/usr/lib/go-1.19"
    return {
        "PATH": os.pathsep.join([str(root / "bin"), os.environ.get("PATH", os.defpath)]),
        "HOME": str(work),
        "GOROOT": str(root),
        "GOPATH": str(work / "go"),
        "GO111MODULE": "off",
        "GOFLAGS": "",
        "GOTOOLCHAIN": "local",
        "GOCACHE": str(work / "build-cache"),
    }
