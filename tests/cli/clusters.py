"""Copies of crashed clusters, one for each test to do with as it likes."""

import os
import shutil
import subprocess
from dataclasses import dataclass, field, replace
from pathlib import Path

from requorum.etcdfiles import datadir, mvcc, wal, walscan
from requorum.rehearsal import cluster, wreck
from requorum.rehearsal.cluster import Member
from requorum.rehearsal.gateway import Gateway
from requorum.rehearsal.load import Load

MB = 1 << 20


@dataclass
class Cluster:
    """Some members with their config files, their data dirs and an inventory.

    ``confirm`` is the name that requorum wants to be typed.
    """

    root: Path
    etcd_dir: Path
    members: list[Member]
    confirm: str = ""
    mounts: list[Path] = field(default_factory=list)
    running: list["subprocess.Popen[bytes]"] = field(default_factory=list)

    @property
    def inventory(self) -> Path:
        """The inventory file."""
        return self.root / "inventory.yaml"

    @property
    def first(self) -> Member:
        """The first member."""
        return self.members[0]

    @property
    def data(self) -> Path:
        """The data dir of the first member."""
        return self.first.data_dir

    @property
    def db(self) -> Path:
        """The db of the first member."""
        return self.data / "member" / "snap" / "db"

    @property
    def wal(self) -> Path:
        """The WAL file of the first member."""
        return sorted((self.data / "member" / "wal").glob("*.wal"))[-1]

    @property
    def snap(self) -> Path:
        """The newest .snap file of the first member."""
        return sorted((self.data / "member" / "snap").glob("*.snap"))[-1]

    @property
    def saved(self) -> Path:
        """A snapshot that was taken halfway through the load."""
        return self.root / "saved.db"

    @property
    def yes(self) -> tuple[str, str, str]:
        """The words that confirm without a question."""
        return "--yes", "--confirm", self.confirm

    def disks(self) -> dict[str, wreck.Fingerprint]:
        """The fingerprint of every member's data."""
        return {one.name: wreck.fingerprint(one.data_dir) for one in self.members}

    def configs(self) -> dict[str, tuple[str, int]]:
        """Every member's config file, and its mode."""
        return {one.name: (one.config.read_text(), one.config.stat().st_mode) for one in self.members}

    def set(self, member: Member, **settings: str) -> None:
        """Add settings to a member's config file; ``_`` stands for ``-``."""
        with member.config.open("a") as file:
            for key, value in settings.items():
                file.write(f"{key.replace('_', '-')}: {value}\n")

    def replace_in_config(self, member: Member, old: str, new: str) -> None:
        """Change a member's config file."""
        text = member.config.read_text()
        assert old in text
        member.config.write_text(text.replace(old, new))

    def start(self) -> None:
        """Start every member."""
        self.running += cluster.start(self.members, self.etcd_dir)

    def kill(self) -> None:
        """Kill what was started."""
        cluster.kill_at_once(self.running)
        self.running.clear()

    def save_snapshot(self) -> None:
        """Take a snapshot of the first member, as operators do."""
        self.save_snapshot_as(self.saved)

    def save_snapshot_as(self, path: Path) -> None:
        """The same, under another name."""
        argv: list[str | Path] = [
            self.etcd_dir / "etcdctl",
            f"--endpoints={self.first.client_url}",
            "snapshot",
            "save",
            path,
        ]
        subprocess.run(argv, check=True, capture_output=True, timeout=30, env={"ETCDCTL_API": "3"})

    def revision(self) -> int:
        """The revision that the first member serves."""
        gateway = Gateway(self.first.client_url)
        try:
            return gateway.revision()
        finally:
            gateway.close()

    def call(self, path: str, **body: object) -> None:
        """A request to the first member."""
        gateway = Gateway(self.first.client_url)
        try:
            gateway.call(path, body)
        finally:
            gateway.close()

    def mount_tmpfs(self, at: Path, options: str) -> None:
        """Mount a file system of its own; it is unmounted at the end of the test."""
        at.mkdir(parents=True, exist_ok=True)
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", options, "tmpfs", at],
            capture_output=True,
            text=True,
            timeout=10,
            check=False,
        )
        assert done.returncode == 0, f"these tests must be allowed to mount: {done.stderr}"
        self.mounts.append(at)

    def end(self) -> None:
        """End every process on these files, and unmount."""
        for one in self.running:
            one.kill()
            one.wait(10)
        cluster.end_all_below(self.root)
        points = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
        for at in reversed([one for one in points if one.startswith(f"{self.root}/")]):
            subprocess.run(["umount", "-l", at], timeout=10, check=True)
        shutil.rmtree(self.root, ignore_errors=True)


