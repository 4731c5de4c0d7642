"""One run at a time on each member: a lock file beside its data that says who holds it, and how often it was taken over.

Locks do not expire (clocks lie after a power cut). A run whose process is certainly gone from this same boot of this
same machine may take its own lock again; anything else wants ``--take-over``, which raises the epoch, and every step
looks at the epoch before it acts.
"""

import getpass
import json
import os
import socket
from pathlib import Path
from typing import Any

from requorum.errors import Locked, RequorumError
from requorum.hosts import files
from requorum.hosts.connection import Connection
from requorum.procedures.values import PlanMember

_LOOK = "find out whether a run is in progress (requorum runs); if none is, remove that file and try again"


BUSY = "busy"
"""Beside the lock: held by whatever acts on that host, so that a dropped connection's work is waited for."""


def me(run: str, epoch: int) -> dict[str, Any]:
    """What this process writes into a lock."""
    return {
        "run": run,
        "epoch": epoch,
        "holder": f"{getpass.getuser()}@{socket.gethostname()}",
        "machine": _machine(),
        "pid": os.getpid(),
        "started": _started(os.getpid()),
        "boot": _boot(),
    }


def _machine() -> str:
    """What tells two machines of one name apart."""
    try:
        return Path("/etc/machine-id").read_text().strip()
    except OSError:
        return ""


def _by_this_machine(lock: dict[str, Any]) -> bool:
    same_name = str(lock.get("holder", "")).endswith(f"@{socket.gethostname()}")
    return same_name and lock.get("machine") == _machine()


def _boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def _started(pid: int) -> str:
    """A process's start time in clock ticks since boot: with it, a pid that was given out again is told apart."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[19]
    except (OSError, IndexError):
        return ""


def _gone(lock: dict[str, Any]) -> bool:
    """Whether the holder certainly does not run any more: same machine, and rebooted or no such process."""
    if not _by_this_machine(lock):
        return False
    return lock.get("boot") != _boot() or _started(int(lock.get("pid", 0))) != lock.get("started")


def path_of(member: PlanMember) -> Path:
    """The lock file."""
    return Path(member.place.work) / "lock.json"


def read(host: Connection, member: PlanMember) -> dict[str, Any]:
    """What the lock says; empty when nobody holds it."""
    path = path_of(member)
    try:
        data = json.loads(host.call(files.read_file, path))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError) as err:
        raise RequorumError(f"the lock {path} cannot be read: {err}", hint=_LOOK) from err
    if not isinstance(data, dict) or not isinstance(data.get("run"), str) or not isinstance(data.get("pid"), int):
        raise RequorumError(f"the lock {path} says nothing that can be understood", hint=_LOOK)
    return data


def take(host: Connection, member: PlanMember, run: str, epoch: int, *, take_over: bool = False) -> None:
    """Take the lock; raises Locked when another run, or another process of this run, holds it.

    Work that an earlier connection of this run left behind on the host is waited for.
    """
    host.call(files.make_dir, path_of(member).parent)
    mine = json.dumps(me(run, epoch)).encode()
    if not host.call(files.create_exclusively, path_of(member), mine):
        _take_held(host, member, run, epoch, take_over=take_over)
    host.hold(str(path_of(member).with_name(BUSY)))


def _take_held(host: Connection, member: PlanMember, run: str, epoch: int, *, take_over: bool) -> None:
    held = read(host, member)
    if held.get("run") != run:
        raise Locked(
            f"{member.name} is locked by run {held.get('run')} of {held.get('holder')} (pid {held.get('pid')})",
            hint=f"requorum resume {held.get('run')} goes on with it, requorum rollback {held.get('run')} undoes it",
        )
    if _mine(held):
        return
    if not (take_over or _gone(held)):
        raise Locked(
            f"run {run} is held by {held.get('holder')} (pid {held.get('pid')}, epoch {held.get('epoch')})",
            hint=f"if that process is certainly gone: requorum resume {run} --take-over",
        )
    new = json.dumps(me(run, max(epoch, int(held.get("epoch", 0)) + 1))).encode()
    host.call(files.write_durably, path_of(member), new)


def _mine(held: dict[str, Any]) -> bool:
    """Whether this very process holds it."""
    return (
        held.get("pid") == os.getpid()
        and held.get("started") == _started(os.getpid())
        and held.get("boot") == _boot()
        and _by_this_machine(held)
    )


def check(host: Connection, member: PlanMember, run: str) -> None:
    """Refuse to act when somebody else has taken the lock over."""
    held = read(host, member)
    if held.get("run") != run or not _mine(held):
        raise Locked(f"{member.name}: the lock was taken over by {held.get('holder')} (epoch {held.get('epoch')})")


def release(host: Connection, member: PlanMember, run: str) -> None:
    """Give the lock back, if it is this run's and this process holds it."""
    held = read(host, member)
    if held.get("run") == run and _mine(held):
        host.call(files.remove_made, path_of(member))
