"""etcd's static pod as its manifest says it: flags, variables, image, and where the container's paths lie on the host.

A manifest is read as YAML, and changed as little as possible: comments, order and quotes stay. Paths in it are the
container's; a member's files are the host's, so every path is carried through the volume that holds it.
"""

import io
import itertools
import json
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from ruamel.yaml.representer import RoundTripRepresenter

from requorum.deployments import command, hazards, settings
from requorum.deployments.command import Command
from requorum.deployments.hazards import Made
from requorum.deployments.staticpod import podvariables
from requorum.deployments.staticpod.podvariables import Node
from requorum.errors import RequorumError
from requorum.inventory import plain_yaml

PATHS = (
    *("data-dir", "wal-dir", "trusted-ca-file", "cert-file", "key-file"),
    *("peer-trusted-ca-file", "peer-cert-file", "peer-key-file", "config-file"),
)
"""Settings that name files or folders in the container."""
_MARK = re.compile(r"^(?:---|\.\.\.)", re.MULTILINE)


class _Representer(RoundTripRepresenter):
    """Writes ``null`` for nothing, as Kubernetes does."""


_Representer.add_representer(type(None), lambda own, _: own.represent_scalar("tag:yaml.org,2002:null", "null"))


@dataclass(frozen=True, slots=True, kw_only=True)
class EtcdPod:
    """The pod that runs etcd. ``settings`` are under the flags' names, their paths the host's; ``container`` is its name
    in the pod, ``user`` the number of whom it runs as (0 where nothing is said). ``made`` are the settings with where they
    stand."""

    name: str
    namespace: str
    container: str
    image: str
    settings: Mapping[str, str]
    user: int = 0
    made: tuple[Made, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Pod:
    """Any static pod: its name, and the command line of each of its containers."""

    name: str
    namespace: str
    commands: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """A pod that starts etcd, in whatever way, and the folders of the host that it has."""

    name: str
    folders: tuple[str, ...]


def sight(raw: bytes, path: str) -> Sight | None:
    """Whether a manifest starts etcd at all, also where :func:`read` does not understand how; None where it does not, or is
    no pod's."""
    try:
        data = _load(raw, path)
        if data.get("kind") != "Pod":
            return None
        pod = _mapping(data.get("spec"), path, "spec")
        if not any(command.means_etcd(_argv(one, path)) for one in _rows(pod, "containers", path)):
            return None
        about = _mapping(data.get("metadata") or {}, path, "metadata")
        return Sight(name=str(about.get("name", "")), folders=tuple(_host_paths(pod, path).values()))
    except RequorumError:
        return None


def read_pod(raw: bytes, path: str) -> Pod | None:
    """The pod of a manifest; None where it is no pod's. Raises RequorumError for what is no manifest."""
    data = _load(raw, path)
    if data.get("kind") != "Pod":
        return None
    about = _mapping(data.get("metadata") or {}, path, "metadata")
    containers = _rows(_mapping(data.get("spec"), path, "spec"), "containers", path)
    return Pod(
        name=str(about.get("name", "")),
        namespace=str(about.get("namespace", "default")),
        commands=tuple(tuple(_argv(one, path)) for one in containers),
    )


def read(raw: bytes, path: str, node: Node | None = None) -> EtcdPod | None:
    """The etcd of a manifest, on a ``node`` as far as that is known; None where another pod is meant. Raises RequorumError
    for what is no manifest, names a path that is on no volume of the host, or is not understood."""
    data = _load(raw, path)
    if data.get("kind") != "Pod":
        return None
    pod = _mapping(data.get("spec"), path, "spec")
    container = _etcd_of(pod, path)
    if container is None:
        return None
    about = _mapping(data.get("metadata") or {}, path, "metadata")
    variables = podvariables.of_container(container, about, node or Node(), path)
    words = [variables.filled(word, f"the command of {path}") for word in _argv(container, path)]
    own = command.understood(words, path)
    environment = {**variables.known(), **own.environment}
    places = _Places(raw, path)
    if stray := settings.stray_word(own.argv):
        raise RequorumError(
            f"{path}: etcd does not start with {stray!r}, which is no flag and no flag's value",
            hint="a flag without a value is followed by another flag, or by nothing (--flag=true)",
        )
    flags = settings.flags_of(own.argv)
    made = [
        *(
            hazards.by_variable(name, value, places.of_variable(name))
            for name, value in environment.items()
            if name.startswith("ETCD_")
        ),
        *(hazards.by_flag(one, places.of_flag(one.name)) for one in flags),
    ]
    found = {**settings.from_variables(environment), **settings.from_flags(own.argv)}
    if not found.get("config-file"):
        found = settings.in_folder(found, str(container.get("workingDir") or ""), path)
    on_host = _volumes(pod, container, path)
    return EtcdPod(
        name=str(about.get("name", "")),
        namespace=str(about.get("namespace", "default")),
        container=str(container.get("name", "")),
        image=str(container.get("image", "")),
        settings={name: _host_path(value, on_host, path) if name in PATHS else value for name, value in found.items()},
        user=_user(pod, container, path),
        made=tuple(made),
    )


class _Places:
    """On which line of a manifest a flag or a variable stands; the file alone where no line shows it."""

    def __init__(self, raw: bytes, path: str) -> None:
        self._lines = raw.decode(errors="replace").splitlines()
        self._path = path

    def of_flag(self, name: str) -> str:
        """The last line with this flag."""
        return self._last(
            lambda line: f"-{name}=" in line or line.rstrip(" ,]'\"").endswith(f"-{name}") or f"-{name} " in line
        )

    def of_variable(self, name: str) -> str:
        """The last line with this name."""
        return self._last(lambda line: name in line)

    def _last(self, shows: Callable[[str], bool]) -> str:
        at = max((number for number, line in enumerate(self._lines, 1) if shows(line)), default=0)
        return f"{self._path}:{at}" if at else self._path


def _user(pod: Mapping[str, Any], container: Mapping[str, Any], path: str) -> int:
    """runAsUser, the container's before the pod's."""
    for one in (container, pod):
        said = _mapping(one.get("securityContext") or {}, path, "securityContext").get("runAsUser")
        if isinstance(said, int) and said >= 0:
            return said
    return 0


def edited(raw: bytes, changes: Mapping[str, str], path: str, node: Node | None = None) -> bytes:
    """A manifest in which etcd has other values for some flags; a flag that it lacks is added behind the others. What lies
    behind its first document stays as it is."""
    if read(raw, path, node) is None:
        raise RequorumError(f"{path}: it runs no etcd")
    text = raw.decode()
    if _is_json(text):
        data = json.loads(text)
        _change(data, changes, path)
        lines = text.splitlines()
        deeper = len(lines[1]) - len(lines[1].lstrip()) if len(lines) > 1 else 0
        return (json.dumps(data, indent=deeper or None, ensure_ascii=False) + "\n").encode()
    yaml = YAML()
    yaml.Representer = _Representer
    yaml.preserve_quotes = True
    yaml.width = 100000
    first = _first_document(text, path)
    data = yaml.load(first)
    _change(data, changes, path)
    out = io.StringIO()
    _indented_as(yaml, raw)
    yaml.dump(data, out)
    return (out.getvalue() + text[len(first) :]).encode()


def _change(data: Any, changes: Mapping[str, str], path: str) -> None:
    container = _etcd_of(_mapping(data, path, "it").get("spec") or {}, path)
    own = command.understood(_argv(container, path), path)
    variables = {settings.variable_of(name): name for name in changes}
    flags = settings.from_flags(own.argv)
    by_variable = set()
    for one in container.get("env") or []:
        name = variables.get(str(one.get("name")))
        if name and name not in flags and settings.variable_of(name) not in own.environment:
            one["value"] = changes[name]
            by_variable.add(name)
    left = {name: value for name, value in changes.items() if name not in by_variable}
    if own.wrapped and left:
        _change_wrapped(container, own, flags, left)
        return
    for name, value in left.items():
        _set_flag(container, name, value)


def _change_wrapped(container: Any, own: Command, flags: Mapping[str, str], changes: Mapping[str, str]) -> None:
    """Give etcd behind a shell or ``env`` other flags: the words are written anew, where they stood."""
    fixed = {
        settings.variable_of(name): value
        for name, value in changes.items()
        if name not in flags and settings.variable_of(name) in own.environment
    }
    argv = settings.with_flags(own.argv, {name: value for name, value in changes.items() if name in flags})
    argv += [
        f"--{name}={value}"
        for name, value in changes.items()
        if name not in flags and settings.variable_of(name) not in fixed
    ]
    words = own.with_argv(argv, fixed)
    at = len(container.get("command") or [])
    if at and container.get("args") and len(words) > at:
        container["command"], container["args"] = words[:at], words[at:]
    elif at:
        container["command"] = words
        container.pop("args", None)
    else:
        container["args"] = words


def _is_json(text: str) -> bool:
    return text.lstrip().startswith("{")


def _first_document(text: str, path: str) -> str:
    """A manifest's text up to where its first document ends: kubelet reads no further."""
    if not _MARK.search(text):
        return text
    yaml = YAML(typ="safe", pure=True)
    begun = 0
    try:
        for event in yaml.parse(io.StringIO(text)):
            if type(event).__name__ == "DocumentStartEvent":
                begun += 1
                if begun > 1:
                    return text[: event.start_mark.index]
            elif type(event).__name__ == "DocumentEndEvent" and begun == 1 and event.explicit:
                return text[: event.start_mark.index]
    except (YAMLError, ValueError, RecursionError) as err:
        if begun > 1:
            return text
        raise RequorumError(f"{path}: not YAML: {' '.join(str(err).split())}") from err
    return text


def _load(raw: bytes, path: str) -> dict[str, Any]:
    """The first document; the others are not kubelet's."""
    try:
        text = raw.decode()
        if _is_json(text):
            return _mapping(json.loads(text), path, "it")
        return _mapping(plain_yaml.load(_first_document(text, path)), path, "it")
    except (YAMLError, ValueError, RecursionError) as err:
        raise RequorumError(f"{path}: not YAML: {' '.join(str(err).split())}") from err


def _mapping(data: Any, path: str, what: str) -> dict[str, Any]:
    if not isinstance(data, dict):
        raise RequorumError(f"{path}: {what} must be a mapping", hint="is this a pod's manifest?")
    return data


def _rows(data: Mapping[str, Any], key: str, path: str) -> list[Any]:
    """A list of mappings."""
    rows = data.get(key) or []
    if not isinstance(rows, list):
        raise RequorumError(f"{path}: {key} must be a list")
    return [_mapping(one, path, f"each of {key}") for one in rows]


def _etcd_of(pod: Mapping[str, Any], path: str) -> Any:
    """The container that runs etcd: by the program that it starts, a shell's script included."""
    return next((one for one in _rows(pod, "containers", path) if command.means_etcd(_argv(one, path))), None)


def _argv(container: Mapping[str, Any], path: str) -> list[str]:
    words: list[str] = []
    for key in ("command", "args"):
        part = container.get(key) or []
        if not isinstance(part, list):
            raise RequorumError(f"{path}: {key} must be a list")
        words += [str(one) for one in part]
    return words


def _host_paths(pod: Mapping[str, Any], path: str) -> dict[str, str]:
    """The folders of the host that a pod has, by the names of its volumes."""
    return {
        str(one.get("name")): str(_mapping(one["hostPath"], path, "a hostPath").get("path", ""))
        for one in _rows(pod, "volumes", path)
        if one.get("hostPath")
    }


def _volumes(pod: Mapping[str, Any], container: Mapping[str, Any], path: str) -> dict[str, str]:
    """Where each mount of the container lies on the host, by its path in the container."""
    hosts = _host_paths(pod, path)
    found = {}
    for one in _rows(container, "volumeMounts", path):
        name = str(one.get("name"))
        if name not in hosts:
            continue
        if one.get("subPathExpr"):
            raise RequorumError(
                f"{path}: the subPathExpr of {name} is not understood", hint="name its folder in hostPath"
            )
        inside = os.path.normpath(str(one.get("mountPath", "")))
        found[inside] = os.path.join(hosts[name], str(one.get("subPath") or "")).rstrip("/")
    return found


def _host_path(inside: str, on_host: Mapping[str, str], path: str) -> str:
    """A path in the container as the host knows it, by the innermost mount that holds it."""
    wanted = os.path.normpath(inside)
    holding = [one for one in on_host if wanted == one or wanted.startswith(one.rstrip("/") + "/")]
    if not holding:
        raise RequorumError(
            f"{path}: {inside} is on no volume of the host", hint="what etcd writes there is lost with its container"
        )
    mount = max(holding, key=len)
    return os.path.normpath(on_host[mount] + "/" + wanted[len(mount.rstrip("/")) :].lstrip("/"))


def _set_flag(container: Any, name: str, value: str) -> None:
    """Give a flag another value, where it stands last: ``--name=value`` in one word, or in two."""
    words = [(key, at) for key in ("command", "args") for at in range(len(container.get(key) or []))]
    argv = [str(container[key][at]) for key, at in words]
    found = [one for one in settings.flags_of(argv) if one.name == name]
    for one in found:
        key, at = words[one.at]
        if one.count == 1:
            container[key][at] = f"--{name}={value}"
        else:
            key, at = words[one.at + 1]
            container[key][at] = value
    if not found:
        container["args" if container.get("args") else "command"].append(f"--{name}={value}")


def _indented_as(yaml: YAML, raw: bytes) -> None:
    """Write lists as the file does: kubeadm's dashes stand below their key, others' are indented."""
    lines = raw.decode().splitlines()
    for above, line in itertools.pairwise(lines):
        if above.rstrip().endswith(":") and line.lstrip().startswith("- "):
            deeper = len(line) - len(line.lstrip()) - (len(above) - len(above.lstrip()))
            yaml.indent(mapping=2, sequence=2 + deeper, offset=deeper)
            return
