"""``requorum fence``: stop the bleeding, think later. Nothing can start etcd, or what writes to it, until it is lifted."""

import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import click

from requorum import errors
from requorum.cli import consent, options, plan_cmd, render, survey_cmd
from requorum.cli.options import Where, World
from requorum.deployments import controlplane, kinds
from requorum.errors import Locked, Refused, RequorumError, Unreachable
from requorum.hosts import files, units
from requorum.hosts.connection import Connection
from requorum.plan import gates
from requorum.plan.values import BY_HAND
from requorum.run.execute import START_APART
from requorum.survey import gather
from requorum.survey.evidence import HostEvidence, MemberEvidence, Place, Tools, Unknown
from requorum.verdict import values
from requorum.verdict.decide import decide

Target = MemberEvidence | HostEvidence


@click.command()
@options.where
@click.option("--lift", is_flag=True, help="Take the fences of an earlier `requorum fence` away again.")
@options.powered_off
@consent.options
@options.output
def fence(where: Where, lift: bool, powered_off: tuple[str, ...], yes: bool, confirm: str, output: str) -> int:
    """Stop etcd and what writes to it on every host, and keep it from starting, after a reboot too; proven by trying.

    For a disaster that still goes on: something restarts a broken etcd, or an API server writes to the wrong one.
    `requorum recover` takes these fences over; --lift takes them away, and starts what ran before.
    """
    with options.world(where, powered_off) as world:
        survey = survey_cmd.look(world, (), powered_off, in_full=False)
        verdict = decide(survey)
        alive = gates.living(survey)
        if not lift and (alive or verdict.kind in (values.HEALTHY, values.REPLACE_MEMBERS)):
            said = f"{', '.join(alive)} answers with a leader ({verdict.summary})" if alive else verdict.summary
            _gate_alive(verdict.cluster, said, yes=yes, confirm=confirm)
        targets = [*survey.members, *(one for one in survey.hosts if "etcd" not in one.roles)]
        run = f"{BY_HAND}{plan_cmd.new_run()}"
        rows = (
            _everywhere(world, targets, _lift, START_APART)
            if lift
            else _everywhere(world, targets, partial(_fence, run))
        )
    failed = [row for row in rows if not row["ok"]]
    if output in ("json", "yaml"):
        render.data({"schema": "requorum/Fence/v1", "lifted": lift, "hosts": rows}, output)
    else:
        made = render.table("host", "", "what")
        for row in rows:
            made.add_row(row["host"], "ok" if row["ok"] else "failed", row["what"])
        render.console().print(made)
    if failed and len(failed) == len(rows):
        raise RequorumError("no host could be " + ("released" if lift else "fenced"))
    return errors.DONE_WITH_WARNINGS if failed else errors.DONE


def _gate_alive(cluster: str, summary: str, *, yes: bool, confirm: str) -> None:
    text = f"this cluster lives: {summary}; a fence would take it down"
    if not yes and not sys.stdin.isatty():
        raise Refused(text, hint=f"if that is meant: --yes --confirm {cluster}")
    consent.gate(text, cluster, yes, confirm)


def _everywhere(
    world: World, targets: list[Any], act: "Callable[[Connection, Any], str]", apart: float = 0.0
) -> list[dict[str, Any]]:
    """Act on all hosts at once, or so many seconds apart; what goes wrong on one stops no other."""

    def one(target: Any) -> dict[str, Any]:
        time.sleep(apart * targets.index(target))
        name = target.host if isinstance(target, MemberEvidence) else target.name
        try:
            return {"host": name, "ok": True, "what": act(world.connections[name], target)}
        except Unreachable as err:
            return {"host": name, "ok": False, "what": f"unreachable: {err.message}"}
        except (RequorumError, OSError) as err:
            return {"host": name, "ok": False, "what": str(err)}

    with ThreadPoolExecutor(max_workers=max(len(targets), 1)) as pool:
        return list(pool.map(one, targets))


def _gate_locked(connection: Connection, member: MemberEvidence) -> None:
    if isinstance(member.place, Place) and connection.call(files.there, Path(member.place.work) / "lock.json"):
        raise Locked(f"{member.name} is locked by a run: it has fenced it already", hint="requorum runs -i INVENTORY")


def _fence(run: str, connection: Connection, target: Target) -> str:
    said = []
    if isinstance(target, MemberEvidence):
        _gate_locked(connection, target)
    if isinstance(target, HostEvidence) or not isinstance(target.deployment, Unknown):
        services = gather.services_of(connection) if _on_systemd(target) else ()
        pods = gather.pods_of(connection) if _on_systemd(target) else ()
        for pod in pods:
            controlplane.fence(connection, [pod], pod.fenced_by or run)
        for by in dict.fromkeys(one.fenced_by for one in services):
            connection.call(units.fence, [one.unit for one in services if one.fenced_by == by], by or run)
        if _on_systemd(target):
            controlplane.stop(connection, pods)
        said += [one.program for one in pods if not one.fenced_by]
        said += [one.unit.removesuffix(".service") for one in services if not one.fenced_by]
    if isinstance(target, HostEvidence):
        return f"fenced {', '.join(said) or 'nothing'}"
    if isinstance(target.deployment, Unknown):
        raise RequorumError(target.deployment.unknown)
    kind = kinds.of(target.deployment)
    by = kind.fenced_by(connection, target.deployment)
    kind.fence(connection, target.deployment, by or run)
    folders = [Path(one) for one in dict.fromkeys((target.data_dir, target.wal_dir)) if one]
    kind.stop(connection, target.deployment, folders)
    etcd = target.tools.etcd if isinstance(target.tools, Tools) else "etcd"
    kind.prove_fence(connection, target.deployment, Path(etcd), folders)
    return f"fenced {', '.join(['etcd', *said])}" if not by else f"fenced already by {by}"


def _lift(connection: Connection, target: Target) -> str:
    said = []
    if isinstance(target, MemberEvidence):
        _gate_locked(connection, target)
        if isinstance(target.deployment, Unknown):
            raise RequorumError(target.deployment.unknown)
        kind = kinds.of(target.deployment)
        by = kind.fenced_by(connection, target.deployment)
        if by and not by.startswith(BY_HAND):
            raise RequorumError(f"it is fenced by run {by}: requorum rollback {by}")
        if by:
            wanted = target.deployment.kind != "process" and target.deployment.wanted
            kind.put_back(connection, target.deployment, by)
            if wanted and isinstance(target.tools, Tools):
                kind.start(connection, target.deployment, Path(target.tools.etcd))
            said.append("etcd")
    if _on_systemd(target):
        services = gather.services_of(connection)
        ours = [one for one in services if one.fenced_by.startswith(BY_HAND)]
        connection.call(units.unfence, [one.unit for one in ours])
        connection.call(units.start, [one.unit for one in reversed(ours) if one.wanted], wait=False)
        said += [one.unit.removesuffix(".service") for one in ours]
        pods = [one for one in gather.pods_of(connection) if one.fenced_by.startswith(BY_HAND)]
        for pod in pods:
            controlplane.give_back(connection, [pod], pod.fenced_by)
        said += [one.program for one in pods]
    return f"released {', '.join(said)}" if said else "it was not fenced"


def _on_systemd(target: Target) -> bool:
    return isinstance(target, HostEvidence) or (
        not isinstance(target.deployment, Unknown) and target.deployment.kind != "process"
    )
