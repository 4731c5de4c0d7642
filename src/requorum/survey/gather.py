"""The survey: every host, member and snapshot read at once, none of them changed."""

import dataclasses
import datetime
import os
import secrets
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import anyio
import anyio.to_thread

from requorum.deployments import controlplane, kinds, kubelet, reach
from requorum.deployments.config import Deployment, MemberConfig
from requorum.errors import RequorumError, Unreachable, UsageError
from requorum.etcd import versions
from requorum.etcd.binaries import Binaries
from requorum.etcdfiles import datadir
from requorum.etcdfiles.faults import EtcdFileError
from requorum.hosts import net, units
from requorum.hosts.connection import Connection, Connections, Here
from requorum.hosts.location import location
from requorum.inventory.inventory import Host, Inventory
from requorum.survey import at_hand, compared, comparing, disks, forking, live, looking, merging, without_python
from requorum.survey.evidence import (
    Certificate,
    Comparison,
    ControlPod,
    DbEvidence,
    Fork,
    HostEvidence,
    LiveEvidence,
    LogEvidence,
    MemberEvidence,
    MergedLog,
    Service,
    SnapshotEvidence,
    Survey,
    Unknown,
)

without_python.register()

SERVICES = ("kube-apiserver.service", "kube-controller-manager.service", "kube-scheduler.service", "kubelet.service")
"""What is stopped before etcd, in this order, and comes back in reverse."""


KEY = secrets.token_bytes(32)
"""What log entries are hashed under, drawn anew by each process: no client can choose values whose hashes collide."""


async def survey_hosts(
    inventory: Inventory,
    connections: Connections,
    found: Binaries | None = None,
    *,
    in_full: bool,
    snapshots: Sequence[str | Path] = (),
    powered_off: Sequence[str] = (),
) -> Survey:
    """Survey the hosts of an inventory but those that are off, their members, and the snapshots named in it or given.

    ``found`` are etcd's programs for members that are plain processes.
    """
    hosts = [host for host in inventory.hosts if host.name not in powered_off]
    reading = [partial(survey_member, host, connections[host.name], found, in_full=in_full) for host in hosts]
    at_hosts = [partial(look_at_host, host, connections[host.name]) for host in hosts]
    wanted = [*inventory.snapshots, *snapshots]
    saved = [partial(read_snapshot, str(one), connections, in_full=in_full) for one in wanted]
    members, seen, read = await _all_at_once(
        [one for one, host in zip(reading, hosts, strict=True) if "etcd" in host.roles], at_hosts, saved
    )
    assumed = {host.name for host in hosts if host.assumed}
    no_members = {one.name for one in seen if one.name in assumed and _has_api_server(one)}
    members = [one for one in members if not (one.absent and one.host in no_members)]
    members = looking.without_each_other(members)
    around = looking.snapshots(members, read, lambda one: connections[one.host], lambda one: one.host, in_full=in_full)
    read += (await _all_at_once([], [], around))[2]
    members = await anyio.to_thread.run_sync(live.hashed, members, lambda one: connections[one.host])
    together = await _together(members, read, lambda one: connections[one.host], connections, in_full=in_full)
    return _survey(inventory.cluster, together, read, in_full=in_full, found=found, hosts=seen)


def _has_api_server(host: HostEvidence) -> bool:
    return any(
        "kube-apiserver" in one for one in (*(unit.unit for unit in host.services), *(pod.program for pod in host.pods))
    )


