"""One rehearsal of one scenario: load, kill, wreck, recover with requorum, audit."""

import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from requorum.rehearsal import cluster, damage, wreck
from requorum.rehearsal.audit import Audit, audit
from requorum.rehearsal.drive import Driver, WrongEnd
from requorum.rehearsal.gateway import NoAnswer
from requorum.rehearsal.load import Load
from requorum.rehearsal.scenarios import Scenario, Vacuous
from requorum.rehearsal.stage import Show, Stage

WRITERS = 12
WRITES = 2000
LOAD_SECONDS = 180.0
PATIENCE = 100
"""Requests in a row without an answer that a writer bears where a leader is to change."""
ATTEMPTS = 3
"""A load whose damage would be vacuous is made again, so often at most; a result never is."""

DONE, WITH_WARNINGS = 0, 3
_NOT_STARTED = re.compile(r"not started as is: ([^\"]*)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One line of the rehearsal's report. ``predicted_lost_max`` is None, with a reason, where no disk was left."""

    name: str
    verdict: str
    source: str
    acknowledged: int
    lost: int
    predicted_lost_max: int | None
    predicted_why: str
    down_seconds: float
    passed: bool
    why: str
    members: int
    seed: int
    surfaced: int
    left_behind: tuple[str, ...]


@contextmanager
def stage_root(keep: bool) -> Iterator[Path]:
    """A folder whose every process is ended with it."""
    root = Path(tempfile.mkdtemp(prefix="requorum-rehearsal-"))
    try:
        yield root
    finally:
        while cluster.end_all_below(root):
            time.sleep(0.05)
        if not keep:
            shutil.rmtree(root, ignore_errors=True)


def rehearse(scenario: Scenario, *, members: int, seed: int, etcd_dir: Path, keep: bool, show: Show) -> Result:
    """Play one scenario; raises nothing that is its own fault: what went wrong is in the result."""
    why = ""
    for attempt in range(ATTEMPTS):
        with stage_root(keep) as root:
            try:
                stage = _set_up(root, scenario, members, seed + attempt, etcd_dir, show)
                return _play(stage, scenario, seed + attempt)
            except Vacuous as err:
                why = f"vacuous: {err}"
                show(why, True)
            except (WrongEnd, NoAnswer, TimeoutError, OSError, subprocess.SubprocessError) as err:
                return _failed(scenario, members, seed + attempt, str(err) + (f" (kept in {root})" if keep else ""))
    return _failed(scenario, members, seed, why)


def _failed(scenario: Scenario, members: int, seed: int, why: str) -> Result:
    return Result(
        name=scenario.name,
        verdict="",
        source="",
        acknowledged=0,
        lost=0,
        predicted_lost_max=None,
        predicted_why="",
        down_seconds=0.0,
        passed=False,
        why=why,
        members=members,
        seed=seed,
        surfaced=0,
        left_behind=(),
    )


def _set_up(root: Path, scenario: Scenario, count: int, seed: int, etcd_dir: Path, show: Show) -> Stage:
    """Start a cluster, load it, kill it under load, wreck it."""
    rng = Random(seed)  # noqa: S311 - reproducible damage, not a secret
    show(f"starting {count} etcd member{'s' if count > 1 else ''}", False)
    members = cluster.lay_out(root, count + scenario.later, etcd_dir, "rehearsal", later=scenario.later)
    running = cluster.start(members[:count], etcd_dir)
    load = Load([one.client_url for one in members[:count]], WRITERS, seed, patience=PATIENCE if scenario.event else 3)
    stage = Stage(
        root=root,
        etcd_dir=etcd_dir,
        members=members,
        running=running,
        rng=rng,
        load=load,
        driver=Driver(root=root, inventory=root / "inventory.yaml"),
        show=show,
    )
    load.start()
    if scenario.snapshot:
        load.wait_for(WRITES // 2, LOAD_SECONDS, stage.tell_live)
        stage.snapshot = _save_snapshot(stage)
    if scenario.event:
        load.wait_for(WRITES // 2, LOAD_SECONDS, stage.tell_live)
        scenario.event(stage)
        load.wait_for_each(LOAD_SECONDS, stage.tell_live)
    load.wait_for(WRITES + rng.randrange(200), LOAD_SECONDS, stage.tell_live)
    if scenario.last:
        scenario.last(stage)
        load.wait_for(load.acknowledged + 100, LOAD_SECONDS, stage.tell_live)
    in_flight = sum(load.in_flight)
    cluster.kill_at_once(running)
    load.stop()
    stage.tell(f"killed under load: {load.acknowledged} writes acknowledged, {in_flight} requests in flight")
    if not in_flight:
        raise Vacuous("no request was in flight when the members were killed")
    there = [one for one in members if one.data_dir.exists()]
    lags = [disk for one in there if (disk := wreck.look(one)).last_index > disk.consistent_index]
    if not lags:
        raise Vacuous("no db lags its log")
    try:
        scenario.wreck(members, rng)
    except damage.Missed as err:
        raise Vacuous(str(err)) from err
    stage.after_wreck = {one.name: wreck.fingerprint(one.data_dir) for one in members}
    stage.tell(f"wrecked: {scenario.about}")
    return stage


def _save_snapshot(stage: Stage) -> Path:
    target = stage.root / "backup.db"
    subprocess.run(
        [stage.etcd_dir / "etcdctl", f"--endpoints={stage.members[0].client_url}", "snapshot", "save", target],
        check=True,
        capture_output=True,
        timeout=60,
        env={"ETCDCTL_API": "3"},
    )
    return target


def _play(stage: Stage, scenario: Scenario, seed: int) -> Result:
    began = time.monotonic()
    answer = _recover(stage, scenario)
    down = time.monotonic() - began
    stage.tell("recovered; auditing every acknowledged write on every member")
    started = {row["member"] for row in answer["proof"]["rows"]}
    found = audit(stage.load.operations, {one.name: one.client_url for one in stage.members if one.name in started})
    problems = [*found.wrong, *_unchanged(stage, answer), *_as_expected(stage, scenario, answer, found)]
    predicted = answer["predicted_lost_max"]
    return Result(
        name=scenario.name,
        verdict=answer["verdict"],
        source=answer["source"] or "own disks",
        acknowledged=found.acknowledged,
        lost=len(found.lost),
        predicted_lost_max=predicted,
        predicted_why=f"no {'log' if scenario.blind else 'disk'} was left to count from" if predicted is None else "",
        down_seconds=round(down, 1),
        passed=not problems,
        why="; ".join(problems),
        members=len(stage.members),
        seed=seed,
        surfaced=found.surfaced,
        left_behind=tuple(one.name for one in stage.members if one.name not in started),
    )


def _recover(stage: Stage, scenario: Scenario) -> dict[str, Any]:
    """Drive requorum through the scenario's course; returns its last report."""
    given = ["-i", str(stage.driver.inventory)]
    if stage.snapshot:
        given += ["--snapshot", str(stage.snapshot)]
    name = stage.driver.json("plan", *given)["cluster"]
    word = ["--yes", "--confirm", name]
    codes = (DONE, WITH_WARNINGS)
    if scenario.course == "killed":
        step = stage.rng.choice(["restore-beside", "set-aside", "move-in", "configure", "start"])
        run = stage.driver.killed_at(step, "recover", *given, *word)
        stage.tell(f"requorum was killed in '{step}'; resuming run {run}")
        return stage.driver.json("resume", run, *word, codes=codes)
    stage.tell("recovering")
    answer = stage.driver.json("recover", *given, *word, codes=codes)
    if scenario.course == "rolled back":
        stage.tell(f"rolling run {answer['run']} back")
        stage.driver.json("rollback", answer["run"], *word)
        changed = [one.name for one in stage.members if wreck.fingerprint(one.data_dir) != stage.after_wreck[one.name]]
        if changed:
            raise WrongEnd(f"after the rollback the data of {', '.join(changed)} is not what it was")
        stage.tell("everything is as it was; recovering again")
        answer = stage.driver.json("recover", *given, *word, codes=codes)
    return answer


def _unchanged(stage: Stage, answer: dict[str, Any]) -> list[str]:
    """Whether what was set aside is, to the byte, what lay there after the wrecking."""
    problems = []
    for one in stage.members:
        work = one.data_dir.with_name("data.requorum") / answer["run"]
        kept = work / ("old" if answer["verdict"] == "rebuild" else "copy")
        if not kept.exists() and not stage.after_wreck[one.name]:
            continue
        where = kept if kept.exists() else one.data_dir
        if wreck.fingerprint(where) != stage.after_wreck[one.name]:
            problems.append(f"what was set aside of {one.name} has changed")
    return problems


def _as_expected(stage: Stage, scenario: Scenario, answer: dict[str, Any], found: Audit) -> list[str]:
    problems = []
    predicted = answer["predicted_lost_max"]
    if predicted is None and not (scenario.snapshot or scenario.blind):
        problems.append("the loss was not predicted although disks were left")
    if scenario.blind and not any("not proven" in one for one in answer.get("warnings", ())):
        problems.append("it was not said that the loss is not proven")
    if predicted is not None and len(found.lost) > predicted and not scenario.blind:
        problems.append(f"{len(found.lost)} acknowledged writes are lost, {predicted} at most were predicted")
    if scenario.nothing_lost and found.lost:
        first = found.lost[0]
        problems.append(
            f"{len(found.lost)} acknowledged writes are lost, the first: {first.kind} {first.key} at {first.revision}"
        )
    if answer["verdict"] != scenario.verdict:
        text = (stage.root / "requorum.log").read_text()
        why = next(iter(_NOT_STARTED.findall(text)), "")
        # etcd 3.5.0-3.5.2 may leave a db whose index is ahead of its data (etcd#13766): then a start as is may not do.
        if "etcd#13766" not in text:
            problems.append(f"the verdict was {answer['verdict']!r}, expected {scenario.verdict!r} ({why})")
    return problems
