"""The inventory: which hosts there are, what each is for, and how etcd is deployed there.

    schema: requorum/Inventory/v1
    cluster: demo                     # default: the name of the folder that the file is in
    tools: /opt/etcd                  # where etcd, etcdctl and etcdutl lie; default: the PATH
    snapshots: [backups/monday.db]    # files to recover from when the disks do not suffice
    hosts:
      node1: {roles: [etcd, control-plane], address: 192.168.0.150, user: admin}    # over ssh; etcd is a systemd unit
      cp1: {address: 192.168.0.160, etcd: {deployment: static-pod}}                 # etcd is a static pod (kubeadm)
      m1: {etcd: {deployment: process, config: m1/etcd.yaml}}                       # a plain process on this machine

It names hosts and roles only: member names, URLs, directories and certificates come from each member's own
configuration. Paths are relative to the file's folder.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml.error import MarkedYAMLError, YAMLError

from requorum.errors import UsageError
from requorum.etcdfiles.faults import open_regular
from requorum.hosts.address import HERE, Address
from requorum.hosts.location import location
from requorum.inventory import plain_yaml
from requorum.inventory.values import ProcessDeployment, StaticPodDeployment, SystemdDeployment

SCHEMA = "requorum/Inventory/v1"
ROLES = ("etcd", "control-plane")


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """One host, its roles, how it is reached, and how etcd is deployed there; ``member`` where the inventory names it.

    ``assumed``: nobody said what the host is for; one that has an API server and no etcd is no member.
    """

    name: str
    roles: tuple[str, ...]
    etcd: ProcessDeployment | SystemdDeployment | StaticPodDeployment
    address: Address = HERE
    member: str = ""
    assumed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Inventory:
    """The hosts of one cluster. ``tools`` is where to look for etcd's programs first."""

    path: Path
    cluster: str
    hosts: tuple[Host, ...]
    tools: Path | None
    snapshots: tuple[str, ...]
    notes: tuple[str, ...] = ()

    @property
    def folder(self) -> Path:
        """The folder that the file is in."""
        return self.path.parent


def load(path: Path) -> Inventory:
    """Read an inventory file; raises UsageError that names the line or the key at fault."""
    try:
        with open(path, "rb", opener=open_regular) as file:
            data = plain_yaml.load(file.read().decode())
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

    def snapshot(self, value: Any, hosts: dict[Any, Any]) -> str:
        """A file beside the inventory, or ``HOST:PATH``."""
        place = location(str(value), {str(host) for host in hosts})
        return str(place) if place.host and place.whole else str(self.below(value, "snapshots"))

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
            snapshots=tuple(self.snapshot(one, hosts) for one in snapshots),
        )

    def host(self, name: str, body: Any) -> Host:
        where = f"host {name}"
        known = ("roles", "etcd", "address", "user", "port", "key", "ssh_args", "python", "local")
        data = self.mapping(body or {}, where, known)
        roles = data.get("roles") or ["etcd"]
        if not isinstance(roles, list) or any(one not in ROLES for one in roles):
            raise self.fail(f"{where}: roles must be a list out of {', '.join(ROLES)}")
        etcd = data.get("etcd") or {}
        kind = etcd.get("deployment", "systemd") if isinstance(etcd, dict) else ""
        keys = {
            "systemd": ("deployment", "unit"),
            "static-pod": ("deployment", "manifest"),
            "process": ("deployment", "config", "log"),
        }
        self.mapping(etcd, f"{where}: etcd", keys.get(str(kind), ("deployment",)))
        if kind == "systemd":
            address = self.address(name, data, where)
            unit = str(etcd.get("unit") or "etcd")
            unit = unit if unit.endswith(".service") else f"{unit}.service"
            return Host(name=name, roles=tuple(roles), etcd=SystemdDeployment(unit=unit), address=address)
        if kind == "static-pod":
            manifest = str(etcd.get("manifest") or "")
            if manifest and not manifest.startswith("/"):
                raise self.fail(f"{where}: manifest must be a whole path")
            pod = StaticPodDeployment(manifests=(manifest,) if manifest else ())
            return Host(name=name, roles=tuple(roles), etcd=pod, address=self.address(name, data, where))
        if kind != "process":
            raise self.fail(f"{where}: deployment {kind!r} is not known", hint="known: systemd, static-pod, process")
        config = self.below(etcd.get("config"), f"{where}: config")
        log = self.below(etcd["log"], f"{where}: log") if etcd.get("log") else config.with_suffix(".log")
        deployment = ProcessDeployment(config=str(config), log=str(log))
        remote = any(data.get(key) for key in ("address", "user", "port", "key", "ssh_args"))
        address = self.address(name, data, where) if remote else HERE
        return Host(name=name, roles=tuple(roles), etcd=deployment, address=address)

    def address(self, name: str, data: dict[str, Any], where: str) -> Address:
        port, words = data.get("port") or 0, data.get("ssh_args") or []
        if not isinstance(port, int) or not 0 <= port < 65536:
            raise self.fail(f"{where}: port must be a number")
        if not isinstance(words, list) or any(not isinstance(one, str) for one in words):
            raise self.fail(f"{where}: ssh_args must be a list of words")
        host = str(data.get("address") or name)
        if host.startswith("-"):
            raise self.fail(f"{where}: {host!r} is no address")
        return Address(
            host=host,
            local=bool(data.get("local", False)),
            user=str(data.get("user") or ""),
            port=port,
            key=str(data.get("key") or ""),
            ssh_args=tuple(words),
            python=str(data.get("python") or ""),
        )
