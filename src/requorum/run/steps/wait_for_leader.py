"""Wait until the members that were started first have a leader; only then may the others join."""

from dataclasses import dataclass

from requorum.procedures.values import Plan
from requorum.proof import prove
from requorum.run.context import Context
from requorum.run.steptype import StepType


@dataclass(frozen=True, slots=True, kw_only=True)
class Led:
    """The members that are healthy."""

    healthy: tuple[str, ...]


def by_hand(plan: Plan, _: None) -> tuple[str, ...]:
    first = ",".join(one.config.endpoint for one in plan.members if one.name in plan.first)
    return (f"etcdctl --endpoints={first} endpoint health  # until every one is healthy",)


def do(context: Context, _: None) -> Led:
    """Raises RequorumError when they do not become healthy in time."""
    plan = context.plan
    for one in context.asked():
        if one.config.name in plan.first:
            prove.wait_healthy(one, context.dead)
    return Led(healthy=plan.first)


STEP = StepType(
    kind="wait for a leader",
    does="waits until the members that were started first have a leader; only then may the others join",
    by_hand=by_hand,
    do=do,
    result=Led,
)
