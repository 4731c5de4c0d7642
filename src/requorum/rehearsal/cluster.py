"""A throwaway etcd cluster on loopback: config files, an inventory, real processes, and their end."""

import errno
import os
import random
import signal
import socket
import subprocess
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from requorum.rehearsal.gateway import Gateway, NoAnswer

START_SECONDS = 60.0
PORTS = (10_000, 32_000)
"""Below the range out of which outgoing connections get theirs: a member must find its port free when it comes back."""
MOST_RESERVED = 400
"""So many ports are kept reserved, at a file descriptor each; the oldest clusters of this process are long gone then."""
_RESERVED: deque[socket.socket] = deque()


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One member on loopback."""

    name: str
    folder: Path
    peer_url: str
    client_url: str

    @property
    def config(self) -> Path:
        """The file that etcd is started with."""
        return self.folder / "etcd.yaml"

    @property
    def data_dir(self) -> Path:
        """etcd's data dir."""
        return self.folder / "data"


def free_ports(count: int) -> list[int]:
    """Loopback ports that nobody listens on now, that the kernel gives to no outgoing connection, and that no other rehearsal
    was given: its members may be dead just now, and come back. Raises OSError where there are not so many."""
    found: list[int] = []
    for port in random.SystemRandom().sample(range(*PORTS), len(range(*PORTS))):
        if len(found) == count:
            return found
        with socket.socket() as one:
            if one.connect_ex(("127.0.0.1", port)) != 0 and _reserve(port):
                found.append(port)
    if len(found) < count:
        raise OSError(errno.EADDRNOTAVAIL, f"no {count} free ports from {PORTS[0]} to {PORTS[1] - 1}")
    return found


def _reserve(port: int) -> bool:
    """Reserve a port among all rehearsals of this machine's network for as long as this process lives: a socket without a file
    (abstract, unix(7)) bears its number. False where it is taken; where there are no such sockets nothing is reserved."""
    name = socket.socket(socket.AF_UNIX)
    try:
        name.bind(f"\0requorum-port-{port}")
    except OSError as err:
        name.close()
        return err.errno != errno.EADDRINUSE
    _RESERVED.append(name)
    if len(_RESERVED) > MOST_RESERVED:
        _RESERVED.popleft().close()
    return True


def lay_out(root: Path, members: int, etcd_dir: Path, name: str, *, later: int = 0) -> list[Member]:
    """Write each member's config file and the cluster's inventory. The last ``later`` ones join when the others run."""
    ports = free_ports(2 * members)
    found = [
        Member(
            name=f"m{n + 1}",
            folder=root / f"m{n + 1}",
            peer_url=f"http://127.0.0.1:{ports[2 * n]}",
            client_url=f"http://127.0.0.1:{ports[2 * n + 1]}",
        )
        for n in range(members)
    ]
    for at, one in enumerate(found):
        joins = at >= members - later
        together = ",".join(f"{other.name}={other.peer_url}" for other in found[: at + 1 if joins else members - later])
        one.folder.mkdir(parents=True)
        one.config.write_text(
            f"# etcd {one.name}, as its operator wrote it\n"
            f"name: {one.name}\n"
            f"data-dir: {one.data_dir}\n"
            f"listen-peer-urls: {one.peer_url}\n"
            f"initial-advertise-peer-urls: {one.peer_url}\n"
            f"listen-client-urls: {one.client_url}\n"
            f"advertise-client-urls: {one.client_url}\n"
            f"initial-cluster: {together}\n"
            f"initial-cluster-token: {name}\n"
            f"initial-cluster-state: {'existing' if joins else 'new'}\n"
            f"logger: zap\n"
            f"enable-grpc-gateway: true\n"
        )
    lines = ["schema: requorum/Inventory/v1", f"cluster: {name}", f"tools: {etcd_dir}", "hosts:"]
    lines += [
        f"  {one.name}:\n    roles: [etcd]\n    etcd: {{deployment: process, config: {one.config}}}" for one in found
    ]
    (root / "inventory.yaml").write_text("\n".join(lines) + "\n")
    return found


def start(members: Sequence[Member], etcd_dir: Path) -> list["subprocess.Popen[bytes]"]:
    """Start all members and wait until each answers; raises TimeoutError."""
    running = []
    for one in members:
        with (one.folder / "etcd.log").open("ab") as log:
            running.append(
                subprocess.Popen(
                    [etcd_dir / "etcd", "--config-file", one.config],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    env={"PATH": os.defpath},
                    start_new_session=True,
                )
            )
    deadline = time.monotonic() + START_SECONDS
    for one in members:
        wait_ready(one, deadline)
    return running


def wait_ready(member: Member, deadline: float) -> None:
    """Wait until a member serves: a learner serves nothing but this answer."""
    while True:
        gateway = Gateway(member.client_url)
        try:
            gateway.call("/v3/kv/range", {"key": "Lw=="})
        except NoAnswer as err:
            if "not supported for learner" in str(err):
                return
            if time.monotonic() > deadline:
                raise TimeoutError(f"{member.name} does not answer: {err}") from err
            time.sleep(0.05)
        else:
            return
        finally:
            gateway.close()


def kill_at_once(running: Sequence["subprocess.Popen[bytes]"]) -> None:
    """SIGKILL every member in the same instant, and reap them."""
    for one in running:
        one.send_signal(signal.SIGKILL)
    for one in running:
        one.wait(30)


def end_all_below(root: Path) -> int:
    """SIGKILL every process that names something below ``root`` in its command line; returns how many there were.

    Members that requorum started are not children of the rehearsal: they are found by what they run on.
    """
    mark = os.fsencode(root) + b"/"
    ended = 0
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            command = (entry / "cmdline").read_bytes()
        except OSError:
            continue
        if mark in command:
            try:
                os.kill(int(entry.name), signal.SIGKILL)
            except OSError:
                continue
            ended += 1
    return ended
