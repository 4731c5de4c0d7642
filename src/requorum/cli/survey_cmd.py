"""``requorum survey``: look at every disk, change nothing, say what is possible."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import click
import msgspec

from requorum.cli import options, render
from requorum.cli.options import Where, World
from requorum.errors import Unreachable, UsageError
from requorum.hosts import files, openssh
from requorum.hosts.tools import Tools
from requorum.survey import codec, gather
from requorum.survey.evidence import Survey
from requorum.verdict.decide import decide


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
        found = load(saved)
    elif dirs:
        if where.hosts or (where.inventory_path and where.typed):
            raise UsageError("give data dirs or an inventory, not both")
        found = look_at_dirs(dirs, snapshots, wal_dirs, in_full=verify, found=None)
    else:
        with options.world(where, powered_off) as world:
            found = look(world, snapshots, powered_off, in_full=verify)
    found = with_seen(found, seen_revision)
    verdict = decide(found)
    if output in ("json", "yaml"):
        answer: dict[str, Any] = {"schema": "requorum/SurveyAndVerdict/v1", "survey": found, "verdict": verdict}
        render.data(answer, output)
        return
    render.survey_and_verdict(found, verdict, wide=output == "wide")


def with_seen(found: Survey, revision: int) -> Survey:
    """A survey with the revision that the operator knows to have been served; a saved one keeps its own."""
    return replace(found, seen_revision=revision) if revision else found


def load(path: Path) -> Survey:
    """A survey out of a file, perhaps of another machine."""
    try:
        answer = msgspec.json.decode(files.read_file(path))
    except OSError as err:
        raise UsageError(f"{path}: {err.strerror}") from err
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as err:
        raise UsageError(f"{path}: not a survey: {err}") from err
    if isinstance(answer, dict) and "survey" in answer:
        answer = answer["survey"]
    return codec.decode(msgspec.json.encode(answer), Survey)


def look_at_dirs(
    dirs: tuple[Path, ...],
    snapshots: Sequence[str],
    wal_dirs: Sequence[Path],
    *,
    in_full: bool,
    found: Tools | None,
) -> Survey:
    """Survey plain data dirs."""
    files = [Path(one) for one in options.absolute_snapshots(snapshots, ())]
    return anyio.run(
        partial(gather.survey_dirs, in_full=in_full, snapshots=files, wal_dirs=wal_dirs, found=found), dirs
    )


def look(world: World, snapshots: Sequence[str], powered_off: Sequence[str], *, in_full: bool) -> Survey:
    """Survey the hosts of an inventory; raises Unreachable when not one of them answers."""
    named = options.absolute_snapshots(snapshots, world.connections.names())
    read = partial(gather.survey_hosts, in_full=in_full, snapshots=named, powered_off=powered_off)
    found = anyio.run(read, world.inventory, world.connections, world.found)
    silent = [one for one in found.hosts if one.unreachable]
    if silent and len(silent) == len(found.hosts):
        raise Unreachable(
            f"no host can be reached: {'; '.join(one.unreachable for one in silent)}",
            hint=openssh.hint_of(silent[0].name, silent[0].unreachable),
        )
    return found
