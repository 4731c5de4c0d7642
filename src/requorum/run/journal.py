"""The journal of a run: one JSON line before each action and one after it, each on disk before anything goes on.

It lies in the operator's state folder, and each member's part also on that member, beside the files that the run set
aside there.
"""

import datetime
import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from requorum.errors import RequorumError, UsageError
from requorum.hosts import files
from requorum.plan.values import Plan, work_of

BEGIN, DONE, FAILED, UNDONE = "begin", "done", "failed", "undone"
FINISHED, ROLLING_BACK, ROLLED_BACK = "finished", "rolling back", "rolled back"


def state_folder() -> Path:
    """Where runs are kept: ``REQUORUM_STATE_DIR``, else the user's XDG state folder."""
    named = os.environ.get("REQUORUM_STATE_DIR")
    if named:
        return Path(named)
    base = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(base) / "requorum"


@dataclass(slots=True)
class Journal:
    """An open journal and what it says so far."""

    folder: Path
    plan: Plan
    done: dict[str, Any] = field(default_factory=dict)
    begun: set[str] = field(default_factory=set)
    undone: set[str] = field(default_factory=set)
    state: str = ""
    last_sign: str = ""

    @property
    def path(self) -> Path:
        """The file."""
        return self.folder / "journal.jsonl"

    def write(self, event: str, step: str = "", member: str = "", **more: Any) -> None:
        """Append one line, durable, here and on the member that it is about."""
        at = datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")
        line = {"at": at, "event": event, "step": step, "member": member, **more}
        raw = json.dumps(line, separators=(",", ":")).encode() + b"\n"
        _append(self.path, raw)
        if member:
            beside = Path(work_of(self.plan.member(member), self.plan.run))
            if beside.is_dir():
                _append(beside / "journal.jsonl", raw)
        self._take(line)

    def _take(self, line: dict[str, Any]) -> None:
        event, step = line.get("event"), str(line.get("step", ""))
        self.last_sign = str(line.get("at", ""))
        if event == BEGIN:
            self.begun.add(step)
        elif event == DONE:
            self.done[step] = line.get("result")
        elif event == UNDONE:
            self.undone.add(step)
        elif event in (FINISHED, ROLLING_BACK, ROLLED_BACK):
            self.state = str(event)

    def result(self, kind: str, member: str) -> Any:
        """The result of a finished step by its kind and member."""
        for phase in self.plan.phases:
            for step in phase.steps:
                if step.kind == kind and step.member == member:
                    return self.done.get(step.id)
        return None

    @property
    def data_moved(self) -> bool:
        """Whether a step that moves or starts a member's data has begun."""
        kinds = ("set aside", "move in", "configure", "start")
        return any(step.id in self.begun for phase in self.plan.phases for step in phase.steps if step.kind in kinds)


def _append(path: Path, raw: bytes) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        os.write(fd, raw)
        os.fsync(fd)
    finally:
        os.close(fd)


def create(plan: Plan) -> Journal:
    """Start the journal of a new run."""
    folder = state_folder() / "runs" / plan.run
    journal = Journal(folder=folder, plan=plan)
    try:
        files.make_dir(folder)
        files.write_durably(folder / "plan.json", msgspec.json.encode(plan))
        _append(journal.path, b"")
        files.fsync_dir(folder)
    except OSError as err:
        raise RequorumError(
            f"{err.filename or folder}: {err.strerror}: the run's journal cannot be kept",
            changed="nothing was changed",
            hint="name another folder with REQUORUM_STATE_DIR",
        ) from err
    return journal


def load(run: str) -> Journal:
    """Open the journal of a run that was begun; raises UsageError when there is none, or it cannot be read."""
    folder = state_folder() / "runs" / run
    try:
        plan = msgspec.json.decode((folder / "plan.json").read_bytes(), type=Plan)
        lines = _whole_lines(folder / "journal.jsonl")
    except OSError as err:
        raise UsageError(f"there is no run {run} here", hint="requorum runs lists the runs on this machine") from err
    except msgspec.DecodeError as err:
        raise UsageError(f"the plan of run {run} cannot be read: {err}") from err
    journal = Journal(folder=folder, plan=plan)
    for number, line in enumerate(lines, 1):
        try:
            journal._take(json.loads(line))
        except ValueError as err:
            raise UsageError(f"{journal.path}, line {number}: cannot be read") from err
    return journal


def _whole_lines(path: Path) -> list[str]:
    """The journal's lines. One that was cut off by a power cut is dropped: its action had not begun."""
    raw = path.read_bytes()
    whole = raw[: raw.rfind(b"\n") + 1]
    if len(whole) < len(raw):
        os.truncate(path, len(whole))
    return whole.decode(errors="replace").splitlines()


def all_runs() -> list[Journal]:
    """Every run on this machine, oldest first."""
    folder = state_folder() / "runs"
    if not folder.is_dir():
        return []
    found = []
    for one in sorted(folder.iterdir()):
        try:
            found.append(load(one.name))
        except UsageError:
            continue
    return sorted(found, key=lambda one: one.plan.made)
