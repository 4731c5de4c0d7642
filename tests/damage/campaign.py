"""``./dev campaign``: random clusters, pasts and damage, until the time is up or it is interrupted; every claim judged.

A case is told by its seed, ``CLUSTER.NUMBER``: the cluster of that seed is made again (its load and what happens to it are
drawn from it), then the past and the damage of that number. Two runs of a real cluster are never the same to the byte, so
the disks of a case that failed are kept as well. The report goes to standard output.
"""

import multiprocessing
import os
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkProcess
from pathlib import Path
from random import Random

import click
import msgspec

from lab import etcds
from requorum.rehearsal import damage
from tests.damage import cases, draw, said, trial

CASES_PER_CLUSTER = 40
MOST_META_BITS = 1 << 14
"""More than any meta bucket of these clusters has."""


@dataclass
class Campaign:
    """The report. ``lies`` are claims that are false; ``needless``: a careful expert would have recovered, or would not
    have doubted; ``unknowable``: something was lost that no disk shows; ``overstated``: a loss was feared, nothing was lost;
    ``dead_ends``: a source
    that was named after an undecided verdict was refused. ``missed``: there was nothing to damage in the way that was drawn."""

    schema: str = "requorum/Campaign/v2"
    cases: int = 0
    claims: int = 0
    recovered: int = 0
    refused: int = 0
    false_claims: int = 0
    needless_refusals: int = 0
    majority_untouched: int = 0
    needless_with_majority: int = 0
    originals_changed: int = 0
    unknowable: int = 0
    overstated: int = 0
    dead_ends: list[dict[str, str]] = field(default_factory=list)
    missed: int = 0
    errors: int = 0
    seconds: float = 0.0
    modes: Counter[str] = field(default_factory=Counter)
    pasts: Counter[str] = field(default_factory=Counter)
    damage: Counter[str] = field(default_factory=Counter)
    members: Counter[str] = field(default_factory=Counter)
    versions: Counter[str] = field(default_factory=Counter)
    false_by_past: Counter[str] = field(default_factory=Counter)
    needless_by_past: Counter[str] = field(default_factory=Counter)
    lies: list[dict[str, str]] = field(default_factory=list)
    needless: list[dict[str, str]] = field(default_factory=list)
    changed: list[dict[str, str]] = field(default_factory=list)
    failures: list[dict[str, str]] = field(default_factory=list)

    def add(self, other: "Campaign") -> None:
        """Another report's counts and lists to this one's."""
        for name, value in vars(other).items():
            if name in ("schema", "seconds"):
                continue
            mine = getattr(self, name)
            if isinstance(mine, Counter):
                mine.update(value)
            elif isinstance(mine, list):
                mine.extend(value)
            else:
                setattr(self, name, mine + value)

    @property
    def failed(self) -> bool:
        """Whether anything was found that must not be."""
        return bool(self.false_claims or self.originals_changed or self.errors)


