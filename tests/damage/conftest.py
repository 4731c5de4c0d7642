"""Clusters of each version, killed once for all tests of a worker."""

from collections.abc import Callable
from pathlib import Path

import pytest

from lab import etcds
from tests.damage import cases


@pytest.fixture(scope="session")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str], cases.Killed]:
    """``killed(version, kind)``: a cluster of that version. ``one``: one member, ``long``: one with several WAL files,
    ``three``: three members, leaders changed, the last one cut off."""
    made: dict[tuple[str, str], cases.Killed] = {}

    def make(version: str, kind: str) -> cases.Killed:
        if (version, kind) not in made:
            root: Path = tmp_path_factory.mktemp(f"{kind}-{version}")
            folder = etcds.folder_of(version)
            if kind == "long":
                made[version, kind] = cases.kill(
                    root, folder, 5, members=1, writes=2500, snapshot_count=400, value_bytes=120_000
                )
            elif kind == "one":
                made[version, kind] = cases.kill(root, folder, 6, members=1, compact=True)
            else:
                made[version, kind] = cases.kill(root, folder, 7, leaders=1, cut_off=True, writes=700)
        return made[version, kind]

    return make
