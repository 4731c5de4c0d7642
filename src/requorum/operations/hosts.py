"""Which hosts an operation is about, the ways to them, and etcd's programs on this machine."""

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from requorum.errors import Unreachable, UsageError
from requorum.etcd import binaries
from requorum.etcd.binaries import Binaries
from requorum.hosts import net
from requorum.hosts.address import Address
from requorum.hosts.connection import Connections
from requorum.hosts.location import location
from requorum.inventory import find
from requorum.inventory.inventory import Inventory
from requorum.procedures.values import Plan
from requorum.survey import at_hand

WAIT_STEP = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Where:
    """Which hosts, how they are reached, and where etcd's programs lie.

    ``typed``: the inventory was named on the command line, not by a variable. ``wait`` is how long hosts that do not answer
    yet are waited for, in seconds. ``password`` is asked for once, when the hosts are opened: sudo's on the hosts. ``tell``
    is given notes on the way.
    """

    inventory_path: Path | None = None
    hosts: str = ""
    etcd_dir: Path | None = None
    wait: float = 0.0
    typed: bool = True
    password: Callable[[], str] = str
    tell: Callable[[str], object] = str

    @property
    def given(self) -> bool:
        """Whether hosts were named, on the command line or by a variable."""
        return bool(self.inventory_path or self.hosts)

    def inventory(self) -> Inventory:
        """The inventory that was named; of one that was typed together with hosts, only those hosts."""
        named = self.inventory_path if self.typed or not self.hosts else None
        return find.open_inventory(named, self.hosts)


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """The hosts of an inventory, and the ways to them; ``programs`` are etcd's on this machine, where needed."""

    inventory: Inventory
    connections: Connections
    programs: Binaries | None


@contextlib.contextmanager
def opened(at: Where, powered_off: Sequence[str] = ()) -> Iterator[World]:
    """Open the hosts that were named; they are connected to when they are first asked something."""
    inventory = at.inventory()
    for note, names in _grouped(inventory.notes).items():
        at.tell(f"note: {', '.join(names) + ': ' if names else ''}{note}")
    plain = any(not host.etcd.supervised for host in inventory.hosts)
    programs = find_programs(at.etcd_dir, inventory) if plain or at.etcd_dir else None
    addresses = {host.name: host.address for host in inventory.hosts}
    with _connected(addresses, at, powered_off) as connections:
        yield World(inventory=inventory, connections=connections, programs=programs)


@contextlib.contextmanager
def of_plan(plan: Plan, at: Where) -> Iterator[Connections]:
    """Connections to the hosts of a plan: as its inventory says now, where one is named, else as it was planned."""
    addresses = {one.name: one.address for one in plan.hosts}
    addresses.update({one.host: plan.host(one.host).address for one in plan.members})
    if at.given:
        named = {host.name: host.address for host in at.inventory().hosts}
        addresses.update({name: address for name, address in named.items() if name in addresses})
    with _connected(addresses, at) as connections:
        yield connections


def programs_of_plan(plan: Plan, at: Where) -> Binaries | None:
    """etcd's programs on this machine that replace those of a plan, where they were named."""
    if at.etcd_dir:
        return binaries.find([str(at.etcd_dir)])
    if any(not one.deployment.supervised for one in plan.members) and plan.tools:
        return binaries.find([plan.tools])
    return None


def find_programs(named: Path | None, of: Inventory | None) -> Binaries:
    """etcd's programs: the folder that was named, else the inventory's, else the PATH."""
    return binaries.find(at_hand.default_tool_folders(named or (of.tools if of else None)))


def absolute_snapshots(named: Sequence[str], hosts: Sequence[str]) -> tuple[str, ...]:
    """Snapshot files with their whole paths; raises UsageError for one that is not there."""
    out = []
    for place in (location(text, hosts) for text in named):
        if place.host and not place.whole:
            raise UsageError(f"{place}: give the whole path of a file on a host")
        if not place.host and not Path(place.path).exists():
            raise UsageError(f"{place}: there is no such file")
        out.append(str(place) if place.host else str(Path(place.path).absolute()))
    return tuple(out)


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
def _connected(addresses: Mapping[str, Address], at: Where, powered_off: Sequence[str] = ()) -> Iterator[Connections]:
    """Connections to some hosts; those that do not answer yet are waited for, where that is wanted."""
    with Connections(dict(addresses), at.password()) as connections:
        if at.wait:
            _wait(connections, [name for name in addresses if name not in powered_off], at)
        yield connections


def _wait(connections: Connections, names: Sequence[str], at: Where) -> None:
    deadline = time.monotonic() + at.wait
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
                    at.tell(f"waiting for {name}: {err.message}")
                said = True
                time.sleep(WAIT_STEP)