def run_case(
    killed: cases.Killed,
    seed: str,
    work: Path,
    only: tuple[str, ...],
    modes: tuple[str, ...],
    meta_bit: int | None = None,
) -> Campaign:
    """One case as a report of its own."""
    report, rng = Campaign(), Random(seed)
    drawn = draw.case_of(killed.names, rng, only, meta_bit)
    if modes and drawn.mode not in modes:
        report.missed = 1
        return report
    began = time.monotonic()
    try:
        out = trial.play(killed, drawn, rng, work)
    except damage.Missed:
        report.missed = 1
        return report
    except Exception as err:
        report.cases = report.errors = 1
        report.failures.append({"seed": seed, "case": drawn.text(), "why": f"{type(err).__name__}: {err}"})
        return report
    kinds = [*drawn.pasts, *(name for some in drawn.damage.values() for name in some)] or ["a power cut"]
    report.cases, report.claims = 1, out.claims
    report.recovered, report.refused = int(out.recovered), int(not out.recovered)
    report.majority_untouched = int(out.majority_untouched)
    report.unknowable, report.overstated = int(out.unknowable), int(bool(out.overstated) and out.majority_untouched)
    report.modes[drawn.mode] += 1
    report.members[str(len(killed.voters)) + (" and a learner" if killed.learners else "")] += 1
    report.versions[killed.etcd_dir.name.split("-")[1]] += 1
    report.pasts.update(drawn.pasts or ["none"])
    report.damage.update(name for some in drawn.damage.values() for name in some)
    told = {"seed": seed, "case": drawn.text() + (f" ({'; '.join(out.notes)})" if out.notes else "")}
    if out.lies:
        report.false_claims = 1
        report.false_by_past.update(kinds)
        report.lies += [
            {**told, "kind": one.kind, "claim": one.claim, "evidence": one.evidence, "verdict": "; ".join(out.verdicts)}
            for one in out.lies
        ]
    if out.needless:
        report.needless_refusals = 1
        report.needless_with_majority = int(out.majority_untouched)
        report.needless_by_past.update(kinds)
        report.needless.append({**told, "why": out.needless[0], "verdict": "; ".join(out.verdicts)})
    report.dead_ends += [{**told, "why": one} for one in out.dead_ends]
    if out.changed:
        report.originals_changed = 1
        report.changed.append({**told, "members": ", ".join(out.changed)})
    report.seconds = time.monotonic() - began
    return report


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What a worker plays: clusters ``first``, ``first + step`` and so on, until ``end`` (of the monotonic clock)."""

    first: int
    step: int
    end: float
    number: str
    versions: tuple[str, ...]
    pasts: tuple[str, ...]
    modes: tuple[str, ...]
    keep: bool
    meta_bits: bool


def work(wanted: Wanted, answers: Connection) -> None:
    """A worker: clusters and their cases until the time is up; each case's report is sent to ``answers``."""
    said.load_modules()
    at = wanted.first
    while wanted.number or time.monotonic() < wanted.end:
        root = Path(tempfile.mkdtemp(prefix="requorum-campaign-"))
        kept = False
        try:
            make = draw.every_meta_bit if wanted.meta_bits else draw.cluster_of
            killed = make(str(at), root / "cluster", wanted.versions)
            most = MOST_META_BITS if wanted.meta_bits else CASES_PER_CLUSTER
            for one in [int(wanted.number)] if wanted.number else range(most):
                if not wanted.number and time.monotonic() > wanted.end:
                    break
                folder = root / f"case-{one}"
                bit = one if wanted.meta_bits else None
                report = run_case(killed, f"{at}.{one}", folder, wanted.pasts, wanted.modes, bit)
                if bit is not None and report.missed:
                    break  # that was the last bit
                answers.send(report)
                if report.failed or report.needless_refusals or report.dead_ends or wanted.number:
                    kept = kept or wanted.keep
                    _tell(report, folder if wanted.keep else None)
                if not (wanted.keep and (report.failed or report.needless_refusals or wanted.number)):
                    trial.cleared(folder)
        except KeyboardInterrupt:
            break
        except Exception as err:  # a cluster that does not come about is none to judge; the next may
            print(f"cluster {at} was not made: {type(err).__name__}: {err}", file=sys.stderr, flush=True)
        finally:
            if not kept:
                shutil.rmtree(root, ignore_errors=True)
        if wanted.number:
            break
        at += wanted.step
    answers.close()


def _tell(report: Campaign, folder: Path | None) -> None:
    where = f" (kept in {folder})" if folder else ""
    for lie in report.lies:
        print(
            f"FALSE {lie['seed']} {lie['case']}\n      {lie['kind']}: {lie['claim']}\n      {lie['evidence']}{where}",
            file=sys.stderr,
            flush=True,
        )
    for one in report.needless:
        print(f"NEEDLESS {one['seed']} {one['case']}\n      {one['why']}{where}", file=sys.stderr, flush=True)
    for one in report.dead_ends:
        print(f"DEAD END {one['seed']} {one['case']}\n      {one['why']}", file=sys.stderr, flush=True)
    for one in (*report.changed, *report.failures):
        print(f"FAILED {one}{where}", file=sys.stderr, flush=True)


