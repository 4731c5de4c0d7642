"""Which process uses a member's files, found without touching them: /proc only, no lock is tried."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from requorum.errors import RequorumError
from requorum.hosts import etcdargs, openfiles, programs
from requorum.hosts.bounds import made_of_parts, part, within

_LISTEN = "0A"
STOP_SECONDS = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """A process that has files of a folder open, or a lock on one of them.

    ``pid`` is 0 when the kernel does not tell it (a process of another container). ``ports`` are the TCP ports that it
    listens on.
    """

    pid: int
    command: str
    locks: bool
    ports: tuple[int, ...]


@part
def holders_of(folders: list[Path]) -> tuple[Holder, ...]:
    """Every process but this one that has a file below ``folders`` open for writing, or locked; and every etcd that was
    started on one of them, or whose open files were there: they may have been deleted, or moved, while it ran."""
    inodes = inodes_of(folders)
    locking = _locking(inodes)
    found: dict[int, bool] = dict.fromkeys(locking, True)
    for name in os.listdir("/proc"):
        if not name.isdigit() or int(name) in (os.getpid(), *found):
            continue
        if _writes(name, inodes) or _was_started_on(int(name), folders):
            found[int(name)] = False
    return tuple(
        Holder(pid=pid, command=command_of(pid), locks=locks, ports=_ports(pid)) for pid, locks in sorted(found.items())
    )


def _was_started_on(pid: int, folders: list[Path]) -> bool:
    """Whether an etcd runs on folders in which no file of it may be left."""
    if not etcdargs.is_etcd(pid):
        return False
    if etcdargs.runs_on(pid, folders):
        return True
    below = tuple(f"{os.path.realpath(one)}/" for one in folders)
    gone = (one.path for one in openfiles.of(pid) if one.deleted)
    return etcdargs.same_paths(pid) and any(path.startswith(below) for path in gone)


@part
def serving(port: int) -> tuple[Holder, ...]:
    """Every etcd in the host's own network that listens on a TCP port."""
    own, found = _network("/proc/self"), []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and etcdargs.is_etcd(int(entry.name)) and _network(str(entry)) == own:
            ports = _ports(int(entry.name))
            if port in ports:
                pid = int(entry.name)
                found.append(Holder(pid=pid, command=command_of(pid), locks=False, ports=ports))
    return tuple(found)


def inodes_of(folders: list[Path]) -> set[tuple[int, int]]:
    """Every file below some folders, as the file system numbers it."""
    found = set()
    for top in folders:
        for folder, _, names in os.walk(top):
            for name in names:
                try:
                    info = os.lstat(os.path.join(folder, name))
                except OSError:
                    continue
                found.add((info.st_dev, info.st_ino))
    return found


def _locking(inodes: set[tuple[int, int]]) -> set[int]:
    """The pids that /proc/locks names for these files; 0 for one that it does not know."""
    pids: set[int] = set()
    numbers = {inode for _, inode in inodes}
    try:
        lines = Path("/proc/locks").read_text().splitlines()
    except OSError:
        return pids
    for line in lines:
        fields = line.split()
        if len(fields) < 6 or fields[1] == "->":
            continue
        major, minor, inode = fields[5].split(":")
        if int(inode) not in numbers:
            continue
        if (os.makedev(int(major, 16), int(minor, 16)), int(inode)) in inodes:
            pid = int(fields[4])
            pids.add(max(pid, 0))
    pids.discard(os.getpid())
    return pids - {0} or pids


def _writes(pid: str, inodes: set[tuple[int, int]]) -> bool:
    """Whether a process has one of these files open for writing. A host may have tens of thousands of open files: plain
    paths."""
    try:
        names = os.listdir(f"/proc/{pid}/fd")
    except OSError:
        return False
    for name in names:
        try:
            info = os.stat(f"/proc/{pid}/fd/{name}")
            if (info.st_dev, info.st_ino) not in inodes:
                continue
            with open(f"/proc/{pid}/fdinfo/{name}") as file:
                flags = next(line for line in file if line.startswith("flags:"))
        except (OSError, StopIteration):
            continue
        if int(flags.split()[1], 8) & os.O_ACCMODE != os.O_RDONLY:
            return True
    return False


def command_of(pid: int) -> str:
    """A process's command line; of one that is ending its short name (the line goes before the files), and then nothing."""
    if not pid:
        return "a process of another container"
    try:
        line = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").strip()
        raw = line or Path(f"/proc/{pid}/comm").read_bytes().strip()
    except (FileNotFoundError, ProcessLookupError):
        return ""
    except OSError:
        return "a process that this user may not look at"
    return raw.decode(errors="replace")


def age_of(pid: int) -> float:
    """How long ago a process was started, in seconds; a great age for one that is not there."""
    try:
        ticks = int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[19])
        up = float(Path("/proc/uptime").read_text().split()[0])
    except (OSError, ValueError, IndexError):
        return float("inf")
    return max(up - ticks / os.sysconf("SC_CLK_TCK"), 0.0)