async def survey_dirs(
    dirs: Sequence[Path],
    *,
    in_full: bool,
    snapshots: Sequence[Path] = (),
    wal_dirs: Sequence[Path] = (),
    found: Binaries | None = None,
) -> Survey:
    """Survey plain data dirs, as copied from hosts, and snapshot files."""
    data_dirs, saved = [], [path.absolute() for path in snapshots]
    inner: dict[Path, str] = {}
    for path in (one.absolute() for one in dirs):
        try:
            kind = datadir.kind_of(str(path))
        except EtcdFileError as err:
            if path.is_dir():
                raise UsageError(str(err), hint="give a folder that etcd knows as its --data-dir") from err
            kind = "db"
            if not path.exists():
                raise UsageError(str(err)) from err
        if kind in ("data dir", "member dir"):
            data_dirs.append(path)
            inner[path] = datadir.inner_of(str(path))
        elif kind == "db":
            saved.append(path)
        else:
            raise UsageError(f"{path} is a {kind}: give data dirs and snapshot files")
    apart: list[Path | None] = [*wal_dirs]
    apart += [None] * (len(data_dirs) - len(apart))
    names = _names(data_dirs)
    reading = [
        partial(
            read_dir,
            Here(),
            str(path),
            names[at],
            wal_dir=str(apart[at] or ""),
            in_full=in_full,
            inner=inner[path],
            others=tuple(str(one) for one in data_dirs if one != path),
        )
        for at, path in enumerate(data_dirs)
    ]
    members, _, read = await _all_at_once(
        reading, [], [partial(read_snapshot, str(one), None, in_full=in_full) for one in saved]
    )
    around = looking.snapshots(members, read, lambda _: Here(), lambda _: "", in_full=in_full)
    read += (await _all_at_once([], [], around))[2]
    together = await _together(members, read, lambda _: Here(), None, in_full=in_full)
    return _survey("", together, read, in_full=in_full, found=found)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Together:
    """What only several members together tell, and the members with what that says of each."""

    members: Sequence[MemberEvidence]
    compared: tuple[Comparison, ...] = ()
    merged: tuple[MergedLog, ...] = ()
    forks: tuple[Fork, ...] = ()


async def _together(
    members: Sequence[MemberEvidence],
    snapshots: Sequence[SnapshotEvidence],
    at: Callable[[MemberEvidence], Connection],
    connections: Connections | None,
    *,
    in_full: bool,
) -> _Together:
    """What only several members together tell: whether their logs hold the same; and, unless one of them serves, whether
    they hold the same, and their logs put together, on top of a db that is not outvoted."""
    alive = any(isinstance(one.live, LiveEvidence) for one in members)

    def host_of(snapshot: SnapshotEvidence) -> Connection:
        return connections[snapshot.host] if snapshot.host and connections is not None else Here()

    def tell() -> _Together:
        forks = forking.forks(members, at)
        if alive:
            return _Together(members=members, forks=forks)
        found = comparing.compare(members, at, snapshots, host_of, in_full=in_full)
        checked = comparing.with_provenance(members, found, at, forks) if in_full else members
        out, _ = compared.outvoted(found)
        merged = merging.merge(checked, at, in_full=in_full, without=tuple(out), forks=forks)
        return _Together(members=checked, compared=found, merged=merged, forks=forks)

    return await anyio.to_thread.run_sync(tell)


def _names(dirs: Sequence[Path]) -> list[str]:
    """A short name for each folder: the part of its path in which it differs from the others."""
    parts = [Path(os.path.realpath(path)).parts for path in dirs]
    for at in range(1, max((len(one) for one in parts), default=1) + 1):
        names = [one[-at] if at <= len(one) else str(at) for one in parts]
        if len(set(names)) == len(names):
            return names
    return [str(path) for path in dirs]


async def _all_at_once(
    members: "Sequence[partial[MemberEvidence]]",
    hosts: "Sequence[partial[HostEvidence]]",
    snapshots: "Sequence[partial[SnapshotEvidence]]",
) -> tuple[list[MemberEvidence], list[HostEvidence], list[SnapshotEvidence]]:
    found: list[list[object]] = [[], [], []]

    async def one(at: int, number: int, read: Any) -> None:
        found[at][number] = await anyio.to_thread.run_sync(read)

    async with anyio.create_task_group() as group:
        for at, some in enumerate((members, hosts, snapshots)):
            found[at] = [None] * len(some)
            for number, read in enumerate(some):
                group.start_soon(one, at, number, read)
    return found[0], found[1], found[2]  # type: ignore[return-value]


