"""YAML and JSON as Ansible reads them: YAML 1.1, the last of two equal keys counts, ``!vault`` and ``!unsafe``."""

import datetime
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.composer import MaxDepthExceededError
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode
from ruamel.yaml.resolver import VersionedResolver
from ruamel.yaml.tag import Tag

from requorum.inventory import plain_yaml
from requorum.inventory.ansible.values import VAULTED, Malformed, OddKey

_CORE = "tag:yaml.org,2002:"
_BOOLS = {"yes": True, "no": False, "true": True, "false": False, "on": True, "off": False}
_PLAIN = {
    "bool": re.compile("|".join(f"{one}|{one.title()}|{one.upper()}" for one in _BOOLS)),
    "null": re.compile(r"~|null|Null|NULL|"),
    "merge": re.compile(r"<<"),
    "int": re.compile(
        r"[-+]?(?:0b[01_]+|0[0-7_]+|0|[1-9][0-9_]*|0x[0-9a-fA-F_]+|[1-9][0-9_]*(?::[0-5]?[0-9])+)",
    ),
    "float": re.compile(
        r"[-+]?[0-9][0-9_]*\.[0-9_]*(?:[eE][-+][0-9]+)?|\.[0-9][0-9_]*(?:[eE][-+][0-9]+)?"
        r"|[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+\.[0-9_]*|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)",
    ),
    "timestamp": re.compile(
        r"(\d{4})-(\d\d)-(\d\d)"
        r"|(\d{4})-(\d\d?)-(\d\d?)(?:[Tt]|[ \t]+)(\d\d?):(\d\d):(\d\d)(?:\.(\d*))?"
        r"(?:[ \t]*(Z|([-+])(\d\d?)(?::(\d\d))?))?",
        re.ASCII,
    ),
}
"""What a scalar without quotes is, in the order asked: the types of YAML 1.1 as PyYAML knows them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A file's value, and the line that each of its mappings begins on, by id."""

    value: object
    lines: Mapping[int, int]

    def line_of(self, value: object) -> int:
        """The line of a mapping; 0 where it is not known."""
        return self.lines.get(id(value), 0)


class _Resolver(VersionedResolver):
    def resolve(self, kind: Any, value: Any, implicit: Any) -> Any:
        if kind is ScalarNode:
            name = plain_type(value) if implicit[0] else "str"
            return Tag(suffix=_CORE + name)
        return Tag(suffix=_CORE + ("seq" if kind is SequenceNode else "map"))


def plain_type(text: str) -> str:
    """The type of a scalar that stands without quotes and without a tag."""
    return next((name for name, form in _PLAIN.items() if form.fullmatch(text)), "str")


def parse(raw: bytes) -> Document:
    """A file's value; raises Malformed with the line. Keys are strings: those that were none are OddKey."""
    try:
        text = raw.decode()
    except UnicodeDecodeError as err:
        raise Malformed("not UTF-8", raw[: err.start].count(b"\n") + 1) from err
    try:
        return Document(value=json_value(text), lines={})
    except (ValueError, RecursionError):
        pass
    yaml = YAML(typ="safe", pure=True)
    yaml.version = (1, 1)
    yaml.max_depth = plain_yaml.MAX_DEPTH
    yaml.Resolver = _Resolver
    yaml.composer.warn_double_anchors = False
    builder = _Builder()
    try:
        node = yaml.compose(text)
        return Document(value=None if node is None else builder.value(node), lines=builder.lines)
    except MaxDepthExceededError as err:
        raise Malformed("nested too deeply") from err
    except MarkedYAMLError as err:
        mark = err.problem_mark or err.context_mark
        raise Malformed(f"not YAML: {err.problem or err.context}", mark.line + 1 if mark else 0) from err
    except Malformed:
        raise
    except (YAMLError, ValueError) as err:
        raise Malformed(f"not YAML: {' '.join(str(err).split())[:200]}") from err
    except RecursionError as err:
        raise Malformed("nested too deeply") from err


def json_value(text: str) -> object:
    """A JSON text's value, with what Ansible marks in it as encrypted or unsafe; raises ValueError."""
    return json.loads(text, object_hook=_unmarked)


def _unmarked(found: dict[str, object]) -> object:
    if "__ansible_vault" in found:
        return VAULTED
    return found.get("__ansible_unsafe", found)


