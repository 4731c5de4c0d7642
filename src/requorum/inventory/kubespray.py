"""What a Kubespray inventory says of the hosts of etcd and of the control plane: how to reach them, how etcd runs there."""

import re
import shlex
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TypeVar

from requorum.inventory.ansible.templates import resolve
from requorum.inventory.ansible.values import AnsibleHost, AnsibleInventory, Vaulted

T = TypeVar("T")
ETCD, CONTROL_PLANE = "etcd", "control-plane"
ROLE_OF_GROUP = {
    "etcd": ETCD,
    "kube_control_plane": CONTROL_PLANE,
    "kube-master": CONTROL_PLANE,
    "kube_master": CONTROL_PLANE,
}
SECRETS = re.compile(r"ansible_(?:(?:ssh_|become_|sudo_|su_)?pass(?:word)?|(?:ssh_)?private_key(?:_passphrase)?)")
SSH_ARGUMENTS = ("ansible_ssh_args", "ansible_ssh_common_args", "ansible_ssh_extra_args")
BASTION = "bastion"
TRUE = ("true", "yes", "on", "1", "y", "t")


@dataclass(frozen=True, slots=True, kw_only=True)
class KubesprayHost:
    """One host. Strings are empty, and ``port`` is 0, where the inventory says nothing.

    ``become`` is what the inventory says; Kubespray's operators mostly say it on the command line (``-b``).
    ``ssh_arguments`` are those for ssh itself, in the order in which Ansible passes them. Passwords are not kept:
    ``notes`` says which are set, and which values only Ansible could work out.
    """

    name: str
    roles: tuple[str, ...]
    etcd_member_name: str
    address: str
    port: int
    user: str
    connection: str
    become: bool
    become_method: str
    become_user: str
    private_key_file: str
    ssh_arguments: tuple[str, ...]
    python: str
    etcd_deployment_type: str
    etcd_data_dir: str
    etcd_config_dir: str
    etcd_events_cluster_enabled: bool
    bin_dir: str
    notes: tuple[str, ...]


def kubespray_hosts(inventory: AnsibleInventory) -> tuple[KubesprayHost, ...]:
    """The hosts of etcd and of the control plane, sorted by name."""
    bastions = tuple(host.name for host in inventory.hosts if BASTION in (host.name, *host.groups))
    hosts = ((host, _roles(host)) for host in inventory.hosts)
    return tuple(_host(host, roles, bastions) for host, roles in hosts if roles)


def _roles(host: AnsibleHost) -> tuple[str, ...]:
    found = {ROLE_OF_GROUP[group] for group in host.groups if group in ROLE_OF_GROUP}
    return tuple(role for role in (ETCD, CONTROL_PLANE) if role in found)


@dataclass(slots=True)
class _Asked:
    """A host's variables as they are asked for, and what could not be answered."""

    host: AnsibleHost
    notes: list[str] = field(default_factory=list)

    def text(self, *names: str) -> str:
        """The last of some variables that is set: of two names for one thing, Ansible lets the older one win."""
        found = ""
        for name in names:
            value = self.host.variables.get(name)
            if value is None:
                continue
            text = resolve(value, self.host)
            if text is not None:
                found = text
            elif isinstance(value, Vaulted):
                self.notes.append(f"{name} is encrypted with ansible-vault")
            else:
                self.notes.append(f"{name} is set to what only Ansible can work out")
        return found

    def read(self, read: Callable[[str], T], otherwise: T, *names: str) -> T:
        """A variable in another form, or ``otherwise`` where it is not set or has not that form."""
        text = self.text(*names)
        try:
            return read(text) if text else otherwise
        except ValueError:
            self.notes.append(f"{names[0]} cannot be used as it is: {text[:80]!r}")
            return otherwise

    def true(self, name: str) -> bool:
        return self.text(name).lower() in TRUE


def _host(host: AnsibleHost, roles: tuple[str, ...], bastions: tuple[str, ...]) -> KubesprayHost:
    asked = _Asked(host)
    nothing: tuple[str, ...] = ()
    arguments = [asked.read(_words, nothing, name) for name in SSH_ARGUMENTS]
    kubeadm = asked.true("etcd_kubeadm_enabled")  # how Kubespray wrote it before 2.19
    found = KubesprayHost(
        name=host.name,
        roles=roles,
        etcd_member_name=asked.text("etcd_member_name"),
        address=asked.text("ansible_host", "ansible_ssh_host") or host.name,
        port=asked.read(_port, 0, "ansible_port", "ansible_ssh_port"),
        user=asked.text("ansible_user", "ansible_ssh_user"),
        connection=asked.text("ansible_connection") or "ssh",
        become=asked.true("ansible_become"),
        become_method=asked.text("ansible_become_method"),
        become_user=asked.text("ansible_become_user"),
        private_key_file=asked.text("ansible_private_key_file", "ansible_ssh_private_key_file"),
        ssh_arguments=tuple(one for some in arguments for one in some),
        python=asked.text("ansible_python_interpreter"),
        etcd_deployment_type=asked.text("etcd_deployment_type") or ("kubeadm" if kubeadm else ""),
        etcd_data_dir=asked.text("etcd_data_dir"),
        etcd_config_dir=asked.text("etcd_config_dir"),
        etcd_events_cluster_enabled=asked.true("etcd_events_cluster_enabled"),
        bin_dir=asked.text("bin_dir"),
        notes=(),
    )
    secrets = [f"{name} is set; it is not used" for name in sorted(host.variables) if SECRETS.fullmatch(name)]
    ways = [
        f"the inventory has a bastion host, {one}: Kubespray reaches the others through it"
        for one in bastions
        if one != host.name
    ]
    return replace(found, notes=tuple(dict.fromkeys((*asked.notes, *secrets, *ways))))


def _words(text: str) -> tuple[str, ...]:
    return tuple(shlex.split(text))


def _port(text: str) -> int:
    port = int(text)
    if not 0 < port < 1 << 16:
        raise ValueError(text)
    return port
