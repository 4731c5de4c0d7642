"""What runs on a host: it answers requests on standard input until that ends, then finishes what it had begun.

A connection that drops ends the input, not the work: a restore that was begun goes on to its end, and whoever connects
next waits for that (:func:`hold`) before looking at what came of it. Nothing is written to the host's disk to run this:
the code comes over the connection and stays in memory. Runs on the hosts: Python 3.8, standard library only.
"""

from __future__ import annotations

import contextlib
import fcntl
import importlib
import json
import os
import sys
import threading
import time
from typing import Any, BinaryIO

from requorum.errors import RequorumError
from requorum.hosts import direct, wire
from requorum.hosts.bounds import within

HOLD_SECONDS = 900.0
_HELD: dict[str, int] = {}


def main() -> None:
    """Serve until the input ends."""
    answers = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)  # whatever a program or a stray print says must not land among the answers
    gate = threading.Lock()
    serve(sys.stdin.buffer, answers, gate)


def serve(requests: BinaryIO, answers: Any, gate: threading.Lock) -> None:
    """One thread for each request; the last one of them ends the process."""
    _answer(answers, gate, {"hello": list(sys.version_info[:3]), "pid": os.getpid()})
    for line in requests:
        threading.Thread(target=_one, args=(line, answers, gate)).start()
    direct.withdraw_all()


def _one(line: bytes, answers: Any, gate: threading.Lock) -> None:
    number: Any = None
    try:
        request = json.loads(line)
        number = request["id"]
        function = _function_named(request["call"])
        result = function(*wire.decode(request["args"]), **wire.decode(request["kwargs"]))
        answer = {"id": number, "ok": wire.encode(result)}
    except BaseException as err:
        answer = {"id": number, "error": wire.encode_error(err)}
    _answer(answers, gate, answer)


def _function_named(name: str) -> Any:
    module, _, function = name.partition(":")
    if not module.startswith("requorum."):
        raise wire.WireFault(f"{name} is none of ours")
    return getattr(importlib.import_module(module), function)


def _answer(answers: Any, gate: threading.Lock, answer: Any) -> None:
    raw = json.dumps(answer).encode() + b"\n"
    with gate, contextlib.suppress(OSError):  # the connection dropped: nobody is told, the disk shows it
        view = memoryview(raw)
        while view:
            view = view[answers.write(view) :]


@within(HOLD_SECONDS + 60)
def hold(path: str) -> bool:
    """Keep a file locked until this process ends; waits for the work of an earlier connection to end first.

    Returns whether there was something to wait for. Raises RequorumError when that does not end in time.
    """
    if path in _HELD:
        return False
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    deadline = time.monotonic() + HOLD_SECONDS
    waited = False
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            waited = True
            if time.monotonic() > deadline:
                os.close(fd)
                raise RequorumError(
                    f"work of an earlier connection does not end on this host ({path})",
                    hint="look there what hangs: a disk, a program",
                ) from None
            time.sleep(0.1)
            continue
        _HELD[path] = fd
        return waited
