"""``requorum survey``: look at every disk, change nothing, say what is possible."""

from functools import partial
from pathlib import Path
from typing import Any

import anyio
import click
import msgspec

from requorum.cli import options, render
from requorum.errors import UsageError
from requorum.hosts import files
from requorum.hosts.tools import Tools
from requorum.survey import codec, gather
from requorum.survey.evidence import Survey
from requorum.verdict.decide import decide


@click.command()
@click.argument("dirs", nargs=-1, type=click.Path(path_type=Path))
@options.inventory
@options.snapshots
@options.etcd_dir
@click.option(
    "--wal-dir", "wal_dirs", multiple=True, type=click.Path(path_type=Path), help="The WAL dir of the n-th DIR."
)
@click.option("--from", "saved", type=click.Path(path_type=Path), help="Judge a survey that was saved with -o json.")
@click.option("--verify", is_flag=True, help="Read every file in full: hashes, records, checksums.")
@options.output
def survey(
    dirs: tuple[Path, ...],
    inventory_path: Path | None,
    snapshots: tuple[Path, ...],
    etcd_dir: Path | None,
    wal_dirs: tuple[Path, ...],
    saved: Path | None,
    verify: bool,
    output: str,
) -> None:
    """What every member's disk holds, what the cluster can be rebuilt from, and what each choice would lose.

    Give data dirs (DIR...), as copied from the hosts, or an inventory. Reads only; takes no lock.
    """
    found = load(saved) if saved else look(dirs, inventory_path, snapshots, etcd_dir, wal_dirs, in_full=verify)
    verdict = decide(found)
    if output in ("json", "yaml"):
        answer: dict[str, Any] = {"schema": "requorum/SurveyAndVerdict/v1", "survey": found, "verdict": verdict}
        render.data(answer, output)
        return
    render.survey_and_verdict(found, verdict, wide=output == "wide")


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


def look(
    dirs: tuple[Path, ...],
    inventory_path: Path | None,
    snapshots: tuple[Path, ...],
    etcd_dir: Path | None,
    wal_dirs: tuple[Path, ...],
    *,
    in_full: bool,
    found: Tools | None = None,
) -> Survey:
    """Survey dirs where some were given, else an inventory."""
    for path in snapshots:
        if not path.exists():
            raise UsageError(f"{path}: there is no such file")
    if dirs and inventory_path:
        raise UsageError("give data dirs or an inventory, not both")
    if dirs:
        read = partial(gather.survey_dirs, in_full=in_full, snapshots=snapshots, wal_dirs=wal_dirs, found=found)
        return anyio.run(read, dirs)
    inventory = options.load_inventory(inventory_path)
    tools = options.find_tools(etcd_dir, inventory)
    return anyio.run(partial(gather.survey_hosts, inventory, tools, in_full=in_full, snapshots=snapshots))
