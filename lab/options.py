"""How a lab is laid out: what `up` was asked for, kept in the lab's folder."""

import dataclasses
import json
import os
import re
import zlib
from dataclasses import dataclass
from pathlib import Path

from lab import etcds
from lab.programs import LabError
from lab.rootfs import cache

NAME = re.compile(r"(?!rootfs)[a-z][a-z0-9-]{0,23}")
JUMP = "jump"
CONTROL = "cp1"
"""The host with the control plane, where that has one of its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What a lab is made of.

    ``user`` runs etcd; ``wal_dir`` is ETCD_WAL_DIR, empty for none; ``data_mount`` makes /var/lib/etcd a file system
    of its own; ``jump`` adds a host that alone is let in by the others; hosts in ``no_python`` have no Python;
    ``events`` adds etcd-events; ``quota`` is in bytes. ``static_pods``: etcd runs under a kubelet, as kubeadm sets it up, and
    so do a controller-manager and a scheduler, which are placeholders; ``api_server`` adds a real kube-apiserver.
    ``crictl`` puts that program on the hosts, which else have containerd's ctr alone.
    ``no_etcdutl``: etcd's image has none, as Kubernetes' images of 3.5.
    ``control_host`` adds a host with these alone (the API server real), as where etcd is a unit on others.
    """

    hosts: int = 3
    user: str = "root"
    wal_dir: str = ""
    data_mount: bool = False
    jump: bool = False
    no_python: tuple[str, ...] = ()
    events: bool = False
    static_pods: bool = False
    api_server: bool = False
    control_host: bool = False
    crictl: bool = False
    no_etcdutl: bool = False
    snapshot_count: int = 100_000
    quota: int = 2_147_483_648
    etcd_dir: str = ""

    def checked(self) -> "Options":
        """The same, with ``etcd_dir`` filled in; raises LabError for what cannot be built."""
        names = [f"node{n + 1}" for n in range(self.hosts)]
        if self.hosts not in (1, 3, 5):
            raise LabError(f"a lab has 1, 3 or 5 hosts, not {self.hosts}")
        if unknown := [one for one in self.no_python if one not in names]:
            raise LabError(f"this lab has no host {unknown[0]} to be without Python")
        if self.user not in ("root", "etcd"):
            raise LabError(f"the hosts have no user {self.user} to run etcd as", "root or etcd")
        if self.static_pods and (self.user != "root" or self.wal_dir or self.data_mount or self.events):
            raise LabError(
                "hosts with static pods have kubeadm's layout", "leave out the other options of etcd's layout"
            )
        if (self.api_server and not self.static_pods) or (self.control_host and (self.static_pods or self.jump)):
            raise LabError(
                "an API server runs as a static pod beside etcd's, or on a host of its own",
                "--static-pods --api-server, or --control-host",
            )
        if self.wal_dir and not self.wal_dir.startswith("/"):
            raise LabError(f"--wal-dir must be absolute, not {self.wal_dir}")
        folder = Path(self.etcd_dir or os.environ.get("REQUORUM_TEST_ETCD_DIR") or etcds.folder_of(etcds.NEWEST))
        for program in ("etcd", "etcdctl", "etcdutl"):
            if not os.access(folder / program, os.X_OK):
                raise LabError(
                    f"{folder} has no {program} to run",
                    "./dev etcd fetches one; --etcd-dir or REQUORUM_TEST_ETCD_DIR names another folder",
                )
        return dataclasses.replace(self, etcd_dir=str(folder.resolve()))

    def save(self, path: Path) -> None:
        """Write the options down."""
        path.write_text(json.dumps(dataclasses.asdict(self), indent=1) + "\n")


def load(path: Path) -> Options:
    """Read options that were written down."""
    fields = json.loads(path.read_text())
    return Options(**{**fields, "no_python": tuple(fields["no_python"])})


def folder_of(name: str) -> Path:
    """Where a lab keeps everything: below ``REQUORUM_LAB_DIR``, or in the user's cache."""
    if not NAME.fullmatch(name):
        raise LabError(f"{name!r} is no name for a lab", "lower-case letters, digits and dashes, 24 at most")
    return (Path(os.environ.get("REQUORUM_LAB_DIR") or cache()) / name).absolute()


def subnet_of(name: str) -> str:
    """The first three numbers of a lab's addresses."""
    return f"10.88.{zlib.crc32(name.encode()) % 254 + 1}"


def machine_of(name: str, host: str) -> str:
    """A host's name as a machine: its own among all labs, and short enough to name a network interface."""
    return f"{host}-{zlib.crc32(name.encode()) & 0xFFFF:04x}"
