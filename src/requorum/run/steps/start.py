"""Start a member's etcd, unless its supervisor already did."""

from dataclasses import dataclass
from pathlib import Path

from requorum.deployments import kinds
from requorum.hosts import processes
from requorum.procedures.values import Plan, PlanMember
from requorum.run.context import Context, folders_of
from requorum.run.steptype import StepType

APART = 0.7
"""Seconds between two starts. With the initial corruption check, which Kubespray switches on, members that start at the
same instant wait 15 s for each other (measured)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """``already``: its supervisor had started it."""

    already: bool


def by_hand(_: Plan, member: PlanMember) -> tuple[str, ...]:
    return kinds.by_hand(member.deployment).start(member.deployment)


def do(context: Context, member: PlanMember) -> Started:
    """Does not wait for quorum: all members are started, then the proof waits for all."""
    host = context.host(member)
    if host.call(processes.holders_of, folders_of(member)):
        return Started(already=True)
    kinds.of(member.deployment).start(host, member.deployment, Path(context.tools(member).etcd))
    return Started(already=False)


STEP = StepType(
    kind="start",
    does="starts a member's etcd, unless its supervisor already did",
    by_hand=by_hand,
    do=do,
    result=Started,
    again="until it is proven",  # somebody may have stopped it since
    moves_data=True,
    spaced=True,
)
