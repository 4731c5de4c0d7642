"""etcd's static pod as its manifest says it: flags, variables, image, and where the container's paths lie on the host.

Paths in it are the container's; a member's files are the host's, so every path is carried through the volume that holds
it.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from requorum.deployments import settings
from requorum.errors import RequorumError

PATHS = (
    *("data-dir", "wal-dir", "trusted-ca-file", "cert-file", "key-file"),
    *("peer-trusted-ca-file", "peer-cert-file", "peer-key-file", "config-file"),
)
"""Settings that name files or folders in the container."""
FOLDER = Path("/etc/kubernetes/manifests")
"""Where kubelet finds its static pods unless it is configured otherwise."""
_PROGRAM = "etcd"


@dataclass(frozen=True, slots=True, kw_only=True)
class EtcdPod:
    """The pod that runs etcd. ``settings`` are under the flags' names, their paths the host's; ``container`` is its name
    in the pod."""

    name: str
    namespace: str
    container: str
    image: str
    settings: Mapping[str, str]


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
    )


def _load(raw: bytes, path: str) -> dict[str, Any]:
    try:
        data = YAML(typ="safe", pure=True).load(raw.decode())
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
