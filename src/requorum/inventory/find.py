"""Which inventory is meant: requorum's own file, Ansible's, or plain host names."""

from dataclasses import replace
from pathlib import Path

from requorum.errors import Refused, UsageError
from requorum.hosts.address import Address
from requorum.inventory import inventory as own
from requorum.inventory.ansible import inventory as ansible
from requorum.inventory.inventory import Host, Inventory
from requorum.inventory.kubespray import KubesprayHost, kubespray_hosts
from requorum.inventory.values import StaticPodDeployment, SystemdDeployment

DEFAULTS = ("requorum.yaml", "inventory.yaml")
_BOTH = ("etcd", "control-plane")


def open_inventory(path: Path | None, hosts: str = "") -> Inventory:
    """The hosts that were named, the inventory that was, or the one that lies here."""
    if hosts:
        if path is not None:
            return _only(own.load(path) if _is_own(path) else _of_ansible(path), hosts)
        return _plain(hosts)
    if path is None:
        path = next((Path(name) for name in DEFAULTS if Path(name).is_file()), None)
    if path is None:
        raise UsageError(
            "no inventory was named",
            hint="name one with -i FILE or hosts with --hosts A,B,C, or give data dirs: requorum survey DIR…",
        )
    return own.load(path) if _is_own(path) else _of_ansible(path)


def _of_ansible(path: Path) -> Inventory:
    """The etcd and control-plane hosts of an Ansible inventory; its folder's name is the cluster's."""
    read = ansible.load(path)
    found = kubespray_hosts(read)
    if not any("etcd" in one.roles for one in found):
        raise UsageError(
            f"{path}: no host is in the group etcd",
            hint="Kubespray's inventories have that group; otherwise name the hosts: --hosts A,B,C",
        )
    those = [one.name for one in found if one.etcd_deployment_type == "docker"]
    if those:
        raise Refused(
            f"{path}: etcd_deployment_type is docker ({', '.join(those)}): etcd runs in Docker containers, which requorum "
            f"does not recover",
            changed="nothing was changed",
            hint="copy the members' data dirs and look at them: requorum survey DIR…; requorum rebuild DIR… -o FILE",
        )
    folder = path.resolve() if path.is_dir() else path.resolve().parent
    name = "".join(char if char.isalnum() or char in "-_." else "-" for char in folder.name) or "etcd"
    notes = [f"{one.name}: {note}" for one in found for note in one.notes]
    return Inventory(
        path=path.resolve(),
        cluster=name,
        hosts=tuple(_host(one) for one in found),
        tools=None,
        snapshots=(),
        notes=tuple(dict.fromkeys((*read.notes, *notes))),
    )


def _host(one: KubesprayHost) -> Host:
    address = Address(
        host=one.address,
        local=one.connection == "local",
        user=one.user,
        port=one.port,
        key=one.private_key_file,
        ssh_args=one.ssh_arguments,
        python=one.python,
    )
    etcd = StaticPodDeployment() if one.etcd_deployment_type == "kubeadm" else SystemdDeployment()
    return Host(name=one.name, roles=one.roles, etcd=etcd, address=address, member=one.etcd_member_name)


def _is_own(path: Path) -> bool:
    """Whether a file is requorum's own; what is no Ansible inventory either is read as one, for its error."""
    if path.is_dir():
        return False
    try:
        text = path.read_bytes()[:65536] if path.is_file() else b""
    except OSError:
        return True
    return not path.is_file() or own.SCHEMA.split("/")[0].encode() + b"/Inventory" in text or b"schema:" in text


def _plain(hosts: str) -> Inventory:
    names = [one.strip() for one in hosts.split(",") if one.strip()]
    if not names or any(one.startswith("-") for one in names):
        raise UsageError(f"--hosts {hosts!r} names no host")
    found = []
    for name in names:
        user, at, host = name.rpartition("@")
        local = host in ("localhost", "127.0.0.1")
        address = Address(host=host, user=user if at else "", local=local)
        found.append(Host(name=host, roles=_BOTH, etcd=SystemdDeployment(), address=address, assumed=True))
    return Inventory(path=Path.cwd() / "--hosts", cluster="etcd", hosts=tuple(found), tools=None, snapshots=())


def _only(inventory: Inventory, hosts: str) -> Inventory:
    wanted = {one.strip() for one in hosts.split(",") if one.strip()}
    unknown = wanted - {one.name for one in inventory.hosts}
    if unknown:
        raise UsageError(f"{', '.join(sorted(unknown))}: not in {inventory.path}")
    return replace(inventory, hosts=tuple(one for one in inventory.hosts if one.name in wanted))
