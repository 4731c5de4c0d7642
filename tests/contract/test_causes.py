"""Why a member died is said in its words since this start, whatever its log holds of starts before."""

import time
from pathlib import Path

import pytest

from requorum.deployments.process import acts as process
from requorum.deployments.systemd import acts as systemd
from requorum.hosts import programs, units
from requorum.hosts.connection import Here
from requorum.inventory.values import ProcessDeployment, SystemdDeployment

OLD = '{"level":"fatal","ts":"2026-11-01T10:00:00Z","msg":"walpb: crc mismatch, from last month"}\n'


@pytest.fixture
def deployment(tmp_path: Path) -> ProcessDeployment:
    """A member whose configuration etcd does not take, and whose log tells of an older death."""
    config, log = tmp_path / "etcd.yaml", tmp_path / "etcd.log"
    config.write_text(f"name: m1\ndata-dir: {tmp_path}/data\nlisten-peer-urls: nonsense\n")
    log.write_text(OLD)
    return ProcessDeployment(config=str(config), log=str(log))


def test_a_death_of_now(deployment: ProcessDeployment, etcd_dir: Path, tmp_path: Path) -> None:
    """Not the fatal line of a start before, but what etcd said now."""
    assert "last month" in process.dead(Here(), deployment, [tmp_path / "data"]), "nothing was started yet"
    process.start(Here(), deployment, etcd_dir / "etcd")
    deadline = time.monotonic() + 20
    while "nonsense" not in (said := process.dead(Here(), deployment, [tmp_path / "data"])):
        assert time.monotonic() < deadline, said
        time.sleep(0.1)
    assert "last month" not in said


def test_one_that_says_nothing(deployment: ProcessDeployment, tmp_path: Path) -> None:
    """Started, and silent; and a log that was begun anew since is read from its beginning."""
    process.start(Here(), deployment, Path("/bin/true"))
    deadline = time.monotonic() + 20
    while "has written nothing to its log" not in (said := process.dead(Here(), deployment, [tmp_path / "data"])):
        assert time.monotonic() < deadline, said
        time.sleep(0.05)
    deployment.log_file.write_text("panic: new\n")
    assert process.dead(Here(), deployment, [tmp_path / "data"]).startswith("panic: new")


def test_the_fence_leaves_the_log_marked(deployment: ProcessDeployment, tmp_path: Path) -> None:
    """Where something else than requorum starts etcd once the fence is lifted; a rollback and a cleanup take the mark away."""
    kept = deployment.config_file.read_bytes()
    process.fence(Here(), deployment, "r1")
    process.lift(Here(), deployment, "r1", {}, {})
    with deployment.log_file.open("a") as log:
        log.write('{"level":"fatal","msg":"now"}\n')
    assert '"now"' in process.dead(Here(), deployment, [tmp_path / "data"])
    process.put_back(Here(), deployment, "r1")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["etcd.log", "etcd.yaml"]
    assert deployment.config_file.read_bytes() == kept


JOURNAL = """#!/bin/sh
case "$1" in
_SYSTEMD_INVOCATION_ID=*) exec sed -n "s/^${1#*=} //p" FOLDER/journal;;
*) exec sed "s/^[^ ]* //" FOLDER/journal;;
esac
"""
SYSTEMD = """#!/bin/sh
case "$1" in
show) printf '%s\\n' LoadState=loaded ActiveState=failed SubState=failed MainPID=0 "InvocationID=$(cat FOLDER/invocation)";;
start) [ -e FOLDER/stuck ] || { echo b > FOLDER/invocation; echo 'b {"level":"fatal","msg":"now"}' >> FOLDER/journal; };;
esac
"""


class TestUnits:
    """A unit's journal holds every start of it, told apart by systemd's id of each."""

    @pytest.fixture
    def folder(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        """A systemd and a journal of which the rest is real: the unit died under invocation "a" before."""
        for name, text in (("journalctl", JOURNAL), ("systemctl", SYSTEMD)):
            (tmp_path / name).write_text(text.replace("FOLDER", str(tmp_path)))
            (tmp_path / name).chmod(0o755)
        (tmp_path / "journal").write_text(f"a {OLD}a etcd.service: Failed\n")
        (tmp_path / "invocation").write_text("a\n")
        monkeypatch.setattr(programs, "PATH", f"{tmp_path}:{programs.PATH}")
        monkeypatch.setattr(units, "_before", lambda name: tmp_path / f"{name}.before")
        assert "last month" in systemd.dead(Here(), SystemdDeployment(unit=f"{tmp_path.name}.service"), ())
        return tmp_path

    def test_a_death_of_now(self, folder: Path) -> None:
        """What it said under its new invocation, and not the fatal line that stands above it."""
        deployment = SystemdDeployment(unit=f"{folder.name}.service")
        systemd.start(Here(), deployment, Path("etcd"))
        said = systemd.dead(Here(), deployment, ())
        assert '"now"' in said
        assert "last month" not in said

    def test_one_that_has_not_begun(self, folder: Path) -> None:
        """It waits for another unit, or a condition failed: the reason of the start before is none of this one."""
        (folder / "stuck").touch()
        deployment = SystemdDeployment(unit=f"{folder.name}.service")
        systemd.start(Here(), deployment, Path("etcd"))
        said = systemd.dead(Here(), deployment, ())
        assert "systemd has not begun to start it" in said
        assert "last month" not in said
