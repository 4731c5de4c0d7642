"""A lab, requorum on its operator's side, and what must hold before and after."""

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lab import load, network
from lab.host import Host
from lab.kubespray import SERVICES
from lab.lab import Lab
from lab.programs import LabError, path_of_operator
from lab.staticpods import API_SERVER, PLACEHOLDERS
from requorum.etcdfiles import verify
from requorum.rehearsal.wreck import Fingerprint, fingerprint

from . import wrecks
from .wrecks import Disk, disk_of

SECONDS = 180.0
UNITS = "etc/systemd/system"
ENVIRONMENT = "etc/etcd.env"
MANIFESTS = "etc/kubernetes/manifests"
FIRST_TOKEN = "k8s_etcd"
WRITES = 400


@dataclass(frozen=True)
class Ended:
    """How a requorum process ended."""

    code: int
    out: str
    err: str

    @property
    def answer(self) -> dict[str, Any]:
        """What it printed with ``-o json``."""
        found: dict[str, Any] = json.loads(self.out)
        return found


@dataclass(kw_only=True)
class Child:
    """A requorum process that runs; what it says goes to files."""

    words: str
    process: "subprocess.Popen[bytes]"
    state: Path
    out: Path
    err: Path
    known: int = 0

    def journal(self) -> list[dict[str, Any]]:
        """The whole lines of the journals that it writes on the operator's side."""
        return lines_of(self.state)

    def wait_for_step(self, kind: str, event: str = "begin") -> None:
        """Wait until a step of that kind begins (or is done); fails when the process ends before."""
        assert self.reaches(kind, event), f"it ended before '{kind}' did {event}\n{self.err.read_text()[-3000:]}"

    def reaches(self, kind: str, event: str = "begin", seconds: float = 150.0) -> bool:
        """Wait until a step of that kind begins (or is done), or the process ends before; says whether it came so far.

        Lines that were in the journal when the process was started do not count.
        """
        wanted = kind.replace(" ", "-")
        deadline = time.monotonic() + seconds
        while True:
            ended = self.process.poll() is not None
            for line in self.journal()[self.known :]:
                if line["event"] == event and line["step"].split("/")[0].partition("-")[2] == wanted:
                    return True
            if ended:
                return False
            assert time.monotonic() < deadline, f"no '{kind}' within {seconds:.0f} s\n{self.err.read_text()[-3000:]}"
            time.sleep(0.005)

    def begun(self) -> set[str]:
        """The kinds of the steps that this process has begun."""
        fresh = self.journal()[self.known :]
        return {
            line["step"].split("/")[0].partition("-")[2].replace("-", " ") for line in fresh if line["event"] == "begin"
        }

    def kill(self) -> None:
        """SIGKILL, and nothing else: what it started is left alone."""
        with suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGKILL)
        self.process.wait(10)

    def masters(self) -> list[tuple[int, str]]:
        """The ssh processes that it started: pid and command line."""
        found = []
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            with suppress(OSError):
                parent = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
                words = (entry / "cmdline").read_bytes().decode(errors="replace").split("\0")
                if parent == self.process.pid and words[0].endswith("ssh"):
                    found.append((int(entry.name), " ".join(words)))
        return found


@dataclass(frozen=True, kw_only=True)
class Picture:
    """What must be the same again after a rollback: data, log, configuration, units."""

    data: Fingerprint
    wal: Fingerprint
    configuration: Fingerprint
    enabled: str


