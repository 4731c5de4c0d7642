"""The files that Kubespray leaves on a host with external etcd, and its inventory, as text. Nothing here acts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lab.options import Options

CERTIFICATES = "/etc/ssl/etcd/ssl"
SERVICES = ("kubelet", "kube-apiserver", "kube-controller-manager", "kube-scheduler")
"""Placeholders: units that run and come back as the real ones do, and talk to nobody."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A host by name, member name and address."""

    name: str
    etcd_name: str
    address: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """An etcd cluster of the hosts: its unit, and what tells it from the other one."""

    unit: str
    data_dir: str
    token: str
    suffix: str
    client_port: int
    peer_port: int


MAIN = Cluster(unit="etcd", data_dir="/var/lib/etcd", token="k8s_etcd", suffix="", client_port=2379, peer_port=2380)  # noqa: S106 - the name of a cluster, not a secret
EVENTS = Cluster(
    unit="etcd-events",
    data_dir="/var/lib/etcd-events",
    token="k8s_events_etcd",  # noqa: S106 - the name of a cluster, not a secret
    suffix="-events",
    client_port=2383,
    peer_port=2382,
)


def environment(cluster: Cluster, place: Place, places: Sequence[Place], options: Options, state: str) -> str:
    """The environment file of a member; ``state`` is new or existing."""
    client = f"https://{place.address}:{cluster.client_port}"
    peer = f"https://{place.address}:{cluster.peer_port}"
    together = ",".join(f"{one.etcd_name}{cluster.suffix}=https://{one.address}:{cluster.peer_port}" for one in places)
    member = f"{CERTIFICATES}/member-{place.name}"
    admin = f"{CERTIFICATES}/admin-{place.name}"
    lines = [
        "# Environment file for etcd" if cluster == MAIN else "",
        f"ETCD_DATA_DIR={cluster.data_dir}",
        f"ETCD_WAL_DIR={wal_dir(cluster, options)}" if options.wal_dir else "",
        f"ETCD_ADVERTISE_CLIENT_URLS={client}",
        f"ETCD_INITIAL_ADVERTISE_PEER_URLS={peer}",
        f"ETCD_INITIAL_CLUSTER_STATE={state}",
        "ETCD_METRICS=basic",
        f"ETCD_LISTEN_CLIENT_URLS={client},https://127.0.0.1:{cluster.client_port}",
        "ETCD_ELECTION_TIMEOUT=5000",
        "ETCD_HEARTBEAT_INTERVAL=250",
        f"ETCD_INITIAL_CLUSTER_TOKEN={cluster.token}",
        f"ETCD_LISTEN_PEER_URLS={peer}",
        f"ETCD_NAME={place.etcd_name}{cluster.suffix}",
        "ETCD_PROXY=off",
        f"ETCD_INITIAL_CLUSTER={together}",
        "ETCD_AUTO_COMPACTION_RETENTION=8",
        f"ETCD_SNAPSHOT_COUNT={options.snapshot_count}",
        f"ETCD_QUOTA_BACKEND_BYTES={options.quota}",
        "# TLS settings",
        f"ETCD_TRUSTED_CA_FILE={CERTIFICATES}/ca.pem",
        f"ETCD_CERT_FILE={member}.pem",
        f"ETCD_KEY_FILE={member}-key.pem",
        "ETCD_CLIENT_CERT_AUTH=true",
        f"ETCD_PEER_TRUSTED_CA_FILE={CERTIFICATES}/ca.pem",
        f"ETCD_PEER_CERT_FILE={member}.pem",
        f"ETCD_PEER_KEY_FILE={member}-key.pem",
        "ETCD_PEER_CLIENT_CERT_AUTH=True",
        "ETCD_EXPERIMENTAL_INITIAL_CORRUPT_CHECK=true",
        "ETCD_EXPERIMENTAL_WATCH_PROGRESS_NOTIFY_INTERVAL=5s",
        "# CLI settings",
        f"ETCDCTL_ENDPOINTS=https://127.0.0.1:{cluster.client_port}",
        f"ETCDCTL_CACERT={CERTIFICATES}/ca.pem",
        f"ETCDCTL_KEY={admin}-key.pem",
        f"ETCDCTL_CERT={admin}.pem",
    ]
    parts = [f"\n{one}" if one.startswith("# ") and n else one for n, one in enumerate(lines) if one]
    return "\n".join(parts) + "\n"


