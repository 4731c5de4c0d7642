"""Take a run back: every step that began is undone, the last one first; each undo is journaled when it is done."""

import shlex
from collections.abc import Callable
from typing import Any

import anyio
import anyio.to_thread

from requorum.errors import Refused, RequorumError, StoppedMidway, UsageError
from requorum.procedures.values import Plan, Step, StepKind
from requorum.run import execute, lock
from requorum.run import journal as journals
from requorum.run.context import Context
from requorum.run.steps import configure, fence, membership, move_in, put_copy_back, services, set_aside

Undo = Callable[[Context, Any], None]


def _undoing(plan: Plan) -> list[tuple[str, StepKind, Undo]]:
    """What is undone, in this order: how it is called, the kind of step that it takes back, and how.

    A member's etcd may run as soon as its configure step began: that lifts the fence.
    """
    stop: tuple[str, StepKind, Undo] = ("fence again, and stop what was started", "configure", configure.undo)
    old_data: tuple[str, StepKind, Undo] = ("put the old data back", "set aside", set_aside.undo)
    own: tuple[str, StepKind, Undo] = ("put the configuration back", "fence", fence.undo)
    if plan.kind == "replace member":
        return [
            stop,
            ("remove the learner", "add learner", membership.undo_add),
            ("set the new data aside", "configure", move_in.undo),
            old_data,
            own,
        ]
    data: list[tuple[str, StepKind, Undo]] = (
        [("put the copies back", "configure", put_copy_back.undo)]
        if plan.source is None
        else [("set the restored data aside", "move in", move_in.undo), old_data]
    )
    return [
        ("stop what writes to etcd", "stop services", services.stop_again),
        stop,
        *data,
        own,
        ("bring the rest back", "stop services", services.bring_back),
    ]


def _votes(context: Context) -> bool:
    """Whether the new member votes already; where the journal does not know how a promotion ended, the others are asked."""
    steps = [step for step in context.steps() if step.kind == "promote"]
    if any(step.id in context.journal.done for step in steps):
        return True
    return any(step.id in context.journal.begun for step in steps) and membership.votes(context)


async def roll_back(context: Context, progress: execute.Progress) -> int:
    """Take back every step that began, last phase first; returns how many were undone."""
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
    for title, kind, undo in _undoing(plan):
        steps = [
            step
            for phase in plan.phases
            for step in phase.steps
            if step.kind == kind and step.id in journal.begun and f"{title}: {step.id}" not in journal.undone
        ]
        if not steps:
            continue
        progress.phase(0, 0, title)
        failures = await _undo_all(context, title, steps, undo, progress)
        if failures:
            what = "; ".join(f"{step.who}: {execute.text_of(err)}" for step, err in failures)
            raise StoppedMidway(
                f"the rollback stopped in '{title}': {what}",
                changed="nothing is lost: old and new data are both kept",
                hint=f"requorum rollback {shlex.quote(plan.run)} goes on",
            )
        undone += len(steps)
    for member in plan.members:
        lock.release(context.host(member), member, plan.run)
    journal.write(journals.ROLLED_BACK)
    return undone


async def _undo_all(
    context: Context, title: str, steps: list[Step], undo: Undo, progress: execute.Progress
) -> list[tuple[Step, Exception]]:
    """Undo some steps at the same time; all are let finish.

    Members that run are stopped one after another: a leader that is stopped together with its followers tries for 15
    seconds to hand its leadership over to them. They are started one after another, too.
    """
    failures: list[tuple[Step, Exception]] = []
    one_by_one = undo in (configure.undo, fence.undo)
    checked = any(one.config.corrupt_check for one in context.plan.members)
    apart = execute.START_APART if undo is fence.undo and checked else 0.0
    gate = anyio.CapacityLimiter(1 if one_by_one else max(len(steps), 1))

    async def one(step: Step) -> None:
        try:
            async with gate:
                progress.step(step, "begins", "")
                await anyio.to_thread.run_sync(undo, context, execute.target_of(context, step))
                await anyio.sleep(apart)
            await anyio.to_thread.run_sync(context.journal.write, journals.UNDONE, f"{title}: {step.id}", step.member)
        except (RequorumError, OSError) as err:
            failures.append((step, err))
            progress.step(step, "failed", str(err))
            return
        progress.step(step, "undone", "")

    async with anyio.create_task_group() as group:
        for step in steps:
            group.start_soon(one, step)
    return failures
