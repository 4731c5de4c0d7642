"""Start a member's etcd, unless its supervisor already did."""

from typing import Any

from requorum.deployments import process
from requorum.hosts import processes
from requorum.plan.values import PlanMember
from requorum.run.context import Context, folders_of


def do(context: Context, member: PlanMember) -> Any:
    """Does not wait for quorum: all members are started, then the proof waits for all."""
    running = processes.holders_of(folders_of(member))
    if running:
        return {"pid": running[0].pid, "already": True}
    return {"pid": process.start(member.deployment, context.tools.etcd)}