class _Builder:
    """Values out of nodes. A node that aliases share is built once, so no file is larger built than written."""

    def __init__(self) -> None:
        self.lines: dict[int, int] = {}
        self._built: dict[int, object] = {}
        self._open: set[int] = set()

    def value(self, node: Node) -> object:
        if id(node) in self._built:
            return self._built[id(node)]
        if id(node) in self._open:
            raise Malformed("an alias refers to what it is in", _line(node))
        self._open.add(id(node))
        built = self._build(node, str(node.tag))
        self._open.discard(id(node))
        self._built[id(node)] = built
        return built

    def _build(self, node: Node, tag: str) -> object:
        if tag in ("!vault", "!vault-encrypted"):
            return VAULTED
        if tag == "!unsafe":
            plain = isinstance(node, ScalarNode) and node.style in (None, "")
            kind = "seq" if isinstance(node, SequenceNode) else "map" if isinstance(node, MappingNode) else "str"
            tag = _CORE + (plain_type(node.value) if plain else kind)
        name = tag.removeprefix(_CORE)
        if isinstance(node, MappingNode) and name in ("map", "set"):
            pairs = self._mapping(node)
            self.lines[id(pairs)] = _line(node)
            return list(pairs) if name == "set" else pairs
        if isinstance(node, SequenceNode) and name in ("seq", "omap", "pairs"):
            items = [self.value(one) for one in node.value]
            if name == "seq":
                return items
            return [[key, one] for item in items if isinstance(item, dict) for key, one in item.items()]
        if isinstance(node, ScalarNode):
            return _scalar(node, name)
        raise Malformed(f"the tag {tag!r} is not known here", _line(node))

    def _mapping(self, node: MappingNode) -> dict[str, object]:
        merged: dict[str, object] = {}
        own: dict[str, object] = {}
        for key_node, value_node in node.value:
            if str(key_node.tag) == _CORE + "merge":
                self._merge(value_node, merged)
            else:
                own[self._key(key_node)] = self.value(value_node)
        return {**merged, **own}

    def _merge(self, node: Node, into: dict[str, object]) -> None:
        for one in reversed(node.value) if isinstance(node, SequenceNode) else [node]:
            found = self.value(one)
            if not isinstance(found, dict):
                raise Malformed("<< must refer to a mapping", _line(node))
            into.update(found)

    def _key(self, node: Node) -> str:
        key = self.value(node)
        if isinstance(key, str):
            return key
        if key is None or isinstance(key, bool | int | float):
            return OddKey(json.dumps(key))
        raise Malformed("a key must be a string or a number", _line(node))


def _line(node: Node) -> int:
    return int(node.start_mark.line) + 1


def _scalar(node: ScalarNode, name: str) -> object:
    text = node.value
    try:
        match name:
            case "bool":
                return _BOOLS[text.lower()]
            case "null":
                return None
            case "int":
                return _int(text.replace("_", ""))
            case "float":
                return _float(text.replace("_", "").lower())
            case "timestamp":
                return _timestamp(text)
            case "str" | "merge" | "value":
                return text
    except (KeyError, ValueError, OverflowError) as err:
        raise Malformed(f"{text[:80]!r} is no {name}", _line(node)) from err
    raise Malformed(f"the tag {str(node.tag)!r} is not known here", _line(node))


def _int(text: str) -> int:
    sign = -1 if text.startswith("-") else 1
    digits = text.lstrip("+-")
    if ":" in digits:
        return sign * int(_sixties(digits))
    if digits.startswith(("0b", "0x")):
        return sign * int(digits, 0)
    return sign * int(digits, 8 if digits.startswith("0") and digits != "0" else 10)


def _float(text: str) -> float:
    sign = -1.0 if text.startswith("-") else 1.0
    digits = text.lstrip("+-")
    if digits in (".inf", ".nan"):
        return sign * float(digits[1:])
    return sign * (_sixties(digits) if ":" in digits else float(digits))


def _sixties(digits: str) -> float:
    """1:30 is 90: YAML 1.1 counts in sixties, and so do inventories that forget the quotes."""
    total = 0.0
    for part in digits.split(":"):
        total = total * 60 + float(part)
    return total


def _timestamp(text: str) -> str:
    match = _PLAIN["timestamp"].fullmatch(text)
    if match is None:
        raise ValueError(text)
    if match[1]:
        return datetime.date(int(match[1]), int(match[2]), int(match[3])).isoformat()
    year, month, day, hour, minute, second = (int(match[part]) for part in range(4, 10))
    micro = int((match[10] or "")[:6].ljust(6, "0"))
    zone = None
    if match[11]:
        offset = datetime.timedelta(hours=int(match[13] or 0), minutes=int(match[14] or 0))
        zone = datetime.timezone(-offset if match[12] == "-" else offset)
    return datetime.datetime(year, month, day, hour, minute, second, micro, zone).isoformat()
