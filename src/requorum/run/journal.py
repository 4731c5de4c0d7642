"""The journal of a run: one JSON line before each action and one after it, each on disk before anything goes on.

It lies in the operator's state folder, and each member's part also on that member, beside the files that the run set
aside there.
"""

import datetime
import json
import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from requorum.errors import RequorumError, UsageError
from requorum.hosts import files
from requorum.hosts.connection import Connection, Connections, Here
from requorum.procedures.inforce import Decision, LastLook, in_force
from requorum.procedures.values import Plan, PlanMember, StepKind, work_of
from requorum.survey import codec

_RUN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]*")
BEGIN, DONE, FAILED, UNDONE = "begin", "done", "failed", "undone"
FINISHED, ROLLING_BACK, ROLLED_BACK = "finished", "rolling back", "rolled back"
R = TypeVar("R")
_ONE_WAY = ("", FINISHED, ROLLING_BACK, ROLLED_BACK)
"""A run's state never goes back: of what several machines wrote down, the furthest counts, in whatever order it is read."""


def state_folder() -> Path:
    """Where runs are kept: ``REQUORUM_STATE_DIR``, else the user's XDG state folder."""
    named = os.environ.get("REQUORUM_STATE_DIR")
    if named:
        return Path(named)
    base = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(base) / "requorum"


@dataclass(slots=True)
class Journal:
    """An open journal and what it says so far.

    ``plan`` is the one in force: what the operator ``agreed`` to, until the fenced disks were read again.
    """

    folder: Path
    plan: Plan
    connections: Connections | None = None
    done: dict[str, Any] = field(default_factory=dict)
    begun: set[str] = field(default_factory=set)
    undone: set[str] = field(default_factory=set)
    state: str = ""
    last_sign: str = ""
    agreed: Plan = field(init=False)

    def __post_init__(self) -> None:
        self.agreed = self.plan

    @property
    def path(self) -> Path:
        """The file."""
        return self.folder / "journal.jsonl"

    def write(self, event: str, step: str = "", member: str = "", *, here_only: bool = False, **more: Any) -> None:
        """Append one line, durable, here and on the member that it is about; on all where it is about the cluster.

        ``here_only``: nothing is written on any member, because they are not locked yet.
        """
        at = datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")
        line = {"at": at, "event": event, "step": step, "member": member, **more}
        raw = json.dumps(line, separators=(",", ":")).encode() + b"\n"
        files.append_durably(self.path, raw)
        for one in self.plan.members if not here_only else ():
            host = _host(one, self.plan, self.connections)
            if host is None or member not in ("", one.name):
                continue
            try:
                host.call(files.append_if_there, _beside(one, self.plan.run), raw)
            except (RequorumError, OSError):
                if member:
                    raise
        self._take(line)

    def _take(self, line: dict[str, Any]) -> None:
        event, step = line.get("event"), str(line.get("step", ""))
        self.last_sign = max(self.last_sign, str(line.get("at", "")))
        if event == BEGIN:
            self.begun.add(step)
        elif event == DONE:
            self.done[step] = line.get("result")
            if step == self._last_look:
                self.plan = in_force(self.agreed, _typed(line.get("result"), LastLook, step))
        elif event == UNDONE:
            self.undone.add(step)
        elif event in _ONE_WAY:
            self.state = max(self.state, str(event), key=_ONE_WAY.index)

    def result(self, kind: StepKind, target: str, of: type[R]) -> R | None:
        """What a step came to, by its kind and its member or host (empty where it is the cluster's); None where it is not done.
        Raises UsageError where it cannot be read."""
        for phase in self.plan.phases:
            for step in phase.steps:
                if step.kind == kind and step.who == target and step.id in self.done:
                    return _typed(self.done[step.id], of, step.id)
        return None

    @property
    def _last_look(self) -> str:
        """The id of the step that decides what is in force; empty in a run without one."""
        steps = (step for phase in self.agreed.phases for step in phase.steps)
        return next((step.id for step in steps if step.kind == "look again"), "")

    @property
    def decision(self) -> Decision | None:
        """What the last look decided; None before it, and in a run of a version that did not write it down."""
        seen = self.result("look again", "", LastLook)
        return seen.decision if seen is not None else None


def _typed(written: Any, of: type[R], step: str) -> R:
    try:
        return msgspec.convert(written, of)
    except msgspec.ValidationError as err:
        raise UsageError(f"what the journal says of {step} cannot be read: {err}") from err


def _host(member: PlanMember, plan: Plan, connections: Connections | None) -> Connection | None:
    """The way to a member's host; None where it is another machine, and no connection was made."""
    if connections is not None and member.host in connections.names():
        return connections[member.host]
    return Here(member.host) if plan.host(member.host).address.local else None