def crash(root: Path, members: int, etcd_dir: Path, name: str, writes: int, **settings: str) -> Cluster:
    """A cluster that was killed at once under load."""
    made = Cluster(root, etcd_dir, cluster.lay_out(root, members, etcd_dir, name))
    for member in made.members:
        made.set(member, **settings)
    load = Load([one.client_url for one in made.members], writers=4, seed=1)
    try:
        made.start()
        load.start()
        load.wait_for(writes // 2, seconds=60)
        made.save_snapshot()
        load.wait_for(writes, seconds=60)
        made.kill()
    finally:
        load.stop()
        cluster.end_all_below(root)
    settle(made, name)
    return made


def settle(made: Cluster, name: str) -> None:
    """Name a killed cluster; drop the empty WAL files that etcd keeps ready, and most of the zeroes behind a log."""
    for spare in made.root.glob("m*/data/member/wal/*.tmp"):
        spare.unlink()
    for segment in made.root.glob("m*/data/member/wal/*.wal"):
        os.truncate(segment, len(segment.read_bytes().rstrip(b"\0")) // MB * MB + 2 * MB)
    made.confirm = f"{name}-{wal.read_log(str(made.data / 'member' / 'wal')).cluster_id:016x}"[: len(name) + 9]


def copy(source: Cluster, root: Path) -> Cluster:
    """A copy with client ports of its own. The peer URLs stay: they are in the disks."""
    subprocess.run(["cp", "-a", "--sparse=always", source.root, root], check=True, timeout=60)
    ports = cluster.free_ports(len(source.members))
    members = [
        replace(one, folder=root / one.name, client_url=f"http://127.0.0.1:{port}")
        for one, port in zip(source.members, ports, strict=True)
    ]
    for old, new in zip(source.members, members, strict=True):
        text = new.config.read_text().replace(str(source.root), str(root)).replace(old.client_url, new.client_url)
        new.config.write_text(text)
    inventory = root / "inventory.yaml"
    inventory.write_text(inventory.read_text().replace(str(source.root), str(root)))
    return Cluster(root, source.etcd_dir, members, source.confirm)


def lowest(made: Cluster) -> Member:
    """The member whose log ends first: beside it, none of the others lags behind what is known to be committed."""

    def end(member: Member) -> tuple[int, int]:
        term, index = wal.read_log(datadir.layout_of(str(member.data_dir)).wal_dir).last
        return term, index

    return min(made.members, key=end)


def cut_log_below_db(member: Member) -> None:
    """Cut a log at a record boundary below what its db holds: it looks clean, and etcd would swallow new writes."""
    layout = datadir.layout_of(str(member.data_dir))
    index = mvcc.read_facts(layout.db).consistent_index - 20
    (at,) = (
        record
        for record in wal.records_of(layout.wal_dir)
        if record.type == walscan.ENTRY and wal.entry_index(record.data) == index
    )
    with Path(at.path).open("r+b") as file:
        size = file.seek(0, 2)
        file.truncate(at.end)
        file.truncate(size)


def spoil_log(member: Member) -> None:
    """Flip one byte of an early log entry: etcd refuses to start, and nothing is lost, the db holds the entry."""
    layout = datadir.layout_of(str(member.data_dir))
    (at,) = (
        record
        for record in wal.records_of(layout.wal_dir)
        if record.type == walscan.ENTRY
        and wal.entry_index(record.data) == mvcc.read_facts(layout.db).consistent_index - 5
    )
    with Path(at.path).open("r+b") as file:
        file.seek(at.end - len(at.data) // 2 - 8)
        byte = file.read(1)[0]
        file.seek(-1, 1)
        file.write(bytes([byte ^ 0x10]))
