"""Stop what writes to etcd on a host: only what runs or is enabled comes back."""

from dataclasses import dataclass
from shlex import quote as q

from requorum.deployments import controlplane
from requorum.hosts import units
from requorum.procedures.values import Plan, PlanHost
from requorum.run.alive import refuse_living
from requorum.run.context import Context
from requorum.run.steptype import StepType


@dataclass(frozen=True, slots=True, kw_only=True)
class Stopped:
    """Programs and units, in the order in which they were stopped."""

    stopped: tuple[str, ...] = ()


def by_hand(plan: Plan, host: PlanHost) -> tuple[str, ...]:
    """Pods and units are stopped in their order."""
    names = " ".join(q(one.unit) for one in host.services)
    lines = [controlplane.fence_by_hand(one, plan.run) for one in host.pods]
    lines += [f"systemctl stop {names}  # and a fence for each, as for etcd"] if names else []
    lines += [controlplane.stop_by_hand(one) for one in host.pods]
    return tuple(lines)


def do(context: Context, host: PlanHost) -> Stopped:
    """Fence and stop them, in their order: a reboot in the middle brings none of them back. kubelet is stopped before the
    containers of its pods are, so that nothing starts them again."""
    refuse_living(context, context.plan.members, "etcd runs on as it was; what writes to it may be stopped")
    return stop(context, host)


def stop(context: Context, host: PlanHost) -> Stopped:
    """Whatever lives."""
    connection = context.connections[host.name]
    controlplane.fence(connection, host.pods, context.plan.run)
    connection.call(units.fence, [one.unit for one in host.services], context.plan.run)
    controlplane.stop(connection, host.pods)
    return Stopped(stopped=(*(one.program for one in host.pods), *(one.unit for one in host.services)))


def undo(context: Context, host: PlanHost) -> None:
    """At the end of a rollback: as it was before."""
    connection = context.connections[host.name]
    for pod in host.pods:
        if pod.fenced_by:
            controlplane.fence(connection, [pod], pod.fenced_by)
        else:
            controlplane.give_back(connection, [pod], context.plan.run)
    free = [one for one in host.services if not one.fenced_by]
    connection.call(units.unfence, [one.unit for one in free])
    for one in host.services:
        if one.fenced_by:
            connection.call(units.fence, [one.unit], one.fenced_by)
    connection.call(units.start, [one.unit for one in reversed(free) if one.wanted], wait=False)


STEP = StepType(
    kind="stop services",
    does="stops what writes to etcd on a host, and fences it: a reboot brings none of it back",
    by_hand=by_hand,
    do=do,
    result=Stopped,
    undo=undo,
    undoing="bring the rest back",
)
