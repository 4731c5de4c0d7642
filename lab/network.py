"""The network of a lab: a namespace with a bridge in it. The bridge's own address is the operator's side."""

import os
import signal
import sys
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

from lab.options import subnet_of
from lab.programs import LabError, run

BRIDGE = "br0"
SSH_PORT = 22
DROP_SSH = (
    *("40 0 0 12", "21 0 6 2048"),  # IPv4?
    *("48 0 0 23", "21 0 4 6"),  # TCP?
    *("177 0 0 14", "72 0 0 16", f"21 0 1 {SSH_PORT}"),  # to this port?
    *("6 0 0 2", "6 0 0 4294967295"),  # drop it, or let it pass
)
"""A classic BPF program over the frames that the bridge sends to a host."""

_ANSWERS = """
import socket, sys, time
end = time.monotonic() + float(sys.argv[1])
for address in sys.argv[2:]:
    while True:
        try:
            with socket.create_connection((address, 22), 0.5) as one:
                one.settimeout(2)
                if one.recv(4) == b"SSH-":
                    break
        except OSError:
            pass
        if time.monotonic() > end:
            sys.exit(f"{address} does not answer on its ssh port")
        time.sleep(0.05)
"""


def namespace(name: str) -> str:
    """The network namespace of a lab."""
    return f"rq-{name}"


def path_of(name: str) -> Path:
    """The file that holds a lab's namespace."""
    return Path("/run/netns") / namespace(name)


def enter(name: str, argv: Sequence[str | Path]) -> list[str]:
    """The command that runs ``argv`` on the operator's side of the bridge."""
    return ["nsenter", f"--net={path_of(name)}", *(str(one) for one in argv)]


def inside(name: str) -> bool:
    """Whether this process is on the operator's side of the bridge already."""
    return path_of(name).exists() and os.path.samefile(path_of(name), "/proc/self/ns/net")


def set_up(name: str) -> None:
    """Make the namespace and its bridge, if they are not there."""
    if not path_of(name).exists():
        run(["ip", "netns", "add", namespace(name)])
    if run(enter(name, ["ip", "link", "show", BRIDGE]), check=False).returncode == 0:
        return
    run(enter(name, ["ip", "link", "set", "lo", "up"]))
    run(enter(name, ["ip", "link", "add", BRIDGE, "type", "bridge", "forward_delay", "0"]))
    run(enter(name, ["ip", "address", "add", f"{subnet_of(name)}.1/24", "dev", BRIDGE]))
    run(enter(name, ["ip", "link", "set", BRIDGE, "up"]))


def tear_down(name: str) -> None:
    """End whatever still runs on the operator's side, and remove the namespace with all that is in it."""
    if not path_of(name).exists():
        return
    for word in run(["ip", "netns", "pids", namespace(name)], check=False).stdout.split():
        if int(word) != os.getpid():
            with suppress(ProcessLookupError):
                os.kill(int(word), signal.SIGKILL)
    run(["ip", "netns", "delete", namespace(name)], check=False)
    path_of(name).unlink(missing_ok=True)


def drop_interface(name: str, machine: str) -> None:
    """Remove the interface that a killed host leaves on the bridge: the host could not boot again beside it."""
    if path_of(name).exists():
        run(enter(name, ["ip", "link", "delete", f"vb-{machine}"]), check=False)


def block_ssh(name: str, machine: str) -> None:
    """Drop, silently, every packet to a host's ssh port, until :func:`unblock_ssh` or the host's next boot."""
    unblock_ssh(name, machine)
    run(enter(name, ["tc", "qdisc", "add", "dev", f"vb-{machine}", "clsact"]))
    program = f"{len(DROP_SSH)},{','.join(DROP_SSH)}"
    run(
        enter(
            name,
            [
                *("tc", "filter", "add", "dev", f"vb-{machine}", "egress", "protocol", "ip"),
                *("bpf", "direct-action", "bytecode", program),
            ],
        )
    )


def unblock_ssh(name: str, machine: str) -> None:
    """Let packets to a host's ssh port pass again."""
    run(enter(name, ["tc", "qdisc", "delete", "dev", f"vb-{machine}", "clsact"]), check=False)


def isolate(name: str, machines: Iterable[str], on: bool) -> None:
    """Keep hosts from each other, while the operator reaches them all; until it is lifted or they boot."""
    for machine in machines:
        port = ["dev", f"vb-{machine}", "type", "bridge_slave", "isolated", "on" if on else "off"]
        run(enter(name, ["ip", "link", "set", *port]))


def wait_for_sshd(name: str, addresses: Iterable[str], seconds: float) -> None:
    """Wait until sshd greets at each address; raises LabError."""
    began = time.monotonic()
    done = run(
        enter(name, [sys.executable, "-I", "-c", _ANSWERS, str(seconds), *addresses]),
        check=False,
        seconds=seconds + 10,
    )
    if done.returncode != 0:
        raise LabError(f"{done.stderr.strip()} ({time.monotonic() - began:.0f} s)")
