"""Runs that a version before has begun: resumed, rolled back and cleaned up by this one (tests/data/begun/README.md)."""

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab import etcds
from requorum.rehearsal import wreck

from .process import Requorum

FOUND = Path(__file__).resolve().parents[1] / "data" / "begun"
ROOT, PROGRAMS, VERSION = "/tmp/begun-before", "/opt/etcd", "3.5.30"
NAMES = ("m1", "m2", "m3")
YES = ("--yes", "--confirm", "begun-9c0606e4", "--take-over")


class Left:
    """What a killed run left, under ``root``."""

    def __init__(self, name: str, root: Path) -> None:
        self.root = root / "begun"
        subprocess.run(["tar", "-C", root, "-xJf", FOUND / f"{name}.tar.xz"], check=True, timeout=60)
        (root / "begun-before").rename(self.root)
        for path in self.root.rglob("*"):
            if path.is_file() and (path.suffix in (".json", ".jsonl") or "yaml" in path.name):
                text = path.read_text().replace(ROOT, str(self.root)).replace(PROGRAMS, str(etcds.folder_of(VERSION)))
                path.write_text(text)
        self.requorum = Requorum(self.root / "state")
        self.run = self.requorum.run_name()

    def data(self, name: str) -> Path:
        """A member's data dir."""
        return self.root / name / "data"

    def work(self, name: str) -> Path:
        """What the run keeps for a member."""
        return self.root / name / "data.requorum" / self.run

    def old(self) -> dict[str, wreck.Fingerprint]:
        """The old data, wherever it is now."""
        kept = {name: self.work(name) / "old" for name in NAMES}
        return {
            name: wreck.fingerprint(path if any(path.glob("*")) else self.data(name)) for name, path in kept.items()
        }

    def end(self) -> None:
        """End every etcd that runs on these files."""
        self.requorum.kill_all()
        for entry in Path("/proc").iterdir():
            try:
                words = (entry / "cmdline").read_bytes() if entry.name.isdigit() else b""
            except OSError:
                continue
            if os.fsencode(self.root) in words:
                os.kill(int(entry.name), signal.SIGKILL)


@pytest.fixture
def left(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Left]:
    """What was left of the run that a test names."""
    found = Left(request.param, tmp_path)
    yield found
    found.end()


@pytest.mark.parametrize("left", ["midway"], indirect=True)
def test_resumed_and_cleaned_up(left: Left) -> None:
    """It is carried to its end, and what it set aside is removed."""
    left.requorum("resume", left.run, *YES, code=0)
    left.requorum("check", "-i", left.root / "inventory.yaml", code=0, answers=True)
    assert all((left.work(name) / "old" / "member").is_dir() for name in NAMES)
    left.requorum("cleanup", left.run, *YES[:3], code=0)
    assert not any(left.work(name).exists() for name in NAMES)


@pytest.mark.parametrize("left", ["midway", "rolling-back"], indirect=True)
def test_rolled_back_and_cleaned_up(left: Left) -> None:
    """Everything is as it was before the run, whether its version had begun to take it back or not."""
    before = left.old()
    left.requorum("rollback", left.run, *YES, "--discard-writes", 1_000_000, code=0)
    assert {name: wreck.fingerprint(left.data(name)) for name in NAMES} == before
    assert not any((left.root / name / "data.requorum" / "lock.json").exists() for name in NAMES)
    assert not any("fenced" in (left.root / name / "etcd.yaml").read_text() for name in NAMES)
    left.requorum("survey", "-i", left.root / "inventory.yaml", code=0)
    left.requorum("cleanup", left.run, *YES[:3], code=0)
    assert not any(left.work(name).exists() for name in NAMES)
    assert {name: wreck.fingerprint(left.data(name)) for name in NAMES} == before
