"""Before the first start: token and state in the member's configuration; that lifts the fence."""

from typing import Any

from requorum.deployments import kinds
from requorum.procedures import configuration
from requorum.procedures.values import PlanMember
from requorum.run.context import Context, folders_of, nothing_runs


def do(context: Context, member: PlanMember) -> Any:
    """Only what must change is changed; the original stays set aside."""
    kind, host = kinds.of(member.deployment), context.host(member)
    if kind.fenced_by(host, member.deployment):
        nothing_runs(context, member)
    changes = configuration.settings(context.plan, member)
    for_now = configuration.for_now(context.plan, member)
    kind.lift(host, member.deployment, context.plan.run, changes, for_now)
    return changes


def undo(context: Context, member: PlanMember) -> None:
    """Fence again, and stop what was started."""
    kind, host = kinds.of(member.deployment), context.host(member)
    kind.fence(host, member.deployment, context.plan.run)
    kind.forget(host, member.deployment)
    kind.stop(host, member.deployment, folders_of(member))
