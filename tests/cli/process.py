"""requorum as a child process, and what every one of its ends must look like."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

SECONDS = 300.0


@dataclass(frozen=True)
class Ended:
    """How a requorum process ended."""

    code: int
    out: str
    err: str

    @property
    def hint(self) -> str:
        """What the line ``hint:`` says; empty without one."""
        return next((line for line in self.err.splitlines() if line.startswith("hint: ")), "")


@dataclass
class Requorum:
    """Runs ``requorum`` with a state folder of its own; ends what it started."""

    state: Path
    started: list["subprocess.Popen[str]"] = field(default_factory=list)

    def __call__(self, *words: object, code: int, seconds: float = SECONDS, answers: bool = False) -> Ended:
        """Run to the end, and hold it to the exit code and to the form of its messages.

        ``answers``: the code is the answer itself (``check``), and no failure is told.
        """
        return self.end(self.start(*words), code=code, seconds=seconds, answers=answers)

    def start(self, *words: object) -> "subprocess.Popen[str]":
        """Start a command; nobody can be asked."""
        child = subprocess.Popen(
            argv(*words),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=self.env,
            cwd=self.state,
        )
        self.started.append(child)
        return child

    def end(
        self, child: "subprocess.Popen[str]", *, code: int, seconds: float = SECONDS, answers: bool = False
    ) -> Ended:
        """Wait for a command's end, no longer than ``seconds``."""
        try:
            out, err = child.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            child.kill()
            out, err = child.communicate(timeout=10)
            raise AssertionError(f"it hangs: no end within {seconds:.0f} s\n{out}\n{err}") from None
        ended = Ended(child.returncode, out, err)
        assert ended.code == code, f"exit code {ended.code}, not {code}\n{err}\n{out}"
        well_formed(ended, answers=answers)
        return ended

    @property
    def env(self) -> dict[str, str]:
        """The environment of every command."""
        return {**os.environ, "REQUORUM_STATE_DIR": str(self.state), "NO_COLOR": "1"}

    def run_name(self) -> str:
        """The one run that was begun."""
        (folder,) = (self.state / "runs").iterdir()
        return folder.name

    def journal(self) -> str:
        """The journals of all runs."""
        return "".join(path.read_text() for path in self.state.glob("runs/*/journal.jsonl"))

    def kill_all(self) -> None:
        """End what still runs."""
        for child in self.started:
            if child.poll() is None:
                child.kill()
            child.communicate(timeout=10)


def argv(*words: object) -> list[str]:
    """The command line of a requorum command."""
    return [sys.executable, "-m", "requorum.cli.main", *(str(word) for word in words)]


def well_formed(ended: Ended, *, answers: bool = False) -> None:
    """A failure is told in one message, on standard error; a traceback is never shown."""
    assert "Traceback" not in ended.err + ended.out
    assert "bug in requorum" not in ended.err
    messages = [line for line in ended.err.splitlines() if line.lower().startswith("error: ")]
    assert len(messages) == (0 if answers or ended.code in (0, 3) else 1), ended.err


def wait_until(condition: Callable[[], object], what: str, seconds: float = 30.0) -> None:
    """Wait until something holds; fails after some seconds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds:.0f} s: {what}"
        time.sleep(0.005)
