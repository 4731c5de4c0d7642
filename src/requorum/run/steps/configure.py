"""Before the first start: token and state in the member's configuration; that lifts the fence."""

from dataclasses import dataclass, field

from requorum.deployments import kinds
from requorum.procedures import configuration
from requorum.procedures.values import Plan, PlanMember
from requorum.run.context import Context, folders_of, move_what_etcd_wrote, nothing_runs
from requorum.run.steptype import StepType


@dataclass(frozen=True, slots=True, kw_only=True)
class Configured:
    """The settings that the member's configuration has now, by name."""

    settings: dict[str, str] = field(default_factory=dict)


def by_hand(plan: Plan, member: PlanMember) -> tuple[str, ...]:
    changes, for_now = configuration.settings(plan, member), configuration.for_now(plan, member)
    return kinds.by_hand(member.deployment).lift(member.deployment, plan.run, changes, for_now, member.config)


def do(context: Context, member: PlanMember) -> Configured:
    """Only what must change is changed; the original stays set aside."""
    kind, host = kinds.of(member.deployment), context.host(member)
    if kind.fenced_by(host, member.deployment):
        nothing_runs(context, member)
    changes = configuration.settings(context.plan, member)
    for_now = configuration.for_now(context.plan, member)
    kind.lift(host, member.deployment, context.plan.run, changes, for_now)
    return Configured(settings=changes)


def undo(context: Context, member: PlanMember) -> None:
    """Fence again, and stop what was started: a member's etcd may run as soon as this step began. What a replaced member's
    etcd has written goes aside: nothing else was moved in there."""
    kind, host = kinds.of(member.deployment), context.host(member)
    kind.fence(host, member.deployment, context.plan.run)
    kind.forget(host, member.deployment)
    kind.stop(host, member.deployment, folders_of(member))
    if member.role == "replace":
        move_what_etcd_wrote(context, member)


STEP = StepType(
    kind="configure",
    does="writes token and state into a member's configuration, which lifts the fence",
    by_hand=by_hand,
    do=do,
    result=Configured,
    undo=undo,
    undoing="fence again, and stop what was started",
    moves_data=True,
    undone_in_turn=True,
)
