"""Labs for tests: each test gets hosts of its own, which takes some three seconds."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from lab.lab import Lab

from .world import World


@pytest.fixture
def up(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[..., World]]:
    """``up(**options)``: a lab of its own with those options; removed when the test ends, however it ends."""
    module = request.module.__name__.rpartition(".")[2].removeprefix("test_").replace("_", "-")
    name = f"{module}-{os.environ.get('PYTEST_XDIST_WORKER', 'alone')}"
    made: list[World] = []

    def make(**options: Any) -> World:
        assert not made, "one lab for each test"
        Lab.remove(name)
        made.append(World(lab=Lab.up(name, **options), folder=tmp_path))
        return made[0]

    try:
        yield make
    finally:
        for one in made:
            one.close()
        Lab.remove(name)


@pytest.fixture
def world(up: Callable[..., World]) -> World:
    """Three hosts as Kubespray leaves them."""
    return up()
