"""Slow tables rotate: at each commit a part of their rows is run, at the next another.

``@pytest.mark.rotates(of=3)`` lets every third row of a test's table run, beginning with one that the commit draws, so that
a few commits have run them all; with ``together=True`` the tests of a module are the rows of one table. ``./dev test --all``
runs all rows of all tables.
"""

import subprocess
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def turn() -> int:
    """A number that the commit draws; 0 where nothing tells which it is."""
    try:
        done = subprocess.run(
            ["git", "-C", ROOT, "rev-parse", "HEAD"], capture_output=True, text=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return 0
    return int(done.stdout.strip()[:8], 16)


def chosen(items: Sequence[pytest.Item]) -> tuple[list[pytest.Item], list[pytest.Item]]:
    """The tests that are run now, and the rows that have their turn at another commit."""
    at, rows = turn(), defaultdict[str, int](int)
    now: list[pytest.Item] = []
    later: list[pytest.Item] = []
    for item in items:
        mark = item.get_closest_marker("rotates")
        if mark is None:
            now.append(item)
            continue
        table = item.nodeid.partition("::" if mark.kwargs.get("together") else "[")[0]
        (now if (rows[table] + at) % mark.kwargs["of"] == 0 else later).append(item)
        rows[table] += 1
    return now, later
