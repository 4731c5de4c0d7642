"""Forks: their results in order, and nothing left of them, however they or their parent end."""

import contextlib
import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from requorum.etcdfiles import forks

pytestmark = pytest.mark.timeout(60)

PARENT = """
import fcntl, os, sys, time
from requorum.etcdfiles import forks
held = os.open(sys.argv[1], os.O_RDWR)
fcntl.flock(held, fcntl.LOCK_EX)
def task():
    own = f"{sys.argv[2]}.{os.getpid()}"
    open(own, "w").write(str(os.getpid()))
    os.rename(own, sys.argv[2])
    while not os.path.exists(sys.argv[3]):
        time.sleep(0.01)
    return bytes(1 << 22)
with forks.beside([task, task], keep=()):
    print("begun", flush=True)
    time.sleep(60)
"""


def wait_for(what: Callable[[], object]) -> None:
    """Wait until it is so."""
    deadline = time.monotonic() + 30
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def runs(pid: int) -> bool:
    """Whether there is such a process, and it has not ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def results(*tasks: Callable[[], object], keep: tuple[int, ...] = ()) -> list[object]:
    """What the tasks come to."""
    with forks.beside(tasks, keep=keep) as found:
        return found()


def test_results_come_in_order_whoever_is_first() -> None:
    """Values of any size, of the caller's memory as it was."""
    large = os.urandom(1 << 20)

    def slow() -> bytes:
        time.sleep(0.2)
        return large

    assert results(slow, partial(max, 1, 2), os.getppid) == [large, 2, os.getpid()]
    assert results() == []


def test_whatever_goes_wrong_there_is_one_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    """An exception, a death, a hang, a value that cannot be handed over."""

    def broken() -> None:
        raise ValueError("no traceback of this may be printed by two")

    def killed() -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    for task in (broken, killed, lambda: lambda: 0):
        with pytest.raises(forks.Failed):
            results(os.getpid, task)
    monkeypatch.setattr(forks, "LIMIT_SECONDS", 1)
    with pytest.raises(forks.Failed):
        results(partial(time.sleep, 60))


def test_none_is_left_when_the_block_is_left_early(tmp_path: Path) -> None:
    """Neither a process nor a pipe."""

    def task() -> None:
        (tmp_path / str(os.getpid())).touch()
        time.sleep(60)

    before = set(os.listdir("/proc/self/fd"))
    with contextlib.suppress(KeyError), forks.beside([task, task], keep=()):
        wait_for(lambda: len(list(tmp_path.iterdir())) == 2)
        raise KeyError
    for one in tmp_path.iterdir():
        assert not Path("/proc", one.name).exists()
    assert set(os.listdir("/proc/self/fd")) == before


def test_a_fork_keeps_open_what_it_is_given_and_nothing_else(tmp_path: Path) -> None:
    """Not what its parent has locked, nor where its parent prints."""
    path = tmp_path / "file"
    path.write_bytes(b"content")
    fd, other = os.open(path, os.O_RDONLY), os.open(path, os.O_RDONLY)

    def look() -> tuple[bytes, set[str]]:
        return os.pread(fd, 99, 0), {os.readlink(f"/proc/self/fd/{one}") for one in (0, 1, 2)}

    def open_files() -> int:
        return len([one for one in os.listdir("/proc/self/fd") if os.path.exists(f"/proc/self/fd/{one}")])

    try:
        read, count = results(look, open_files, keep=(fd,))
        assert read == (b"content", {"/dev/null"})
        assert count == 6, "0 to 2, /dev/null, its pipe, the file"
    finally:
        os.close(fd)
        os.close(other)


def test_an_interruption_is_the_parents(tmp_path: Path) -> None:
    """^C goes to all processes of a terminal: a fork goes on with its work until its parent says otherwise."""

    def task() -> str:
        os.kill(os.getpid(), signal.SIGINT)
        return "done"

    assert results(task) == ["done"]


def is_free(lock: Path) -> bool:
    """Whether nobody holds a lock."""
    with lock.open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


def test_they_end_where_the_parent_has_died(tmp_path: Path) -> None:
    """Killed at any time: its locks are free at once, though its forks still work, and those end with what they have."""
    lock, mark, end = (tmp_path / name for name in ("lock", "mark", "end"))
    lock.touch()
    parent = subprocess.Popen([sys.executable, "-c", PARENT, lock, mark, end], stdout=subprocess.PIPE)
    assert parent.stdout is not None
    try:
        assert parent.stdout.readline() == b"begun\n"
        wait_for(mark.exists)
        parent.kill()
        parent.wait()
        fork = int(mark.read_text())
        assert runs(fork)
        wait_for(lambda: is_free(lock))  # at once, but for a fork that has only just been made
        assert runs(fork)
    finally:
        parent.kill()
        parent.wait()
        parent.stdout.close()
        end.touch()
    wait_for(lambda: not runs(fork))
