"""Wait until the members that were started first have a leader; only then may the others join."""

from typing import Any

from requorum.procedures.values import PlanMember
from requorum.proof import prove
from requorum.run.context import Context


def do(context: Context, _: PlanMember | None) -> Any:
    """Raises RequorumError when they do not become healthy in time."""
    plan = context.plan
    for one in context.asked():
        if one.config.name in plan.first:
            prove.wait_healthy(one, context.dead)
    return {"healthy": list(plan.first)}
