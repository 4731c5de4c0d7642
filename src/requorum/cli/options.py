"""The options that several commands share, and what they stand for."""

import contextlib
import functools
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import click
from click.core import ParameterSource

from requorum.errors import Unreachable, UsageError
from requorum.hosts import net, tools
from requorum.hosts.address import Address
from requorum.hosts.connection import Connections
from requorum.hosts.tools import Tools
from requorum.inventory import find
from requorum.inventory.inventory import Inventory
from requorum.plan.values import Plan
from requorum.survey import at_hand

F = TypeVar("F", bound=Callable[..., Any])

WAIT_STEP = 2.0


def output(func: F) -> F:
    """``-o``."""
    return click.option(
        "-o",
        "--output",
        type=click.Choice(["table", "wide", "json", "yaml"]),
        default="table",
        show_default=True,
        help="How the answer is printed; progress goes to standard error.",
    )(func)


@dataclass(frozen=True, slots=True, kw_only=True)
class Where:
    """Which hosts, how they are reached, and where etcd's programs lie. ``typed``: the inventory was named by ``-i``."""

    inventory_path: Path | None
    hosts: str
    ask_become_pass: bool
    etcd_dir: Path | None
    wait: float
    typed: bool = True

    @property
    def given(self) -> bool:
        """Whether hosts were named, on the command line or by a variable."""
        return bool(self.inventory_path or self.hosts)

    def inventory(self) -> Inventory:
        """The inventory that was named; of an ``-i`` that was typed with --hosts, only those hosts."""
        named = self.inventory_path if self.typed or not self.hosts else None
        return find.open_inventory(named, self.hosts)


def _seconds(_ctx: click.Context, _param: click.Parameter, value: str) -> float:
    """``90``, ``90s``, ``10m`` or ``1h``."""
    units = {"s": 1, "m": 60, "h": 3600}
    number, factor = (value[:-1], units[value[-1]]) if value[-1:] in units else (value, 1)
    try:
        seconds = float(number) * factor
    except ValueError:
        raise click.BadParameter(f"{value!r} is no duration: 90s, 10m, 1h") from None
    if not 0 <= seconds < 1e6:
        raise click.BadParameter(f"{value!r} is no duration: 90s, 10m, 1h")
    return seconds


def where(func: F) -> F:
    """``-i``, ``--hosts`` and what goes with them; the command gets one :class:`Where`."""

    @functools.wraps(func)
    def wrapped(
        *args: Any,
        inventory_path: Path | None,
        hosts: str,
        ask_become_pass: bool,
        etcd_dir: Path | None,
        wait: float,
        **others: Any,
    ) -> Any:
        source = click.get_current_context().get_parameter_source("inventory_path")
        at = Where(
            inventory_path=inventory_path,
            hosts=hosts,
            ask_become_pass=ask_become_pass,
            etcd_dir=etcd_dir,
            wait=wait,
            typed=source is ParameterSource.COMMANDLINE,
        )
        return func(*args, where=at, **others)

    made: Any = wrapped
    for option in (
        click.option(
            "--wait",
            default="0",
            callback=_seconds,
            metavar="TIME",
            help="Wait so long for hosts that are still booting (10m).",
        ),
        etcd_dir,
        click.option("-K", "--ask-become-pass", is_flag=True, help="Ask for the sudo password of the hosts."),
        click.option("--hosts", default="", metavar="A,B,C", help="Host names instead of an inventory."),
        click.option(
            "-i",
            "--inventory",
            "inventory_path",
            type=click.Path(path_type=Path),
            envvar=["REQUORUM_INVENTORY", "ANSIBLE_INVENTORY"],
            help="Ansible's (Kubespray's) inventory or requorum's own (default: ./requorum.yaml or ./inventory.yaml).",
        ),
    ):
        made = option(made)
    result: F = made
    return result


def etcd_dir(func: F) -> F:
    """``--etcd-dir``."""
    return click.option(
        "--etcd-dir",
        "--tools",
        type=click.Path(path_type=Path, exists=True, file_okay=False),
        help="The folder that holds etcd, etcdctl and etcdutl (default: the inventory's tools, then the PATH).",
    )(func)


def snapshots(func: F) -> F:
    """``--snapshot``."""
    return click.option(
        "--snapshot",
        "snapshots",
        multiple=True,
        help="A snapshot file that may be recovered from, here or on a host (HOST:/path); may be given several times.",
    )(func)


