"""``requorum member replace``: a new member in the place of a broken one, while quorum holds."""

import click

from requorum import errors
from requorum.cli import consent, options, render, render_run
from requorum.operations import hosts
from requorum.operations import replace as operation
from requorum.operations.hosts import Where


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
    operator = consent.operator(yes, confirm, output)
    with hosts.opened(where, powered_off) as world:
        if not dry_run:
            return render_run.recovery(operation.replace(world, name, operator, on=on, powered_off=powered_off), output)
        planned = operation.plan_replacement(world, name, on=on, powered_off=powered_off)
    if output in ("json", "yaml"):
        render.data(planned.plan, output)
    else:
        render_run.planned(planned, wide=output == "wide", commands=True)
    return errors.DONE
