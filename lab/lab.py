"""A lab: hosts that can be brought up, cut off from power, damaged, booted and taken down."""

import json
import os
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab import access, certificates, disk, kubernetes, machine, network, options, rootfs
from lab.host import ROOTFS, SHARED, Host, hosts_of
from lab.kubespray import MAIN, Cluster
from lab.options import CONTROL, JUMP, Options
from lab.programs import LabError, run

ROOT = Path(__file__).resolve().parent.parent
BOOT_SECONDS = 60.0
HEALTHY_SECONDS = 60.0
POD_SECONDS = 150.0
"""A pod is up half a minute after its kubelet, later when it has to try again."""
LOGIN_SECONDS = 30.0
WHY_NO_ETCD = "journalctl -u etcd -n 100 -o cat | grep -E 'panic|fatal|error' | tail -n 3"


@dataclass(frozen=True, slots=True, kw_only=True)
class Lab:
    """Hosts on a bridge. It is all in ``folder`` and in the kernel: any process may load a lab and go on with it."""

    name: str
    folder: Path
    options: Options

    @classmethod
    def up(cls, name: str, hosts: int = 3, **wanted: Any) -> "Lab":
        """Make a lab and bring it up; returns when every member is healthy. Takes it down again when that fails."""
        if os.geteuid() != 0:
            raise LabError("only root can make hosts", "run it with sudo")
        asked = Options(hosts=hosts, **wanted).checked()
        lab = cls(name=name, folder=options.folder_of(name), options=asked)
        lower = cls.prepare(with_kubelet=asked.static_pods or asked.control_host)
        try:
            lab.folder.mkdir(parents=True)
        except FileExistsError:
            raise LabError(f"there is a lab {name} already", "take it down first") from None
        try:
            lab._lay_out(lower)
            lab._start()
        except BaseException as err:
            said = lab._last_words() if isinstance(err, LabError) else ""
            lab.down()
            if isinstance(err, LabError) and said:
                raise LabError(f"{err}\n{said}", err.hint) from err
            raise
        return lab

    @classmethod
    def prepare(cls, *, with_kubelet: bool = True) -> Path:
        """Build what labs are made of, where it is not there yet; returns the root file system of their hosts."""
        rootfs.install_programs()
        lower = rootfs.built()
        if not with_kubelet:
            return lower
        kubernetes.built()
        return rootfs.built(rootfs.STATIC_PODS)

    @classmethod
    def load(cls, name: str) -> "Lab":
        """The lab of that name; raises LabError when there is none."""
        folder = options.folder_of(name)
        if not (folder / "lab.json").is_file():
            raise LabError(f"there is no lab {name}", "bring one up first")
        return cls(name=name, folder=folder, options=options.load(folder / "lab.json"))

    @classmethod
    def remove(cls, name: str) -> None:
        """End and remove everything of that name, whatever is left of it. Does nothing when nothing is."""
        folder = options.folder_of(name)
        ours = re.compile(rf"rq-{re.escape(name)}-(node\d|{JUMP}|{CONTROL})")
        groups = [one for place in machine.hierarchies() for one in place.glob("rq-*") if ours.fullmatch(one.name)]
        machine.end(groups)
        network.tear_down(name)
        for host in (JUMP, CONTROL, *(f"node{n}" for n in range(1, 6))):
            machine.forget(folder / host / "root", options.machine_of(name, host))
        machine.unmount_below(folder)
        if folder.exists():
            run(["rm", "-rf", "--one-file-system", folder])

    def down(self) -> None:
        """End and remove everything of this lab."""
        self.remove(self.name)

    @property
    def hosts(self) -> list[Host]:
        """The hosts of etcd."""
        return [one for one in self.machines if one.etcd_name]

    @property
    def machines(self) -> list[Host]:
        """All hosts: those of etcd, and the jump host and the control plane's where there is one."""
        return hosts_of(self.name, self.folder, self.options)

    def host(self, name: str) -> Host:
        """A host by name; raises LabError."""
        for one in self.machines:
            if one.name == name:
                return one
        raise LabError(f"the lab {self.name} has no host {name}")

    @property
    def ssh_config(self) -> Path:
        """The file to call ssh with, on the operator's side: ``ssh -F FILE node1``."""
        return self.folder / "ssh_config"

    @property
    def inventory(self) -> Path:
        """The folder of the inventory: hosts.yaml, inventory.ini, group_vars."""
        return self.folder / "inventory"

    @property
    def pki(self) -> Path:
        """The folder of the authority and of every host's certificates."""
        return self.folder / "pki"

    @property
    def endpoints(self) -> dict[str, str]:
        """The client URL of each member, by the host's name."""
        return {one.name: f"https://{one.address}:{MAIN.client_port}" for one in self.hosts}

    @property
    def api_hosts(self) -> list[str]:
        """The hosts with a real API server."""
        if self.options.api_server:
            return [one.name for one in self.hosts]
        return [CONTROL] if self.options.control_host else []

    def api(self, *words: str) -> list[dict[str, Any]]:
        """``./dev lab api HOST METHOD PATH [BODY]``: ask an API server; returns each JSON document of the answer."""
        argv = [sys.executable, "-m", "lab", "api", "--name", self.name, *words]
        done = run(network.enter(self.name, argv), seconds=300, cwd=ROOT)
        return [json.loads(line) for line in done.stdout.splitlines()]

    def wait_api(self) -> None:
        """Wait until every API server is ready."""
        if self.api_hosts:
            argv = [sys.executable, "-m", "lab", "api-ready", "--name", self.name]
            run(network.enter(self.name, argv), seconds=300, cwd=ROOT)

    def cut(self, *names: str) -> None:
        """Cut the power of these hosts, of all hosts of etcd when none is named; all at once."""
        machine.cut([one.machine for one in self._named(names)])

    def boot(self, *names: str) -> None:
        """Switch these hosts on, all that are off when none is named; returns when each lets the operator in."""
        network.set_up(self.name)
        found = [self.host(one) for one in names] or self.machines
        for one in found:
            machine.start(one.machine)
        network.wait_for_sshd(self.name, [one.address for one in found], BOOT_SECONDS)
        if self.options.jump and not self.host(JUMP).pid:
            return
        with ThreadPoolExecutor(len(found)) as pool:
            list(pool.map(lambda one: self._wait_login(one.name), found))

    def block(self, name: str) -> None:
        """Drop packets to a host's ssh port while the host lives on; its members still talk to each other."""
        network.block_ssh(self.name, self.host(name).machine.machine)

    def unblock(self, name: str) -> None:
        """Undo :meth:`block`."""
        network.unblock_ssh(self.name, self.host(name).machine.machine)

    def isolate(self, on: bool = True) -> None:
        """Keep the hosts of etcd from each other, so that none has a leader; or no longer."""
        network.isolate(self.name, [one.machine.machine for one in self.hosts], on)

    def operator(self, argv: Sequence[str | Path], **kwargs: Any) -> "subprocess.CompletedProcess[Any]":
        """``subprocess.run`` on the operator's side of the bridge."""
        kwargs.setdefault("timeout", 600)
        return subprocess.run(network.enter(self.name, argv), **{"check": False, **kwargs})

    def ssh(self, host: str, command: str | Sequence[str], check: bool = True, timeout: float = 60.0) -> str:
        """Run a script or a command on a host as the operator; returns what it printed on stdout."""
        script = command if isinstance(command, str) else shlex.join(command)
        return run(
            network.enter(self.name, ["ssh", "-F", self.ssh_config, "-o", "BatchMode=yes", host, script]),
            check=check,
            seconds=timeout,
        ).stdout

    def etcdctl(self, *words: str, check: bool = True, cluster: Cluster = MAIN, hosts: Sequence[str] = ()) -> Any:
        """Ask all endpoints (or those of ``hosts``) with etcdctl; returns the parsed JSON, None for none."""
        asked = [self.host(one) for one in hosts] or self.hosts
        done = run(
            network.enter(
                self.name,
                [
                    Path(self.options.etcd_dir) / "etcdctl",
                    f"--endpoints={','.join(f'https://{one.address}:{cluster.client_port}' for one in asked)}",
                    f"--cacert={self.pki / 'ca.pem'}",
                    f"--cert={self.pki / 'admin-node1.pem'}",
                    f"--key={self.pki / 'admin-node1-key.pem'}",
                    *("--command-timeout=3s", "--dial-timeout=1s", "-w", "json"),
                    *words,
                ],
            ),
            check=check,
            env={"PATH": os.environ.get("PATH", os.defpath)},
        )
        try:
            return json.loads(done.stdout) if done.stdout.strip() else None
        except ValueError as err:
            raise LabError(f"etcdctl {shlex.join(words)} printed no JSON: {done.stdout[:200]}") from err

    def healthy(self, cluster: Cluster = MAIN) -> dict[str, bool]:
        """Whether each member commits a proposal, by the host's name."""
        said = self.etcdctl("endpoint", "health", check=False, cluster=cluster) or []
        good = {one["endpoint"] for one in said if one["health"]}
        return {one.name: f"https://{one.address}:{cluster.client_port}" in good for one in self.hosts}

    def wait_healthy(self, seconds: float = HEALTHY_SECONDS) -> None:
        """Wait until every member commits a proposal; raises LabError."""
        deadline = time.monotonic() + seconds
        for cluster in disk.clusters(self.options):
            while not all((found := self.healthy(cluster)).values()):
                if time.monotonic() > deadline:
                    ill = ", ".join(name for name, good in found.items() if not good)
                    raise LabError(f"{cluster.unit} on {ill} is not healthy after {seconds:.0f} s")
                time.sleep(0.2)

    def _named(self, names: Sequence[str]) -> list[Host]:
        return [self.host(one) for one in names] or self.hosts

    def _wait_login(self, name: str) -> None:
        deadline = time.monotonic() + LOGIN_SECONDS
        while True:
            try:
                self.ssh(name, "true", timeout=15)
            except LabError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.2)
            else:
                return

    def _lay_out(self, lower: Path) -> None:
        """Write everything that lies in the lab's folder and on the hosts' disks."""
        self.options.save(self.folder / "lab.json")
        (self.folder / ROOTFS).symlink_to(lower)
        keys, machines = self.folder / "keys", self.machines
        places = [one.place for one in machines]
        with ThreadPoolExecutor(3) as pool:
            jobs = [
                pool.submit(
                    certificates.make,
                    self.pki,
                    {
                        one.name: tuple(filter(None, (one.name, one.etcd_name, one.address)))
                        for one in machines
                        if one.name != JUMP
                    },
                ),
                pool.submit(access.make_keys, keys, [one.name for one in places]),
                pool.submit(disk.write_shared, self.folder / SHARED, self.options),
            ]
            for job in jobs:
                job.result()
        access.write(self.folder, keys, places, self.options)
        jump_address = self.host(JUMP).address if self.options.jump else ""
        for one in machines:
            machine.mount(one.machine)
            disk.write_host(one.root, one.place, places, f"{options.subnet_of(self.name)}.1")
            access.write_sshd(one.root, keys, one.place, jump_address)
            if one.etcd_name:
                disk.write_node(one.root, one.place, places, self.options, self.pki)
            elif one.name == CONTROL:
                disk.write_control_host(one.root, one.place, places, self.options, self.pki)

    def _start(self) -> None:
        """Boot all hosts into a new cluster; from then on their files say that the cluster exists (not kubeadm's)."""
        self.boot()
        if self.options.static_pods:
            self.wait_healthy(POD_SECONDS)
            self.wait_api()
            return
        self.wait_healthy()
        places = [one.place for one in self.hosts]
        for one in self.hosts:
            disk.write_environment(one.root, one.place, places, self.options, "existing")
            disk.let_wal_in(one.root, self.options, may=False)
        self.wait_api()

    def _last_words(self) -> str:
        """The last that each host said: etcd, or where nobody gets in, the boot."""
        parts = []
        for one in self.machines:
            lines: list[str] = []
            with suppress(LabError):
                lines = self.ssh(one.name, WHY_NO_ETCD, timeout=10).splitlines()
            with suppress(OSError):
                lines = lines or one.machine.console.read_text(errors="replace").splitlines()[-15:]
            parts += [f"{one.name}: {line}" for line in lines]
        return "\n".join(parts)
