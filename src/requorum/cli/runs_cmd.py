"""``requorum runs`` and ``requorum cleanup``: what was done on this machine, and the end of what was kept of it."""

import click

from requorum.cli import consent, options, render
from requorum.operations import runs as operation
from requorum.operations.hosts import Where
from requorum.reports.runs import RunRow


@click.command()
@options.where
@options.output
def runs(where: Where, output: str) -> None:
    """The runs that were begun on this machine, oldest first; with -i those that the hosts know too."""
    known = operation.known(where)
    if output in ("json", "yaml"):
        render.data(known, output)
        return
    out = render.console()
    made = render.table("run", "cluster", "verdict", "state", ">steps", "last sign of life (UTC)")
    for column in made.columns[:2]:
        column.no_wrap = True  # they are typed again
    for row in known.runs:
        last_sign = row.last_sign.replace("T", " ")[:16]
        made.add_row(row.run, row.cluster, row.verdict, row.state, _steps(row), last_sign)
    out.print(made if known.runs else "no runs")
    here = {row.run for row in known.runs}
    for elsewhere in known.on_hosts:
        if elsewhere.run not in here:
            out.print(
                f"on {', '.join(elsewhere.hosts)}: run {elsewhere.run}; requorum resume {elsewhere.run} -i … goes on"
            )
    for fault in known.unreadable:
        out.print(f"unreadable: {fault}")


def _steps(row: RunRow) -> str:
    return f"{row.done}/{row.steps}" + (f" -{row.undone}" if row.undone else "")


@click.command()
@click.argument("run")
@options.where
@consent.options
def cleanup(run: str, where: Where, yes: bool, confirm: str) -> None:
    """Remove what a finished or rolled back run had set aside, and the snapshots that it took. There is no way back.

    Files that are neither etcd's nor requorum's and lay in a data dir that was set aside are kept, and listed.
    """
    cleaned = operation.clean_up(run, where, consent.operator(yes, confirm))
    what = "the data that it had restored" if cleaned.rolled_back else "the old data"
    out = render.console()
    out.print(f"run {run} is cleaned up: {what} and its snapshots are removed")
    if cleaned.kept:
        out.print("kept, because neither etcd nor requorum made it (move it where you want it, or remove it by hand):")
    for path in cleaned.kept:
        out.print(f"  {path}", soft_wrap=True)