def seen_revision(func: F) -> F:
    """``--seen-revision``."""
    return click.option(
        "--seen-revision",
        type=click.IntRange(min=0),
        default=0,
        metavar="N",
        help="A revision that is known to have been served: from a monitoring system, or an API object's resourceVersion.",
    )(func)


def powered_off(func: F) -> F:
    """``--powered-off``."""
    return click.option(
        "--powered-off",
        multiple=True,
        metavar="NAME",
        help="A host or member that is certainly off; may be given several times.",
    )(func)


def absolute_snapshots(named: Sequence[str], hosts: Sequence[str]) -> tuple[str, ...]:
    """Snapshot files with their whole paths; raises UsageError for one that is not there."""
    out = []
    for one in named:
        host, colon, path = one.partition(":")
        if colon and host in hosts:
            if not path.startswith("/"):
                raise UsageError(f"{one}: give the whole path of a file on a host")
            out.append(one)
            continue
        if not Path(one).exists():
            raise UsageError(f"{one}: there is no such file")
        out.append(str(Path(one).absolute()))
    return tuple(out)


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """The hosts of an inventory, and the ways to them; ``found`` are etcd's programs on this machine, where needed."""

    inventory: Inventory
    connections: Connections
    found: Tools | None


@contextlib.contextmanager
def world(at: Where, powered_off: Sequence[str] = ()) -> Iterator[World]:
    """Open the hosts that were named; they are connected to when they are first asked something."""
    inventory = at.inventory()
    for note, names in _grouped(inventory.notes).items():
        print(f"note: {', '.join(names) + ': ' if names else ''}{note}", file=sys.stderr)
    plain = any(host.etcd.kind == "process" for host in inventory.hosts)
    found = find_tools(at.etcd_dir, inventory) if plain or at.etcd_dir else None
    addresses = {host.name: host.address for host in inventory.hosts}
    with connect(addresses, at, powered_off) as connections:
        yield World(inventory=inventory, connections=connections, found=found)


def _grouped(notes: Sequence[str]) -> dict[str, list[str]]:
    """What an inventory's reading passed over, each said once with the hosts that it goes for."""
    found: dict[str, list[str]] = {}
    for note in notes:
        name, colon, text = note.partition(": ")
        found.setdefault(text if colon and " " not in name else note, []).extend(
            [name] if colon and " " not in name else []
        )
    return found


@contextlib.contextmanager
def connect(addresses: dict[str, Address], at: Where, powered_off: Sequence[str] = ()) -> Iterator[Connections]:
    """Connections to some hosts; with ``--wait`` those that do not answer yet are waited for."""
    password = ""
    if at.ask_become_pass:
        password = click.prompt("sudo password of the hosts", hide_input=True, err=True)
    with Connections(addresses, password) as connections:
        if at.wait:
            _wait(connections, [name for name in addresses if name not in powered_off], at.wait)
        yield connections


def _wait(connections: Connections, names: Sequence[str], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    for name in names:
        said = False
        while True:
            try:
                connections[name].call(net.clock)
                break
            except Unreachable as err:
                if time.monotonic() > deadline:
                    break  # the survey says so
                if not said:
                    print(f"waiting for {name}: {err.message}", file=sys.stderr)
                said = True
                time.sleep(WAIT_STEP)


@contextlib.contextmanager
def plan_world(plan: Plan, at: Where) -> Iterator[Connections]:
    """Connections to the hosts of a plan: as its inventory says now, where one is named, else as it was planned."""
    addresses = {one.name: one.address for one in plan.hosts}
    addresses.update({one.host: plan.host(one.host).address for one in plan.members})
    if at.given:
        named = {host.name: host.address for host in at.inventory().hosts}
        addresses.update({name: address for name, address in named.items() if name in addresses})
    with connect(addresses, at) as connections:
        yield connections


def plan_programs(plan: Plan, at: Where) -> Tools | None:
    """etcd's programs on this machine that replace those of a plan, where they were named."""
    if at.etcd_dir:
        return tools.find([str(at.etcd_dir)])
    if any(one.deployment.kind == "process" for one in plan.members) and plan.tools:
        return tools.find([plan.tools])
    return None


def find_tools(named: Path | None, of: Inventory | None) -> Tools:
    """etcd's programs: the folder that was named, else the inventory's, else the PATH."""
    return tools.find(at_hand.default_tool_folders(named or (of.tools if of else None)))
