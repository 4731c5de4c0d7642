"""Lock a member for this run; unlock it at the end."""

from typing import Any

import msgspec

from requorum.deployments import kinds
from requorum.hosts import files
from requorum.procedures.values import PlanMember
from requorum.run import lock
from requorum.run.alive import refuse_living
from requorum.run.context import Context


def do(context: Context, member: PlanMember) -> Any:
    """Leave the plan beside the member's data, so that any machine can go on from there, and take the lock."""
    refuse_living(context, [member])
    host = context.host(member)
    work = context.work(member)
    host.call(files.make_dir, work)
    if not host.call(files.there, work / "plan.json"):
        host.call(files.write_durably, work / "plan.json", msgspec.json.encode(context.journal.agreed))
    lock.take(host, member, context.plan.run, context.epoch, take_over=context.take_over)
    return {"work": str(work)}


def release(context: Context, member: PlanMember) -> Any:
    """Give the lock back; what was set aside stays until ``requorum cleanup``."""
    kinds.of(member.deployment).forget(context.host(member), member.deployment)
    lock.release(context.host(member), member, context.plan.run)
    return {"kept": str(context.work(member))}
