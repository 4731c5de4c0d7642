"""crictl, which kubeadm brings along and Debian does not have: built once from its Go module, and kept in the user's cache."""

import sys
from pathlib import Path

from lab import golang
from lab.programs import run
from lab.rootfs import BUILD_SECONDS, kept, workplace

MODULE = "sigs.k8s.io/cri-tools/cmd/crictl"
VERSION = "v1.34.0"
"""Speaks to containerd 1.6 and newer (CRI v1)."""


def built() -> Path:
    """The program; builds it if it is not there yet. Safe when two processes ask at once."""
    return kept("crictl", (MODULE, VERSION), _build) / "crictl"


def _build(folder: Path) -> None:
    print(f"building crictl in {folder}, once (two minutes)", file=sys.stderr)
    with workplace(folder) as work:
        go, env = golang.environment(work)
        run([go, "install", "-trimpath", f"{MODULE}@{VERSION}"], seconds=BUILD_SECONDS, env=env)
        (work / "programs").rename(folder)
