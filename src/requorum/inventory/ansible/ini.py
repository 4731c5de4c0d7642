"""Ansible inventories in its INI form: ``[etcd]``, ``[etcd:children]``, ``[etcd:vars]``, one line for a host.

It is no INI that other programs read: host lines are split as a shell splits words, and every value is a Python
literal where it can be one (``ip_forward=True`` is a boolean, ``ansible_port=22`` a number), else a string.
"""

import ast
import re
import shlex
import warnings

from requorum.inventory.ansible import patterns
from requorum.inventory.ansible.groups import UNGROUPED, Groups
from requorum.inventory.ansible.values import Malformed, OddKey

_SECTION = re.compile(r"\[([^:\]\s]+)(?::(\w+))?\]\s*(?:#.*)?")
_CHILD = re.compile(r"([^:\]\s]+)\s*(?:#.*)?")
_COMMENTS = (";", "#")


def read(raw: bytes, groups: Groups) -> None:
    """Add what a file says to an inventory; raises Malformed with the line."""
    reader = _Reader(groups)
    for number, text in enumerate(_lines(raw), start=1):
        line = text.strip()
        if line and not line.startswith(_COMMENTS):
            try:
                reader.line(line, number)
            except Malformed as err:
                raise Malformed(err.what, number) from err
    reader.end()


def _lines(raw: bytes) -> list[str]:
    try:
        return raw.decode().splitlines()
    except UnicodeDecodeError:
        lines = []
        for number, line in enumerate(raw.splitlines(), start=1):
            try:
                lines.append("" if line[:1] in (b";", b"#") else line.decode())
            except UnicodeDecodeError as err:
                raise Malformed("not UTF-8", number) from err
        return lines


class _Reader:
    def __init__(self, groups: Groups) -> None:
        self.groups = groups
        self.group, self.kind = UNGROUPED, "hosts"
        self.awaited: dict[str, tuple[int, list[str]]] = {}
        """Groups that were named and must still be declared: where, and as whose children (of none: as [x:vars])."""

    def line(self, line: str, number: int) -> None:
        section = _SECTION.fullmatch(line)
        if section is not None:
            self.section(self.groups.safe(section[1]), section[2] or "hosts", number)
        elif line.startswith("[") and line.endswith("]"):
            raise Malformed(f"{line[:80]!r} is no section: no spaces or other marks may be in its name")
        elif self.kind == "hosts":
            self.hosts(line)
        elif self.kind == "vars":
            key, equals, value = line.partition("=")
            if not equals:
                raise Malformed(f"expected variable = value below [{self.group}:vars], got {line[:80]!r}")
            self.groups.set_variable(self.group, key.strip(), literal(value.strip()))
        else:
            self.child(line, number)

    def section(self, group: str, kind: str, number: int) -> None:
        if kind not in ("hosts", "children", "vars"):
            raise Malformed(f"the section [{group}:{kind}] is of an unknown kind; known: hosts, children, vars")
        self.group, self.kind = group, kind
        if group not in self.groups.groups:
            if kind == "vars":
                self.awaited.setdefault(group, (number, []))
            self.groups.add_group(group)
        if kind != "vars":
            self.declared(group)

    def declared(self, group: str) -> None:
        _, parents = self.awaited.pop(group, (0, []))
        for parent in parents:
            self.groups.add_child(parent, group)
            if self.awaited.get(parent, (0, []))[1]:
                self.declared(parent)

    def child(self, line: str, number: int) -> None:
        match = _CHILD.fullmatch(line)
        if match is None:
            raise Malformed(f"expected the name of a group below [{self.group}:children], got {line[:80]!r}")
        if match[1] in self.groups.groups:
            self.groups.add_child(self.group, match[1])
        else:
            self.awaited.setdefault(match[1], (number, []))[1].append(self.group)

    def hosts(self, line: str) -> None:
        try:
            words = shlex.split(line, comments=True)
        except ValueError as err:
            raise Malformed(f"{line[:80]!r}: {str(err).lower()}") from err
        if not words:
            raise Malformed(f"expected a host, got {line[:80]!r}")
        names, port = patterns.expand(words[0])
        if not port and words[0].strip().endswith(":"):
            raise Malformed(f"the host pattern {words[0][:80]!r} ends in a colon, and no port follows")
        if "---" in (name.strip() for name in names):
            raise Malformed("'---' begins a YAML file, not a host")
        variables: dict[str, object] = {}
        for word in words[1:]:
            key, equals, value = word.partition("=")
            if not equals:
                raise Malformed(f"expected variable=value behind a host's name, got {word[:80]!r}")
            variables[key] = literal(value)
        for name in names:
            self.groups.add_host(name, self.group, port)
            for key, value_ in variables.items():
                self.groups.set_variable(name, key, value_)

    def end(self) -> None:
        for group, (number, parents) in self.awaited.items():
            if parents:
                raise Malformed(
                    f"[{parents[-1]}:children] names the group {group!r}, which is declared nowhere", number
                )
            raise Malformed(f"[{group}:vars] sets variables of a group that is declared nowhere", number)


def literal(text: str) -> object:
    """The value that a text stands for; raises Malformed where Python cannot say at all."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return _shaped(ast.literal_eval(text))
    except (ValueError, SyntaxError):
        return text
    except (TypeError, MemoryError, RecursionError) as err:
        raise Malformed(f"the value {text[:80]!r} cannot be read") from err


def _shaped(value: object) -> object:
    """A Python literal in the forms that JSON has."""
    if isinstance(value, list | tuple | set | frozenset):
        return [_shaped(one) for one in value]
    if isinstance(value, dict):
        return {_key(key): _shaped(one) for key, one in value.items()}
    if isinstance(value, bytes):
        return value.decode(errors="surrogateescape")
    if value is ...:
        return "..."
    return str(value) if isinstance(value, complex) else value


def _key(key: object) -> str:
    if isinstance(key, str):
        return key
    names = {True: "true", False: "false", None: "null"}
    return OddKey(names[key] if key is None or isinstance(key, bool) else str(_shaped(key)))
