"""Clusters of each version, killed once for all tests of a run, whichever worker asks first."""

import fcntl
import os
import pickle
from collections.abc import Callable
from pathlib import Path

import pytest

from lab import etcds
from tests.damage import cases


@pytest.fixture(scope="session")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str], cases.Killed]:
    """``killed(version, kind)``: a cluster of that version. ``one``: one member, ``long``: one with several WAL files,
    ``three``: three members, leaders changed, the last one cut off."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    read: dict[str, cases.Killed] = {}

    def make(version: str, kind: str) -> cases.Killed:
        name = f"killed-{kind}-{version}"
        told = shared / f"{name}.pickle"
        with (shared / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not told.exists():
                told.write_bytes(pickle.dumps(_make(shared / name, etcds.folder_of(version), kind)))
        if name not in read:
            read[name] = pickle.loads(told.read_bytes())
        return read[name]

    return make


def _make(root: Path, folder: Path, kind: str) -> cases.Killed:
    root.mkdir()
    if kind == "long":
        return cases.kill(root, folder, 5, members=1, wal_files=3)
    if kind == "one":
        return cases.kill(root, folder, 6, members=1, compact=True)
    return cases.kill(root, folder, 7, leaders=1, cut_off=True, writes=700)
