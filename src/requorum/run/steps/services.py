"""Stop what writes to etcd on a host, and bring it back once quorum is proven; only what ran or was enabled before."""

from typing import Any

from requorum.hosts import units
from requorum.plan.values import PlanHost
from requorum.run.context import Context


def stop(context: Context, host: PlanHost) -> Any:
    """Fence and stop them, in their order: a reboot in the middle brings none of them back."""
    context.connections[host.name].call(units.fence, [one.unit for one in host.services], context.plan.run)
    return {"stopped": [one.unit for one in host.services]}


def start(context: Context, host: PlanHost) -> Any:
    """Take the fences away, and start them in reverse order."""
    connection = context.connections[host.name]
    connection.call(units.unfence, [one.unit for one in host.services])
    wanted = [one.unit for one in reversed(host.services) if one.wanted]
    connection.call(units.start, wanted, wait=True)
    return {"started": wanted}


def stop_again(context: Context, host: PlanHost) -> None:
    """Before a rollback touches data: nothing may write meanwhile."""
    stop(context, host)


def bring_back(context: Context, host: PlanHost) -> None:
    """At the end of a rollback: as it was before."""
    connection = context.connections[host.name]
    free = [one for one in host.services if not one.fenced_by]
    connection.call(units.unfence, [one.unit for one in free])
    for one in host.services:
        if one.fenced_by:
            connection.call(units.fence, [one.unit], one.fenced_by)
    connection.call(units.start, [one.unit for one in reversed(free) if one.wanted], wait=False)
