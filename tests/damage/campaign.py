"""``./dev campaign``: random clusters, loads, leader changes and damage, until the time is up or it is interrupted; every
case judged.

A case is told by its seed, ``CLUSTER.NUMBER``: the cluster of that seed is made again (its load and what happens to it are
drawn from it), then the damage of that number. Two runs of a real cluster are never the same to the byte, so the disks
of a case that failed are kept as well.
"""

import shutil
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from random import Random

import click
import msgspec

from lab import etcds
from requorum.rehearsal import damage
from tests.damage import cases

CASES_PER_CLUSTER = 25


@dataclass
class Campaign:
    """The report. ``recovered`` cases were started or rebuilt; ``refused_rightly`` had nothing to rebuild from, or members
    that contradict each other without a majority."""

    schema: str = "requorum/Campaign/v1"
    cases: int = 0
    recovered: int = 0
    refused_rightly: int = 0
    lost_acknowledged_beyond_prediction: int = 0
    originals_changed: int = 0
    failures: list[dict[str, str]] = field(default_factory=list)


def drawn(names: list[str], rng: Random) -> dict[str, tuple[str, ...]]:
    """Damage for each member: mostly one thing each, sometimes two, sometimes none."""
    out: dict[str, tuple[str, ...]] = {}
    for name in names:
        dice = rng.random()
        if dice < 0.15:
            continue
        if dice < 0.22:
            out[name] = ("disk gone",)
        elif dice < 0.55:
            out[name] = (rng.choice([*damage.LOG]),)
        elif dice < 0.85:
            out[name] = (rng.choice([*damage.DB]),)
        else:
            out[name] = (rng.choice([*damage.LOG]), rng.choice([*damage.DB]))
    return out


def cluster_of(seed: str, root: Path, versions: tuple[str, ...]) -> cases.Killed:
    """The cluster of a seed."""
    rng = Random(seed)
    members = rng.choice([1, 3, 3, 3, 3, 5])
    return cases.kill(
        root,
        etcds.folder_of(rng.choice(versions)),
        rng.randrange(1 << 30),
        members=members,
        writes=rng.randrange(300, 1500),
        snapshot_count=rng.choice([100, 250, 1000, 10_000]),
        wal_files=rng.choice([1, 1, 1, 1, 1, 1, 2, 3]),
        compact=rng.random() < 0.4,
        leaders=rng.choice([0, 0, 1, 2]) if members > 1 else 0,
        cut_off=members > 1 and rng.random() < 0.4,
        learner=members == 3 and rng.random() < 0.25,
    )


def run_case(killed: cases.Killed, seed: str, work: Path, report: Campaign) -> None:
    """One case into the report."""
    rng = Random(seed)
    wanted = drawn(killed.names, rng)
    try:
        ended = cases.play(killed, wanted, rng, work)
    except damage.Missed:
        return
    except Exception as err:
        report.cases += 1
        report.failures.append({"seed": seed, "why": f"{wanted}: {type(err).__name__}: {err}"})
        return
    report.cases += 1
    if ended.verdict.start or ended.source:
        report.recovered += 1
    elif not ended.wrong:
        report.refused_rightly += 1
    if any("was changed" in one for one in ended.wrong):
        report.originals_changed += 1
    if any("lost" in one for one in ended.wrong):
        report.lost_acknowledged_beyond_prediction += 1
    if ended.wrong:
        report.failures.append({"seed": seed, "why": f"{wanted}: {'; '.join(ended.wrong)}"})


@click.command(help=__doc__)
@click.option("--minutes", type=float, default=10.0, show_default=True)
@click.option("--seed", default="", help="Where it begins (default: drawn); CLUSTER.NUMBER plays one case.")
@click.option("--etcd", "versions", multiple=True, help="etcd versions (default: all that are tested on).")
@click.option("-o", "--output", type=click.Choice(["json"]), default="json")
def main(minutes: float, seed: str, versions: tuple[str, ...], output: str) -> None:
    """Run it."""
    del output
    began, report = time.monotonic(), Campaign()
    first, _, number = seed.partition(".")
    at = int(first) if first else Random().randrange(1 << 30)
    chosen = versions or etcds.VERSIONS
    print(f"seed {at}", file=sys.stderr)
    while number or time.monotonic() - began < 60 * minutes:
        root = Path(tempfile.mkdtemp(prefix="requorum-campaign-"))
        keep = False
        try:
            killed = cluster_of(str(at), root / "cluster", chosen)
            for one in [int(number)] if number else range(CASES_PER_CLUSTER):
                if not number and time.monotonic() - began > 60 * minutes:
                    break
                failed, work = len(report.failures), root / f"case-{one}"
                run_case(killed, f"{at}.{one}", work, report)
                if len(report.failures) > failed:
                    keep = True
                    print(f"FAILED {report.failures[-1]} (kept in {work})", file=sys.stderr, flush=True)
                else:
                    shutil.rmtree(work, ignore_errors=True)
            print(f"cluster {at}: {report.cases} cases, {len(report.failures)} failed", file=sys.stderr, flush=True)
        except (TimeoutError, OSError) as err:
            print(f"cluster {at} was not made: {err}", file=sys.stderr, flush=True)
        except KeyboardInterrupt:
            break  # what was found so far is told all the same
        finally:
            if not keep:
                shutil.rmtree(root, ignore_errors=True)
        at += 1
        if number:
            break
    print(msgspec.json.encode(asdict(report)).decode())
    sys.exit(1 if report.failures else 0)


if __name__ == "__main__":
    main()
