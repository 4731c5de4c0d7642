"""Make sure that nothing can start a member's etcd, stop the one that runs, and prove it by trying."""

from typing import Any

from requorum.deployments import process
from requorum.hosts import processes
from requorum.plan.values import PlanMember
from requorum.run.context import Context, folders_of


def do(context: Context, member: PlanMember) -> Any:
    """Fence first (something may be restarting etcd every few seconds), then stop, then try to start."""
    process.fence(member.deployment, context.plan.run)
    stopped = process.stop(folders_of(member))
    said = process.prove_fence(member.deployment, context.tools.etcd, folders_of(member))
    return {"stopped": stopped, "refused": said[:300]}


def undo(context: Context, member: PlanMember) -> None:
    """Put the member's own config file back; start etcd again if it ran before the run."""
    process.put_back(member.deployment, context.plan.run)
    if member.was_running and not processes.holders_of(folders_of(member)):
        process.start(member.deployment, context.tools.etcd)
