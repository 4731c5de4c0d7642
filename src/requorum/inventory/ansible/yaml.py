"""Ansible inventories in YAML or JSON: groups that hold ``hosts``, ``children`` and ``vars``."""

from collections.abc import Mapping

from requorum.inventory.ansible import document, patterns
from requorum.inventory.ansible.groups import Groups
from requorum.inventory.ansible.values import Malformed, OddKey

PLUGIN = "it configures an inventory plugin, which only Ansible runs"


def read(raw: bytes, groups: Groups, notes: list[str]) -> None:
    """Add what a file says to an inventory; raises Malformed."""
    parsed = document.parse(raw)
    top = parsed.value
    if not top:
        raise Malformed("empty")
    if not isinstance(top, dict):
        raise Malformed("the top of a YAML inventory must be a mapping of groups")
    if top.get("plugin"):
        raise Malformed(PLUGIN)
    try:
        for name, body in top.items():
            _YamlGroups(parsed, groups, notes).group(name, body)
    except RecursionError as err:
        raise Malformed("nested too deeply") from err


class _YamlGroups:
    """``all: {hosts: {node1: {ip: …}}, children: {etcd: {hosts: {node1: }}}, vars: {…}}``."""

    def __init__(self, parsed: document.Document, groups: Groups, notes: list[str]) -> None:
        self.document = parsed
        self.groups = groups
        self.notes = notes

    def group(self, name: str, body: object) -> str:
        if body is not None and not isinstance(body, dict):
            self.notes.append(f"{name!r} was passed over: it is no group")
            return name
        name = self.groups.add_group(name)
        for key, part in (body or {}).items():
            if key in ("vars", "children", "hosts"):
                if isinstance(part, str):
                    part = {part: None}
                if part is not None and not isinstance(part, dict):
                    what = f"{key} of the group {name!r} must be a mapping, not a {type(part).__name__}"
                    raise Malformed(what, self.document.line_of(body))
                try:
                    self.part(name, key, part or {})
                except Malformed as err:
                    raise Malformed(err.what, err.line or self.document.line_of(part)) from err
            elif part is not None:
                self.notes.append(f"{key!r} of the group {name!r} was passed over: only hosts, children and vars count")
        return name

    def part(self, group: str, kind: str, part: Mapping[str, object]) -> None:
        for name, body in part.items():
            if kind == "vars":
                self.groups.set_variable(group, name, body)
            elif kind == "children":
                self.groups.add_child(group, self.group(name, body))
            else:
                self.host(group, name, body or {})

    def host(self, group: str, pattern: str, body: object) -> None:
        if isinstance(pattern, OddKey):
            raise Malformed(f"the host {pattern} must be a string: write it in quotes")
        if not isinstance(body, dict):
            raise Malformed(f"the variables of the host {pattern!r} must be a mapping")
        names, port = patterns.expand(pattern)
        for name in names:
            self.groups.add_host(name, group, port)
            for key, value in body.items():
                self.groups.set_variable(name, key, value)
