"""The written procedure as a plain script: its commands only, no sleeps, no compression; and its floor.

Serial, it does host after host, as the procedure is written; parallel, the same work on all hosts at once, without any
check, the source known: about the least that it can take. The starts are 0.7 s apart or more in both: closer
together, the initial corruption check would hold the members for 15 s (measured), which is not what is to be compared.
"""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from lab import staticpods
from lab.disk import etcd_image
from lab.kubespray import CERTIFICATES, MAIN
from lab.lab import Lab

SERVICES = ("kubelet", "kube-scheduler", "kube-controller-manager", "kube-apiserver")
STOPPED = ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "etcd")
DATA, ASIDE = "/var/lib/etcd", "/var/lib/etcd.bak"
PHASES = ("stop", "survey", "set aside", "ship", "restore", "start", "services")


@dataclass(frozen=True, slots=True, kw_only=True)
class Ways:
    """How a thing is done on hosts of one kind. ``tools`` comes before the name of a program of etcd."""

    stop: str
    tools: str
    tls: str
    start: str
    services: str


UNITS = Ways(
    stop=f"systemctl stop {' '.join(STOPPED)}",
    tools="",
    tls=f"--cacert={CERTIFICATES}/ca.pem --cert={CERTIFICATES}/admin-node1.pem --key={CERTIFICATES}/admin-node1-key.pem",
    start="systemctl start --no-block etcd",
    services=f"systemctl start {' '.join(SERVICES)}",
)


def pods(lab: Lab) -> Ways:
    """Static pods: kubelet is stopped, then the containers are, and kubelet brings all pods back; etcd's programs are in
    its image only, which is mounted."""
    image, view = etcd_image(lab.options), "/mnt/etcd-image"
    client = f"{staticpods.PKI}/healthcheck-client"
    names = "etcd kube-apiserver kube-controller-manager kube-scheduler"
    ids = 'ctr -n k8s.io containers list -q "labels.\\"io.kubernetes.container.name\\"==$one"'
    gone = f"for one in {names}; do while pgrep -x -- $(echo $one | cut -c1-15) >/dev/null; do :; done; done"
    return Ways(
        stop=(
            f"systemctl stop kubelet; for one in {names}; do for id in $({ids}); do "
            f"ctr -n k8s.io tasks kill -s SIGTERM $id 2>/dev/null; done; done; {gone}; mkdir -p {view}; "
            f"mountpoint -q {view} || ctr -n k8s.io images mount --snapshotter=native {image} {view} >/dev/null"
        ),
        tools=f"{view}/usr/local/bin/",
        tls=f"--cacert={staticpods.PKI}/ca.crt --cert={client}.crt --key={client}.key",
        start="systemctl start kubelet",
        services="true",
    )


def apart(megabytes: int) -> float:
    """Seconds between two starts: long enough that a member has hashed a db of that size before the next one asks it."""
    return max(0.7, megabytes / 400)


def script(lab: Lab, megabytes: int, *, parallel: bool, scratch: str) -> str:
    """A shell script for the operator's side; it prints ``phase NAME SECONDS-SINCE-1970`` as each begins."""
    names = [one.name for one in lab.hosts]
    config = shlex.quote(str(lab.ssh_config))
    ssh, scp = f"ssh -F {config} -o BatchMode=yes", f"scp -q -F {config} -o BatchMode=yes"
    ways = pods(lab) if lab.options.static_pods else UNITS
    member = {one.name: one.name if lab.options.static_pods else one.etcd_name for one in lab.hosts}
    members = ",".join(f"{member[one.name]}=https://{one.address}:{MAIN.peer_port}" for one in lab.hosts)
    endpoints = ",".join(f"https://{one.address}:{MAIN.client_port}" for one in lab.hosts)
    first, *others = names
    lines = ["set -eu", 'phase() { echo "phase $1 $(date +%s.%N)"; }']

    def everywhere(phase: str, commands: Sequence[str], wait_between: float = 0) -> None:
        lines.append(f"phase {shlex.quote(phase)}")
        for at, (name, command) in enumerate(zip(names, commands, strict=True)):
            wait = f"sleep {wait_between * at if parallel else wait_between}; " if wait_between and at else ""
            line = f"{ssh} {name} {shlex.quote(command)}"
            lines.append(f"( {wait}{line} ) &" if parallel else wait + line)
        lines.append("wait")

    everywhere("stop", [ways.stop] * len(names))
    if not parallel:
        everywhere("survey", [f"{ways.tools}etcdutl snapshot status {DATA}/member/snap/db -w table"] * len(names))
    everywhere("set aside", [f"mkdir -p {ASIDE} && mv {DATA}/* {ASIDE}/"] * len(names))
    source = f"{ASIDE}/member/snap/db"
    lines.append("phase ship")
    if parallel:
        tees = " ".join(f">({ssh} {name} 'cat > {ASIDE}/chosen.db')" for name in others)
        lines += [f"{ssh} {first} 'cat {source}' | tee {tees} > /dev/null", "wait"]
        size = f"$({ssh} {first} stat -c %s {source})"
        there = f"stat -c %s {ASIDE}/chosen.db"
        lines += [f"until test {size} = $({ssh} {name} {there}); do :; done" for name in others]
    else:
        copy = shlex.quote(f"{scratch}/chosen.db")
        lines.append(f"{scp} {first}:{source} {copy}")
        lines += [f"{scp} {copy} {name}:{ASIDE}/chosen.db" for name in others]
    everywhere(
        "restore",
        [
            f"{ways.tools}etcdutl snapshot restore {source if one.name == first else f'{ASIDE}/chosen.db'} --data-dir {DATA} "
            f"--name {member[one.name]} --initial-cluster {members} "
            f"--initial-advertise-peer-urls https://{one.address}:{MAIN.peer_port} --skip-hash-check=true"
            for one in lab.hosts
        ],
    )
    everywhere("start", [ways.start] * len(names), apart(megabytes))
    health = f"{ways.tools}etcdctl --endpoints={endpoints} {ways.tls} endpoint health"
    lines.append(f"until {ssh} {first} {shlex.quote(health)}; do :; done")
    everywhere("services", [ways.services] * len(names))
    lines.append("phase end")
    return "\n".join(lines) + "\n"
