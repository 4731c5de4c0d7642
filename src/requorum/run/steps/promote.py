"""Let the new member vote once it has caught up."""

import time
from dataclasses import dataclass

from requorum.errors import RequorumError
from requorum.etcd import client
from requorum.hosts import programs
from requorum.procedures.values import Plan
from requorum.run import membership
from requorum.run.by_hand import ctl
from requorum.run.context import Context
from requorum.run.steptype import StepType

CATCH_UP_SECONDS = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Promoted:
    """Its id, in hexadecimal, and how long it took."""

    id: str
    seconds: float = 0.0


def by_hand(plan: Plan, _: None) -> tuple[str, ...]:
    return (f"{ctl((plan.speaker,))} member promote ID  # the id of the new member; again until it has caught up",)


def do(context: Context, _: None) -> Promoted:
    """Let it vote once it has caught up with the leader; etcd refuses before."""
    new = context.plan.replaced
    deadline = time.monotonic() + CATCH_UP_SECONDS
    grace = time.monotonic() + 5
    began = time.monotonic()
    said = ""
    while True:
        found = membership.new_member(context)
        if found is None:
            raise RequorumError(f"{new.name} is no member any more: somebody removed it", hint="resume adds it again")
        if not found.learner:
            return Promoted(id=f"{found.id:x}", seconds=round(time.monotonic() - began, 1))
        try:
            membership.change(context, "member", "promote", f"{found.id:x}")
            continue
        except RequorumError as err:
            said = err.message
        if time.monotonic() > grace and (why := context.dead(new.config)):
            raise RequorumError(f"{new.name} does not run: {why}", hint="look at its log, then resume")
        if time.monotonic() > deadline:
            raise RequorumError(f"{new.name} has not caught up after {CATCH_UP_SECONDS:.0f} s: {said}")
        _tell(context)
        time.sleep(0.2)


def _tell(context: Context) -> None:
    """Show how far it has come."""
    new = context.plan.replaced
    applied = []
    for one in (new, context.plan.speaker):
        flags = client.client_flags(one.config.endpoint, one.config.ca, one.config.cert, one.config.key)
        try:
            answer = context.host(one).call(client.ctl_json, context.tools(one), flags, ["endpoint", "status"], 3)
            applied.append(int(answer[0]["Status"].get("raftAppliedIndex", 0)))
        except (programs.ProgramError, KeyError, IndexError, TypeError, ValueError):
            return
    context.caught_up(new.name, *applied)


STEP = StepType(
    kind="promote",
    does="lets the new member vote once it has caught up with the leader",
    by_hand=by_hand,
    do=do,
    result=Promoted,
)
