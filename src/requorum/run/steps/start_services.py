"""Bring back what was stopped on a host, once quorum is proven; only what ran or was enabled before."""

from dataclasses import dataclass
from shlex import quote as q

from requorum.deployments import controlplane, kubelet
from requorum.deployments.systemd.by_hand import drop_in
from requorum.hosts import units
from requorum.procedures.values import Plan, PlanHost
from requorum.run.context import Context
from requorum.run.steps import stop_services
from requorum.run.steptype import StepType


@dataclass(frozen=True, slots=True, kw_only=True)
class Returned:
    """What was ``started``, and the API servers that came back but do not serve, with why."""

    started: tuple[str, ...] = ()
    not_ready: tuple[str, ...] = ()


def by_hand(plan: Plan, host: PlanHost) -> tuple[str, ...]:
    """Units come back in reverse, only those that ran or were enabled; then the pods."""
    fences = " ".join(q(drop_in(one.unit)) for one in host.services)
    wanted = [q(one.unit) for one in reversed(host.services) if one.wanted]
    begin = f"systemctl start {' '.join(wanted)}" if wanted else "# nothing ran here before"
    lines = [f"rm -f {fences}; systemctl daemon-reload", begin] if fences else []
    return (*lines, *(controlplane.give_back_by_hand(one, plan.run) for one in host.pods))


def do(context: Context, host: PlanHost) -> Returned:
    """Take the fences away, and start units in reverse order; then kubelet is given its pods again: the API server, and
    the rest once that is ready."""
    connection = context.connections[host.name]
    connection.call(units.unfence, [one.unit for one in host.services])
    wanted = [one.unit for one in reversed(host.services) if one.wanted]
    connection.call(units.start, wanted, wait=True)
    not_ready = []
    servers = [one for one in host.pods if one.program == controlplane.PROGRAMS[0]]
    controlplane.give_back(connection, servers, context.plan.run)
    for one in servers if kubelet.runs(connection) else ():
        not_ready += [said] if (said := controlplane.wait_ready(connection, one)) else []
    controlplane.give_back(connection, [one for one in host.pods if one not in servers], context.plan.run)
    return Returned(started=(*wanted, *(one.program for one in host.pods)), not_ready=tuple(not_ready))


def undo(context: Context, host: PlanHost) -> None:
    """Before a rollback touches data: nothing may write meanwhile."""
    stop_services.stop(context, host)


STEP = StepType(
    kind="start services",
    does="brings back what was stopped on a host: units in reverse, then the control plane's pods",
    by_hand=by_hand,
    do=do,
    result=Returned,
    undo=undo,
    undoing="stop what writes to etcd",
    undone_after="stop services",
)
