"""The hosts of a lab: what each is called, where it is, and where its disk lies."""

from dataclasses import dataclass
from pathlib import Path

from lab import options
from lab.kubespray import Place
from lab.machine import Machine
from lab.options import CONTROL, JUMP, Options

SHARED, ROOTFS = "shared", "rootfs"
"""What all hosts' disks are laid over, in the lab's folder: what the lab adds, and the root file system below it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """A host of a lab. Its disk is readable and writable at ``root``, whether it runs or not."""

    place: Place
    machine: Machine

    @property
    def name(self) -> str:
        """The host's name."""
        return self.place.name

    @property
    def etcd_name(self) -> str:
        """The member's name; empty on a host without etcd."""
        return self.place.etcd_name

    @property
    def address(self) -> str:
        """The host's address on the bridge."""
        return self.place.address

    @property
    def root(self) -> Path:
        """The host's file system seen from outside."""
        return self.machine.root

    @property
    def pid(self) -> int:
        """The host's init as a process of this machine; 0 when the host is off."""
        return self.machine.pid


def hosts_of(lab: str, folder: Path, wanted: Options) -> list[Host]:
    """All hosts of a lab: those of etcd, then the jump host and the control plane's where there is one."""
    net = options.subnet_of(lab)
    places = [
        Place(name=f"node{n}", etcd_name=f"etcd{n}", address=f"{net}.{10 + n}") for n in range(1, wanted.hosts + 1)
    ]
    if wanted.jump:
        places.append(Place(name=JUMP, etcd_name="", address=f"{net}.5"))
    if wanted.control_host:
        places.append(Place(name=CONTROL, etcd_name="", address=f"{net}.31"))
    return [
        Host(
            place=one,
            machine=Machine(
                lab=lab,
                name=one.name,
                machine=options.machine_of(lab, one.name),
                folder=folder / one.name,
                lower=(folder / SHARED, folder / ROOTFS),
                data_mount=wanted.data_mount and bool(one.etcd_name),
            ),
        )
        for one in places
    ]
