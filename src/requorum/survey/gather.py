"""The survey: every member and every snapshot read at once, none of them changed."""

import datetime
import json
import os
import socket
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import anyio
import anyio.to_thread

from requorum.deployments import process
from requorum.deployments.config import MemberConfig
from requorum.errors import RequorumError, UsageError
from requorum.etcdfiles import datadir
from requorum.etcdfiles.faults import EtcdFileError
from requorum.hosts import programs, tools
from requorum.hosts.tools import Tools
from requorum.inventory.inventory import Host, Inventory, ProcessDeployment
from requorum.survey import disks
from requorum.survey.evidence import LiveEvidence, MemberEvidence, SnapshotEvidence, Survey, Unknown

ANSWER_SECONDS = 3.0


async def survey_hosts(
    inventory: Inventory, found: Tools, *, in_full: bool, snapshots: Sequence[Path] = (), only: Sequence[str] = ()
) -> Survey:
    """Survey the members of an inventory, and the snapshots named in it or given."""
    hosts = [host for host in inventory.hosts if "etcd" in host.roles and (not only or host.name in only)]
    wanted = [*inventory.snapshots, *snapshots]
    return await _survey(
        inventory.cluster,
        [partial(survey_host, host, found, in_full=in_full) for host in hosts],
        wanted,
        in_full=in_full,
        found=found,
    )


async def survey_dirs(
    dirs: Sequence[Path],
    *,
    in_full: bool,
    snapshots: Sequence[Path] = (),
    wal_dirs: Sequence[Path] = (),
    found: Tools | None = None,
) -> Survey:
    """Survey plain data dirs, as copied from hosts, and snapshot files."""
    data_dirs, files = [], [path.absolute() for path in snapshots]
    for path in (one.absolute() for one in dirs):
        try:
            kind = datadir.kind_of(str(path))
        except EtcdFileError as err:
            if path.is_dir():
                raise UsageError(str(err), hint="give the folder that etcd knows as its --data-dir") from err
            kind = "db"
            if not path.exists():
                raise UsageError(str(err)) from err
        if kind == "data dir":
            data_dirs.append(path)
        elif kind == "db":
            files.append(path)
        else:
            raise UsageError(f"{path} is a {kind}: give data dirs and snapshot files")
    apart: list[Path | None] = [*wal_dirs]
    apart += [None] * (len(data_dirs) - len(apart))
    names = _names(data_dirs)
    reading = [
        partial(survey_dir, path, names[at], wal_dir=apart[at], in_full=in_full) for at, path in enumerate(data_dirs)
    ]
    return await _survey("", reading, files, in_full=in_full, found=found)


def _names(dirs: Sequence[Path]) -> list[str]:
    """A short name for each folder: the part of its path in which it differs from the others."""
    parts = [Path(os.path.realpath(path)).parts for path in dirs]
    for at in range(1, max((len(one) for one in parts), default=1) + 1):
        names = [one[-at] if at <= len(one) else str(at) for one in parts]
        if len(set(names)) == len(names):
            return names
    return [str(path) for path in dirs]


async def _survey(
    cluster: str,
    reading: "Sequence[partial[MemberEvidence]]",
    snapshots: Sequence[Path],
    *,
    in_full: bool,
    found: Tools | None,
) -> Survey:
    members: dict[int, MemberEvidence] = {}
    files: dict[int, SnapshotEvidence] = {}

    async def member(at: int, read: "partial[MemberEvidence]") -> None:
        members[at] = await anyio.to_thread.run_sync(read)

    async def snapshot(at: int, path: Path) -> None:
        read = partial(disks.read_snapshot, str(path), socket.gethostname(), in_full=in_full)
        files[at] = await anyio.to_thread.run_sync(read)

    async with anyio.create_task_group() as group:
        for at, read in enumerate(reading):
            group.start_soon(member, at, read)
        for at, path in enumerate(snapshots):
            group.start_soon(snapshot, at, path)
    return Survey(
        cluster=cluster,
        at=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        verified=in_full,
        members=tuple(members[at] for at in sorted(members)),
        snapshots=tuple(files[at] for at in sorted(files)),
        etcd_version=found.version if found else "",
        etcdutl_can_bump=found.can_bump if found else False,
    )


