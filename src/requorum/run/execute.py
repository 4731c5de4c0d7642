"""Carry a plan out: phase by phase, the steps of a phase at the same time, each journaled before and after.

A phase ends at a barrier: when one of its steps fails, the others are let finish, and nothing of the next phase begins.
"""

import contextlib
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, Protocol, TypeVar

import anyio
import anyio.to_thread
import msgspec

from requorum.errors import Locked, Refused, RequorumError, StoppedMidway
from requorum.hosts import files
from requorum.hosts.channel import Lost
from requorum.procedures import configuration
from requorum.procedures.values import Phase, Step, target_of
from requorum.proof.prove import Proof
from requorum.run import journal as journals
from requorum.run import kinds, lock, runbook
from requorum.run.context import Context
from requorum.run.steps import prove, start

LOOKS = 3
"""So many times a step is looked at again whose connection dropped: its outcome is unknown until then."""


T = TypeVar("T")


class Progress(Protocol):
    """Who is told how a run goes on."""

    def phase(self, number: int, of: int, title: str) -> None:
        """A phase begins."""

    def step(self, step: Step, state: str, detail: str) -> None:
        """A step began, is done, or failed."""


async def execute(context: Context, progress: Progress) -> Proof | None:
    """Run all steps that are not done yet; returns the proof, if that is one of them. Raises one RequorumError at the first
    barrier not passed."""
    journal, number = context.journal, 0
    context = replace(context, data_moved=kinds.data_moved(journal))
    while number < len(context.plan.phases):  # the last look may put others in the place of those behind it
        phase = context.plan.phases[number]
        number += 1
        steps = [step for step in phase.steps if _wanted(step, context)]
        if not steps:
            continue
        if context.interrupted():
            raise interruption(context.plan.run)
        progress.phase(number, len(context.plan.phases), phase.title)
        failures = await _phase(context, steps, progress)
        if failures:
            raise _stopped(context, phase, failures)
    journal.write(journals.FINISHED)
    return prove.STEP.of(journal)


def interruption(run: str) -> StoppedMidway:
    """What a Ctrl-C comes to: a stop at the next barrier."""
    return StoppedMidway(
        "interrupted",
        changed="what was begun is in the journal, nothing of it is lost",
        hint=f"requorum resume {run} goes on, requorum rollback {run} puts everything back",
    )


def _wanted(step: Step, context: Context) -> bool:
    """Whether a step is to be done: it is not yet, or it is done again in a run that is resumed."""
    again = kinds.of(step).again
    return (
        step.id not in context.journal.done
        or again == "always"
        or (again == "until data is moved" and not context.data_moved)
        or (again == "until it is proven" and prove.STEP.of(context.journal) is None)
    )


async def _phase(context: Context, steps: list[Step], progress: Progress) -> list[tuple[Step, Exception]]:
    """Run steps at the same time; all are let finish."""
    failures: list[tuple[Step, Exception]] = []
    gate = anyio.Lock()

    async def one(step: Step) -> None:
        kind, target = kinds.of(step), target_of(context.plan, step)
        progress.step(step, "begins", "")
        try:
            await anyio.to_thread.run_sync(_again, partial(_check_locks, context, step))
            async with gate:
                await anyio.to_thread.run_sync(partial(_write, context, journals.BEGIN, step))
            act = partial(_again, partial(kind.do, context, target))
            # The operator is asked on the main thread: only there a Ctrl-C reaches the prompt.
            result = msgspec.to_builtins(act() if kind.asks else await anyio.to_thread.run_sync(act))
            async with gate:
                await anyio.to_thread.run_sync(partial(_write, context, journals.DONE, step, result=result))
        except (RequorumError, OSError) as err:
            failures.append((step, err))
            with contextlib.suppress(
                OSError, RequorumError
            ):  # a full disk, or the host is gone: it began, the journal says
                _write(context, journals.FAILED, step, why=str(err))
            progress.step(step, "failed", str(err))
            return
        progress.step(step, "done", "")

    kind = kinds.of(steps[0])
    if kind.in_turn:
        for step in steps:
            await one(step)
            if failures:
                return failures
        return failures
    async with anyio.create_task_group() as group:
        for step in steps:
            group.start_soon(one, step)
            if kind.spaced and step is not steps[-1] and configuration.apart(context.plan):
                await anyio.sleep(start.APART)
    return failures


def _check_locks(context: Context, step: Step) -> None:
    """Refuse to act once somebody else has taken over what the step acts on."""
    if kinds.of(step).unlocked:
        return
    members = [context.plan.member(step.member)] if step.member else context.plan.members
    for member in members:
        lock.check(context.host(member), member, context.plan.run)


def _again(act: Callable[[], T]) -> T:
    """Act on a host. Where the connection drops, nobody knows how far it came: every step looks at the disk and does what
    is left (and a line that stands twice in a journal says nothing new), so it is called again, once the host answers and
    what was under way there has ended."""
    for look in range(1, LOOKS + 1):
        try:
            return act()
        except Lost:
            if look == LOOKS:
                raise
            time.sleep(look)
    raise AssertionError


def _write(context: Context, event: str, step: Step, **more: Any) -> None:
    _again(partial(context.journal.write, event, step.id, step.member, here_only=step.kind == "lock", **more))


def _stopped(context: Context, phase: Phase, failures: list[tuple[Step, Exception]]) -> RequorumError:
    """One error for a phase that did not pass: what happened where, what is and is not changed, how to go on."""
    plan = context.plan
    first = failures[0][1]
    if phase.steps[0].kind == "lock":
        _release_own(context)
        if isinstance(first, RequorumError):
            return first
        return RequorumError(
            f"a member could not be locked: {text_of(first)}", hint="is its folder writable by this user?"
        )
    if isinstance(first, (Refused, StoppedMidway, Locked)):
        return first
    what = "; ".join(f"{step.who or 'the cluster'}: {text_of(err)}" for step, err in failures)
    hints = dict.fromkeys(err.hint for _, err in failures if isinstance(err, RequorumError) and err.hint)
    run = plan.run
    moved = kinds.data_moved(context.journal)
    changed = "data was set aside, nothing of it is lost" if moved else "no member's data was changed"
    rest = runbook.rest_as_text(plan, tuple(context.journal.done))
    return StoppedMidway(
        f"stopped in '{phase.title}': {what}",
        changed=f"{changed}; etcd is fenced where it was not started\n\nWhat is left, by hand:\n" + "\n".join(rest),
        hint="; ".join([*hints, f"requorum resume {run} goes on, requorum rollback {run} puts everything back"]),
    )


def text_of(err: Exception) -> str:
    if isinstance(err, RequorumError):
        return err.message
    if isinstance(err, OSError):
        return f"{err.filename or ''}: {err.strerror or err}".lstrip(": ")
    return str(err)


def _release_own(context: Context) -> None:
    """Give back the locks of a run that could not lock all its members."""
    if context.fresh and context.journal.begun <= {step.id for step in context.plan.phases[0].steps}:
        for member in context.plan.members:
            with contextlib.suppress(RequorumError, OSError):
                lock.release(context.host(member), member, context.plan.run)
                context.host(member).call(files.remove_made, context.work(member))
        files.remove_made(context.journal.folder)  # nothing was done: there is nothing to resume
