"""The root file system that all hosts share read-only: Debian bookworm, built once into the user's cache."""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from lab.programs import LabError, run

NEEDED = {
    "systemd-nspawn": "systemd-container",
    "mmdebstrap": "mmdebstrap",
    "ssh": "openssh-client",
    "openssl": "openssl",
    "mkfs.ext4": "e2fsprogs",
    "mkfs.btrfs": "btrfs-progs",
    "ip": "iproute2",
}
"""Programs that the lab runs on this machine, and the Debian package that has each."""

RELEASE = "bookworm"
PACKAGES = (
    *("systemd", "systemd-sysv", "dbus", "openssh-server", "python3", "iproute2", "procps"),
    *("sudo", "mount", "util-linux"),
)
STATIC_PODS = ("containerd", "runc", "iptables", "conntrack", "ethtool", "socat", "kmod")
"""What hosts with a kubelet have besides."""
LEFT_OUT = ("/usr/share/doc/*", "/usr/share/man/*", "/usr/share/locale/*", "/usr/share/info/*")
SLEEPERS = (
    *("apt-daily.timer", "apt-daily-upgrade.timer", "dpkg-db-backup.timer", "e2scrub_all.timer", "fstrim.timer"),
    *("e2scrub_reap.service", "getty@tty1.service", "console-getty.service", "systemd-logind.service"),
)
"""Units of Debian that have nothing to do on these hosts."""
HOOKS = (
    'chroot "$1" useradd --system --home-dir /var/lib/etcd --no-create-home --shell /usr/sbin/nologin etcd',
    'chroot "$1" useradd --create-home --shell /bin/bash admin',
    "echo 'admin ALL=(ALL) NOPASSWD: ALL' >\"$1/etc/sudoers.d/admin\"",
    'chmod 0440 "$1/etc/sudoers.d/admin"',
    'rm -f "$1"/etc/ssh/ssh_host_*_key* "$1"/var/cache/apt/*.bin',
    f'chroot "$1" systemctl mask {" ".join(SLEEPERS)}',
)
"""What is done to the fresh file system: the users, no keys that hosts would share, nothing that wakes by itself."""
BUILD_SECONDS = 1800.0


def cache() -> Path:
    """The lab's folder in the user's cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "requorum" / "lab"


def install_programs(needed: Mapping[str, str] = NEEDED) -> None:
    """Install the Debian packages of the programs that are run on this machine, if any is missing."""
    missing = sorted({package for program, package in needed.items() if not shutil.which(program)})
    if not missing:
        return
    print(f"installing {' '.join(missing)}", file=sys.stderr)
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    run(["apt-get", "-qq", "update"], seconds=BUILD_SECONDS, env=env)
    run(
        ["apt-get", "-qq", "install", "-y", "--no-install-recommends", *missing],
        seconds=BUILD_SECONDS,
        env=env,
    )


def built(more: Sequence[str] = ()) -> Path:
    """The folder of the root file system, with some packages ``more``; builds it if it is not there yet. Safe when two
    processes ask at once."""
    packages = (*PACKAGES, *more)
    return kept("rootfs", (RELEASE, *packages, *LEFT_OUT, *HOOKS), lambda folder: _build(folder, packages))


def kept(name: str, recipe: Sequence[str], build: Callable[[Path], None]) -> Path:
    """A folder of the cache, built by its recipe if it is not there yet; one build at a time."""
    folder = cache() / f"{name}-{hashlib.sha256(chr(10).join(recipe).encode()).hexdigest()[:12]}"
    if folder.is_dir():
        return folder
    cache().mkdir(parents=True, exist_ok=True)
    with (cache() / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.is_dir():
            build(folder)
    return folder


@contextmanager
def workplace(folder: Path) -> Iterator[Path]:
    """A folder beside ``folder`` to build it in; what is left of it is removed, of a crash before as well."""
    work = folder.with_name(folder.name + ".new")
    subprocess.run(["rm", "-rf", work], check=False, stdin=subprocess.DEVNULL)
    work.mkdir(parents=True)
    try:
        yield work
    finally:
        subprocess.run(["rm", "-rf", work], check=False, stdin=subprocess.DEVNULL)


def _build(folder: Path, packages: Sequence[str]) -> None:
    """Build beside ``folder`` and rename; whoever calls holds the lock, so what lies there is left of a crash."""
    print(f"building the hosts' root file system in {folder}, once (about a minute)", file=sys.stderr)
    work = folder.with_name(folder.name + ".new")
    shutil.rmtree(work, ignore_errors=True)
    try:
        run(
            [
                *("mmdebstrap", "--quiet", "--mode=root", "--variant=minbase", f"--include={','.join(packages)}"),
                '--aptopt=Acquire::Languages "none"',
                *(f"--dpkgopt=path-exclude={one}" for one in LEFT_OUT),
                *(f"--customize-hook={one}" for one in HOOKS),
                *(RELEASE, work, debian_address()),
            ],
            seconds=BUILD_SECONDS,
        )
        os.chmod(work, 0o755)  # noqa: S103 - the root of a file system
        work.rename(folder)
    finally:
        subprocess.run(["rm", "-rf", work], check=False, stdin=subprocess.DEVNULL)


def debian_address() -> str:
    """Where this machine gets its Debian packages from."""
    for path in (Path("/etc/apt/sources.list.d/debian.sources"), Path("/etc/apt/sources.list")):
        if not path.is_file():
            continue
        for line in path.read_text().splitlines():
            words = line.split()
            if words and words[0] == "URIs:":
                return words[1]
            if words and words[0] == "deb":
                return next(word for word in words[1:] if "://" in word)
    raise LabError("this machine names no Debian archive to build hosts from", "the lab needs a Debian machine")
