"""``requorum survey``: look at every disk, change nothing, say what is possible."""

from pathlib import Path

import click

from requorum.cli import options, render
from requorum.errors import UsageError
from requorum.operations import hosts
from requorum.operations import survey as operation
from requorum.operations.hosts import Where


@click.command()
@click.argument("dirs", nargs=-1, type=click.Path(path_type=Path))
@options.where
@options.snapshots
@options.powered_off
@options.seen_revision
@click.option(
    "--wal-dir", "wal_dirs", multiple=True, type=click.Path(path_type=Path), help="The WAL dir of the n-th DIR."
)
@click.option("--from", "saved", type=click.Path(path_type=Path), help="Judge a survey that was saved with -o json.")
@click.option("--verify", is_flag=True, help="Read every file in full: hashes, records, checksums.")
@options.output
def survey(
    dirs: tuple[Path, ...],
    where: Where,
    snapshots: tuple[str, ...],
    powered_off: tuple[str, ...],
    seen_revision: int,
    wal_dirs: tuple[Path, ...],
    saved: Path | None,
    verify: bool,
    output: str,
) -> None:
    """What every member's disk holds, what the cluster can be rebuilt from, and what each choice would lose.

    Give data dirs (DIR...), as copied from the hosts, or an inventory. Reads only; takes no lock.
    """
    if saved:
        surveyed = operation.load(saved)
    elif dirs:
        if where.hosts or (where.inventory_path and where.typed):
            raise UsageError("give data dirs or an inventory, not both")
        surveyed = operation.survey_dirs(dirs, snapshots, wal_dirs, in_full=verify)
    else:
        with hosts.opened(where, powered_off) as world:
            surveyed = operation.survey_hosts(world, snapshots, powered_off, in_full=verify)
    judged = operation.judged(surveyed, seen_revision)
    if output in ("json", "yaml"):
        render.data(judged, output)
    else:
        render.survey_and_verdict(judged.survey, judged.verdict, wide=output == "wide")
