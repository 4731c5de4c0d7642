"""One run at a time on each member, with real processes on both sides of the lock."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from requorum.errors import Locked, RequorumError
from requorum.hosts.connection import Here
from requorum.procedures.values import PlanMember
from requorum.run import lock

from .evidence import TOOLS, config, place
from .evidence import sound as surveyed

pytestmark = pytest.mark.timeout(60)
LOCKER = Path(__file__).with_name("locker.py")
SECONDS = 20.0
HERE = Here()


@pytest.fixture
def member(tmp_path: Path) -> PlanMember:
    """A member whose data lies in this test's folder."""
    evidence = surveyed(1)
    lies = replace(
        place(1), data_dir=str(tmp_path / "data"), work=str(tmp_path / "work"), wal_work=str(tmp_path / "work")
    )
    made = PlanMember(
        name="m1",
        host="here",
        role="restore",
        why="",
        config=config(1),
        deployment=evidence.deployment,  # type: ignore[arg-type]
        place=lies,
        was_running=False,
        tools=TOOLS,
    )
    (tmp_path / "member.json").write_bytes(msgspec.json.encode(made))
    return made


class Other:
    """Another process that takes the lock."""

    def __init__(self, folder: Path, run: str, how: str) -> None:
        self.child = subprocess.Popen(
            [sys.executable, LOCKER, folder / "member.json", run, how, "hold"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def answer(self) -> str:
        """Its next line; the timeout of the test bounds the wait."""
        assert self.child.stdout is not None
        return self.child.stdout.readline().strip()

    def ask(self, word: str) -> str:
        """Let it do something."""
        assert self.child.stdin is not None
        self.child.stdin.write(f"{word}\n")
        self.child.stdin.flush()
        return self.answer()

    def end(self) -> None:
        """Kill it, as a power cut would."""
        self.child.kill()
        self.child.communicate(timeout=SECONDS)


@pytest.fixture
def other(tmp_path: Path, member: PlanMember) -> Iterator[Callable[..., Other]]:
    """``other(run, how)``: a process that tries to take the lock and stays."""
    made: list[Other] = []

    def start(run: str = "r1", how: str = "take") -> Other:
        made.append(Other(tmp_path, run, how))
        return made[-1]

    yield start
    for one in made:
        one.end()


def on_disk(member: PlanMember) -> dict[str, Any]:
    """The lock as it lies there."""
    data = json.loads(lock.path_of(member).read_text())
    assert isinstance(data, dict)
    return data


def test_taken(member: PlanMember) -> None:
    """A free lock is taken; it says which run and which process holds it, and nothing else is left beside it."""
    lock.take(HERE, member, "r1", 1)
    assert (on_disk(member)["run"], on_disk(member)["epoch"], on_disk(member)["pid"]) == ("r1", 1, os.getpid())
    lock.check(HERE, member, "r1")
    assert sorted(one.name for one in Path(member.place.work).iterdir()) == ["lock.json"]


def test_taken_twice_by_the_same_process(member: PlanMember) -> None:
    """The same process of the same run may take it again: nothing changes."""
    lock.take(HERE, member, "r1", 1)
    before = on_disk(member)
    lock.take(HERE, member, "r1", 1)
    assert on_disk(member) == before


def test_held_by_another_run(member: PlanMember, other: Callable[..., Other]) -> None:
    """Another run's lock is never taken, dead or alive, not even by force: its run must be resumed or rolled back."""
    first = other("r0")
    assert first.answer() == "held"
    for _ in range(2):
        for take_over in (False, True):
            with pytest.raises(Locked, match="locked by run r0") as caught:
                lock.take(HERE, member, "r1", 1, take_over=take_over)
            assert "requorum resume r0" in caught.value.hint
        first.end()


def test_held_by_a_live_process_of_this_run(member: PlanMember, other: Callable[..., Other]) -> None:
    """A live process of the same run keeps its lock."""
    first = other()
    assert first.answer() == "held"
    with pytest.raises(Locked, match="is held by") as caught:
        lock.take(HERE, member, "r1", 1)
    assert "--take-over" in caught.value.hint
    assert first.ask("check") == "held"


def test_after_a_kill(member: PlanMember, other: Callable[..., Other]) -> None:
    """A process that is certainly gone loses its lock to the next one of its run, under a higher epoch."""
    first = other()
    assert first.answer() == "held"
    first.end()
    lock.take(HERE, member, "r1", 1)
    assert (on_disk(member)["pid"], on_disk(member)["epoch"]) == (os.getpid(), 2)


def test_take_over(member: PlanMember, other: Callable[..., Other]) -> None:
    """Taken over from a live process: the epoch rises, and that process may not act any more."""
    first = other()
    assert first.answer() == "held"
    lock.take(HERE, member, "r1", 1, take_over=True)
    assert on_disk(member)["epoch"] == 2
    lock.check(HERE, member, "r1")
    assert "was taken over" in first.ask("check")


def test_who_lost_the_lock_does_not_release_it(member: PlanMember, other: Callable[..., Other]) -> None:
    """A process that was taken over does not take the lock away from who holds it now."""
    first = other()
    assert first.answer() == "held"
    lock.take(HERE, member, "r1", 1, take_over=True)
    first.ask("release")
    assert lock.path_of(member).exists()
    lock.check(HERE, member, "r1")


@pytest.mark.parametrize(
    ("change", "gone"),
    [
        ({}, False),
        ({"holder": "root@elsewhere"}, False),
        ({"machine": "another of this name", "pid": 1 << 22, "boot": "another"}, False),
        ({"holder": "root@elsewhere", "pid": 1 << 22, "boot": "another"}, False),
        ({"boot": "another"}, True),
        ({"pid": 1 << 22}, True),
        ({"started": "1"}, True),
    ],
    ids=[
        "alive",
        "another machine",
        "one of the same name",
        "another machine's past",
        "rebooted",
        "no such process",
        "pid given out again",
    ],
)
def test_who_is_gone(member: PlanMember, other: Callable[..., Other], change: dict[str, Any], gone: bool) -> None:
    """Only what certainly does not run any more on this machine is gone; of another machine nobody knows."""
    assert other().answer() == "held"
    lock.path_of(member).write_text(json.dumps({**on_disk(member), **change}))
    if gone:
        lock.take(HERE, member, "r1", 1)
        assert on_disk(member)["pid"] == os.getpid()
    else:
        with pytest.raises(Locked):
            lock.take(HERE, member, "r1", 1)


def test_one_of_many(other: Callable[..., Other]) -> None:
    """Of many runs that reach for a free lock at the same time exactly one gets it."""
    answers = [one.answer() for one in [other(f"r{n}") for n in range(6)]]
    assert sorted(answers)[-1] == "held"
    assert answers.count("held") == 1
    assert all(one.startswith("Locked: ") for one in answers if one != "held")


def test_release(member: PlanMember) -> None:
    """A lock is given back by its own run only."""
    lock.take(HERE, member, "r1", 1)
    lock.release(HERE, member, "r2")
    assert lock.read(HERE, member)
    lock.release(HERE, member, "r1")
    assert lock.read(HERE, member) == {}
    lock.release(HERE, member, "r1")
    with pytest.raises(Locked):
        lock.check(HERE, member, "r1")


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"\0" * 64])
def test_unreadable(member: PlanMember, content: bytes) -> None:
    """A lock that cannot be read is not taken for a free one."""
    lock.take(HERE, member, "r1", 1)
    lock.path_of(member).write_bytes(content)
    with pytest.raises(RequorumError, match="cannot be read"):
        lock.take(HERE, member, "r1", 1)
    assert lock.path_of(member).read_bytes() == content


@pytest.mark.parametrize("content", ["[]", "null", '{"run": "r1"}', '{"run": "r1", "pid": "x", "epoch": "y"}'])
def test_not_a_lock(member: PlanMember, content: str) -> None:
    """A lock of another form is not taken for a free one either, and is no crash."""
    lock.take(HERE, member, "r1", 1)
    lock.path_of(member).write_text(content)
    with pytest.raises(RequorumError):
        lock.take(HERE, member, "r2", 1)
    with pytest.raises(RequorumError):
        lock.take(HERE, member, "r1", 1)
