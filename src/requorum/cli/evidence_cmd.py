"""``requorum evidence``: everything that a post-mortem needs of a run, in one file, and nothing secret."""

from pathlib import Path

import click

from requorum import errors
from requorum.cli import options, render
from requorum.operations import evidence as operation
from requorum.operations.hosts import Where


@click.command()
@click.argument("run")
@options.where
@click.option(
    "--save",
    type=click.Path(path_type=Path, dir_okay=False),
    default=None,
    help="The file to write (default: requorum-RUN.tar.gz).",
)
def evidence(run: str, where: Where, save: Path | None) -> int:
    """Collect plan, journal, survey and logs of a run for a post-mortem; no secrets."""
    collected = operation.collect(run, where, save or Path(f"requorum-{run}.tar.gz"))
    render.console().print(f"{collected.path}: {collected.files} files")
    for text in collected.missing:
        render.console().print(f"missing: {text}")
    return errors.DONE_WITH_WARNINGS if collected.missing else errors.DONE
