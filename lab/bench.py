"""What a recovery takes on real hosts, against the written procedure and its floor, in one run on the same hosts.

Measured is from the first command to all endpoints healthy and services back. Absolute times move with the machine;
the ratio does not, and it is only believed while the script's phases look as they do elsewhere.
"""

import json
import os
import shutil
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import click

from lab import benchfiles, byhand, filler
from lab import load as loads
from lab.kubespray import MAIN
from lab.lab import Lab
from lab.programs import LabError, path_of_operator
from requorum.etcdfiles import mvcc, wal, walscan

REFERENCE_MB = 161
REFERENCE = {"stop": 2.6, "survey": 1.5, "set aside": 1.4, "ship": 3.8, "restore": 1.9, "start": 4.1, "services": 1.3}
"""Seconds of each phase of the script, three hosts, 161 MB, on the machine that the procedure was first timed on."""
GROWS = {"survey": 0.6, "ship": 3.0, "restore": 1.4}
"""How much of a phase is due to the size of the db, at 161 MB."""
FACTOR = 4.0
"""How far a phase may lie from the reference, scaled by the machine of the day, before nothing is believed. Phases that are
mostly ssh's own start and phases that are mostly bytes do not scale alike: a fast processor may have a slow disk."""
SECONDS = 900.0
AFTERWARDS = ("finish snapshot", "unlock")
"""Steps after all endpoints are healthy and the services are back: they are in the phases, not in the total."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Timed:
    """One recovery: all of it, and its phases, in seconds."""

    total: float
    phases: dict[str, float]


@click.group(invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", show_default=True)
@click.option(
    "--against",
    type=click.Path(exists=True, file_okay=False, resolve_path=True, path_type=Path),
    help="A checkout of an earlier state: surveys are timed against it too.",
)
@click.pass_context
def bench(context: click.Context, output: str, against: Path | None) -> None:
    """Measure requorum against the plain tools, in one run: how fast etcd's files are read; with `lab`, what a recovery
    takes on real hosts."""
    if context.invoked_subcommand is not None:
        return
    found = benchfiles.measure(Path(os.environ["REQUORUM_TEST_ETCD_DIR"]), against)
    if output == "json":
        click.echo(json.dumps({"schema": "requorum/Bench/v1", **found}, indent=1))
        return
    for name, value in found.items():
        said = value if isinstance(value, dict) else {"": value}
        numbers = ", ".join(f"{part} {number:.4g}".strip() for part, number in said.items())
        click.echo(f"{name.replace('_', ' ')}: {numbers}")


@bench.command("lab")
@click.option("--mb", "sizes", default="200,1000", show_default=True, help="Sizes of the db in MB.")
@click.option("--rounds", type=click.IntRange(1, 9), default=3, show_default=True, help="How often each is done.")
@click.option("--static-pods", is_flag=True, help="On hosts where etcd and the control plane are static pods.")
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", show_default=True)
def bench_lab(sizes: str, rounds: int, static_pods: bool, output: str) -> None:
    """From the first command to all endpoints healthy and services back: by hand, requorum, and the floor."""
    name = f"bench{os.getpid() % 10000}"
    work = Path(tempfile.mkdtemp(prefix="requorum-bench-"))
    runs = []
    try:
        lab = Lab.up(name, 3, static_pods=static_pods)
        try:
            for megabytes in (int(one) for one in sizes.split(",")):
                runs.append(_one_size(lab, megabytes, rounds, work))
                if output == "text":
                    _show(runs[-1])
        finally:
            lab.down()
    except LabError as err:
        click.echo(f"error: {err}", err=True)
        sys.exit(1)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    if output == "json":
        click.echo(json.dumps({"runs": runs}, indent=1))
    odd = [f"{run['db_mb']} MB: {text}" for run in runs for text in run.pop("odd", [])]
    if odd:
        click.echo("error: the script's phases do not look as elsewhere:\n" + "\n".join(odd), err=True)
        sys.exit(1)


def _show(run: dict[str, Any]) -> None:
    click.echo(
        f"{run['db_mb']} MB: by hand {run['by_hand_seconds']:.1f} s, requorum {run['requorum_seconds']:.1f} s "
        f"(ratio {run['ratio']:.2f}), floor {run['floor_seconds']:.1f} s"
    )
    for who, phases in run["phases"].items():
        click.echo(f"  {who}: " + ", ".join(f"{name} {seconds:.1f}" for name, seconds in phases.items()))


def _one_size(lab: Lab, megabytes: int, rounds: int, work: Path) -> dict[str, Any]:
    _fill(lab, megabytes)
    found: dict[str, list[Timed]] = {"by hand": [], "requorum": [], "floor": []}
    for number in range(rounds):
        for who, recover in (("by hand", _by_hand), ("requorum", _requorum), ("floor", _floor)):
            _disaster(lab, work)
            timed = recover(lab, work, megabytes)
            lab.wait_healthy(120)
            click.echo(f"{megabytes} MB, round {number + 1}, {who}: {timed.total:.1f} s", err=True)
            found[who].append(timed)
            _forget(lab)
    best = {who: statistics.median(one.total for one in timings) for who, timings in found.items()}
    phases = {
        who: {
            name: round(statistics.median(one.phases.get(name, 0.0) for one in timings), 2)
            for name in timings[0].phases
        }
        for who, timings in found.items()
    }
    return {
        "db_mb": megabytes,
        "by_hand_seconds": round(best["by hand"], 2),
        "requorum_seconds": round(best["requorum"], 2),
        "ratio": round(best["requorum"] / best["by hand"], 3),
        "floor_seconds": round(best["floor"], 2),
        "phases": phases,
        "odd": [] if lab.options.static_pods else _odd(phases["by hand"], megabytes),
    }


def _odd(phases: dict[str, float], megabytes: int) -> list[str]:
    """The script's phases that lie far from the reference, once scaled by the machine of the day."""
    expected = {
        name: seconds + GROWS.get(name, 0.0) * (megabytes / REFERENCE_MB - 1) for name, seconds in REFERENCE.items()
    }
    expected["start"] += 2 * (byhand.apart(megabytes) - byhand.apart(REFERENCE_MB))
    scale = statistics.median(phases[name] / seconds for name, seconds in expected.items())
    return [
        f"{name} took {phases[name]:.1f} s, {seconds * scale:.1f} s were expected"
        for name, seconds in expected.items()
        if not 1 / FACTOR <= phases[name] / (seconds * scale) <= FACTOR
    ]


