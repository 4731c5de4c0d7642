"""requorum as a real process that ends itself (SIGKILL) or halts itself (SIGSTOP) at a given call.

    python killer.py LOG NUMBER before|after kill|stop WORD...

Every call that makes something durable or moves something is counted and written to LOG, one line each. Before or after
call NUMBER the process sends itself the signal; number 0 only counts.

There are a thousand such runs: :func:`start` forks them from a process that has read requorum's modules already.
"""

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from importlib import import_module
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

from requorum.cli import main
from requorum.hosts import files

COUNTED = ((os, ("fsync", "replace", "rename", "link", "truncate")), (files, ("_rename_noreplace",)))
SIGNALS = {"kill": signal.SIGKILL, "stop": signal.SIGSTOP}


class Killer:
    """Counts calls, and sends this process a signal at one of them."""

    def __init__(self, log: str, number: int, when: str, how: str) -> None:
        self.log = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND)
        self.number = number
        self.when = when
        self.signal = SIGNALS[how]
        self.count = 0
        self.gate = threading.Lock()

    def counted(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        """The call, counted."""

        def instead(*args: Any, **more: Any) -> Any:
            with self.gate:
                self.count += 1
                number = self.count
            os.write(self.log, f"{name} {_where(args[0])}\n".encode())
            self.end_at(number, "before")
            done = call(*args, **more)
            self.end_at(number, "after")
            return done

        return instead

    def end_at(self, number: int, when: str) -> None:
        """End or halt this process if this is the moment."""
        if (number, when) == (self.number, self.when):
            os.kill(os.getpid(), self.signal)


def _where(first: object) -> str:
    """The path that a call is about."""
    return os.readlink(f"/proc/self/fd/{first}") if isinstance(first, int) else str(first)


def run(words: Sequence[str]) -> None:
    """requorum, counted, in this process."""
    killer = Killer(words[0], int(words[1]), words[2], words[3])
    for module, names in COUNTED:
        for one in names:
            setattr(module, one, killer.counted(one, getattr(module, one)))
    sys.argv = ["requorum", *words[4:]]
    main.main()


def start(words: Sequence[str], folder: Path, env: dict[str, str]) -> ForkServerProcess:
    """A process of its own that works in ``folder``, and writes to the files ``out`` and ``err`` there."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    child = context.Process(target=_begin, args=(tuple(words), str(folder), env))
    child.start()
    return child


def _begin(words: Sequence[str], folder: str, env: dict[str, str]) -> None:
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(env)
    for number, name, flags in ((0, os.devnull, os.O_RDONLY), (1, "out", os.O_WRONLY), (2, "err", os.O_WRONLY)):
        opened = os.open(name, flags | (os.O_CREAT | os.O_TRUNC if number else 0))
        os.dup2(opened, number)
        os.close(opened)
    run(words)


if __name__ == "__main__":
    run(sys.argv[1:])
else:
    for module, _ in main.COMMANDS.values():
        import_module(module)
