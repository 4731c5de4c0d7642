"""Stop what writes to etcd on a host, and bring it back once quorum is proven; only what ran or was enabled before."""

from typing import Any

from requorum.deployments import controlplane, kubelet
from requorum.hosts import units
from requorum.procedures.values import PlanHost
from requorum.run.alive import refuse_living
from requorum.run.context import Context


def stop(context: Context, host: PlanHost) -> Any:
    """Fence and stop them, in their order: a reboot in the middle brings none of them back. kubelet is stopped before the
    containers of its pods are, so that nothing starts them again."""
    refuse_living(context, context.plan.members, "etcd runs on as it was; what writes to it may be stopped")
    return _stop(context, host)


def _stop(context: Context, host: PlanHost) -> Any:
    connection = context.connections[host.name]
    controlplane.fence(connection, host.pods, context.plan.run)
    connection.call(units.fence, [one.unit for one in host.services], context.plan.run)
    controlplane.stop(connection, host.pods)
    return {"stopped": [*(one.program for one in host.pods), *(one.unit for one in host.services)]}


def start(context: Context, host: PlanHost) -> Any:
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
    return {"started": [*wanted, *(one.program for one in host.pods)], "not_ready": not_ready}


def stop_again(context: Context, host: PlanHost) -> None:
    """Before a rollback touches data: nothing may write meanwhile."""
    _stop(context, host)


def bring_back(context: Context, host: PlanHost) -> None:
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
