"""Stop the bleeding, think later: nothing can start etcd, or what writes to it, until the fences are lifted."""

import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from requorum.deployments import controlplane, kinds
from requorum.errors import Locked, Refused, RequorumError, Unreachable
from requorum.hosts import files, units
from requorum.hosts.connection import Connection
from requorum.hosts.everywhere import at_once
from requorum.operations import plan as plans
from requorum.operations import survey as surveys
from requorum.operations.hosts import World
from requorum.operations.operator import Operator
from requorum.procedures import gates
from requorum.procedures.values import BY_HAND
from requorum.reports.runs import FenceRow, Fences
from requorum.run.steps import start
from requorum.survey import gather
from requorum.survey.evidence import Binaries, HostEvidence, MemberEvidence, Place, Survey, Unknown
from requorum.verdict import values

Target = MemberEvidence | HostEvidence


def fence(world: World, operator: Operator, *, powered_off: Sequence[str] = ()) -> Fences:
    """Stop etcd and what writes to it on every host, and keep it from starting, after a reboot too; proven by trying. What
    goes wrong on one host stops no other: see its row."""
    judged = surveys.judged(surveys.survey_hosts(world, (), powered_off, in_full=False))
    alive, verdict = gates.living(judged.survey), judged.verdict
    if alive or verdict.kind in (values.HEALTHY, values.REPLACE_MEMBERS):
        said = f"{', '.join(alive)} answers with a leader ({verdict.summary})" if alive else verdict.summary
        _gate_alive(verdict.cluster, said, operator)
    rows = _everywhere(world, _targets(judged.survey), partial(_fence, f"{BY_HAND}{plans.new_run()}"))
    return Fences(lifted=False, hosts=tuple(rows))


def lift(world: World, *, powered_off: Sequence[str] = ()) -> Fences:
    """Take the fences of an earlier :func:`fence` away again, and start what ran before; one host after another, so that
    members that check each other as they start do not wait for each other."""
    survey = surveys.survey_hosts(world, (), powered_off, in_full=False)
    rows = _everywhere(world, _targets(survey), _lift, start.APART)
    return Fences(lifted=True, hosts=tuple(rows))


def _targets(survey: Survey) -> list[Target]:
    return [*survey.members, *(one for one in survey.hosts if "etcd" not in one.roles)]


def _gate_alive(cluster: str, summary: str, operator: Operator) -> None:
    text = f"this cluster lives: {summary}; a fence would take it down"
    if not operator.yes and not operator.attended:
        raise Refused(text, hint=f"if that is meant: --yes --confirm {cluster}")
    operator.gate(text, cluster)


def _everywhere(
    world: World, targets: Sequence[Target], act: Callable[[Connection, Target], str], apart: float = 0.0
) -> list[FenceRow]:
    """Act on all hosts at once, or so many seconds apart; what goes wrong on one stops no other."""

    def on(number: int, target: Target) -> FenceRow:
        time.sleep(apart * number)
        name = target.host if isinstance(target, MemberEvidence) else target.name
        try:
            return FenceRow(host=name, ok=True, what=act(world.connections[name], target))
        except Unreachable as err:
            return FenceRow(host=name, ok=False, what=f"unreachable: {err.message}")
        except (RequorumError, OSError) as err:
            return FenceRow(host=name, ok=False, what=str(err))

    return at_once(lambda numbered: on(*numbered), enumerate(targets))


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
    etcd = target.tools.etcd if isinstance(target.tools, Binaries) else "etcd"
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
            wanted = target.deployment.wanted
            kind.put_back(connection, target.deployment, by)
            if wanted and isinstance(target.tools, Binaries):
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
        not isinstance(target.deployment, Unknown) and target.deployment.supervised
    )
