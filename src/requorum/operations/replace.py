"""A new member in the place of a broken one, while quorum holds."""

from collections.abc import Sequence

from requorum.operations import plan as plans
from requorum.operations import recover
from requorum.operations import survey as surveys
from requorum.operations.hosts import World
from requorum.operations.operator import Operator
from requorum.procedures.replace import replace_plan
from requorum.reports.plan import Planned
from requorum.reports.runs import Recovery
from requorum.run import runbook


def plan_replacement(world: World, name: str, *, on: str = "", powered_off: Sequence[str] = ()) -> Planned:
    """What would be done to replace a member; ``on`` is another host of the inventory that takes its place (empty: its own)."""
    judged = surveys.judged(surveys.survey_hosts(world, (), powered_off, in_full=False))
    made = replace_plan(
        judged.survey,
        judged.verdict,
        name,
        on=on,
        run=plans.new_run(),
        tools=world.programs.folder if world.programs else "",
        powered_off=plans.with_members(world, judged.survey, powered_off),
    )
    return Planned(survey=judged.survey, verdict=judged.verdict, plan=runbook.written_out(made))


def replace(world: World, name: str, operator: Operator, *, on: str = "", powered_off: Sequence[str] = ()) -> Recovery:
    """Replace a member: a snapshot first, removed, set aside, added as a learner, promoted, compared."""
    operator.gate_presence()
    return recover.begin(plan_replacement(world, name, on=on, powered_off=powered_off), world, operator)
