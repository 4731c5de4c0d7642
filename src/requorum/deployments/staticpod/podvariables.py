"""A container's variables as kubelet makes them, and ``$(NAME)`` in its command filled in as kubelet does.

The rules are Kubernetes' (third_party/forked/golang/expansion; "Define Dependent Environment Variables"): a variable sees
those above it, ``$$`` before a bracket is one dollar, and what is not defined stays as it is written. What only the cluster
or the running pod knows is not guessed: whatever needs it is refused by name.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from requorum.errors import RequorumError

_REFERENCE = re.compile(r"\$(?:\$|\(([^)]*)\))")
_SUBSCRIPT = re.compile(r"metadata\.(labels|annotations)\['(.*)'\]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """The node that kubelet runs a static pod on: its name and its address, empty where they are not known."""

    name: str = ""
    ip: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Variables:
    """Values by name, and why those are missing that have a value nobody knows here."""

    path: str
    values: dict[str, str] = field(default_factory=dict)
    unknown: dict[str, str] = field(default_factory=dict)

    def filled(self, text: str, where: str) -> str:
        """A text with its references filled in; raises RequorumError for one whose value is not known."""

        def value(match: re.Match[str]) -> str:
            name = match.group(1)
            if name is None:
                return "$"
            if name in self.unknown:
                raise RequorumError(
                    f"{where} needs $({name}), {self.unknown[name]}", hint=f"write its value into {self.path}"
                )
            return self.values.get(name, match.group(0))

        return _REFERENCE.sub(value, text)

    def known(self) -> dict[str, str]:
        """The values; raises RequorumError where one of etcd's own is not known."""
        for name, why in self.unknown.items():
            if name.startswith("ETCD_"):
                raise RequorumError(
                    f"{self.path}: {name} is not known, {why}", hint=f"write its value into {self.path}"
                )
        return self.values


def of_container(container: Mapping[str, Any], about: Mapping[str, Any], node: Node, path: str) -> Variables:
    """The variables of a container of the pod ``about`` which its manifest speaks; raises RequorumError for what is no
    manifest, or takes all variables of something that is not in it."""
    if container.get("envFrom"):
        raise RequorumError(
            f"{path}: its envFrom names variables that are not in it", hint="write them into the manifest, as env"
        )
    rows = container.get("env") or []
    if not isinstance(rows, list):
        raise RequorumError(f"{path}: env must be a list")
    found = Variables(path=path)
    for row in rows:
        if not isinstance(row, dict):
            raise RequorumError(f"{path}: each of env must be a mapping", hint="is this a pod's manifest?")
        name, source = str(row.get("name")), row.get("valueFrom")
        found.values.pop(name, None)
        found.unknown.pop(name, None)
        if source:
            value, why = _of_source(source, about, node, found)
        else:
            text = row.get("value")
            value, why = _of_text("" if text is None else str(text), found)
        if why:
            found.unknown[name] = why
        else:
            found.values[name] = value
    return found


def _of_text(text: str, above: Variables) -> tuple[str, str]:
    needed = [name for name in _REFERENCE.findall(text) if name in above.unknown]
    if needed:
        return "", above.unknown[needed[0]]
    return above.filled(text, above.path), ""


def _of_source(source: Any, about: Mapping[str, Any], node: Node, above: Variables) -> tuple[str, str]:
    """The value of what stands under valueFrom, or why it is not known."""
    named = source.get("fieldRef") if isinstance(source, dict) else None
    if not isinstance(named, dict):
        kind = next(iter(source), "valueFrom") if isinstance(source, dict) else "valueFrom"
        return "", f"whose value ({kind}) is not in the manifest"
    wanted = str(named.get("fieldPath", ""))
    labels = _SUBSCRIPT.fullmatch(wanted)
    if labels:
        return str((about.get(labels.group(1)) or {}).get(labels.group(2), "")), ""
    of_node = {
        "metadata.name": f"{about.get('name', '')}-{node.name}" if node.name else "",
        "metadata.namespace": str(about.get("namespace") or "default"),
        "spec.nodeName": node.name,
        "status.hostIP": node.ip,
        "status.podIP": node.ip,
    }
    value = of_node.get(wanted, "")
    return (value, "") if value else ("", f"whose value ({wanted}) only the running pod knows")
