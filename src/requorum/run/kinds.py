"""Every kind of step, by its name."""

from typing import Any

from requorum.procedures.values import Step, StepKind
from requorum.run.journal import Journal
from requorum.run.steps import (
    add_learner,
    bring_tools,
    build_source,
    configure,
    copy_aside,
    fence,
    finish_snapshot,
    lock,
    look_again,
    move_in,
    preflight,
    promote,
    prove,
    remove_member,
    restore_beside,
    save_snapshot,
    set_aside,
    ship,
    start,
    start_services,
    stop_services,
    unlock,
    wait_for_leader,
    word,
)
from requorum.run.steptype import StepType

_ALL: tuple[StepType[Any, Any], ...] = (
    lock.STEP,
    stop_services.STEP,
    fence.STEP,
    bring_tools.STEP,
    look_again.STEP,
    copy_aside.STEP,
    build_source.STEP,
    restore_beside.STEP,
    ship.STEP,
    preflight.STEP,
    word.STEP,
    set_aside.STEP,
    move_in.STEP,
    remove_member.STEP,
    add_learner.STEP,
    configure.STEP,
    start.STEP,
    wait_for_leader.STEP,
    promote.STEP,
    prove.STEP,
    save_snapshot.STEP,
    start_services.STEP,
    finish_snapshot.STEP,
    unlock.STEP,
)
TYPES: dict[StepKind, StepType[Any, Any]] = {one.kind: one for one in _ALL}


def of(step: Step) -> StepType[Any, Any]:
    """The kind that a step is of."""
    return TYPES[step.kind]


def data_moved(journal: Journal) -> bool:
    """Whether a step has begun that moves a member's data, or lets its etcd write to it."""
    return any(
        step.id in journal.begun and of(step).moves_data for phase in journal.plan.phases for step in phase.steps
    )
