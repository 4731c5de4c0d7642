"""The inventory: which hosts there are, what each is for, and how etcd is deployed there.

    schema: requorum/Inventory/v1
    cluster: demo                     # default: the name of the folder that the file is in
    tools: /opt/etcd                  # where etcd, etcdctl and etcdutl lie; default: the PATH
    snapshots: [backups/monday.db]    # files to recover from when the disks do not suffice
    hosts:
      m1:
        roles: [etcd]
        etcd: {deployment: process, config: m1/etcd.yaml}

It names hosts and roles only: member names, URLs, directories and certificates come from each member's own
configuration. Paths are relative to the file's folder.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from requorum.errors import UsageError
from requorum.etcdfiles.faults import open_regular

SCHEMA = "requorum/Inventory/v1"
ROLES = ("etcd", "control-plane")


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessDeployment:
    """etcd as a plain process, started as ``etcd --config-file CONFIG``. ``log`` is where its output goes."""

    config: str
    log: str

    @property
    def config_file(self) -> Path:
        """The config file."""
        return Path(self.config)

    @property
    def log_file(self) -> Path:
        """The log file."""
        return Path(self.log)


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """One host, its roles, and its etcd."""

    name: str
    roles: tuple[str, ...]
    etcd: ProcessDeployment


@dataclass(frozen=True, slots=True, kw_only=True)
class Inventory:
    """The hosts of one cluster. ``tools`` is where to look for etcd's programs first."""

    path: Path
    cluster: str
    hosts: tuple[Host, ...]
    tools: Path | None
    snapshots: tuple[Path, ...]

    @property
    def folder(self) -> Path:
        """The folder that the file is in."""
        return self.path.parent


def load(path: Path) -> Inventory:
    """Read an inventory file; raises UsageError that names the line or the key at fault."""
    try:
        with open(path, "rb", opener=open_regular) as file:
            data = YAML(typ="safe", pure=True).load(file.read().decode())
    except OSError as err:
        raise UsageError(f"{path}: {err.strerror}", hint="name the inventory with -i FILE") from err
    except MarkedYAMLError as err:
        mark = err.problem_mark
        where = f", line {mark.line + 1}" if mark else ""
        raise UsageError(f"{path}{where}: not YAML: {err.problem}") from err
    except (YAMLError, ValueError, RecursionError) as err:
        raise UsageError(f"{path}: not YAML: {' '.join(str(err).split())}") from err
    return _Reader(path.resolve()).inventory(data)


class _Reader:
    def __init__(self, path: Path) -> None:
        self.path = path

    def fail(self, what: str, hint: str = "") -> UsageError:
        return UsageError(f"{self.path}: {what}", hint=hint)

    def mapping(self, data: Any, where: str, allowed: tuple[str, ...]) -> dict[str, Any]:
        if not isinstance(data, dict):
            raise self.fail(f"{where} must be a mapping")
        for key in data:
            if key not in allowed:
                raise self.fail(f"{where} has an unknown key {key!r}", hint=f"known keys: {', '.join(allowed)}")
        return data

    def below(self, value: Any, where: str) -> Path:
        if not isinstance(value, str) or not value or "\0" in value:
            raise self.fail(f"{where} must be a path")
        return self.path.parent / Path(value).expanduser()

    def inventory(self, data: Any) -> Inventory:
        top = self.mapping(data, "the file", ("schema", "cluster", "tools", "snapshots", "hosts"))
        if top.get("schema") != SCHEMA:
            raise self.fail(f"its schema is {top.get('schema')!r}, not {SCHEMA!r}")
        hosts = top.get("hosts")
        if not isinstance(hosts, dict) or not hosts:
            raise self.fail("hosts must be a mapping of host names, and not empty")
        snapshots = top.get("snapshots") or []
        if not isinstance(snapshots, list):
            raise self.fail("snapshots must be a list of paths")
        cluster = str(top.get("cluster") or self.path.parent.name)
        if not cluster.replace("-", "").replace("_", "").replace(".", "").isalnum():
            raise self.fail(f"the cluster's name {cluster!r} has characters other than letters, digits and -_.")
        return Inventory(
            path=self.path,
            cluster=cluster,
            hosts=tuple(self.host(str(name), body) for name, body in hosts.items()),
            tools=self.below(top["tools"], "tools") if top.get("tools") else None,
            snapshots=tuple(self.below(one, "snapshots") for one in snapshots),
        )

    def host(self, name: str, body: Any) -> Host:
        where = f"host {name}"
        data = self.mapping(body, where, ("roles", "etcd"))
        roles = data.get("roles") or ["etcd"]
        if not isinstance(roles, list) or any(one not in ROLES for one in roles):
            raise self.fail(f"{where}: roles must be a list out of {', '.join(ROLES)}")
        etcd = self.mapping(data.get("etcd"), f"{where}: etcd", ("deployment", "config", "log"))
        if etcd.get("deployment") != "process":
            raise self.fail(f"{where}: deployment {etcd.get('deployment')!r} is not known", hint="known: process")
        config = self.below(etcd.get("config"), f"{where}: config")
        log = self.below(etcd["log"], f"{where}: log") if etcd.get("log") else config.with_suffix(".log")
        return Host(name=name, roles=tuple(roles), etcd=ProcessDeployment(config=str(config), log=str(log)))
