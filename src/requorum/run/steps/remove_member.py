"""Remove the broken member from its cluster."""

from dataclasses import dataclass

from requorum.procedures.values import Plan
from requorum.run import membership
from requorum.run.by_hand import ctl
from requorum.run.context import Context
from requorum.run.steptype import StepType


@dataclass(frozen=True, slots=True, kw_only=True)
class Removed:
    """The id, in hexadecimal."""

    removed: str


def by_hand(plan: Plan, _: None) -> tuple[str, ...]:
    return (f"{ctl((plan.speaker,))} member remove {plan.replaces:x}",)


def do(context: Context, _: None) -> Removed:
    """Remove the broken member by its id."""
    wanted = context.plan.replaces
    if any(one.id == wanted for one in membership.listed(context)):
        membership.change(context, "member", "remove", f"{wanted:x}")
    return Removed(removed=f"{wanted:x}")


STEP = StepType(
    kind="remove member",
    does="removes the broken member from the cluster, by its id",
    by_hand=by_hand,
    do=do,
    result=Removed,
)
