"""How fast etcd's files are read, against etcdutl on the same files in the same run; and how much memory it takes.

Measured are ratios: absolute times move with the machine. A cold run begins with the file dropped from the page cache.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from typing import Any

from lab import filler
from requorum.etcdfiles import bbolt, mvcc, tree, verify
from requorum.rehearsal import cluster, damage, wreck
from requorum.rehearsal.cluster import Member
from requorum.rehearsal.load import Load

DB_MB = 500
MEMBER_MB = 1000
FLAT_MB = (100, 2000)
TAIL = 10_000
ROUNDS = 5
SECONDS = 900.0
MEMORY_EACH = 0.02
"""Seconds between two looks at a command's memory."""


def measure(etcd_dir: Path, against: Path | None = None) -> dict[str, Any]:
    """All of it; needs some 8 GB of room for temporary files. ``against`` is a checkout of an earlier state, whose surveys
    are timed in turns with this one's."""
    work = Path(tempfile.mkdtemp(prefix="requorum-bench-"))
    try:
        return {
            **_one_db(filler.snapshot(DB_MB, etcd_dir), etcd_dir / "etcdutl"),
            **_surveys(work, etcd_dir, against),
            **_tail(work, etcd_dir, against),
        }
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _one_db(db: Path, etcdutl: Path) -> dict[str, Any]:
    """The revision and the hash of one db, against ``etcdutl snapshot status``, which reads all of it for both."""

    def status() -> None:
        subprocess.run([etcdutl, "snapshot", "status", db], check=True, capture_output=True, timeout=SECONDS)

    status_seconds = _timed(db, status)
    warm, cold = status_seconds["warm"], status_seconds["cold"]
    revision = _best(lambda: mvcc.read_facts(str(db)), rounds=200)
    hashed = _timed(db, lambda: _hashed(db))
    verified = _timed(db, lambda: verify.verify_db(str(db), trailer=False))
    return {
        "db_mb": DB_MB,
        "status_seconds": status_seconds,
        "revision_seconds": revision,
        "revision_speedup": warm / revision,
        "hash_seconds": hashed,
        "hash_speedup_warm": warm / hashed["warm"],
        "hash_speedup_cold": cold / hashed["cold"],
        "verify_seconds": verified,
        "verify_speedup_warm": warm / verified["warm"],
        "verify_speedup_cold": cold / verified["cold"],
    }


class _Hash(verify.Walk):
    """What ``snapshot status`` does, and no more: the tree is checked, its items are counted and hashed."""

    def key_leaf(self, leaf: tree.Leaf) -> None:
        """Not what the records say."""
        self.content.add_leaf(leaf)


def _hashed(db: Path) -> None:
    with bbolt.Bolt(str(db)) as bolt:
        _Hash.over(bolt, verify.NOTHING, trailer=False)


def _surveys(work: Path, etcd_dir: Path, against: Path | None) -> dict[str, Any]:
    """A survey of three members, quick and in full; and of one, by its size."""
    three = [_restored(work / f"m{at}", MEMBER_MB, etcd_dir) for at in (1, 2, 3)]
    quick, quick_memory = _child("survey", *three)
    full, full_memory = _child("survey", "--verify", *three)
    ratios = {"survey_3x1gb_ratios": _ratios(three, against)} if against else {}
    by_size = {}
    for megabytes in FLAT_MB:
        one = _restored(work / f"flat-{megabytes}", megabytes, etcd_dir)
        by_size[megabytes] = min(_child("survey", one)[0] for _ in range(3))
    small, large = (by_size[one] for one in FLAT_MB)
    return {
        "survey_3x1gb": {"seconds": quick, "peak_mb": quick_memory},
        "survey_3x1gb_verified": {"seconds": full, "peak_mb": full_memory},
        "survey_seconds_by_mb": by_size,
        "survey_growth": large / small,
        **ratios,
    }


def _ratios(dirs: Sequence[Path], against: Path) -> dict[str, float]:
    """How many times as long a survey takes as with an earlier state of the code, quick and in full; the best of several
    turns each."""
    own, other = dict(os.environ), {**os.environ, "PYTHONPATH": str(against / "src")}
    out = {}
    for name, words in (("quick", ["survey"]), ("in_full", ["survey", "--verify"])):
        argv = [sys.executable, "-m", "requorum.cli.main", *words, *(str(one) for one in dirs)]
        taken: dict[str, list[float]] = {"now": [], "before": []}
        for _ in range(ROUNDS):
            for which, env in (("before", other), ("now", own)):
                began = time.perf_counter()
                subprocess.run(argv, check=True, capture_output=True, timeout=SECONDS, env=env)
                taken[which].append(time.perf_counter() - began)
        out[name] = min(taken["now"]) / min(taken["before"])
    return out


