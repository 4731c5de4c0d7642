"""Work that is shared out to forks: the threads of one Python take turns on one processor, processes do not.

A fork begins with the caller's memory as it is, and hands one value back through a pipe. It cannot be a burden to anybody:
it keeps no file open but those it is given (a host's lock is free as soon as whoever holds it ends), it leaves ^C to its
parent, and it ends when its parent has died, or when it takes longer than anything that is worth waiting for.
"""

import contextlib
import os
import pickle
import signal
from typing import Any, Callable, Collection, Iterator, List, NamedTuple, Sequence

LIMIT_SECONDS = 900
MOST = 4
"""So many processes work at a file at most: its host has other things to do."""
_LENGTH = 8


class Failed(Exception):
    """A fork could not be made, died, or took too long. Why does not matter: the caller can do the work itself."""


class _Fork(NamedTuple):
    pid: int
    pipe: int


def processors() -> int:
    """How many processes can work at the same time."""
    return min(len(os.sched_getaffinity(0)), MOST)


@contextlib.contextmanager
def beside(tasks: Sequence[Callable[[], object]], keep: Collection[int]) -> Iterator[Callable[[], List[Any]]]:
    """Begin each task in a fork of its own, which keeps the files in ``keep`` open.

    What this yields waits for their results, in the order of the tasks; it raises :class:`Failed` when one has none. All
    forks have ended when the block is left, however that is.
    """
    running: List[_Fork] = []
    try:
        for task in tasks:
            running.append(_begun(task, keep))
        yield lambda: [_result(one) for one in running]
    finally:
        for one in running:
            os.close(one.pipe)
            with contextlib.suppress(ProcessLookupError, ChildProcessError):
                os.kill(one.pid, signal.SIGKILL)
                os.waitpid(one.pid, 0)


def _begun(task: Callable[[], object], keep: Collection[int]) -> _Fork:
    try:
        ours, theirs = os.pipe()
    except OSError as err:
        raise Failed(str(err)) from err
    # A handler of the caller's that ran in the fork would act for both.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    try:
        pid = os.fork()
        if pid == 0:
            _work(task, {*keep, theirs}, theirs)
    except OSError as err:
        os.close(ours)
        raise Failed(str(err)) from err
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        os.close(theirs)
    return _Fork(pid, ours)


def _work(task: Callable[[], object], keep: Collection[int], pipe: int) -> None:
    """The whole life of a fork. It never returns: the caller's code behind it is not for two."""
    try:
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGALRM):
            signal.signal(number, signal.SIG_DFL)
        for number in (signal.SIGINT, signal.SIGPIPE):
            signal.signal(number, signal.SIG_IGN)
        _close_all_but(keep)
        signal.alarm(LIMIT_SECONDS)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        raw = pickle.dumps(task(), pickle.HIGHEST_PROTOCOL)
        with open(pipe, "wb") as file:
            file.write(len(raw).to_bytes(_LENGTH, "big"))
            file.write(raw)
        os._exit(0)
    finally:
        os._exit(1)


def _close_all_but(keep: Collection[int]) -> None:
    nothing = os.open(os.devnull, os.O_RDWR)
    for name in os.listdir("/proc/self/fd"):
        fd = int(name)
        if fd in keep or fd == nothing:
            continue
        if fd <= 2:
            os.dup2(nothing, fd)
        else:
            with contextlib.suppress(OSError):  # the one that the folder was read through
                os.close(fd)


def _result(fork: _Fork) -> Any:
    with open(fork.pipe, "rb", closefd=False) as file:
        length = int.from_bytes(file.read(_LENGTH), "big")
        raw = file.read()
    if not length or len(raw) != length:
        raise Failed("a fork ended before it was done")
    return pickle.loads(raw)  # noqa: S301 - written by this very program
