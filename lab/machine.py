"""One host: a systemd-nspawn container with an overlay of its own and a control group of its own.

Whatever a host runs is in its control groups, so that is how it is found and ended, by whatever process and after
whatever crash. Without groups of their own all hosts would share one /system.slice (measured).
"""

import os
import re
import signal
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from lab import network
from lab.programs import LabError, run

DATA_DIR = "var/lib/etcd"
DATA_BYTES = 4 << 30
END_SECONDS = 20.0
ENTER_GROUPS = 'while [ "$1" != -- ]; do echo $$ >"$1" || exit 1; shift; done; shift; exec "$@"'
"""sh: put itself into every group that is named before the ``--``, and become the command behind it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """A host of the lab named ``lab``; ``folder`` keeps its disk, ``lower`` is what its disk is laid over."""

    lab: str
    name: str
    machine: str
    folder: Path
    lower: tuple[Path, ...]
    data_mount: bool

    @property
    def root(self) -> Path:
        """The host's file system seen from outside, whether it runs or not."""
        return self.folder / "root"

    @property
    def console(self) -> Path:
        """What the host said while it booted."""
        return self.folder / "console.log"

    @property
    def pid(self) -> int:
        """The process of this machine that is the host's init, 0 when the host is off."""
        for pid in self.pids():
            with suppress(OSError):
                found = re.search(r"^NSpid:\s+\d+\s+1$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
                if found:
                    return pid
        return 0

    @property
    def groups(self) -> list[Path]:
        """The host's control groups, there or not."""
        return [one / f"rq-{self.lab}-{self.name}" for one in hierarchies()]

    def pids(self) -> set[int]:
        """Every process of the host, and the one that holds it."""
        return pids_of(self.groups)


def hierarchies() -> list[Path]:
    """Where this machine's control groups are mounted."""
    found = [line.split() for line in Path("/proc/mounts").read_text().splitlines()]
    return [Path(words[1]) for words in found if words[2] in ("cgroup", "cgroup2")]


def pids_of(groups: Iterable[Path]) -> set[int]:
    """Every process in the groups and below them; a group that goes meanwhile has none (os.walk passes it over)."""
    pids: set[int] = set()
    for group in groups:
        for folder, _, _ in os.walk(group):
            with suppress(OSError):
                pids.update(int(word) for word in Path(folder, "cgroup.procs").read_text().split())
    return pids


def mount(machine: Machine) -> None:
    """Mount the host's disk from outside, where it is not mounted; made empty when it is not there."""
    for part in ("upper", "work", "root"):
        (machine.folder / part).mkdir(parents=True, exist_ok=True)
    if not os.path.ismount(machine.root):
        below = ":".join(str(one) for one in machine.lower)
        layers = f"lowerdir={below},upperdir={machine.folder / 'upper'},workdir={machine.folder / 'work'}"
        run(["mount", "-t", "overlay", "-o", layers, f"requorum-lab-{machine.machine}", machine.root])
    data = machine.root / DATA_DIR
    if machine.data_mount and not os.path.ismount(data):
        image = machine.folder / "data.ext4"
        if not image.exists():
            with image.open("wb") as file:
                file.truncate(DATA_BYTES)
            run(["mkfs.ext4", "-q", "-E", "lazy_itable_init=1,nodiscard", image])
        data.mkdir(parents=True, exist_ok=True)
        run(["mount", "-o", "loop", image, data])


def start(machine: Machine) -> None:
    """Switch the host on; returns while it boots. The host outlives this process."""
    if machine.pid:
        return
    mount(machine)
    for group in machine.groups:
        _make_group(group)
    network.drop_interface(machine.lab, machine.machine)
    nspawn = [
        *("systemd-nspawn", "--quiet", "--boot", f"--directory={machine.root}", f"--machine={machine.machine}"),
        *(f"--hostname={machine.name}", f"--network-bridge={network.BRIDGE}", "--register=no", "--keep-unit"),
        *("--console=pipe", "--settings=no", "--resolv-conf=off", "--timezone=off", "--link-journal=no"),
        *("--capability=all", "--system-call-filter=@keyring bpf @mount @module @raw-io @privileged"),
        *("--bind=/dev/kmsg", "--notify-ready=no"),
    ]
    procs = [str(group / "cgroup.procs") for group in machine.groups]
    argv = ["sh", "-c", ENTER_GROUPS, "sh", *procs, "--", *network.enter(machine.lab, nspawn)]
    logged = ["sh", "-c", 'log=$1; shift; exec "$@" >>"$log" 2>&1', "sh", str(machine.console)]
    # A session and a parent of its own: no signal to whoever runs the lab reaches the host.
    # /tmp on the disk, as on a real host.
    run(["setsid", "--fork", *logged, *argv], env={**os.environ, "SYSTEMD_NSPAWN_TMPFS_TMP": "0"})


def cut(machines: Sequence[Machine]) -> None:
    """Cut the power of all these hosts in the same instant, and wait until nothing of them runs."""
    inits = [pid for pid in (one.pid for one in machines) if pid]
    for pid in inits:
        _kill(pid)
    for one in machines:
        end(one.groups)
        network.drop_interface(one.lab, one.machine)


def end(groups: Sequence[Path]) -> None:
    """SIGKILL every process in the groups and remove them, until neither is left; raises LabError.

    A host that is being started may still be entering its groups: it fails at the first that is gone.
    """
    deadline = time.monotonic() + END_SECONDS
    while True:
        pids = pids_of(groups) - {os.getpid()}
        for pid in pids:
            _kill(pid)
        for group in groups:
            _remove_group(group)
        left = [str(one) for one in groups if one.is_dir()]
        if not left:
            return
        if time.monotonic() > deadline:
            raise LabError(f"{', '.join(left)} cannot be removed; processes {sorted(pids)}")
        time.sleep(0.02)


def forget(root: Path, machine: str) -> None:
    """Remove what nspawn leaves behind of a host that was killed."""
    state = Path("/run/systemd/nspawn")
    with suppress(OSError):
        (state / "propagate" / machine).rmdir()
    if root.is_mount():
        info = root.stat()
        (state / "locks" / f"inode-{info.st_dev}:{info.st_ino}").unlink(missing_ok=True)


def unmount_below(folder: Path) -> None:
    """Unmount everything below a folder, the innermost first."""
    for _ in range(5):
        points = [_unescaped(line.split()[1]) for line in Path("/proc/mounts").read_text().splitlines()]
        found = [one for one in points if Path(one).is_relative_to(folder)]
        if not found:
            return
        for point in sorted(found, key=len, reverse=True):
            if run(["umount", point], check=False).returncode != 0:
                run(["umount", "--lazy", point], check=False)
    raise LabError(f"something below {folder} stays mounted")


def _make_group(group: Path) -> None:
    group.mkdir(exist_ok=True)
    for setting in ("cpuset.cpus", "cpuset.mems"):
        above, here = group.parent / setting, group / setting
        if above.exists() and here.exists() and not here.read_text().strip():
            here.write_text(above.read_text())


def _remove_group(group: Path) -> None:
    """Remove a control group and those below it, as far as they are empty."""
    for folder, _, _ in os.walk(group, topdown=False):
        with suppress(OSError):
            os.rmdir(folder)


def _kill(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def _unescaped(path: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), path)