def _ports(pid: int) -> tuple[int, ...]:
    sockets = set()
    try:
        for name in os.listdir(f"/proc/{pid}/fd"):
            target = os.readlink(f"/proc/{pid}/fd/{name}")
            if target.startswith("socket:["):
                sockets.add(target[8:-1])
    except OSError:
        return ()
    ports = set()
    for table in ("tcp", "tcp6"):
        try:
            lines = Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            fields = line.split()
            if fields[3] == _LISTEN and fields[9] in sockets:
                ports.add(int(fields[1].rsplit(":", 1)[1], 16))
    return tuple(sorted(ports))


@made_of_parts
def stop_holders(folders: Sequence[Path]) -> tuple[int, ...]:
    """Stop every etcd that has these files open and wait for its end: SIGTERM, then SIGKILL. Returns the pids.

    Raises RequorumError when what holds them is no etcd, cannot be seen, or does not end.
    """
    stopped: list[int] = []
    deadline = time.monotonic() + STOP_SECONDS
    signalled: dict[int, float] = {}
    while True:
        running = holders_of(list(folders))
        if not running:
            return tuple(stopped)
        for one in running:
            if not one.command:
                continue  # it ended between two looks
            program = os.path.basename(one.command.split(" ")[0])
            if one.pid == 0 or "etcd" not in program:
                raise RequorumError(
                    f"{one.command!r} (pid {one.pid or 'unknown'}) has the member's files open, and it is no etcd",
                    hint="find out what it is and stop it, then type the command again",
                )
            since = signalled.setdefault(one.pid, time.monotonic())
            if since + STOP_SECONDS / 2 < time.monotonic():
                signal_to(one.pid, signal.SIGKILL)
            elif one.pid not in stopped:
                stopped.append(one.pid)
                signal_to(one.pid, signal.SIGTERM)
        if time.monotonic() > deadline:
            raise RequorumError(f"etcd (pid {running[0].pid}) does not end within {STOP_SECONDS:.0f} s")
        time.sleep(0.05)


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """A process by the words of its command line. ``on_host``: it is in the host's own network."""

    pid: int
    words: tuple[str, ...]
    on_host: bool


@part
def commands() -> tuple[Command, ...]:
    """Every process of this host, those in its containers too."""
    found = []
    own = _network("/proc/1")
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        with contextlib.suppress(OSError):
            raw = (entry / "cmdline").read_bytes().rstrip(b"\0")
            if raw:
                words = tuple(raw.decode(errors="replace").split("\0"))
                found.append(Command(pid=int(entry.name), words=words, on_host=_network(str(entry)) == own))
    return tuple(found)


def _network(process: str) -> str:
    try:
        return os.readlink(f"{process}/ns/net")
    except OSError:
        return ""


@made_of_parts
@within(STOP_SECONDS * 3)
def stop_commands(lines: Sequence[Sequence[str]], programs: Sequence[str]) -> tuple[int, ...]:
    """Stop every process with one of these command lines, to the word, or that runs one of these programs in the host's own
    network (its command line may have changed since; one in a network of its own is somebody else's), and wait for its end.
    Returns the pids; raises RequorumError for one that does not end.
    """
    wanted = {tuple(line) for line in lines}
    began: dict[int, float] = {}
    deadline = time.monotonic() + STOP_SECONDS
    while True:
        now = time.monotonic()
        running = [
            one
            for one in commands()
            if one.words in wanted or (one.on_host and os.path.basename(one.words[0]) in programs)
        ]
        if not running:
            return tuple(began)
        if now > deadline:
            raise RequorumError(
                f"{running[0].words[0]} (pid {running[0].pid}) does not end within {STOP_SECONDS:.0f} s"
            )
        for pid in (one.pid for one in running):
            if pid not in began:
                began[pid] = now
                signal_to(pid, signal.SIGTERM)
            elif now > began[pid] + STOP_SECONDS / 2:
                signal_to(pid, signal.SIGKILL)
        time.sleep(0.1)


@part
def signal_to(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return
    except OSError as err:
        raise RequorumError(f"pid {pid} cannot be stopped: {err.strerror}", hint="run as its user") from err


def start_detached(argv: Sequence[str], log: Path) -> int:
    """Start a program that outlives this process, its output appended to a file. Returns its pid."""
    try:
        with log.open("ab") as out:
            # A child that outlives us must not be ours to reap: it is started through a shell that ends at once.
            done = subprocess.run(
                ["/bin/sh", "-c", '"$@" >&2 & echo $!', "sh", *argv],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=out,
                env={"PATH": programs.PATH},
                cwd="/",
                start_new_session=True,
                check=True,
                timeout=10,
            )
        return int(done.stdout)
    except (subprocess.SubprocessError, ValueError) as err:
        raise RequorumError(f"{argv[0]} could not be started: {err}") from err