def survey_host(host: Host, found: Tools, *, in_full: bool) -> MemberEvidence:
    """One member of an inventory: its configuration, its process, its disk, and its answer when it runs."""
    try:
        config = process.read_config(host.etcd)
    except RequorumError as err:
        nothing = Unknown(unknown=str(err))
        return MemberEvidence(
            name=host.name,
            host=host.name,
            data_dir="",
            wal_dir="",
            config=nothing,
            deployment=host.etcd,
            place=nothing,
            process=nothing,
            live=nothing,
            db=nothing,
            log=nothing,
            tail=nothing,
        )
    return survey_dir(
        Path(config.data_dir),
        host.name,
        wal_dir=Path(config.wal_dir),
        in_full=in_full,
        config=config,
        deployment=host.etcd,
        found=found,
    )


def survey_dir(
    path: Path,
    name: str,
    *,
    wal_dir: Path | None,
    in_full: bool,
    config: MemberConfig | None = None,
    deployment: ProcessDeployment | None = None,
    found: Tools | None = None,
) -> MemberEvidence:
    """One data dir. A db that a running etcd holds is read by its few pages only, never in full."""
    layout = datadir.layout_of(str(path), str(wal_dir) if wal_dir else None)
    running = disks.read_process([layout.data_dir, layout.wal_dir])
    live: LiveEvidence | Unknown = Unknown(unknown="it is not running")
    if config is not None and found is not None and (running.running or answers(config.endpoint)):
        live = ask(config, found)
    db, log, tail = disks.read_member(layout.data_dir, layout.wal_dir, in_full=in_full and not running.running)
    return MemberEvidence(
        name=config.name if config else name,
        host=name if config else socket.gethostname(),
        data_dir=layout.data_dir,
        wal_dir=layout.wal_dir,
        config=config or Unknown(unknown="plain data dirs come without one"),
        deployment=deployment or Unknown(unknown="plain data dirs come without one"),
        place=disks.read_place(layout),
        process=running,
        live=live,
        db=db,
        log=log,
        tail=tail,
    )


def answers(endpoint: str) -> bool:
    """Whether something accepts connections at a client URL."""
    try:
        parts = urlsplit(endpoint)
        with socket.create_connection((parts.hostname or "localhost", parts.port or 2379), timeout=ANSWER_SECONDS):
            return True
    except (OSError, ValueError):
        return False


def ask(config: MemberConfig, found: Tools) -> LiveEvidence | Unknown:
    """A running member's own status."""
    flags = tools.client_flags(config.endpoint, config.ca, config.cert, config.key)
    try:
        answer = tools.ctl_json(found, flags, ["endpoint", "status"], ANSWER_SECONDS)
        status = answer[0]["Status"]
        header = status["header"]
        return LiveEvidence(
            member_id=int(header["member_id"]),
            cluster_id=int(header["cluster_id"]),
            leader=int(status.get("leader", 0)),
            revision=int(header.get("revision", 0)),
            raft_index=int(status.get("raftIndex", 0)),
            raft_term=int(status.get("raftTerm", header.get("raft_term", 0))),
            version=str(status.get("version", "")),
            errors=tuple(str(one) for one in status.get("errors") or ()),
        )
    except programs.ProgramError as err:
        return Unknown(unknown=f"it runs, but does not answer: {_plain(err.detail) or err}")
    except (KeyError, IndexError, TypeError, ValueError) as err:
        return Unknown(unknown=f"it runs, but its answer cannot be read: {err!r}")


def _plain(said: str) -> str:
    """The error in etcdctl's JSON log line, or its last line."""
    line = programs.last_line(said)
    try:
        return str(json.loads(line).get("error", line))
    except (ValueError, AttributeError):
        return line


def default_tool_folders(named: Path | None) -> list[str]:
    """Where to look for etcd's programs: the folder that was named, else the PATH."""
    return [str(named)] if named else os.environ.get("PATH", programs.PATH).split(":")
