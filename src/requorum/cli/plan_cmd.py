"""``requorum plan``: everything is read in full, and what would be done is printed as a runbook."""

from pathlib import Path

import click

from requorum.cli import options, render, render_run
from requorum.operations import hosts
from requorum.operations import plan as operation
from requorum.operations.hosts import Where


@click.command()
@options.where
@options.snapshots
@click.option("--source", default="", help="Rebuild from this source (by its name in the survey).")
@options.powered_off
@options.seen_revision
@click.option(
    "--save", type=click.Path(path_type=Path, dir_okay=False), help="Write the plan to a file for recover --plan."
)
@options.output
def plan(
    where: Where,
    snapshots: tuple[str, ...],
    source: str,
    powered_off: tuple[str, ...],
    seen_revision: int,
    save: Path | None,
    output: str,
) -> None:
    """Read everything in full, decide, and print the exact steps; changes nothing."""
    if save is not None:
        operation.gate_new(save)  # before minutes of reading
    with hosts.opened(where, powered_off) as world:
        planned = operation.plan_recovery(
            world, snapshots=snapshots, source=source, powered_off=powered_off, seen_revision=seen_revision
        )
    if save is not None:
        operation.save(planned.plan, save)
    if output in ("json", "yaml"):
        render.data(planned.plan, output)
    else:
        render_run.planned(planned, wide=output == "wide", commands=True)
