"""Before the first start: token and state in the member's configuration; that lifts the fence."""

from typing import Any

from requorum.deployments import process
from requorum.plan import runbook
from requorum.plan.values import PlanMember
from requorum.run.context import Context, folders_of, nothing_runs


def do(context: Context, member: PlanMember) -> Any:
    """Only what must change is changed; the original stays set aside."""
    if process.fenced_by(member.deployment):
        nothing_runs(member)
    changes = runbook.settings(context.plan, member)
    process.lift(member.deployment, context.plan.run, changes)
    return changes


def undo(context: Context, member: PlanMember) -> None:
    """Fence again, and stop what was started."""
    process.fence(member.deployment, context.plan.run)
    process.stop(folders_of(member))
