"""Throwaway clusters beside each other."""

import subprocess
import sys

import pytest

from requorum.rehearsal import cluster


def test_no_port_is_given_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not to another process either, although nobody listens on it just now: its member may be dead, and come back."""
    (mine,) = cluster.free_ports(1)
    script = f"from requorum.rehearsal import cluster; cluster.PORTS = ({mine}, {mine + 1}); cluster.free_ports(1)"
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert found.returncode == 1
    assert "no 1 free ports" in found.stderr
    monkeypatch.setattr(cluster, "PORTS", (mine, mine + 1))
    with pytest.raises(OSError, match="no 1 free ports"):
        cluster.free_ports(1)
