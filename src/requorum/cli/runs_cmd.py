"""``requorum runs`` and ``requorum cleanup``: what was done on this machine, and the end of what was kept of it."""

from pathlib import Path
from typing import Any

import click

from requorum.cli import consent, options, render
from requorum.cli.options import Where
from requorum.cli.recover_cmd import opened
from requorum.deployments import kinds
from requorum.errors import Refused, UsageError
from requorum.hosts import files, setaside
from requorum.hosts.connection import Connections
from requorum.plan.values import wal_work_of, work_of
from requorum.run import fetch, lock
from requorum.run import journal as journals
from requorum.run.journal import Journal


def state_of(journal: Journal) -> str:
    """What has become of a run."""
    return journal.state or ("stopped or running" if journal.begun else "not begun")


@click.command()
@options.where
@options.output
def runs(where: Where, output: str) -> None:
    """The runs that were begun on this machine, oldest first; with -i those that the hosts know too."""
    elsewhere: list[dict[str, Any]] = []
    if where.hosts or (where.inventory_path and where.typed):
        with options.world(where) as world:
            elsewhere = fetch.known(world.inventory, world.connections)
    found: list[dict[str, Any]] = []
    known, faults = journals.all_runs()
    for one in known:
        steps = sum(len(phase.steps) for phase in one.plan.phases)
        found.append(
            {
                "run": one.plan.run,
                "cluster": one.plan.cluster,
                "verdict": one.plan.kind,
                "state": state_of(one),
                "done": len(one.done),
                "undone": len(one.undone),
                "steps": steps,
                "last_sign": one.last_sign,
            }
        )
    if output in ("json", "yaml"):
        render.data({"schema": "requorum/Runs/v1", "runs": found, "unreadable": faults, "on_hosts": elsewhere}, output)
        return
    made = render.table("run", "cluster", "verdict", "state", ">steps", "last sign of life (UTC)")
    for column in made.columns[:2]:
        column.no_wrap = True  # they are typed again
    for row in found:
        last_sign = row["last_sign"].replace("T", " ")[:16]
        made.add_row(row["run"], row["cluster"], row["verdict"], row["state"], _steps(row), last_sign)
    render.console().print(made if found else "no runs")
    for row in elsewhere:
        if row["run"] not in {one["run"] for one in found}:
            render.console().print(
                f"on {', '.join(row['hosts'])}: run {row['run']}; requorum resume {row['run']} -i … goes on"
            )
    for fault in faults:
        render.console().print(f"unreadable: {fault}")


def _steps(row: dict[str, Any]) -> str:
    return f"{row['done']}/{row['steps']}" + (f" -{row['undone']}" if row["undone"] else "")


def _gate_old_data(journal: Journal, connections: Connections) -> None:
    """What is left of a rollback may be all there is: refuse to remove old data that was not put back."""
    if journal.state != journals.ROLLED_BACK:
        return
    for member in journal.plan.members:
        for folder in (f"{work_of(member, journal.plan.run)}/old", f"{wal_work_of(member, journal.plan.run)}/old-wal"):
            if connections[member.host].call(files.names_in, Path(folder)):
                raise Refused(f"{folder} still holds {member.name}'s old data, although the run was rolled back")


@click.command()
@click.argument("run")
@options.where
@consent.options
def cleanup(run: str, where: Where, yes: bool, confirm: str) -> None:
    """Remove what a finished or rolled back run had set aside, and the snapshots that it took. There is no way back.

    Files that are neither etcd's nor requorum's and lay in a data dir that was set aside are kept, and listed.
    """
    with opened(run, where) as journal:
        assert journal.connections is not None
        kept = _clean_up(journal, journal.connections, yes=yes, confirm=confirm)
        gone = "the data that it had restored" if journal.state == journals.ROLLED_BACK else "the old data"
    out = render.console()
    out.print(f"run {run} is cleaned up: {gone} and its snapshots are removed")
    if kept:
        out.print("kept, because neither etcd nor requorum made it (move it where you want it, or remove it by hand):")
    for path in kept:
        out.print(f"  {path}", soft_wrap=True)


def _clean_up(journal: Journal, connections: Connections, *, yes: bool, confirm: str) -> list[str]:
    """Remove it; returns what stays, as ``HOST: PATH``."""
    plan, run = journal.plan, journal.plan.run
    if journal.state not in (journals.FINISHED, journals.ROLLED_BACK):
        raise Refused(
            f"run {run} is {state_of(journal)}", hint=f"requorum resume {run}, or requorum rollback {run} first"
        )
    for member in plan.members:
        host = connections[member.host]
        if kinds.of(member.deployment).fenced_by(host, member.deployment) == run:
            raise Refused(
                f"{member.name} is still fenced by this run ({member.why or 'left behind'})",
                hint="its disk may be all there is: replace the member, or roll back, before cleaning up",
            )
        if held := lock.read(host, member):
            raise Refused(f"{member.name} is locked by run {held.get('run')}")
    _gate_old_data(journal, connections)
    what = "what it had restored" if journal.state == journals.ROLLED_BACK else "the old data"
    consent.gate(f"This removes {what} and the run's snapshots for good.", plan.cluster, yes, confirm)
    if not (journal.folder / "plan.json").exists():
        raise UsageError(f"there is no run {run} here")
    kept = []
    for member in plan.members:
        host, dirs = connections[member.host], (Path(member.place.data_dir), Path(member.place.wal_dir))
        for folder in dict.fromkeys((work_of(member, run), wal_work_of(member, run))):
            kept += [f"{member.host}: {path}" for path in host.call(setaside.remove_run, Path(folder), *dirs)]
            host.call(files.remove_made, Path(folder).parent / lock.BUSY)
            host.call(files.remove_if_empty, Path(folder).parent)
        kinds.of(member.deployment).remove_set_aside(host, member.deployment, run)
    files.remove_made(journal.folder)
    return kept
