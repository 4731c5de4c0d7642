"""Add the new member as a learner: it does not vote yet."""

from dataclasses import dataclass
from shlex import quote as q

from requorum.errors import RequorumError
from requorum.procedures.values import Plan
from requorum.run import membership
from requorum.run.by_hand import ctl
from requorum.run.context import Context
from requorum.run.steptype import StepType


@dataclass(frozen=True, slots=True, kw_only=True)
class Added:
    """Its id, in hexadecimal."""

    id: str


def by_hand(plan: Plan, _: None) -> tuple[str, ...]:
    new = plan.replaced
    return (f"{ctl((plan.speaker,))} member add {q(new.name)} --learner --peer-urls={','.join(new.config.peer_urls)}",)


def do(context: Context, _: None) -> Added:
    """Add the new member as a learner; one that an earlier try added stays."""
    new = context.plan.replaced
    found = membership.new_member(context)
    if found is None:
        urls = ",".join(new.config.peer_urls)
        membership.change(context, "member", "add", new.config.name, "--learner", f"--peer-urls={urls}")
        found = membership.new_member(context)
    if found is None:
        raise RequorumError(f"{new.name} was added, but no member lists it")
    return Added(id=f"{found.id:x}")


def undo(context: Context, _: None) -> None:
    """Remove the learner that was added: the others were a healthy cluster without it."""
    found = membership.new_member(context)
    if found is not None and found.learner:
        membership.change(context, "member", "remove", f"{found.id:x}")


STEP = StepType(
    kind="add learner",
    does="adds the new member as a learner: it does not vote yet",
    by_hand=by_hand,
    do=do,
    result=Added,
    undo=undo,
    undoing="remove the learner",
)
