"""Runs programs: argument lists only, stdin closed, every run bounded, one error that says what to type again."""

import os
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

SECONDS = 60.0


class LabError(Exception):
    """The lab could not do what it was asked; ``hint`` says what helps, and may be empty."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


def run(
    argv: Sequence[str | Path],
    *,
    check: bool = True,
    seconds: float = SECONDS,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> "subprocess.CompletedProcess[str]":
    """Run a program to its end; raises LabError when it is missing, takes too long or, with ``check``, fails."""
    words = [str(one) for one in argv]
    try:
        done = subprocess.run(
            words,
            check=False,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=seconds,
            env=env,
            cwd=cwd,
            stdin=subprocess.DEVNULL,
        )
    except FileNotFoundError as err:
        raise LabError(f"this machine has no program {words[0]}") from err
    except subprocess.TimeoutExpired as err:
        raise LabError(f"took longer than {seconds:.0f} s: {shlex.join(words)}") from err
    if check and done.returncode != 0:
        said = (done.stderr or done.stdout).strip()
        raise LabError(f"exit code {done.returncode}: {shlex.join(words)}\n{said}".rstrip())
    return done


def path_of_operator() -> str:
    """The PATH of an operator without Ansible: the one among the tests' programs takes a second or two of every command."""
    own = str(Path(sys.executable).parent)
    return os.pathsep.join(one for one in os.environ.get("PATH", os.defpath).split(os.pathsep) if one != own)
