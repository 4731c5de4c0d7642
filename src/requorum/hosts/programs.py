"""The one place that runs programs: argument lists only, an explicit environment, no standard input, a time limit."""

from __future__ import annotations

import contextlib
import ctypes
import os
import shlex
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from requorum.hosts import bounds
from requorum.hosts.bounds import part, within

_LIBC = ctypes.CDLL(None)
_PR_SET_PDEATHSIG = 1
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True, slots=True, kw_only=True)
class Completed:
    """A program that ended by itself with status 0. ``out`` and ``err`` are its whole output."""

    out: str
    err: str


class ProgramError(Exception):
    """A program that did not do its work. ``command`` can be pasted into a shell; ``detail`` is what it said last."""

    def __init__(self, argv: Sequence[str], what: str, detail: str = "") -> None:
        self.argv = list(argv)
        self.command = shlex.join(argv)
        self.what = what
        self.detail = detail.strip()
        super().__init__(f"{argv[0]} {what}" + (f": {last_line(self.detail)}" if self.detail else ""))


class NotFound(ProgramError):
    """The program is not there, or may not be run."""


class TimedOut(ProgramError):
    """It did not end in time and was killed."""


class Killed(ProgramError):
    """A signal ended it."""


class ExitedNonZero(ProgramError):
    """It ended with another status than 0."""


def last_line(text: str) -> str:
    """The last line that is not empty: where programs say what is wrong."""
    lines = [line for line in text.strip().splitlines() if line.strip()]
    return lines[-1].strip()[:600] if lines else ""


@within(7200.0)
@part
def run(
    argv: Sequence[str | os.PathLike[str]],
    *,
    seconds: float,
    env: Mapping[str, str] | None = None,
    cwd: str | None = None,
) -> Completed:
    """Run a program to its end; raises a :class:`ProgramError` that tells the four ways of failing apart."""
    args = [os.fspath(one) for one in argv]
    try:
        child = subprocess.Popen(
            args,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={"PATH": PATH, **(env or {})},
            cwd=cwd,
            start_new_session=True,
            preexec_fn=die_with_parent,
        )
    except OSError as err:
        raise NotFound(args, f"cannot be run: {err.strerror}") from err
    try:
        raw = child.communicate(timeout=seconds)
    except subprocess.TimeoutExpired as err:
        _kill_session(child)
        said = (err.stderr or b"").decode(errors="replace")
        raise TimedOut(args, f"did not end within {seconds:.0f} s", said) from err
    except BaseException:
        _kill_session(child)
        raise
    out, said = (one.decode(errors="replace") for one in raw)
    if child.returncode < 0:
        raise Killed(args, f"was killed by {signal.Signals(-child.returncode).name}", said or out)
    if child.returncode:
        raise ExitedNonZero(args, f"failed with status {child.returncode}", said or out)
    return Completed(out=out, err=said)


def _kill_session(child: subprocess.Popen[bytes]) -> None:
    """Kill a program and whatever it started, and reap it."""
    with contextlib.suppress(OSError):
        os.killpg(child.pid, signal.SIGKILL)
    child.kill()
    with contextlib.suppress(subprocess.TimeoutExpired):
        child.communicate(timeout=5)


def die_with_parent() -> None:
    """In a child: be killed when the parent is, so that nothing goes on writing behind a run that died."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def stamp_of(path: str | os.PathLike[str]) -> tuple[int, int, int] | None:
    """What tells a program file from another version of it; None where it cannot be looked at from here."""
    if bounds.elsewhere():
        return None
    try:
        info = os.stat(path)
    except OSError:
        return None
    return info.st_ino, info.st_size, info.st_mtime_ns


@part
def which(name: str, folders: Sequence[str | Path]) -> Path | None:
    """The first executable file ``name`` in some folders."""
    for folder in folders:
        path = Path(folder) / name
        if path.is_file() and os.access(path, os.X_OK):
            return path
    return None