@dataclass(kw_only=True)
class World:
    """A lab with the writes that it was told of, and requorum beside it."""

    lab: Lab
    folder: Path
    operations: list[Path] = field(default_factory=list)
    children: list[Child] = field(default_factory=list)
    machines: int = 1
    tokens: dict[str, str] = field(default_factory=dict)
    still: bool = False
    """etcd does not start at boot, so its files are compared to the byte; one that starts and dies rewrites its db."""
    ansible: bool = False
    """The operator has Ansible, too, which takes a second of every command; else the inventory is read without it."""

    # -- hosts and disks

    @property
    def hosts(self) -> list[Host]:
        """The hosts of etcd."""
        return self.lab.hosts

    def member(self, host: str) -> str:
        """The name of the member on a host: kubeadm's is the host's."""
        return host if self.in_pods else self.lab.host(host).etcd_name

    def disk(self, name: str) -> Disk:
        """A member's disk by its host."""
        return disk_of(self.lab.host(name), self.lab.options.wal_dir)

    @property
    def disks(self) -> dict[str, Disk]:
        """Every member's disk."""
        return {one.name: self.disk(one.name) for one in self.hosts}

    @property
    def in_pods(self) -> bool:
        """etcd runs as a static pod."""
        return self.lab.options.static_pods

    @property
    def unit(self) -> str:
        """The unit that etcd comes and goes with."""
        return "kubelet" if self.in_pods else "etcd"

    def no_autostart(self) -> None:
        """Hosts that boot do not start etcd by themselves (``systemctl disable etcd``); they must be off."""
        for host in self.hosts:
            (host.root / UNITS / f"multi-user.target.wants/{self.unit}.service").unlink()
        self.still = True

    def lazy_dbs(self) -> None:
        """Let every db lag its log by up to a minute (``--backend-batch-interval``), where else it is a tenth of a second."""
        for host in self.hosts:
            with (host.root / ENVIRONMENT).open("a") as file:
                file.write("ETCD_BACKEND_BATCH_INTERVAL=60s\nETCD_BACKEND_BATCH_LIMIT=1000000\n")
        for host in self.hosts:
            self.lab.ssh(host.name, "systemctl restart --no-block etcd")
        for host in self.hosts:
            self.lab.ssh(host.name, "systemctl start etcd")
        self.lab.wait_healthy()

    def seen(self, folder: Path) -> Fingerprint:
        """What lies in a folder, but for what requorum and etcd keep ready there."""
        found = {}
        for path, what in fingerprint(folder).items():
            if path.endswith(".tmp") or path.split("/")[0] in (".requorum", "lost+found"):
                continue
            found[path] = what
            if path.endswith("snap/db") and not self.still:
                db = verify.verify_db(str(folder / path))
                found[path] = (f"{db.hash:x} at {db.revision}", *what[1:])
        return found

    def fingerprints(self) -> dict[str, Fingerprint]:
        """What lies in every member's data dir and WAL dir."""
        return {name: self._both(disk.data_dir, disk.wal_dir) for name, disk in self.disks.items()}

    def _both(self, data: Path, log: Path) -> Fingerprint:
        found = self.seen(data)
        if self.lab.options.wal_dir:
            found |= {f"WAL/{path}": what for path, what in self.seen(log).items()}
        return found

    def set_aside(self, run: str, name: str) -> Fingerprint:
        """What a run keeps of a member's old data, under the same names."""
        disk = self.disk(name)
        return self._both(work_of(disk.data_dir) / run / "old", work_of(disk.wal_dir) / run / "old-wal")

    def picture(self) -> dict[str, Picture]:
        """What must be the same again after a rollback."""
        found = {}
        for host in self.hosts:
            disk = self.disk(host.name)
            configuration = dict(fingerprint(host.root / UNITS))
            if self.in_pods:
                configuration |= fingerprint(host.root / "etc/kubernetes")
            else:
                environment = host.root / ENVIRONMENT
                info = environment.stat()
                configuration["etcd.env"] = (environment.read_text(), info.st_uid, info.st_gid, info.st_mode)
            for folder in (disk.data_dir, disk.wal_dir):
                seen = folder.stat()
                configuration[str(folder)] = (seen.st_uid, seen.st_gid, seen.st_mode)
            found[host.name] = Picture(
                data=self.seen(disk.data_dir),
                wal=self.seen(disk.wal_dir),
                configuration=configuration,
                enabled=self.lab.ssh(host.name, f"systemctl is-enabled {' '.join(self.units)}", check=False),
            )
        return found

    @property
    def units(self) -> list[str]:
        """The units of etcd and Kubernetes on a host."""
        return ["kubelet"] if self.in_pods else ["etcd", *SERVICES]

    # -- writers

    @contextmanager
    def writing(self, writes: int = WRITES, **how: Any) -> Iterator[Path]:
        """Writers that have ``writes`` acknowledged when the block begins, and are stopped behind it."""
        out = self.folder / f"operations-{len(self.operations)}.jsonl"
        self.operations.append(out)
        child = load.start(self.lab, out, **how)
        try:
            load.wait_for(out, writes, seconds=60)
            yield out
        finally:
            load.stop(child)

    def write_until_cut(self, writes: int = WRITES) -> None:
        """A client writes until the power of all hosts is cut; a writer that gets no answer gives up at once."""
        with self.writing(writes, patience=1):
            self.lab.cut()

    # -- requorum

    @property
    def inventory(self) -> Path:
        """The inventory as a Kubespray operator has it."""
        return self.lab.inventory / "hosts.yaml"

    @property
    def state(self) -> Path:
        """Where this operator's machine keeps its runs."""
        return self.folder / f"machine-{self.machines}"

    def another_machine(self) -> None:
        """From now on requorum is run by somebody else, who knows the inventory alone."""
        self.machines += 1

    def start(self, *words: object, inventory: bool = True, said: str = "") -> Child:
        """Start requorum on the operator's side; nobody can be asked, and ``said`` is all that it can read."""
        self.state.mkdir(exist_ok=True)
        number = len(self.children)
        out, err = self.folder / f"requorum-{number}.out", self.folder / f"requorum-{number}.err"
        argv = [sys.executable, "-m", "requorum.cli.main", *(str(word) for word in words)]
        argv += ["-i", str(self.inventory)] if inventory else []
        known = len(lines_of(self.state))
        with out.open("wb") as to, err.open("wb") as errors:
            process = subprocess.Popen(
                network.enter(self.lab.name, argv),
                stdin=subprocess.PIPE,
                stdout=to,
                stderr=errors,
                cwd=self.folder,
                env={
                    **os.environ,
                    "REQUORUM_STATE_DIR": str(self.state),
                    "NO_COLOR": "1",
                    "PATH": f"{self.folder / 'bin'}{os.pathsep}{os.environ['PATH'] if self.ansible else path_of_operator()}",
                },
                start_new_session=bool(said),  # a password is asked for on the terminal, where there is one
            )
        assert process.stdin is not None
        with suppress(BrokenPipeError):
            process.stdin.write(said.encode())
            process.stdin.close()
        child = Child(words=" ".join(argv), process=process, state=self.state, out=out, err=err, known=known)
        self.children.append(child)
        return child

    def end(
        self, child: Child, *, codes: Sequence[int] = (0,), seconds: float = SECONDS, judged: bool = False
    ) -> Ended:
        """Wait for its end, and hold it to its exit codes and to the form of its messages.

        ``judged``: the code is the answer itself, not an error's.
        """
        try:
            child.process.wait(seconds)
        except subprocess.TimeoutExpired:
            child.process.kill()
            child.process.wait(10)
            raise AssertionError(f"it hangs: no end within {seconds:.0f} s\n{self.diagnosis(child)}") from None
        ended = Ended(child.process.returncode, child.out.read_text(), child.err.read_text())
        said = ended.err + ended.out
        assert ended.code in codes, f"exit code {ended.code}, not {codes}\n{self.diagnosis(child)}"
        assert "Traceback" not in said, said
        assert "bug in requorum" not in said, said
        messages = [line for line in ended.err.splitlines() if line.startswith("error: ")]
        assert len(messages) == (0 if judged or ended.code in (0, 3) else 1), ended.err
        return ended

    def requorum(self, *words: object, codes: Sequence[int] = (0,), seconds: float = SECONDS) -> Ended:
        """Run requorum to its end."""
        return self.end(self.start(*words), codes=codes, seconds=seconds)

    def survey(self, *words: object) -> dict[str, Any]:
        """What a survey says."""
        return self.requorum("survey", *words, "-o", "json").answer

    @property
    def yes(self) -> list[str]:
        """The words that confirm without a question, with the cluster's name of now."""
        return ["--yes", "--confirm", str(self.survey()["verdict"]["cluster"])]

    def recover(self, *words: object, codes: Sequence[int] = (0,)) -> dict[str, Any]:
        """Recover, and return the report."""
        return self.requorum("recover", *self.yes, "-o", "json", *words, codes=codes).answer

    def resume_elsewhere(self, run: str, yes: Sequence[str], *words: object) -> Child:
        """Go on with a run on a machine that has never heard of it."""
        self.another_machine()
        return self.start("resume", run, "--take-over", *yes, "-o", "json", *words)

    def run_name(self) -> str:
        """The run that this machine knows; the newest of several."""
        return sorted(path.name for path in (self.state / "runs").iterdir())[-1]

    def ssh_knows_the_hosts(self) -> None:
        """The operator's own ssh reaches the hosts by name, without an inventory that says how."""
        program = self.folder / "bin/ssh"
        program.parent.mkdir()
        program.write_text(f'#!/bin/sh\nexec {shutil.which("ssh")} -F {shlex.quote(str(self.lab.ssh_config))} "$@"\n')
        program.chmod(0o755)

    # -- what must hold

    def wait(self, condition: Callable[[], object], what: str, seconds: float = 30.0) -> None:
        """Wait until something holds; fails after some seconds."""
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, f"not within {seconds:.0f} s: {what}\n{self.diagnosis()}"
            time.sleep(0.1)

    def audited(self, *hosts: str, lost_max: int = 0) -> dict[str, Any]:
        """Look for every acknowledged write on every member (on those of ``hosts`` alone, where some are named)."""
        found = load.audited(self.lab, *self.operations, hosts=hosts)
        assert found["acknowledged"] > 0
        assert not found["wrong"], found["wrong"][:5]
        lost = found["lost"]
        assert len(lost) <= lost_max, f"{len(lost)} of {found['acknowledged']} writes are lost: {lost[:2]}"
        return found

    def whole(self, report: dict[str, Any], *hosts: str, lost_max: int = 0) -> None:
        """After a recovery: everything serves, is configured for good, is neither locked nor fenced; nothing is lost."""
        names = list(hosts) or [one.name for one in self.hosts]
        self.wait(lambda: all(self.lab.healthy()[name] for name in names), "every member is healthy")
        self.running(*names)
        if report["verdict"] == "rebuild":
            self.tokens.update(dict.fromkeys(names, f"requorum-{report['run']}"))
        for name in names:
            self.configured(name)
        assert self.left_over(*names) == []
        members = {one["name"] for one in self.lab.etcdctl("member", "list", hosts=names)["members"]}
        assert members >= {self.member(name) for name in names}
        self.audited(*names, lost_max=lost_max)

    def running(self, *names: str) -> None:
        """etcd and what stands on it are active on these hosts."""

        def idle() -> list[str]:
            with ThreadPoolExecutor(3) as pool:
                ask = f"systemctl is-active {' '.join(self.units)}"
                said = pool.map(lambda name: self.lab.ssh(name, ask, check=False).split(), names)
                return [name for name, states in zip(names, said, strict=True) if set(states) != {"active"}]

        self.wait(lambda: not idle(), "etcd and all services are active")
        if self.in_pods:
            wanted = {"etcd", *self.control_pods}
            self.wait(lambda: all(self.programs(name) == wanted for name in names), "every pod runs", seconds=90)

    @property
    def control_pods(self) -> set[str]:
        """What of the control plane runs in pods."""
        return {*PLACEHOLDERS, *([API_SERVER] if self.lab.options.api_server else [])}

    def programs(self, host: str) -> set[str]:
        """What runs on a host, of etcd and of the control plane."""
        said = self.lab.ssh(host, "ps -eo args", check=False).splitlines()
        known = {"etcd", API_SERVER, *PLACEHOLDERS}
        return {os.path.basename(line.split()[0]) for line in said if line.split()} & known

    def configured(self, name: str) -> None:
        """A member's configuration says that the cluster exists, and by the token of the last rebuild."""
        if self.in_pods:
            self._configured_pod(name)
            return
        lines = (self.lab.host(name).root / ENVIRONMENT).read_text().splitlines()
        assert "ETCD_INITIAL_CLUSTER_STATE=existing" in lines
        assert f"ETCD_INITIAL_CLUSTER_TOKEN={self.tokens.get(name, FIRST_TOKEN)}" in lines

    def _configured_pod(self, name: str) -> None:
        folder = self.lab.host(name).root / MANIFESTS
        assert {path.name for path in folder.iterdir()} == {f"{one}.yaml" for one in ("etcd", *self.control_pods)}
        lines = [line.strip() for line in (folder / "etcd.yaml").read_text().splitlines()]
        assert "- --initial-cluster-state=existing" in lines
        token = [line for line in lines if "--initial-cluster-token" in line]
        assert token == ([f"- --initial-cluster-token={self.tokens[name]}"] if name in self.tokens else [])

    def left_over(self, *hosts: str) -> list[str]:
        """Fences and locks on these hosts."""
        found: list[str] = []
        for name in hosts or [one.name for one in self.hosts]:
            root = self.lab.host(name).root
            found += [str(path) for path in (root / UNITS).glob("*.d/*requorum*")]
            found += [str(path) for path in (root / f"{MANIFESTS}.requorum").glob("*.fenced-*")]
            found += [str(path) for path in (root / "var/lib").glob("etcd*.requorum/lock.json")]
            found += [str(path) for path in (root / "var/lib").glob("etcd*/.requorum/lock.json")]
        return found

    def diagnosis(self, child: Child | None = None) -> str:
        """What requorum said last, and what etcd and systemd say on each host."""
        last = child or (self.children[-1] if self.children else None)
        parts = []
        if last:
            parts += [last.words, last.err.read_text()[-4000:], last.out.read_text()[-2000:]]
        for host in self.hosts:
            script = (
                f"systemctl is-active {self.unit}; journalctl -u {self.unit} -n 6 -o cat --no-pager | cut -c 1-400; "
            )
            script += "tail -qn 3 /var/log/pods/*/etcd/*.log 2>/dev/null | cut -c 1-400; ls /etc/kubernetes/manifests*"
            said = "(off)"
            if host.pid:
                with suppress(LabError):
                    said = self.lab.ssh(host.name, script, check=False, timeout=15)
            parts.append(f"-- {host.name}\n{said}")
        return "\n".join(parts)

    def close(self) -> None:
        """End what still runs, and remove the lab."""
        for child in self.children:
            if child.process.poll() is None:
                child.kill()
        self.lab.down()


def fails_to_start(world: World, *, autostart: bool = True) -> None:
    """A cluster that lost its power under load, and no member of which can start."""
    world.write_until_cut()
    for disk in world.disks.values():
        wrecks.flip_below(disk)
    if not autostart:
        world.no_autostart()
    world.lab.boot()


def frozen(child: Child) -> None:
    """Hold requorum where it is, so that something happens to a host meanwhile."""
    os.kill(child.process.pid, signal.SIGSTOP)


def thawed(child: Child) -> None:
    """Let it go on."""
    os.kill(child.process.pid, signal.SIGCONT)


def lines_of(state: Path) -> list[dict[str, Any]]:
    """The whole lines of all journals in a state folder."""
    raw = b"".join(path.read_bytes() for path in sorted(state.glob("runs/*/journal.jsonl")))
    return [json.loads(line) for line in raw[: raw.rfind(b"\n") + 1].splitlines()]


def work_of(folder: Path) -> Path:
    """Where runs keep what they set aside of a dir."""
    return folder / ".requorum" if os.path.ismount(folder) else folder.with_name(f"{folder.name}.requorum")
