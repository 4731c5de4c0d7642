"""Unlock a member at the end."""

from dataclasses import dataclass
from shlex import quote as q

from requorum.deployments import kinds
from requorum.procedures.values import Plan, PlanMember
from requorum.run import lock
from requorum.run.context import Context
from requorum.run.steptype import StepType


@dataclass(frozen=True, slots=True, kw_only=True)
class Unlocked:
    """The folder that holds what the run set aside."""

    kept: str


def by_hand(_: Plan, member: PlanMember) -> tuple[str, ...]:
    return (f"rm -f {q(member.place.work + '/lock.json')}",)


def do(context: Context, member: PlanMember) -> Unlocked:
    """Give the lock back; what was set aside stays until ``requorum cleanup``."""
    kinds.of(member.deployment).forget(context.host(member), member.deployment)
    lock.release(context.host(member), member, context.plan.run)
    return Unlocked(kept=str(context.work(member)))


STEP = StepType(
    kind="unlock",
    does="gives a member's lock back; what was set aside stays",
    by_hand=by_hand,
    do=do,
    result=Unlocked,
    again="always",
    unlocked=True,
)
