"""The rehearsals, as a user types them: real clusters, real damage, every acknowledged write audited."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from lab import etcds
from requorum.rehearsal.scenarios import DEFAULT, SCENARIOS, Scenario

SECONDS = 600
FIELDS = {
    "name",
    "verdict",
    "source",
    "acknowledged",
    "lost",
    "predicted_lost_max",
    "down_seconds",
    "passed",
}


def command(*words: str, etcd_dir: Path | None) -> list[str]:
    """``requorum rehearse`` as a child process."""
    named = ["--etcd-dir", str(etcd_dir)] if etcd_dir else []
    return [sys.executable, "-m", "requorum.cli.main", "rehearse", *named, *words]


def rehearse(*words: str, etcd_dir: Path | None, temp: Path) -> dict[str, Any]:
    """Its report; the exit code must say the same as the report."""
    done = subprocess.run(
        command(*words, "-o", "json", etcd_dir=etcd_dir),
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
        env={**os.environ, "TMPDIR": str(temp)},
    )
    assert done.returncode == 0, done.stderr + done.stdout
    report = json.loads(done.stdout)
    assert isinstance(report, dict)
    assert report["schema"] == "requorum/Rehearsal/v1"
    assert not left_running(temp)
    assert list(temp.iterdir()) == [], "a rehearsal leaves no folder behind"
    return report


def left_running(folder: Path) -> list[str]:
    """The command lines of processes that work below a folder."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            line = (entry / "cmdline").read_bytes() if entry.name.isdigit() else b""
        except OSError:
            continue
        if os.fsencode(folder) in line:
            found.append(line.replace(b"\0", b" ").decode())
    return found


def passed(result: dict[str, Any], scenario: Scenario) -> None:
    """A scenario's line says what the scenario promises."""
    assert result.keys() >= FIELDS
    assert result["passed"] is True, result["why"]
    assert result["acknowledged"] >= 2000
    if scenario.snapshot or scenario.blind:
        assert result["predicted_lost_max"] is None
        assert result["predicted_why"]
    else:
        assert result["lost"] <= result["predicted_lost_max"]
    if scenario.nothing_lost:
        assert result["lost"] == 0


@pytest.fixture
def temp(tmp_path: Path) -> Path:
    """An empty folder for temporary files."""
    folder = tmp_path / "tmp"
    folder.mkdir()
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda one: one.name)
def test_three_members(scenario: Scenario, etcd_dir: Path, temp: Path) -> None:
    """Each scenario, on three members of the newest etcd that is claimed."""
    report = rehearse("--scenario", scenario.name, etcd_dir=etcd_dir, temp=temp)
    passed(report["scenarios"][0], scenario)


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_one_member(etcd_dir: Path, temp: Path) -> None:
    """A cluster of one is first class: every scenario that needs no other member, in one go."""
    report = rehearse("--all", "--members", "1", etcd_dir=etcd_dir, temp=temp)
    chosen = [one for one in SCENARIOS if one.least_members == 1]
    assert [one["name"] for one in report["scenarios"]] == [one.name for one in chosen]
    for result, scenario in zip(report["scenarios"], chosen, strict=True):
        passed(result, scenario)


@pytest.mark.slow
@pytest.mark.rotates(of=3)
@pytest.mark.parametrize("version", [one for one in etcds.VERSIONS if one != etcds.NEWEST])
def test_every_version(version: str, temp: Path) -> None:
    """What is rehearsed where nothing is named, on each other version: 3.4 is recovered through a 3.5 etcdutl."""
    report = rehearse(etcd_dir=etcds.folder_of(version), temp=temp)
    assert report["etcd"] == version
    passed(report["scenarios"][0], next(one for one in SCENARIOS if one.name == DEFAULT))


@pytest.mark.slow
def test_a_fresh_machine(temp: Path) -> None:
    """Without any etcd on the machine, the one that PyPI has is rehearsed on: several scenarios in one go, among them one
    whose restore would raise the revision, which its etcdutl cannot do."""
    chosen = [one for one in SCENARIOS if one.name in (DEFAULT, "power-cut", "from-snapshot")]
    argv = command(*(word for one in chosen for word in ("--scenario", one.name)), "-o", "json", etcd_dir=None)
    env = {**os.environ, "PATH": "/usr/bin:/bin", "TMPDIR": str(temp)}
    done = subprocess.run(argv, capture_output=True, text=True, timeout=SECONDS, check=False, env=env)
    assert done.returncode == 0, done.stderr + done.stdout
    report = json.loads(done.stdout)
    assert report["etcd"] == "3.5.1"
    assert [one["name"] for one in report["scenarios"]] == [one.name for one in chosen]
    for result, scenario in zip(report["scenarios"], chosen, strict=True):
        passed(result, scenario)
    assert not left_running(temp)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["ctrl-c", "sigterm"])
@pytest.mark.parametrize("after", [0.5, 3.5], ids=["under-load", "while-recovering"])
def test_interrupted(number: signal.Signals, after: float, etcd_dir: Path, temp: Path) -> None:
    """Interrupted at any time, a rehearsal ends its processes, removes its folder, and exits with 130."""
    argv = command("--scenario", "rollback", etcd_dir=etcd_dir)
    child = subprocess.Popen(
        argv,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env={**os.environ, "TMPDIR": str(temp)},
        start_new_session=True,
    )
    try:
        deadline = time.monotonic() + 60
        while not any(temp.iterdir()):  # it has begun once it has a folder
            assert child.poll() is None, "it ended before it began"
            assert time.monotonic() < deadline, "it does not begin"
            time.sleep(0.05)
        time.sleep(after)
        assert child.poll() is None, "it ended before it could be interrupted"
        os.killpg(child.pid, number) if number == signal.SIGINT else child.send_signal(number)
        child.communicate(timeout=30)
    finally:
        child.kill()
        child.wait()
    assert child.returncode == 130
    assert not left_running(temp)
    assert list(temp.iterdir()) == []


def test_unknown_scenario(etcd_dir: Path) -> None:
    """A scenario that is not there is a usage error that says where the names are."""
    done = subprocess.run(
        command("--scenario", "nonsense", etcd_dir=etcd_dir), capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 2
    assert "--list" in done.stderr