def _survey(
    cluster: str,
    together: _Together,
    snapshots: Sequence[SnapshotEvidence],
    *,
    in_full: bool,
    found: Binaries | None,
    hosts: Sequence[HostEvidence] = (),
) -> Survey:
    members = together.members
    known = [one.tools for one in members if isinstance(one.tools, Binaries)] or ([found] if found else [])
    newest = max((one.version for one in known), key=versions.numbers, default=at_hand.version_of_images(members))
    return Survey(
        cluster=cluster,
        at=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        verified=in_full,
        members=tuple(members),
        snapshots=tuple(snapshots),
        etcd_version=newest,
        etcdutl_can_bump=all(versions.can_bump(one.version) for one in known) if known else versions.can_bump(newest),
        hosts=tuple(hosts),
        compared=together.compared,
        merged=together.merged,
        forks=together.forks,
        logs_compared=True,
    )


def look_at_host(host: Host, connection: Connection) -> HostEvidence:
    """A host's clock, and the units of Kubernetes on it."""
    found = HostEvidence(name=host.name, roles=host.roles, address=host.address)
    try:
        before = time.time()
        there = connection.call(net.clock)
        ahead = there - (before + time.time()) / 2
        found = dataclasses.replace(found, clock_ahead=round(ahead, 1), python=not connection.bare)
        services = services_of(connection) if host.etcd.supervised else ()
        pods = pods_of(connection) if host.etcd.supervised else ()
    except Unreachable as err:
        return dataclasses.replace(found, unreachable=err.message)
    except (RequorumError, OSError) as err:
        return dataclasses.replace(found, fault=err.message if isinstance(err, RequorumError) else str(err))
    return dataclasses.replace(found, services=services, pods=pods)


def services_of(connection: Connection) -> tuple[Service, ...]:
    """The units of Kubernetes that are installed on a host."""
    return tuple(
        Service(unit=one.name, active=one.active, wanted=one.wanted, fenced_by=one.fenced_by)
        for one in connection.call(units.show, list(SERVICES))
        if one.there
    )


def pods_of(connection: Connection) -> tuple[ControlPod, ...]:
    """The control plane's static pods on a host."""
    return controlplane.find(connection, kubelet.read(connection))


def survey_member(host: Host, connection: Connection, found: Binaries | None, *, in_full: bool) -> MemberEvidence:
    """One member of an inventory: its configuration, its process, its disk, and its answer when it runs."""
    try:
        deployment = kinds.find(connection, host.etcd)
        if deployment is None:
            return _nothing_of(host, kinds.missing(host.etcd), absent=True)
        config = kinds.of(deployment).read_config(connection, deployment)
        here = not deployment.supervised and connection.local
        its_tools = found if here and found else at_hand.find(connection, deployment, config)
        found_here = read_dir(
            connection,
            config.data_dir,
            host.name,
            wal_dir=config.wal_dir,
            in_full=in_full,
            config=config,
            deployment=deployment,
            found=its_tools,
        )
        running = not isinstance(found_here.process, Unknown) and found_here.process.running
        return dataclasses.replace(
            found_here,
            hindrance="" if running else kinds.of(deployment).hindrance(connection, deployment),
            certificates=_certificates(connection, config),
            clock=connection.call(net.clock),
            unresolved=reach.unresolved(connection, config),
            still_at=reach.still_at(connection, config, _known_urls(found_here)),
        )
    except (RequorumError, OSError) as err:
        reachable = not isinstance(err, Unreachable)
        said = (
            (f"{err.message} ({err.hint})" if err.hint else err.message) if isinstance(err, RequorumError) else str(err)
        )
        return _nothing_of(host, said if reachable else f"unreachable: {said}", reachable=reachable)


