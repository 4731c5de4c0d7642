"""How the operator gets in: a key pair, known_hosts, ssh_config, and an inventory in Kubespray's style."""

import os
from collections.abc import Sequence
from pathlib import Path

from lab import kubespray
from lab.kubespray import Place
from lab.options import JUMP, Options
from lab.programs import run

KEY_TYPE = "ed25519"


def make_keys(folder: Path, hosts: Sequence[str]) -> None:
    """Write the operator's key pair (``id``) and a host key per host (``host-NAME``), known before the first login."""
    folder.mkdir(parents=True)
    folder.chmod(0o700)
    for name in ("id", *(f"host-{one}" for one in hosts)):
        run(["ssh-keygen", "-q", "-t", KEY_TYPE, "-N", "", "-C", f"requorum-lab-{name}", "-f", folder / name])


def login_user(jump: bool) -> str:
    """Whom the operator logs in as."""
    return "admin" if jump else "root"


def write(folder: Path, keys: Path, places: Sequence[Place], options: Options) -> None:
    """Write ``known_hosts``, ``ssh_config`` and ``inventory/`` into the lab's folder."""
    known = folder / "known_hosts"
    known.write_text("".join(f"{one.name},{one.address} {_public(keys / f'host-{one.name}')}\n" for one in places))
    user, jump = login_user(options.jump), options.jump
    config = folder / "ssh_config"
    lines: list[str] = []
    for one in places:
        lines += [f"Host {one.name} {one.address}", f"  HostName {one.address}"]
        lines += [f"  ProxyJump {JUMP}", ""] if jump and one.name != JUMP else [""]
    lines += ["Host *", f"  User {user}", f"  IdentityFile {_quoted(keys / 'id')}", "  IdentitiesOnly yes"]
    lines += [f"  UserKnownHostsFile {_quoted(known)}", "  GlobalKnownHostsFile /dev/null"]
    lines += ["  StrictHostKeyChecking yes", "  PasswordAuthentication no", "  ConnectTimeout 10"]
    # The default takes ten times as long, at each of thousands of logins.
    lines += ["  KexAlgorithms curve25519-sha256"]
    config.write_text("\n".join(lines) + "\n")
    nodes = [one for one in places if one.name != JUMP]
    groups = kubespray.groups_of(nodes)
    inventory = folder / "inventory"
    (inventory / "group_vars" / "all").mkdir(parents=True)
    (inventory / "hosts.yaml").write_text(kubespray.hosts_yaml(nodes, groups, user, keys / "id", config))
    (inventory / "inventory.ini").write_text(kubespray.inventory_ini(nodes, groups, user, keys / "id", config))
    (inventory / "group_vars" / "all" / "etcd.yml").write_text(
        kubespray.group_vars("kubeadm" if options.static_pods else "host")
    )


def write_sshd(root: Path, keys: Path, place: Place, jump_address: str) -> None:
    """Give a host its key and its settings; with ``jump_address``, admin alone gets in, and from there alone."""
    for path in (keys / f"host-{place.name}", keys / f"host-{place.name}.pub"):
        target = root / "etc/ssh" / f"ssh_host_{KEY_TYPE}_key{path.suffix}"
        target.write_bytes(path.read_bytes())
        target.chmod(0o644 if path.suffix else 0o600)
    lines = [f"HostKey /etc/ssh/ssh_host_{KEY_TYPE}_key", "PasswordAuthentication no"]
    if jump_address:
        allowed = "admin" if place.name == JUMP else f"admin@{jump_address}"
        lines += ["PermitRootLogin no", f"AllowUsers {allowed}"]
    (root / "etc/ssh/sshd_config.d/lab.conf").write_text("\n".join(lines) + "\n")
    for user, home in (("root", "root"), ("admin", "home/admin")):
        folder = root / home / ".ssh"
        folder.mkdir(mode=0o700, exist_ok=True)
        (folder / "authorized_keys").write_text(_public(keys / "id") + "\n")
        uid, gid = ids_of(root, user)
        os.chown(folder, uid, gid)
        os.chown(folder / "authorized_keys", uid, gid)


def ids_of(root: Path, user: str) -> tuple[int, int]:
    """A user's and its group's number on a host."""
    for line in (root / "etc/passwd").read_text().splitlines():
        words = line.split(":")
        if words[0] == user:
            return int(words[2]), int(words[3])
    raise KeyError(user)


def _public(key: Path) -> str:
    return " ".join(key.with_name(key.name + ".pub").read_text().split()[:2])


def _quoted(path: Path) -> str:
    return f'"{path}"'
