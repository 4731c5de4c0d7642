"""A plan as a person would carry it out by hand: the exact commands of each step."""

from dataclasses import replace

from requorum.procedures.values import Plan, Step, target_of
from requorum.run import kinds


def written_out(plan: Plan) -> Plan:
    """The plan with what stands for each step in a runbook; comments where a step only looks."""
    phases = tuple(
        replace(phase, steps=tuple(replace(step, commands=_commands(plan, step)) for step in phase.steps))
        for phase in plan.phases
    )
    return replace(plan, phases=phases)


def _commands(plan: Plan, step: Step) -> tuple[str, ...]:
    commands: tuple[str, ...] = kinds.of(step).by_hand(plan, target_of(plan, step))
    return commands


def as_text(plan: Plan) -> str:
    """The whole plan as a runbook."""
    return "\n".join(rest_as_text(plan, ()))


def rest_as_text(plan: Plan, done: tuple[str, ...]) -> list[str]:
    """The steps that are not done yet, phase by phase."""
    lines: list[str] = []
    for number, phase in enumerate(plan.phases, 1):
        steps = [step for step in phase.steps if step.id not in done]
        if not steps:
            continue
        lines.append(f"{number:2}. {phase.title}")
        for step in steps:
            lines += _step_lines(plan, step)
    return lines


def _step_lines(plan: Plan, step: Step) -> list[str]:
    host = plan.member(step.member).host if step.member else step.host
    where = f"[{host}] " if host else ""
    return [f"    {where}{command}" for command in _commands(plan, step)]
