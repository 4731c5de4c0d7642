"""``requorum rollback``: put everything back as it was before a run."""

import click

from requorum.cli import consent, options, render
from requorum.operations import rollback as operation
from requorum.operations.hosts import Where


@click.command()
@click.argument("run")
@options.where
@consent.options
@click.option("--discard-writes", type=int, default=0, metavar="N", help="Writes accepted since that may be set aside.")
@click.option("--take-over", is_flag=True, help="Take the lock of a holder that is certainly gone.")
@options.output
def rollback(
    run: str, where: Where, yes: bool, confirm: str, discard_writes: int, take_over: bool, output: str
) -> None:
    """Stop what the run started, set its data aside too, and put the old data and configuration back."""
    operator = consent.operator(yes, confirm, output, at_barriers=False)
    done = operation.roll_back(run, where, operator, discard_writes=discard_writes, take_over=take_over)
    if output in ("json", "yaml"):
        render.data(done, output)
    else:
        render.console().print(f"run {run} is rolled back; everything is as it was, and etcd runs where it ran before")
