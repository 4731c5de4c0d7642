"""Start a member's etcd, unless its supervisor already did."""

from pathlib import Path
from typing import Any

from requorum.deployments import kinds
from requorum.hosts import processes
from requorum.procedures.values import PlanMember
from requorum.run.context import Context, folders_of


def do(context: Context, member: PlanMember) -> Any:
    """Does not wait for quorum: all members are started, then the proof waits for all."""
    host = context.host(member)
    if host.call(processes.holders_of, folders_of(member)):
        return {"already": True}
    kinds.of(member.deployment).start(host, member.deployment, Path(context.tools(member).etcd))
    return {"already": False}