def _so_far(report: Campaign, seconds: float) -> None:
    print(
        f"{report.cases} cases, {report.false_claims} false, {report.needless_refusals} needless, "
        f"{seconds / report.cases:.1f} s each",
        file=sys.stderr,
        flush=True,
    )


@click.command(help=__doc__)
@click.option("--minutes", type=float, default=10.0, show_default=True)
@click.option("--cases", "most", type=int, default=0, help="Stop after so many cases.")
@click.option("--seed", default="", help="Where it begins (default: drawn); CLUSTER.NUMBER plays one case.")
@click.option("--jobs", type=int, default=1, show_default=True, help="So many clusters at once.")
@click.option("--past", "pasts", multiple=True, help="Draw from these pasts only.")
@click.option("--mode", "modes", multiple=True, help="Play only cases of this mode: words, full, living, halfway.")
@click.option("--meta-bits", is_flag=True, help="Every single bit of the meta bucket's values, on one member of three.")
@click.option("--keep/--no-keep", default=True, help="Keep the disks of what failed.")
@click.option("--etcd", "versions", multiple=True, help="etcd versions (default: all that are tested on).")
@click.option(
    "--save", type=click.Path(path_type=Path, dir_okay=False), help="Also keep the report in this file, as it grows."
)
@click.option("-o", "--output", type=click.Choice(["json"]), default="json")
def main(
    minutes: float,
    most: int,
    seed: str,
    jobs: int,
    pasts: tuple[str, ...],
    modes: tuple[str, ...],
    meta_bits: bool,
    keep: bool,
    versions: tuple[str, ...],
    save: Path | None,
    output: str,
) -> None:
    """Run it."""
    del output
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # whoever ends it so, too, is told what was found
    began, report = time.monotonic(), Campaign()
    first, _, number = seed.partition(".")
    at = int(first) if first else Random().randrange(1 << 30)
    chosen = versions or etcds.VERSIONS
    for version in chosen:
        etcds.folder_of(version)
    print(f"seed {at}", file=sys.stderr)
    context = multiprocessing.get_context("fork")
    workers: dict[Connection, ForkProcess] = {}
    for offset in range(1 if number else jobs):
        wanted = Wanted(
            first=at + offset,
            step=jobs,
            end=began + 60 * minutes,
            number=number,
            versions=chosen,
            pasts=pasts,
            modes=modes,
            meta_bits=meta_bits,
            keep=keep,
        )
        mine, theirs = context.Pipe(duplex=False)
        worker = context.Process(target=work, args=(wanted, theirs))
        worker.start()
        theirs.close()
        workers[mine] = worker
    open_ends = [*workers]
    try:
        while open_ends and not (most and report.cases >= most):
            for end in wait(open_ends):
                assert isinstance(end, Connection)
                try:
                    report.add(end.recv())
                except EOFError:
                    open_ends.remove(end)
                    continue
                report.seconds = round(time.monotonic() - began, 1)
                if save:
                    save.write_bytes(msgspec.json.encode(vars(report)))
                if report.cases and report.cases % 50 == 0:
                    _so_far(report, time.monotonic() - began)
    except KeyboardInterrupt:
        pass  # what was found so far is told all the same
    finally:
        for worker in workers.values():
            worker.join(0 if open_ends else 10)
            if worker.is_alive() and worker.pid:
                os.kill(worker.pid, signal.SIGINT)
        for worker in workers.values():
            worker.join(60)
    report.seconds = round(time.monotonic() - began, 1)
    print(msgspec.json.encode(vars(report)).decode())
    sys.exit(1 if report.failed else 0)


if __name__ == "__main__":
    main()