def wal_dir(cluster: Cluster, options: Options) -> str:
    """The WAL dir of a cluster's members; empty where it is in the data dir."""
    return f"{options.wal_dir}{cluster.suffix}" if options.wal_dir else ""


def etcd_unit(cluster: Cluster, user: str) -> str:
    """The unit of a member."""
    return (
        "[Unit]\nDescription=etcd\nAfter=network.target\n\n"
        f"[Service]\nType=notify\nUser={user}\nEnvironmentFile=/etc/{cluster.unit}.env\n"
        "ExecStart=/usr/local/bin/etcd\nNotifyAccess=all\nRestart=always\nRestartSec=10s\nLimitNOFILE=40000\n\n"
        "[Install]\nWantedBy=multi-user.target\n"
    )


def service_unit(name: str) -> str:
    """A placeholder's unit."""
    return (
        f"[Unit]\nDescription={name} (a placeholder of the lab)\nAfter=network.target\n\n"
        "[Service]\nExecStart=/bin/sleep infinity\nRestart=always\nRestartSec=10s\n\n"
        "[Install]\nWantedBy=multi-user.target\n"
    )


def network_unit(address: str, gateway: str) -> str:
    """The unit that gives a host its address, and shares its mounts as a real host does."""
    return (
        "[Unit]\nDescription=the address of the host\nDefaultDependencies=no\nBefore=network.target\n\n"
        "[Service]\nType=oneshot\nRemainAfterExit=yes\n"
        f"ExecStart=/bin/ip address replace {address}/24 dev host0\nExecStart=/bin/ip link set host0 up\n"
        f"ExecStart=/bin/ip route replace default via {gateway}\nExecStart=/bin/mount --make-rshared /\n\n"
        "[Install]\nWantedBy=multi-user.target\n"
    )


def groups_of(places: Sequence[Place]) -> dict[str, list[Place]]:
    """Kubespray's groups: all hosts are in all, but for a host with the control plane alone, which then no other has."""
    control = [one for one in places if not one.etcd_name]
    return {
        "kube_control_plane": control or list(places),
        "kube_node": list(places),
        "etcd": [one for one in places if one.etcd_name],
    }


def hosts_yaml(
    places: Sequence[Place], groups: Mapping[str, Sequence[Place]], user: str, key: Path, ssh_config: Path
) -> str:
    """The inventory as YAML."""
    lines = ["all:", "  hosts:"]
    for one in places:
        lines += [f"    {one.name}:", f"      ansible_host: {one.address}", f"      ip: {one.address}"]
        lines += [f"      access_ip: {one.address}"]
        lines += [f"      etcd_member_name: {one.etcd_name}"] if one.etcd_name else []
    lines += ["  vars:", *(f"    {name}: {value}" for name, value in _login(user, key, ssh_config)), "  children:"]
    for group, members in groups.items():
        lines += [f"    {group}:", "      hosts:", *(f"        {one.name}:" for one in members)]
    lines += ["    k8s_cluster:", "      children:", "        kube_control_plane:", "        kube_node:"]
    return "\n".join(lines) + "\n"


def inventory_ini(
    places: Sequence[Place], groups: Mapping[str, Sequence[Place]], user: str, key: Path, ssh_config: Path
) -> str:
    """The same inventory as INI."""
    described = {"kube_control_plane", "etcd"}
    lines: list[str] = []
    for group, members in groups.items():
        lines.append(f"[{group}]")
        for one in members:
            about = f" ansible_host={one.address} ip={one.address} access_ip={one.address}"
            about += f" etcd_member_name={one.etcd_name}" if one.etcd_name else ""
            lines.append(one.name + (about if group in described else ""))
        lines.append("")
    lines += ["[k8s_cluster:children]", "kube_control_plane", "kube_node", "", "[all:vars]"]
    lines += [f"{name}={value}" for name, value in _login(user, key, ssh_config)]
    return "\n".join(lines) + "\n"


def _login(user: str, key: Path, ssh_config: Path) -> list[tuple[str, str]]:
    return [
        ("ansible_user", user),
        ("ansible_become", "true"),
        ("ansible_ssh_private_key_file", str(key)),
        ("ansible_ssh_common_args", f"'-F {ssh_config}'"),
    ]


def group_vars(deployment_type: str) -> str:
    """What a Kubespray operator sets for etcd."""
    return f"---\netcd_data_dir: {MAIN.data_dir}\netcd_deployment_type: {deployment_type}\n"
