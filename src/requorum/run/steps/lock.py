"""Lock a member for this run."""

from dataclasses import dataclass
from shlex import quote as q

import msgspec

from requorum.hosts import files
from requorum.procedures.values import Plan, PlanMember, work_of
from requorum.run import lock
from requorum.run.alive import refuse_living
from requorum.run.context import Context
from requorum.run.steptype import StepType


@dataclass(frozen=True, slots=True, kw_only=True)
class Locked:
    """The folder that holds what the run keeps for the member."""

    work: str


def by_hand(plan: Plan, member: PlanMember) -> tuple[str, ...]:
    held = f"{member.place.work}/lock.json"
    return (f"mkdir -p -m 0700 {q(work_of(member, plan.run))}", f"test ! -e {q(held)}  # else another run is on")


def do(context: Context, member: PlanMember) -> Locked:
    """Leave the plan beside the member's data, so that any machine can go on from there, and take the lock."""
    refuse_living(context, [member])
    host = context.host(member)
    work = context.work(member)
    host.call(files.make_dir, work)
    if not host.call(files.there, work / "plan.json"):
        host.call(files.write_durably, work / "plan.json", msgspec.json.encode(context.journal.agreed))
    lock.take(host, member, context.plan.run, context.epoch, take_over=context.take_over)
    return Locked(work=str(work))


STEP = StepType(
    kind="lock",
    does="takes a member's lock, and leaves the plan beside its data",
    by_hand=by_hand,
    do=do,
    result=Locked,
    again="always",
    unlocked=True,
    in_turn=True,  # in the inventory's order: of two runs that begin together one gets all the locks
)
