"""Make sure that nothing can start a member's etcd, stop the one that runs, and prove it by trying."""

import time
from dataclasses import dataclass
from pathlib import Path

from requorum.deployments import kinds
from requorum.hosts import processes
from requorum.procedures.values import BY_HAND, Plan, PlanMember
from requorum.run.alive import refuse_living
from requorum.run.context import Context, folders_of
from requorum.run.steps import start
from requorum.run.steptype import StepType


@dataclass(frozen=True, slots=True, kw_only=True)
class Fenced:
    """The processes that were ended, and what the attempt to start etcd came to."""

    stopped: tuple[int, ...] = ()
    refused: str = ""


def by_hand(plan: Plan, member: PlanMember) -> tuple[str, ...]:
    return kinds.by_hand(member.deployment).fence(member.deployment, plan.run)


def do(context: Context, member: PlanMember) -> Fenced:
    """Fence first (something may be restarting etcd every few seconds), then stop, then try to start."""
    others = [one.name for one in context.plan.members if one.name != member.name]
    changed = f"{member.name} runs on as it was" + (f"; {', '.join(others)} may be fenced" if others else "")
    refuse_living(context, [member], changed)
    kind, host, deployment = kinds.of(member.deployment), context.host(member), member.deployment
    kind.fence(host, deployment, context.plan.run)
    stopped = kind.stop(host, deployment, folders_of(member))
    said = kind.prove_fence(host, deployment, Path(context.tools(member).etcd), folders_of(member))
    return Fenced(stopped=stopped, refused=said[:300])


def undo(context: Context, member: PlanMember) -> None:
    """Put the member's own configuration back; start etcd again if it ran before the run, and may.

    A member that somebody had fenced before the run is as it was found: it stays fenced, and the configuration never passes
    through where something could start it. One that was removed from its cluster is not started either: nobody knows it any
    more; kubelet would start it as soon as its manifest is back.
    """
    kind, host, run = kinds.of(member.deployment), context.host(member), context.plan.run
    removed = any(one.kind == "remove member" and one.id in context.journal.begun for one in context.steps())
    holder = member.deployment.fenced_by or (f"{BY_HAND}{run}" if removed and kind.STARTS_AT_ONCE else "")
    kind.put_back(host, member.deployment, run, holder)
    if member.was_running and not holder and not removed and not host.call(processes.holders_of, folders_of(member)):
        kind.start(host, member.deployment, Path(context.tools(member).etcd))
        if any(one.config.corrupt_check for one in context.plan.members):
            time.sleep(start.APART)


STEP = StepType(
    kind="fence",
    does="makes sure that nothing can start a member's etcd, stops the one that runs, and proves it by trying",
    by_hand=by_hand,
    do=do,
    result=Fenced,
    undo=undo,
    undoing="put the configuration back",
    undone_in_turn=True,
)
