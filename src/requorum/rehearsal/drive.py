"""requorum as a child process, as an operator types it."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

COMMAND_SECONDS = 300.0


class WrongEnd(Exception):
    """requorum ended otherwise than it should."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Driver:
    """Runs ``requorum`` with a state folder of its own; everything it prints is kept in ``log``."""

    root: Path
    inventory: Path

    @property
    def state(self) -> Path:
        """The state folder of its runs."""
        return self.root / "state"

    def _argv(self, words: Sequence[str]) -> list[str]:
        return [sys.executable, "-m", "requorum.cli.main", *words]

    def _env(self) -> dict[str, str]:
        return {**os.environ, "REQUORUM_STATE_DIR": str(self.state), "NO_COLOR": "1"}

    def json(self, *words: str, codes: Sequence[int] = (0,)) -> dict[str, Any]:
        """Run a command with ``-o json``; returns its answer. Raises WrongEnd for another exit code."""
        argv = self._argv([*words, "-o", "json"])
        done = subprocess.run(
            argv,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            env=self._env(),
            timeout=COMMAND_SECONDS,
            check=False,
        )
        with (self.root / "requorum.log").open("a") as log:
            log.write(f"$ requorum {' '.join(words)}\n{done.stderr}{done.stdout}\nexit {done.returncode}\n")
        if done.returncode not in codes:
            raise WrongEnd(f"requorum {words[0]} ended with exit code {done.returncode}: {done.stderr.strip()[-800:]}")
        answer = json.loads(done.stdout)
        assert isinstance(answer, dict)
        return answer

    def killed_at(self, kind: str, *words: str) -> str:
        """Start a command, SIGKILL it once its journal says that a step of this kind has begun; returns the run."""
        argv = self._argv([*words, "-o", "json"])
        with (self.root / "requorum.log").open("ab") as log:
            child = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self._env())
        deadline = time.monotonic() + COMMAND_SECONDS
        try:
            while True:
                for journal in self.state.glob("runs/*/journal.jsonl"):
                    if f"-{kind}/".encode() in journal.read_bytes():
                        return journal.parent.name
                if child.poll() is not None:
                    raise WrongEnd(f"requorum ended with {child.returncode} before it could be killed")
                if time.monotonic() > deadline:
                    raise WrongEnd("requorum did not come to the step where it was to be killed")
                time.sleep(0.001)
        finally:
            with contextlib.suppress(ProcessLookupError):
                child.send_signal(signal.SIGKILL)
            child.wait()
