"""``requorum recover`` and ``requorum resume``: carry a plan out, or go on with one that was begun."""

from pathlib import Path

import click

from requorum.cli import consent, options, render_run
from requorum.errors import UsageError
from requorum.operations import hosts, plan, replace
from requorum.operations import recover as operation
from requorum.operations.hosts import Where


@click.command()
@options.where
@options.snapshots
@click.option("--plan", "plan_path", type=click.Path(path_type=Path), help="Carry out this saved plan.")
@click.option("--source", default="", help="Rebuild from this source (by its name in the survey).")
@options.powered_off
@options.seen_revision
@consent.options
@options.output
def recover(
    where: Where,
    snapshots: tuple[str, ...],
    plan_path: Path | None,
    source: str,
    powered_off: tuple[str, ...],
    seen_revision: int,
    yes: bool,
    confirm: str,
    output: str,
) -> int:
    """Survey, decide, plan, and carry it out: nothing is moved before everything is known and you said so.

    First etcd and what writes to it are stopped and fenced; then the source is built, proven, shipped and restored beside
    the old data; then it asks; and only then old and new data change places. `requorum plan` shows all of it before.
    """
    operator = consent.operator(yes, confirm, output)
    if plan_path is not None:
        if snapshots or source or powered_off or seen_revision:
            raise UsageError("--plan already says what to recover from, who is off, and what was served")
        return render_run.recovery(operation.recover_saved(plan.load(plan_path), where, operator), output)
    with hosts.opened(where, powered_off) as world:
        recovery = operation.recover(
            world, operator, snapshots=snapshots, source=source, powered_off=powered_off, seen_revision=seen_revision
        )
        code = render_run.recovery(recovery, output)
        for left in recovery.left_fenced if not yes else ():
            if click.confirm(f"\nReplace {left.member} now ({left.why})?", err=True):
                code = render_run.recovery(replace.replace(world, left.member, operator), output) or code
    return code


@click.command()
@click.argument("run")
@options.where
@click.option("--take-over", is_flag=True, help="Take the lock of a holder that is certainly gone.")
@consent.options
@options.output
def resume(run: str, where: Where, take_over: bool, yes: bool, confirm: str, output: str) -> int:
    """Go on with a run that was interrupted, from its journal: here, or with -i from what lies on its hosts."""
    operator = consent.operator(yes, confirm, output)
    return render_run.recovery(operation.resume(run, where, operator, take_over=take_over), output)
