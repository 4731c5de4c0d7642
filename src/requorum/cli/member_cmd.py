"""``requorum member replace``: a new member in the place of a broken one, while quorum holds."""

from collections.abc import Sequence

import click
import msgspec

from requorum import errors
from requorum.cli import consent, options, plan_cmd, recover_cmd, render, survey_cmd
from requorum.cli.options import Where, World
from requorum.plan.replace import replace_plan
from requorum.plan.values import Plan
from requorum.survey.evidence import Survey
from requorum.verdict.decide import decide
from requorum.verdict.values import Verdict


@click.group()
def member() -> None:
    """One member of a cluster that lives."""


@member.command("replace")
@click.argument("name")
@options.where
@click.option("--with", "on", default="", metavar="HOST", help="Let another etcd host of the inventory take its place.")
@options.powered_off
@click.option("--dry-run", is_flag=True, help="Print every command, and change nothing.")
@consent.options
@options.output
def replace_member(
    name: str,
    where: Where,
    on: str,
    powered_off: tuple[str, ...],
    dry_run: bool,
    yes: bool,
    confirm: str,
    output: str,
) -> int:
    """Replace the member NAME: a snapshot first, removed, set aside, added as a learner, promoted, compared.

    Only while quorum holds. Nothing is restored: the new member gets its data from the leader.
    """
    if not dry_run:
        consent.gate_terminal(yes)
    with options.world(where, powered_off) as world:
        if not dry_run:
            return replace_one(world, name, on=on, powered_off=powered_off, yes=yes, confirm=confirm, output=output)
        survey, verdict, plan = _planned(world, name, on, powered_off)
        if output in ("json", "yaml"):
            render.data(plan, output)
            return errors.DONE
        render.survey_and_verdict(survey, verdict, wide=output == "wide")
        plan_cmd.show(plan)
        return errors.DONE


def _planned(world: World, name: str, on: str, powered_off: Sequence[str]) -> tuple[Survey, Verdict, Plan]:
    survey = survey_cmd.look(world, (), powered_off, in_full=False)
    verdict = decide(survey)
    plan = replace_plan(
        survey,
        verdict,
        name,
        on=on,
        run=plan_cmd.new_run(),
        tools=world.found.folder if world.found else "",
        powered_off=plan_cmd.with_members(world, survey, powered_off),
    )
    return survey, verdict, plan


def replace_one(
    world: World, name: str, *, on: str, powered_off: Sequence[str], yes: bool, confirm: str, output: str
) -> int:
    """Survey, plan and carry out one replacement; returns the exit code."""
    survey, verdict, plan = _planned(world, name, on, powered_off)
    if output in ("table", "wide") and not yes:
        render.survey_and_verdict(survey, verdict, wide=output == "wide")
        plan_cmd.show_phases(plan)
    consent.gate_name(plan.cluster, yes, confirm)
    kept = msgspec.json.encode({"survey": survey, "verdict": verdict})
    return recover_cmd.begin(plan, world.connections, world.found, yes=yes, output=output, survey=kept)
