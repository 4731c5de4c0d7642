"""Take a run back: the steps that began, in reverse; each undo is journaled when it is done."""

import shlex
from collections.abc import Iterator
from typing import Any

import anyio
import anyio.to_thread

from requorum.errors import Refused, RequorumError, StoppedMidway, UsageError
from requorum.procedures.values import Plan, Step, StepKind, target_of
from requorum.run import execute, kinds, lock, membership
from requorum.run import journal as journals
from requorum.run.context import Context
from requorum.run.journal import Journal
from requorum.run.steptype import StepType, nothing_to_undo


async def roll_back(context: Context, progress: execute.Progress) -> int:
    """Take back every step that began, the last phase first; returns how many were undone."""
    journal, plan = context.journal, context.plan
    if journal.state == journals.ROLLED_BACK:
        raise UsageError(f"run {plan.run} was rolled back already")
    if plan.kind == "replace member" and _votes(context):
        finish = "" if journal.state == journals.FINISHED else f"requorum resume {plan.run} finishes it; "
        raise Refused(
            f"{plan.replaced.name} was replaced and votes: there is nothing to go back to",
            hint=f"{finish}what was set aside is kept until requorum cleanup",
        )
    for member in plan.members:
        lock.take(context.host(member), member, plan.run, context.epoch, take_over=context.take_over)
    journal.write(journals.ROLLING_BACK)
    undone = 0
    for kind, steps in _left(plan, journal):
        progress.phase(0, 0, kind.undoing)
        failures = await _undo_all(context, kind, steps, progress)
        if failures:
            what = "; ".join(f"{step.who}: {execute.text_of(err)}" for step, err in failures)
            raise StoppedMidway(
                f"the rollback stopped in '{kind.undoing}': {what}",
                changed="nothing is lost: old and new data are both kept",
                hint=f"requorum rollback {shlex.quote(plan.run)} goes on",
            )
        undone += len(steps)
    for member in plan.members:
        lock.release(context.host(member), member, plan.run)
    journal.write(journals.ROLLED_BACK)
    return undone


def _votes(context: Context) -> bool:
    """Whether the new member votes already; where the journal does not know how a promotion ended, the others are asked."""
    steps = [step for step in context.steps() if step.kind == "promote"]
    if any(step.id in context.journal.done for step in steps):
        return True
    return any(step.id in context.journal.begun for step in steps) and membership.votes(context)


def _left(plan: Plan, journal: Journal) -> Iterator[tuple[StepType[Any, Any], list[Step]]]:
    """What is left to be undone, phase by phase, the last one first."""
    for phase in reversed(plan.phases):
        kind = kinds.of(phase.steps[0])
        steps = [step for step in phase.steps if _begun(plan, journal, step) and not _undone(plan, journal, step)]
        if steps and kind.undo is not nothing_to_undo:
            yield kind, steps


def _begun(plan: Plan, journal: Journal, step: Step) -> bool:
    after = kinds.of(step).undone_after
    return step.id in journal.begun or (after is not None and _counterpart(plan, step, after) in journal.begun)


def _undone(plan: Plan, journal: Journal, step: Step) -> bool:
    """Whether a step was taken back already, also by a version that had other names for that."""
    before = [f"{title}: {_counterpart(plan, step, kind)}" for title, kind in _BEFORE.get(step.kind, ())]
    if step.kind == "configure" and plan.kind == "replace member":
        before.append(f"set the new data aside: {step.id}")
    return step.id in journal.undone or (bool(before) and all(one in journal.undone for one in before))


def _counterpart(plan: Plan, step: Step, kind: StepKind) -> str:
    """The id of another kind's step of the same member or host; empty for none."""
    every = (one for phase in plan.phases for one in phase.steps)
    return (
        step.id
        if kind == step.kind
        else next((one.id for one in every if one.kind == kind and one.who == step.who), "")
    )


_BEFORE: dict[StepKind, tuple[tuple[str, StepKind], ...]] = {
    "start services": (("stop what writes to etcd", "stop services"),),
    "configure": (("fence again, and stop what was started", "configure"),),
    "copy aside": (("put the copies back", "configure"),),
    "move in": (("set the restored data aside", "move in"),),
    "set aside": (("put the old data back", "set aside"),),
    "add learner": (("remove the learner", "add learner"),),
    "fence": (("put the configuration back", "fence"),),
    "stop services": (("bring the rest back", "stop services"),),
}
"""What a rollback wrote down before adr 21: a title, and the step that it went by."""


async def _undo_all(
    context: Context, kind: StepType[Any, Any], steps: list[Step], progress: execute.Progress
) -> list[tuple[Step, Exception]]:
    """Undo some steps at the same time, or one after the other; all are let finish."""
    failures: list[tuple[Step, Exception]] = []
    gate = anyio.CapacityLimiter(1 if kind.undone_in_turn else len(steps))

    async def one(step: Step) -> None:
        try:
            async with gate:
                progress.step(step, "begins", "")
                await anyio.to_thread.run_sync(kind.undo, context, target_of(context.plan, step))
            await anyio.to_thread.run_sync(context.journal.write, journals.UNDONE, step.id, step.member)
        except (RequorumError, OSError) as err:
            failures.append((step, err))
            progress.step(step, "failed", str(err))
            return
        progress.step(step, "undone", "")

    async with anyio.create_task_group() as group:
        for step in steps:
            group.start_soon(one, step)
    return failures