def _restored(folder: Path, megabytes: int, etcd_dir: Path) -> Path:
    argv: list[str | Path] = [
        etcd_dir / "etcdutl",
        "snapshot",
        "restore",
        filler.snapshot(megabytes, etcd_dir),
        "--data-dir",
        folder,
    ]
    subprocess.run(argv, check=True, capture_output=True, timeout=SECONDS)
    return folder


def _tail(work: Path, etcd_dir: Path, against: Path | None) -> dict[str, Any]:
    """Many entries that no db holds, in logs of which none is whole: put together and replayed."""
    root = work / "tail"
    members = cluster.lay_out(root, 3, etcd_dir, "bench")
    for one in members:
        with one.config.open("a") as config:
            config.write(
                "backend-batch-interval: 3600000000000\nbackend-batch-limit: 10000000\nsnapshot-count: 10000000\n"
                "unsafe-no-fsync: true\n"
            )
    load = Load([one.client_url for one in members], 16, 1)
    try:
        running = cluster.start(members, etcd_dir)
        load.start()
        load.wait_for(TAIL, SECONDS)
        cluster.kill_at_once(running)
    finally:
        load.stop()
        cluster.end_all_below(root)
    _break(members)
    dirs, out = [one.data_dir for one in members], root / "out.db"
    survey, survey_memory = _child("survey", "--verify", *dirs)
    rebuild, rebuild_memory = _child("rebuild", *dirs, "-o", out, "--etcd-dir", etcd_dir, makes=out)
    return {
        "tail_entries": TAIL,
        "tail_survey": {"seconds": survey, "peak_mb": survey_memory},
        "tail_rebuild": {"seconds": rebuild, "peak_mb": rebuild_memory},
        **({"tail_survey_ratios": _ratios(dirs, against)} if against else {}),
    }


def _break(members: Sequence[Member]) -> None:
    rng = Random(1)  # noqa: S311 - reproducible damage, not a secret
    by_log = sorted(members, key=lambda one: (wreck.look(one).last_term, wreck.look(one).last_index), reverse=True)
    damage.root_zeroed(by_log[0].data_dir, rng)
    for one in by_log[1:]:
        damage.tail_flipped(one.data_dir, rng)


def _best(what: Callable[[], object], *, rounds: int = ROUNDS, before: Callable[[], object] = lambda: None) -> float:
    """The shortest of several times, in seconds."""
    taken = []
    for _ in range(rounds):
        before()
        began = time.perf_counter()
        what()
        taken.append(time.perf_counter() - began)
    return min(taken)


def _timed(db: Path, what: Callable[[], object]) -> dict[str, float]:
    """A reading of a db, with the file in the page cache and without."""
    return {"warm": _best(what), "cold": _best(what, before=lambda: _drop(db))}


def _drop(path: Path) -> None:
    """Drop a file from the page cache."""
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(fd)


def _child(*words: str | Path, makes: Path | None = None) -> tuple[float, float]:
    """One command of requorum as a process of its own: seconds; and, of a second run, as it takes a tenth of the time to look
    at it, the peak memory in MB of all its processes. ``makes`` is what it writes."""
    argv = [sys.executable, "-m", "requorum.cli.main", *(str(one) for one in words)]
    began = time.perf_counter()
    _run(argv)
    taken = time.perf_counter() - began
    if makes:
        makes.unlink()
    return taken, _run(argv, MEMORY_EACH) / 1000


def _run(argv: Sequence[str], look_each: float | None = None) -> int:
    """Run a command to its end; returns the most memory that was seen, in kB."""
    peak = 0
    with tempfile.TemporaryFile() as said:
        child = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=said)
        while True:
            try:
                code = child.wait(look_each)
                break
            except subprocess.TimeoutExpired:
                peak = max(peak, _memory(child.pid))
        if code:
            said.seek(0)
            raise RuntimeError(f"{' '.join(argv)}: {said.read().decode(errors='replace')}")
    return peak


def _memory(pid: int) -> int:
    """What a process and those below it have in memory, in kB: what they share is counted once (proportional set size)."""
    try:
        rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
        below = [
            int(one) for task in Path(f"/proc/{pid}/task").iterdir() for one in (task / "children").read_text().split()
        ]
    except OSError:
        return 0  # it has ended
    own = next(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:"))
    return own + sum(_memory(one) for one in below)
