"""Take a run up from its hosts: plan and journal lie beside every member's data, so any machine can go on with them."""

from pathlib import Path
from typing import Any

from requorum.deployments import kinds
from requorum.errors import RequorumError, UsageError
from requorum.etcdfiles import datadir
from requorum.hosts import files
from requorum.hosts.connection import Connection, Connections
from requorum.inventory.inventory import Host, Inventory
from requorum.procedures.values import Plan
from requorum.run import journal as journals
from requorum.survey import codec, disks
from requorum.survey.evidence import Place, Unknown


def fetch(run: str, inventory: Inventory, connections: Connections) -> None:
    """Bring a run's plan to this machine; its journal is then read from the members, as always.

    Raises UsageError when no host knows the run.
    """
    if not journals.is_run_name(run):
        raise UsageError(f"{run!r} is no name of a run")
    why = []
    for host in inventory.hosts:
        if "etcd" not in host.roles:
            continue
        try:
            raw = _plan_on(host, connections[host.name], run)
        except (RequorumError, OSError) as err:
            why.append(f"{host.name}: {err}")
            continue
        if raw is None:
            why.append(f"{host.name}: it does not know this run")
            continue
        plan = codec.decode(raw, Plan)
        if plan.run == run:
            journals.adopt(plan, raw)
            return
    raise UsageError(
        f"no host knows run {run}: {'; '.join(why)}", hint="requorum runs -i INVENTORY lists those they know"
    )


def known(inventory: Inventory, connections: Connections) -> list[dict[str, Any]]:
    """Every run that some host knows: its name, its cluster, and on which hosts it lies."""
    found: dict[str, dict[str, Any]] = {}
    for host in inventory.hosts:
        if "etcd" not in host.roles:
            continue
        try:
            work = _work_on(host, connections[host.name])
            if work is None:
                continue
            names = connections[host.name].call(files.names_in, work)
        except (RequorumError, OSError):
            continue
        for name in names:
            if journals.is_run_name(name) and connections[host.name].call(files.there, work / name / "plan.json"):
                found.setdefault(name, {"run": name, "hosts": []})["hosts"].append(host.name)
    return [found[name] for name in sorted(found)]


def _work_on(host: Host, connection: Connection) -> Path | None:
    """Where runs keep what they need on a host; None when its member cannot be found."""
    deployment = kinds.find(connection, host.etcd)
    if deployment is None:
        return None
    config = kinds.of(deployment).read_config(connection, deployment)
    place: Place | Unknown = connection.call(disks.read_place, datadir.layout_of(config.data_dir, config.wal_dir))
    return None if isinstance(place, Unknown) else Path(place.work)


def _plan_on(host: Host, connection: Connection, run: str) -> bytes | None:
    work = _work_on(host, connection)
    if work is None:
        return None
    path = work / run / "plan.json"
    if not connection.call(files.there, path):
        return None
    return connection.call(files.read_file, path)
