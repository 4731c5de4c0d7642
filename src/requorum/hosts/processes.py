"""Which process uses a member's files, found without touching them: /proc only, no lock is tried."""

import os
from dataclasses import dataclass
from pathlib import Path

_LISTEN = "0A"


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


def holders_of(folders: list[Path]) -> tuple[Holder, ...]:
    """Every process but this one that has a file below ``folders`` open for writing, or locked."""
    inodes = _inodes(folders)
    locking = _locking(inodes)
    found: dict[int, bool] = dict.fromkeys(locking, True)
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) not in (os.getpid(), *found) and _writes(entry, inodes):
            found[int(entry.name)] = False
    return tuple(
        Holder(pid=pid, command=_command(pid), locks=locks, ports=_ports(pid)) for pid, locks in sorted(found.items())
    )


def _inodes(folders: list[Path]) -> set[tuple[int, int]]:
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


def _writes(process: Path, inodes: set[tuple[int, int]]) -> bool:
    try:
        names = os.listdir(process / "fd")
    except OSError:
        return False
    for name in names:
        try:
            info = os.stat(process / "fd" / name)
            if (info.st_dev, info.st_ino) not in inodes:
                continue
            flags = next(
                line for line in (process / "fdinfo" / name).read_text().splitlines() if line.startswith("flags:")
            )
        except (OSError, StopIteration):
            continue
        if int(flags.split()[1], 8) & os.O_ACCMODE != os.O_RDONLY:
            return True
    return False


def _command(pid: int) -> str:
    try:
        raw = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return "a process that this user may not look at" if pid else "a process of another container"
    return raw.replace(b"\0", b" ").decode(errors="replace").strip()


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
