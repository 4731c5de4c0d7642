"""The operator's word: everything is known now, nothing has been moved yet."""

from dataclasses import dataclass

from requorum.errors import StoppedMidway
from requorum.procedures.values import Plan
from requorum.run.context import Context
from requorum.run.steps.build_source import built as built_in
from requorum.run.steptype import StepType
from requorum.verdict.words import loss_text


@dataclass(frozen=True, slots=True, kw_only=True)
class Confirmed:
    """The name of the cluster that was confirmed."""

    confirmed: str


def by_hand(plan: Plan, _: None) -> tuple[str, ...]:
    return (f"# type {plan.cluster}",)


def do(context: Context, _: None) -> Confirmed:
    """Ask; a no leaves everything as it is, fenced and prepared."""
    if not context.ask(text(context)):
        raise StoppedMidway(
            "not confirmed",
            changed="etcd is fenced, and everything is prepared; no member's data was changed",
            hint=f"requorum resume {context.plan.run} asks again, requorum rollback {context.plan.run} lifts the fences",
        )
    return Confirmed(confirmed=context.plan.cluster)


def text(context: Context) -> str:
    """What will happen now, and what will be lost."""
    plan = context.plan
    if plan.kind == "replace member":
        return (
            f"Everything is checked, and a snapshot is saved. {plan.replaced.name} ({plan.replaced.why}) is removed, its "
            f"data set aside (kept until cleanup), and it joins again empty: no write is lost, quorum holds throughout."
        )
    names = ", ".join(one.name for one in plan.started)
    less = _less(context)
    if plan.kind == "start as is":
        loss = "no write is lost"
        if plan.loss_at_most < 0:
            loss = f"what is lost cannot be known: {plan.unproven}"
        elif plan.unproven:
            loss = (
                f"no write is lost that the disks still show; that there were no others is not proven: {plan.unproven}"
            )
        return f"{less}Everything is checked. Start {names} on their own disks (copies are kept): {loss}."
    built = built_in(context)
    changed = f"; its db file was last changed {context.source.modified}" if context.source.modified else ""
    same = f"; it holds every record of {', '.join(built.audit.agree)}'s db up to there" if built.audit.agree else ""
    others = "".join(f"\nNot so: {one}." for one in built.audit.differ)
    return (
        f"{less}Everything is checked: {context.source.id} came to revision {built.revision} in a real etcd"
        f"{same}{changed}.{others}\n"
        f"Now the data of {names} is set aside (kept until cleanup) and replaced: {loss_text(context.source.loss)}."
    )


def _less(context: Context) -> str:
    """What the fenced disks, read again, promise less than what the operator has seen before."""
    decided = context.journal.decision
    if decided is None or not decided.weaker:
        return ""
    lines = "\n".join(f"  - {one}" for one in decided.weaker)
    return f"The disks were read again, and promise less than the plan that you have seen:\n{lines}\n"


STEP = StepType(
    kind="the operator's word",
    does="asks for the operator's word: everything is known now, and nothing has been moved yet",
    by_hand=by_hand,
    do=do,
    result=Confirmed,
    asks=True,
)
