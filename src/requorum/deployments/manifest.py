"""etcd's static pod as its manifest says it: flags, variables, image, and where the container's paths lie on the host.

A manifest is read as YAML, and changed as little as possible: comments, order and quotes stay. Paths in it are the
container's; a member's files are the host's, so every path is carried through the volume that holds it.
"""

import io
import itertools
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from ruamel.yaml.representer import RoundTripRepresenter

from requorum.deployments import settings
from requorum.errors import RequorumError
from requorum.inventory import plain_yaml

PATHS = (
    *("data-dir", "wal-dir", "trusted-ca-file", "cert-file", "key-file"),
    *("peer-trusted-ca-file", "peer-cert-file", "peer-key-file", "config-file"),
)
"""Settings that name files or folders in the container."""
_PROGRAM = "etcd"


class _Representer(RoundTripRepresenter):
    """Writes ``null`` for nothing, as Kubernetes does."""


_Representer.add_representer(type(None), lambda own, _: own.represent_scalar("tag:yaml.org,2002:null", "null"))


@dataclass(frozen=True, slots=True, kw_only=True)
class EtcdPod:
    """The pod that runs etcd. ``settings`` are under the flags' names, their paths the host's; ``container`` is its name
    in the pod, ``user`` the number of whom it runs as (0 where nothing is said)."""

    name: str
    namespace: str
    container: str
    image: str
    settings: Mapping[str, str]
    user: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Pod:
    """Any static pod: its name, and the command line of each of its containers."""

    name: str
    namespace: str
    commands: tuple[tuple[str, ...], ...]


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


def read(raw: bytes, path: str) -> EtcdPod | None:
    """The etcd of a manifest; None where another pod is meant. Raises RequorumError for what is no manifest, or names a
    path that is on no volume of the host."""
    data = _load(raw, path)
    if data.get("kind") != "Pod":
        return None
    pod = _mapping(data.get("spec"), path, "spec")
    container = _etcd_of(pod, path)
    if container is None:
        return None
    about = _mapping(data.get("metadata") or {}, path, "metadata")
    found = {
        **settings.from_variables(_environment(container, path)),
        **settings.from_flags(_argv(container, path), {}),
    }
    on_host = _volumes(pod, container, path)
    return EtcdPod(
        name=str(about.get("name", "")),
        namespace=str(about.get("namespace", "default")),
        container=str(container.get("name", "")),
        image=str(container.get("image", "")),
        settings={name: _host_path(value, on_host, path) if name in PATHS else value for name, value in found.items()},
        user=_user(pod, container, path),
    )


def _user(pod: Mapping[str, Any], container: Mapping[str, Any], path: str) -> int:
    """runAsUser, the container's before the pod's."""
    for one in (container, pod):
        said = _mapping(one.get("securityContext") or {}, path, "securityContext").get("runAsUser")
        if isinstance(said, int) and said >= 0:
            return said
    return 0


def edited(raw: bytes, changes: Mapping[str, str], path: str) -> bytes:
    """A manifest in which etcd has other values for some flags; a flag that it lacks is added behind the others."""
    if read(raw, path) is None:
        raise RequorumError(f"{path}: it runs no etcd")
    yaml = YAML()
    yaml.Representer = _Representer
    yaml.preserve_quotes = True
    yaml.width = 100000
    data = yaml.load(raw.decode())
    container = _etcd_of(_mapping(data, path, "it").get("spec") or {}, path)
    variables = {settings.variable_of(name): name for name in changes}
    by_variable = set()
    for one in container.get("env") or []:
        name = variables.get(str(one.get("name")))
        if name and not _flag_of(container, name):
            one["value"] = changes[name]
            by_variable.add(name)
    for name, value in changes.items():
        if name not in by_variable:
            _set_flag(container, name, value)
    out = io.StringIO()
    _indented_as(yaml, raw)
    yaml.dump(data, out)
    return out.getvalue().encode()


def _load(raw: bytes, path: str) -> dict[str, Any]:
    try:
        data = plain_yaml.load(raw.decode())
    except (YAMLError, ValueError, RecursionError) as err:
        raise RequorumError(f"{path}: not YAML: {' '.join(str(err).split())}") from err
    return _mapping(data, path, "it")


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
    """The container that runs etcd: by the program that it starts."""
    for one in _rows(pod, "containers", path):
        argv = _argv(one, path)
        if argv and os.path.basename(argv[0]) == _PROGRAM:
            return one
    return None


def _argv(container: Mapping[str, Any], path: str) -> list[str]:
    words: list[str] = []
    for key in ("command", "args"):
        part = container.get(key) or []
        if not isinstance(part, list):
            raise RequorumError(f"{path}: {key} must be a list")
        words += [str(one) for one in part]
    return words


def _environment(container: Mapping[str, Any], path: str) -> dict[str, str]:
    return {str(one.get("name")): str(one.get("value", "")) for one in _rows(container, "env", path)}


def _volumes(pod: Mapping[str, Any], container: Mapping[str, Any], path: str) -> dict[str, str]:
    """Where each mount of the container lies on the host, by its path in the container."""
    hosts = {
        str(one.get("name")): str(_mapping(one["hostPath"], path, "a hostPath").get("path", ""))
        for one in _rows(pod, "volumes", path)
        if one.get("hostPath")
    }
    return {
        os.path.normpath(str(one.get("mountPath", ""))): os.path.join(
            hosts[name], str(one.get("subPath") or "")
        ).rstrip("/")
        for one in _rows(container, "volumeMounts", path)
        if (name := str(one.get("name"))) in hosts
    }


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


def _flag_of(container: Mapping[str, Any], name: str) -> bool:
    return any(
        str(word).startswith("-") and str(word).lstrip("-").partition("=")[0] == name
        for key in ("command", "args")
        for word in container.get(key) or []
    )


def _set_flag(container: Any, name: str, value: str) -> None:
    """Give a flag another value, where it stands: ``--name=value`` in one word, or in two."""
    for key in ("command", "args"):
        words = container.get(key) or []
        for at, word in enumerate(words):
            text = str(word)
            if not text.startswith("-") or text.lstrip("-").partition("=")[0] != name:
                continue
            if "=" in text or at + 1 >= len(words) or str(words[at + 1]).startswith("-"):
                words[at] = f"--{name}={value}"
            else:
                words[at + 1] = value
            return
    container["args" if container.get("args") else "command"].append(f"--{name}={value}")


def _indented_as(yaml: YAML, raw: bytes) -> None:
    """Write lists as the file does: kubeadm's dashes stand below their key, others' are indented."""
    lines = raw.decode().splitlines()
    for above, line in itertools.pairwise(lines):
        if above.rstrip().endswith(":") and line.lstrip().startswith("- "):
            deeper = len(line) - len(line.lstrip()) - (len(above) - len(above.lstrip()))
            yaml.indent(mapping=2, sequence=2 + deeper, offset=deeper)
            return
