"""The runs that are known, here and on hosts, and the end of what was kept of them."""

from dataclasses import dataclass
from pathlib import Path

from requorum.deployments import kinds
from requorum.errors import Refused, UsageError
from requorum.hosts import files, setaside
from requorum.hosts.connection import Connections
from requorum.operations import hosts, recover
from requorum.operations.hosts import Where
from requorum.operations.operator import Operator
from requorum.procedures.values import wal_work_of, work_of
from requorum.reports.runs import RunOnHosts, RunRow, Runs
from requorum.run import fetch, lock
from requorum.run import journal as journals
from requorum.run.journal import Journal


def known(at: Where) -> Runs:
    """The runs that were begun on this machine, oldest first; where hosts were named for it, those that they know, too."""
    elsewhere: list[RunOnHosts] = []
    if at.hosts or (at.inventory_path and at.typed):
        with hosts.opened(at) as world:
            elsewhere = [
                RunOnHosts(run=one["run"], hosts=tuple(one["hosts"]))
                for one in fetch.known(world.inventory, world.connections)
            ]
    begun, faults = journals.all_runs()
    return Runs(runs=tuple(_row(one) for one in begun), unreadable=tuple(faults), on_hosts=tuple(elsewhere))


def _row(journal: Journal) -> RunRow:
    return RunRow(
        run=journal.plan.run,
        cluster=journal.plan.cluster,
        verdict=journal.plan.kind,
        state=_state_of(journal),
        done=len(journal.done),
        undone=len(journal.undone),
        steps=sum(len(phase.steps) for phase in journal.plan.phases),
        last_sign=journal.last_sign,
    )


def _state_of(journal: Journal) -> str:
    """What has become of a run."""
    return journal.state or ("stopped or running" if journal.begun else "not begun")


@dataclass(frozen=True, slots=True, kw_only=True)
class Cleaned:
    """``rolled_back``: what went is what the run had restored, not the old data. ``kept`` is what neither etcd nor requorum
    made, as HOST: PATH."""

    run: str
    rolled_back: bool
    kept: tuple[str, ...]


def clean_up(run: str, at: Where, operator: Operator) -> Cleaned:
    """Remove what a finished or rolled back run had set aside, and the snapshots that it took. There is no way back."""
    with recover.opened(run, at) as journal:
        assert journal.connections is not None
        _gate_state(journal)
        _gate_members(journal, journal.connections)
        _gate_old_data(journal, journal.connections)
        rolled_back = journal.state == journals.ROLLED_BACK
        what = "what it had restored" if rolled_back else "the old data"
        operator.gate(f"This removes {what} and the run's snapshots for good.", journal.plan.cluster)
        if not (journal.folder / "plan.json").exists():
            raise UsageError(f"there is no run {run} here")
        return Cleaned(run=run, rolled_back=rolled_back, kept=tuple(_remove(journal, journal.connections)))


def _gate_state(journal: Journal) -> None:
    run = journal.plan.run
    if journal.state not in (journals.FINISHED, journals.ROLLED_BACK):
        raise Refused(
            f"run {run} is {_state_of(journal)}", hint=f"requorum resume {run}, or requorum rollback {run} first"
        )


def _gate_members(journal: Journal, connections: Connections) -> None:
    """Refuse while a member is fenced by this run, or locked by any."""
    for member in journal.plan.members:
        host = connections[member.host]
        if kinds.of(member.deployment).fenced_by(host, member.deployment) == journal.plan.run:
            raise Refused(
                f"{member.name} is still fenced by this run ({member.why or 'left behind'})",
                hint="its disk may be all there is: replace the member, or roll back, before cleaning up",
            )
        if held := lock.read(host, member):
            other = held.get("run")
            raise Refused(
                f"{member.name} is locked by run {other}", hint=f"requorum resume {other}, or requorum rollback {other}"
            )


def _gate_old_data(journal: Journal, connections: Connections) -> None:
    """What is left of a rollback may be all there is: refuse to remove old data that was not put back."""
    if journal.state != journals.ROLLED_BACK:
        return
    for member in journal.plan.members:
        for folder in (f"{work_of(member, journal.plan.run)}/old", f"{wal_work_of(member, journal.plan.run)}/old-wal"):
            if connections[member.host].call(files.names_in, Path(folder)):
                raise Refused(
                    f"{folder} still holds {member.name}'s old data, although the run was rolled back",
                    changed="nothing was removed",
                    hint="look at it: put it back by hand, or move it to where you want it, then type the command again",
                )


def _remove(journal: Journal, connections: Connections) -> list[str]:
    """Remove it; returns what stays, as ``HOST: PATH``."""
    kept, run = [], journal.plan.run
    for member in journal.plan.members:
        host, dirs = connections[member.host], (Path(member.place.data_dir), Path(member.place.wal_dir))
        for folder in dict.fromkeys((work_of(member, run), wal_work_of(member, run))):
            kept += [f"{member.host}: {path}" for path in host.call(setaside.remove_run, Path(folder), *dirs)]
            host.call(files.remove_made, Path(folder).parent / lock.BUSY)
            host.call(files.remove_if_empty, Path(folder).parent)
        kinds.of(member.deployment).remove_set_aside(host, member.deployment, run)
    files.remove_made(journal.folder)
    return kept