def _fill(lab: Lab, megabytes: int) -> None:
    """Give all members the same db of that size."""
    etcdutl = Path(lab.options.etcd_dir) / "etcdutl"
    saved = filler.snapshot(megabytes, Path(lab.options.etcd_dir))
    lab.cut()
    names = {one.name: one.name if lab.options.static_pods else one.etcd_name for one in lab.hosts}
    members = ",".join(f"{names[one.name]}=https://{one.address}:{MAIN.peer_port}" for one in lab.hosts)
    for one in lab.hosts:
        words = [
            "--name",
            names[one.name],
            "--initial-cluster",
            members,
            "--initial-cluster-token",
            f"fill-{megabytes}",
        ]
        words += ["--initial-advertise-peer-urls", f"https://{one.address}:{MAIN.peer_port}"]
        filler.restore_on(one.root, etcdutl, saved, words)
    lab.boot()
    lab.wait_healthy(120)


def _disaster(lab: Lab, work: Path) -> None:
    """A client writes, the power is cut, and a bit flips in every log: no member can start."""
    out = work / f"operations-{time.monotonic_ns()}"
    child = loads.start(lab, out, count=4, seconds=30)
    try:
        loads.wait_for(out, 400, 30)
        lab.cut()
    finally:
        loads.stop(child)
        out.unlink(missing_ok=True)
    for one in lab.hosts:
        flip(one.root / "var/lib/etcd")
    lab.boot()