def _known_urls(member: MemberEvidence) -> tuple[str, ...]:
    """The peer URLs at which a member's own disk says that its cluster knows it."""
    if not isinstance(member.log, LogEvidence):
        return ()
    told = (*member.log.peers, *(member.db.peers if isinstance(member.db, DbEvidence) else ()))
    return tuple(dict.fromkeys(url for one in told if one.id == member.log.member_id for url in one.peer_urls))


def _certificates(connection: Connection, config: MemberConfig) -> tuple[Certificate, ...]:
    paths = [one for one in (*config.certificates, config.ca, config.cert) if one]
    if not paths:
        return ()
    from requorum.survey import certificates  # only here: what reads them takes longer to load than all the rest

    return certificates.read(connection, paths)


def _nothing_of(host: Host, why: str, *, reachable: bool = True, absent: bool = False) -> MemberEvidence:
    nothing = Unknown(unknown=why)
    return MemberEvidence(
        name=host.member or host.name,
        host=host.name,
        data_dir="",
        wal_dir="",
        config=nothing,
        deployment=nothing if host.etcd.supervised else host.etcd,
        place=nothing,
        process=nothing,
        live=nothing,
        db=nothing,
        log=nothing,
        tail=nothing,
        reachable=reachable,
        absent=absent,
    )


def read_dir(
    connection: Connection,
    path: str,
    name: str,
    *,
    wal_dir: str,
    in_full: bool,
    config: MemberConfig | None = None,
    deployment: Deployment | None = None,
    found: Binaries | Unknown | None = None,
    inner: str = "member",
    others: Sequence[str] = (),
) -> MemberEvidence:
    """One data dir, or the ``inner`` of one. A db that a running etcd holds is read by its few pages only, never in full."""
    layout = datadir.layout_of(path, wal_dir or None, inner)
    port = _port_of(config.endpoint) if config else 0
    running = connection.call(disks.read_process, [layout.data_dir, layout.wal_dir], port)
    said: LiveEvidence | Unknown = Unknown(unknown="it is not running")
    if (
        config is not None
        and isinstance(found, Binaries)
        and (running.running or live.answers(connection, config.endpoint))
    ):
        said = live.ask(connection, config, found)
    db, log, tail = connection.call(
        disks.read_member,
        layout.data_dir,
        layout.wal_dir,
        in_full=in_full and not running.running,
        inner=layout.inner,
        key=KEY,
        live=running.running,
    )
    return MemberEvidence(
        name=config.name if config else name,
        host=name if config else os.uname().nodename,
        data_dir=layout.data_dir,
        wal_dir=layout.wal_dir,
        config=config or Unknown(unknown="plain data dirs come without one"),
        deployment=deployment or Unknown(unknown="plain data dirs come without one"),
        place=connection.call(disks.read_place, layout),
        process=running,
        live=said,
        db=db,
        log=log,
        tail=tail,
        tools=found or Unknown(unknown="not looked for"),
        disk=() if connection.bare else connection.call(disks.disk_of, layout),
        around=looking.look(connection, layout, log, running, deployment, others),
    )


def _port_of(url: str) -> int:
    try:
        return urlsplit(url).port or 0
    except ValueError:
        return 0


def read_snapshot(named: str, connections: Connections | None, *, in_full: bool) -> SnapshotEvidence:
    """A snapshot file: on this machine, or ``HOST:PATH`` on a host of the inventory."""
    place = location(named, connections.names() if connections is not None else ())
    if connections is not None and place.host and place.whole:
        try:
            return connections[place.host].call(disks.read_snapshot, place.path, place.host, in_full=in_full)
        except Unreachable as err:
            return SnapshotEvidence(path=place.path, host=place.host, db=Unknown(unknown=err.message))
    return disks.read_snapshot(named, "", in_full=in_full)
