"""The groups, hosts and variables of an inventory while it is read, and what they come to for each host.

Ansible's order, from weak to strong: the group ``all``, then groups by depth (the longest way down from a root), by
``ansible_group_priority`` and by name, then the host's own variables. A later value replaces an earlier one as a
whole, unless the operator set ``hash_behaviour = merge``.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from requorum.inventory.ansible.values import Malformed, OddKey

ALL, UNGROUPED = "all", "ungrouped"
_ODD_IN_A_NAME = re.compile(r"^[\d\W]|[^\w]")


@dataclass(slots=True)
class _Group:
    name: str
    priority: int = 1
    hosts: dict[str, None] = field(default_factory=dict)
    children: dict[str, None] = field(default_factory=dict)
    variables: dict[str, object] = field(default_factory=dict)

    def copy(self) -> "_Group":
        return _Group(self.name, self.priority, dict(self.hosts), dict(self.children), dict(self.variables))


def combine(weak: Mapping[str, object], strong: Mapping[str, object], *, merge: bool) -> dict[str, object]:
    """Two sets of variables as one. ``merge``: mappings are merged key by key, all the way down."""
    result = {**weak, **strong}
    for key in weak.keys() & strong.keys() if merge else ():
        mine, other = weak[key], strong[key]
        if isinstance(mine, dict) and isinstance(other, dict):
            result[key] = combine(mine, other, merge=True)
    return result


class Groups:
    """An inventory being read. A file that turns out to be malformed halfway is dropped whole: read it into a copy."""

    def __init__(self, *, merge: bool = False, safe_names: bool = False) -> None:
        self.merge = merge
        self.safe_names = safe_names
        self.groups = {name: _Group(name) for name in (ALL, UNGROUPED)}
        self.groups[ALL].children[UNGROUPED] = None
        self.hosts: dict[str, dict[str, object]] = {}

    def copy(self) -> "Groups":
        """One that can be changed without changing this."""
        twin = Groups(merge=self.merge, safe_names=self.safe_names)
        twin.groups = {name: group.copy() for name, group in self.groups.items()}
        twin.hosts = {name: dict(variables) for name, variables in self.hosts.items()}
        return twin

    def safe(self, group: str) -> str:
        """A group's name as Ansible writes it under the operator's ``force_valid_group_names``."""
        return _ODD_IN_A_NAME.sub("_", group) if self.safe_names else group

    def add_group(self, name: object) -> str:
        """Add a group unless it is there; its name."""
        if not isinstance(name, str) or isinstance(name, OddKey) or not name:
            raise Malformed(f"a group's name must be a string, not {_short(name)}")
        if name not in self.groups:
            name = self.safe(name)
            self.groups.setdefault(name, _Group(name))
        return name

    def add_host(self, name: object, group: str, port: int = 0) -> str:
        """Put a host in a group. The port counts only where the host is named first, as in Ansible."""
        if not isinstance(name, str) or isinstance(name, OddKey) or not name:
            raise Malformed(f"a host's name must be a string, not {_short(name)}")
        if name not in self.hosts:
            self.hosts[name] = {"ansible_port": port} if port else {}
        self.groups[group].hosts[name] = None
        return name

    def add_child(self, group: str, child: str) -> None:
        """Put a group, or failing that a host, below a group."""
        if child in self.groups:
            if child == group or group in self._below(child):
                raise Malformed(f"the group {child!r} as a child of {group!r} would be a loop")
            self.groups[group].children[child] = None
        elif child in self.hosts:
            self.groups[group].hosts[child] = None
        else:
            raise Malformed(f"{child!r} below {group!r} is neither a group nor a host")

    def set_variable(self, name: str, key: str, value: object) -> None:
        """Set a variable of a group or a host; where both have the name, of the group, as Ansible does."""
        if name in self.groups and key == "ansible_group_priority":
            try:
                self.groups[name].priority = int(value)  # type: ignore[call-overload]
            except (TypeError, ValueError, OverflowError) as err:
                raise Malformed(f"ansible_group_priority of {name!r} must be a number, not {_short(value)}") from err
            return
        into = self.groups[name].variables if name in self.groups else self.hosts[name]
        into.update(combine(into, {key: value}, merge=True) if self.merge else {key: value})

    def settle(self) -> None:
        """After the last file: groups without a parent belong below ``all``, hosts without a group in ``ungrouped``."""
        above = self._parents()
        for name in self.groups:
            if name != ALL and not above[name]:
                self.add_child(ALL, name)
        for host in self.hosts:
            others = set(self.groups_of(host)) - {UNGROUPED}
            if host in self.groups[UNGROUPED].hosts:
                if others:
                    del self.groups[UNGROUPED].hosts[host]
            elif not others:
                self.groups[UNGROUPED].hosts[host] = None

    def groups_of(self, host: str) -> list[str]:
        """The groups that a host is in, direct and inherited, without ``all``; weakest variables first."""
        above = self._parents()
        found: set[str] = set()
        new = {name for name, group in self.groups.items() if host in group.hosts}
        while new:
            found |= new
            new = {parent for name in new for parent in above[name]} - found
        depths = self._depths(above)
        return sorted(found - {ALL}, key=lambda name: (depths[name], self.groups[name].priority, name))

    def _parents(self) -> dict[str, list[str]]:
        above: dict[str, list[str]] = {name: [] for name in self.groups}
        for name, group in self.groups.items():
            for child in group.children:
                above[child].append(name)
        return above

    def _depths(self, above: Mapping[str, list[str]]) -> dict[str, int]:
        """How long the longest way from a root to each group is. There are no loops: add_child refuses them."""
        depths = dict.fromkeys(self.groups, 0)
        waiting = {name: len(parents) for name, parents in above.items()}
        ready = [name for name, count in waiting.items() if not count]
        for name in ready:
            for child in self.groups[name].children:
                depths[child] = max(depths[child], depths[name] + 1)
                waiting[child] -= 1
                if not waiting[child]:
                    ready.append(child)
        return depths

    def _below(self, name: str) -> set[str]:
        found: set[str] = set()
        new = [name]
        while new:
            fresh = [child for one in new for child in self.groups[one].children if child not in found]
            found.update(fresh)
            new = fresh
        return found


def _short(value: object) -> str:
    return f"{str(value)[:60]!r}" if isinstance(value, str | int | float | None) else f"a {type(value).__name__}"