def flip(data_dir: Path) -> None:
    """Flip a bit of a log entry that the db holds already."""
    index = mvcc.read_facts(str(data_dir / "member/snap/db")).consistent_index
    records = [
        one
        for one in wal.records_of(str(data_dir / "member/wal"))
        if one.type == walscan.ENTRY and len(one.data) > 64 and wal.entry_index(one.data) < index
    ]
    at = records[len(records) // 2]
    with Path(at.path).open("r+b") as file:
        file.seek(at.end - len(at.data) // 2 - 8)
        byte = file.read(1)[0]
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte ^ 0x10]))


def _forget(lab: Lab) -> None:
    """Remove what a recovery set aside, from outside."""
    for one in lab.hosts:
        for name in ("etcd.bak", "etcd.requorum"):
            shutil.rmtree(one.root / "var/lib" / name, ignore_errors=True)
        for kept in (one.root / "etc").glob("etcd.env.requorum-*"):
            kept.unlink()
        shutil.rmtree(one.root / "etc/kubernetes/manifests.requorum", ignore_errors=True)


def _by_hand(lab: Lab, work: Path, megabytes: int) -> Timed:
    return _script(lab, work, megabytes, parallel=False)


def _floor(lab: Lab, work: Path, megabytes: int) -> Timed:
    return _script(lab, work, megabytes, parallel=True)


def _script(lab: Lab, work: Path, megabytes: int, *, parallel: bool) -> Timed:
    path = work / "procedure.sh"
    path.write_text(byhand.script(lab, megabytes, parallel=parallel, scratch=str(work)))
    done = lab.operator(["bash", path], capture_output=True, text=True, timeout=SECONDS)
    if done.returncode:
        raise LabError(f"the procedure failed: {done.stderr[-600:]}")
    begun = [line.split() for line in done.stdout.splitlines() if line.startswith("phase ")]
    names = [" ".join(words[1:-1]) for words in begun]
    at = [float(words[-1]) for words in begun]
    phases = {name: round(at[number + 1] - at[number], 2) for number, name in enumerate(names[:-1])}
    return Timed(total=at[-1] - at[0], phases=phases)


def _requorum(lab: Lab, work: Path, _: int) -> Timed:
    state = work / "state"
    shutil.rmtree(state, ignore_errors=True)
    command = [sys.executable, "-m", "requorum.cli.main"]
    env = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    env["REQUORUM_STATE_DIR"] = str(state)
    env["PATH"] = path_of_operator()
    inventory = lab.inventory / "hosts.yaml"
    looked = lab.operator([*command, "survey", "-i", inventory, "-o", "json"], capture_output=True, text=True, env=env)
    name = json.loads(looked.stdout)["verdict"]["cluster"]
    began = time.time()
    done = lab.operator(
        [*command, "recover", "-i", inventory, "--yes", "--confirm", name, "-o", "json"],
        capture_output=True,
        text=True,
        env=env,
        timeout=SECONDS,
    )
    if done.returncode:
        raise LabError(f"requorum recover ended with {done.returncode}: {done.stderr[-800:]}")
    phases = _phases(state, began, time.time())
    back = sum(seconds for name, seconds in phases.items() if name not in AFTERWARDS)
    return Timed(total=back, phases=phases)


def _phases(state: Path, began: float, ended: float) -> dict[str, float]:
    """How long each kind of step took, from the journal; what comes before the first is the survey and the plan."""

    (journal,) = state.glob("runs/*/journal.jsonl")
    first: dict[str, float] = {}
    for line in journal.read_text().splitlines():
        said = json.loads(line)
        kind = said["step"].split("/")[0].partition("-")[2].replace("-", " ") if said["step"] else ""
        if kind and said["event"] == "begin":
            first.setdefault(kind, datetime.fromisoformat(said["at"]).timestamp())
    kinds = list(first)
    ends = [first[kind] for kind in kinds[1:]] + [ended]
    found = {"survey and plan": round(first[kinds[0]] - began, 2)}
    found.update({kind: round(end - first[kind], 2) for kind, end in zip(kinds, ends, strict=True)})
    return found


if __name__ == "__main__":
    bench()