def _beside(member: PlanMember, run: str) -> Path:
    return Path(work_of(member, run)) / "journal.jsonl"


def create(plan: Plan, connections: Connections | None = None) -> Journal:
    """Start the journal of a new run."""
    folder = state_folder() / "runs" / plan.run
    journal = Journal(folder=folder, plan=plan, connections=connections)
    try:
        files.make_dir(folder)
        files.write_durably(folder / "plan.json", msgspec.json.encode(plan))
        files.append_durably(journal.path, b"")
        files.fsync_dir(folder)
    except OSError as err:
        raise RequorumError(
            f"{err.filename or folder}: {err.strerror}: the run's journal cannot be kept",
            changed="nothing was changed",
            hint="name another folder with REQUORUM_STATE_DIR",
        ) from err
    return journal


def is_run_name(name: str) -> bool:
    """Whether a run can be called that: it names a folder."""
    return bool(_RUN_NAME.fullmatch(name))


def known_here(run: str) -> bool:
    """Whether this machine has the run's plan."""
    return is_run_name(run) and (state_folder() / "runs" / run / "plan.json").is_file()


def adopt(plan: Plan, raw: bytes) -> None:
    """Keep a plan here that was found on a host, so that its run can go on from this machine."""
    folder = state_folder() / "runs" / plan.run
    files.make_dir(folder)
    files.append_durably(folder / "journal.jsonl", b"")
    files.write_durably(folder / "plan.json", raw)


def load_plan(run: str) -> Plan:
    """The plan of a run that was begun here."""
    folder = _folder_of(run)
    try:
        plan = codec.decode(files.read_file(folder / "plan.json"), Plan)
    except OSError as err:
        raise _unreadable(folder / "plan.json", err.strerror or str(err)) from err
    except UsageError as err:
        raise _unreadable(folder / "plan.json", err.message) from err
    if plan.run != run:
        raise _unreadable(folder / "plan.json", f"it is the plan of run {plan.run}")
    return plan


def _folder_of(run: str) -> Path:
    folder = state_folder() / "runs" / run
    if not is_run_name(run) or not folder.is_dir():
        raise UsageError(
            f"there is no run {run} here",
            hint="requorum runs lists the runs on this machine; with -i INVENTORY a run is taken up from its hosts",
        )
    return folder


def load(run: str, connections: Connections | None = None) -> Journal:
    """Open the journal of a run that was begun; raises UsageError when there is none, or it cannot be read.

    What the members keep of it beside their data is read too: a line that is lost here may be there.
    """
    folder = _folder_of(run)
    plan = load_plan(run)
    journal = Journal(folder=folder, plan=plan, connections=connections)
    for member in plan.members:
        host = _host(member, plan, connections)
        path = _beside(member, run)
        if host is not None and host.call(files.there, path):
            for line in _lines(path, host):
                journal._take(line)
    for line in _lines(journal.path):
        journal._take(line)
    return journal


def _unreadable(path: Path, why: str) -> UsageError:
    return UsageError(
        f"{path} cannot be read: {why}",
        hint="what the run set aside is kept beside each member's data, in DATA-DIR.requorum; nothing of it is lost",
    )


def _lines(path: Path, host: Connection | None = None) -> list[dict[str, Any]]:
    """A journal's whole lines. The last one, when a power cut left it half written, is passed over."""
    try:
        raw = host.call(files.read_file, path) if host else files.read_file(path)
    except OSError as err:
        raise _unreadable(path, err.strerror or str(err)) from err
    if not raw.strip(b"\0"):
        return []  # a power cut can leave a file of the right size without its content
    whole = raw[: raw.rfind(b"\n") + 1]
    out = []
    for number, text in enumerate(whole.splitlines(), 1):
        try:
            line = json.loads(text)
        except (ValueError, RecursionError) as err:
            raise _unreadable(path, f"line {number} is no JSON") from err
        good = isinstance(line, dict) and all(isinstance(line.get(key), str) for key in ("at", "event", "step"))
        if not good:
            raise _unreadable(path, f"line {number} is no line of a journal")
        out.append(line)
    if raw and not whole and b"{" not in raw[:1]:
        raise _unreadable(path, "it holds no line of a journal")
    return out


def all_runs() -> tuple[list[Journal], list[str]]:
    """Every run on this machine, oldest first, and why those that cannot be read cannot."""
    folder = state_folder() / "runs"
    found: list[Journal] = []
    faults: list[str] = []
    for one in sorted(folder.iterdir()) if folder.is_dir() else []:
        try:
            found.append(load(one.name))
        except UsageError as err:
            faults.append(err.message)
    return sorted(found, key=lambda one: one.plan.made), faults
