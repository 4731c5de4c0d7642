"""SIGKILL of the real process at every fsync and rename of a run, then ``resume``: always the same end.

The moments are not chosen: a run is counted first, and then killed at each of its calls in turn, on a fresh copy of the
wrecked cluster. What a SIGKILL leaves behind is what lies on the disk between two such calls; so a run is killed before
each, and after those that are not followed at once by the fsync that belongs to them.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import pytest

from requorum.deployments.process import acts as process
from requorum.etcd import binaries, client
from requorum.etcdfiles import wal
from requorum.hosts.connection import Here
from requorum.inventory.values import ProcessDeployment
from requorum.rehearsal import cluster, wreck
from requorum.rehearsal.cluster import Member
from requorum.rehearsal.load import Load
from tests.rehearsal import killer

pytestmark = pytest.mark.timeout(1200)

WRITES = 300
SECONDS = 180.0
CHUNKS = 8
SAMPLED = 14
ENDS = ("finished", "rolling back", "rolled back")
KINDS = ("rebuild", "start as is")


@dataclass(frozen=True)
class Point:
    """A moment of a run: before or after its call number ``number``."""

    number: int
    when: str
    call: str


@dataclass(frozen=True)
class End:
    """Where a cluster stands: its revision, and the hash of its whole history."""

    revision: int
    hash: int


@dataclass
class Stage:
    """A wrecked cluster below ``base / "live"``, and saved states of it that can be put back there."""

    base: Path
    etcd_dir: Path
    members: list[Member]
    confirm: str
    after_wreck: dict[str, wreck.Fingerprint]
    configs: dict[str, bytes]

    @property
    def live(self) -> Path:
        """Where the cluster and the state folder of the runs lie."""
        return self.base / "live"

    def save(self, name: str) -> None:
        """Keep the present state of everything."""
        _copy(self.live, self.base / name)

    def put_back(self, name: str) -> None:
        """End what runs, and return to a saved state, under the same paths."""
        cluster.end_all_below(self.live)
        shutil.rmtree(self.live)
        _copy(self.base / name, self.live)

    def words(self, point: Point | None, how: str, words: Sequence[str]) -> list[str]:
        """What the killer is told."""
        number, when = (point.number, point.when) if point else (0, "before")
        return [str(self.base / "calls"), str(number), when, how, *words, "-o", "json"]

    @property
    def env(self) -> dict[str, str]:
        """The environment of requorum."""
        return {**os.environ, "REQUORUM_STATE_DIR": str(self.live / "state"), "NO_COLOR": "1"}

    def start(self, *words: str, point: Point) -> "subprocess.Popen[str]":
        """requorum, which halts itself at a call."""
        return subprocess.Popen(
            [sys.executable, killer.__file__, *self.words(point, "stop", words)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=self.env,
            cwd=self.base,
        )

    def requorum(self, *words: str, point: Point | None = None, code: int | None = 0) -> dict[str, Any]:
        """Run requorum to its end; returns its answer, an empty one when it was killed. With ``code`` None either will do:
        where steps run at the same time the calls are not always as many."""
        child = killer.start(self.words(point, "kill", words), self.base, self.env)
        try:
            child.join(SECONDS)
            ended = child.exitcode  # before it is killed from here: it must have ended itself
        finally:
            child.kill()
            child.join(10)
        out, err = ((self.base / name).read_text() for name in ("out", "err"))
        expected = (0, -signal.SIGKILL) if code is None else (code,)
        assert ended in expected, f"{words[0]} at {point} ended with {ended}, not {code}: {err}{out}"
        answer = json.loads(out) if ended == 0 else {}
        assert isinstance(answer, dict)
        return answer

    def wait(self, child: "subprocess.Popen[str]") -> tuple[int, str, str]:
        """Wait for a process's end, no longer than allowed."""
        try:
            out, err = child.communicate(timeout=SECONDS)
        finally:
            child.kill()
            child.wait(10)
        return child.returncode, out, err

    @property
    def word(self) -> tuple[str, str, str]:
        """What confirms without a question."""
        return "--yes", "--confirm", self.confirm

    @property
    def recover(self) -> tuple[str, ...]:
        """The words of ``recover``."""
        return "recover", "-i", str(self.live / "inventory.yaml"), *self.word

    def killed(self, point: Point, *words: str) -> None:
        """Run requorum up to its death."""
        self.requorum(*words, point=point, code=-signal.SIGKILL)

    def points(self) -> list[Point]:
        """Every moment of the run that ended last.

        A journal's line is written to two files, here and beside the member's data: one moment of the two is enough, the
        one at which the second file lacks the line.
        """
        lines = [line.split(" ", 1) for line in (self.base / "calls").read_text().splitlines()]
        calls = [call for call, _ in lines]
        journals = [path.endswith("journal.jsonl") and path.count("data.requorum") for _, path in lines]
        found = []
        for number, call in enumerate(calls, 1):
            second = number > 1 and journals[number - 1] == 1 and lines[number - 2][1].endswith("/journal.jsonl")
            if not second:
                found.append(Point(number, "before", call))
            followed = number < len(calls) and calls[number] == "fsync"
            if call != "fsync" and (call == "link" or not followed):
                found.append(Point(number, "after", call))
        return [*found, Point(len(calls), "after", calls[-1])]

    def runs(self) -> dict[str, str]:
        """The runs that were begun, and what the last line of their journals that tells has made of them."""
        found = {}
        for journal in self.live.glob("state/runs/*/journal.jsonl"):
            events = [json.loads(line)["event"] for line in journal.read_text().splitlines()]
            found[journal.parent.name] = next((one for one in reversed(events) if one in ENDS), "")
        return found

    def go_on(self) -> str:
        """What an operator does after the death of a run: resume it, or recover if none was begun. Returns the run."""
        runs = self.runs()
        if not runs:
            return str(self.requorum(*self.recover)["run"])
        ((run, state),) = runs.items()
        if state != "finished":
            self.requorum("resume", run, *self.word)
        return run

    def end(self) -> End:
        """Where the running cluster stands; the same on every member."""
        found = binaries.find([self.etcd_dir])
        ends = set()
        for one in self.members:
            flags = [f"--endpoints={one.client_url}"]
            body = client.ctl_json(found, flags, ["endpoint", "hashkv"], 10)[0]["HashKV"]
            ends.add(End(int(body["header"]["revision"]), int(body["hash"])))
        (end,) = ends
        return end

    def problems(self, run: str, kind: str, end: End) -> list[str]:
        """What is not as it must be once a run was carried to its end."""
        found = [] if self.end() == end else [f"it stands at {self.end()}, not at {end}"]
        for one in self.members:
            work = one.data_dir.with_name("data.requorum")
            kept = work / run / ("old" if kind == "rebuild" else "copy")
            if wreck.fingerprint(kept) != self.after_wreck[one.name]:
                found.append(f"what was set aside of {one.name} has changed")
            if (work / "lock.json").exists():
                found.append(f"{one.name} is still locked")
            if process.fenced_by(Here(), _deployment(one)):
                found.append(f"{one.name} is still fenced")
            if (work / run / "bench").exists():
                found.append("a workbench was left behind")
        return found

    def not_put_back(self) -> list[str]:
        """What is not as it was after the wreck."""
        found = []
        for one in self.members:
            if wreck.fingerprint(one.data_dir) != self.after_wreck[one.name]:
                found.append(f"the data of {one.name} is not what it was")
            if one.config.read_bytes() != self.configs[one.name]:
                found.append(f"the configuration of {one.name} is not what it was")
            if (one.data_dir.with_name("data.requorum") / "lock.json").exists():
                found.append(f"{one.name} is still locked")
            names = {path.name for path in one.folder.iterdir()}
            if names - {"etcd.yaml", "etcd.log", "data", "data.requorum"}:
                found.append(f"beside {one.name}'s data lies {sorted(names)}")
        return found


def _deployment(member: Member) -> ProcessDeployment:
    return ProcessDeployment(config=str(member.config), log=str(member.folder / "etcd.log"))


def _copy(source: Path, target: Path) -> None:
    """A copy that keeps the holes: a WAL segment is 64 MB, most of it zeroes."""
    subprocess.run(["cp", "-a", "--sparse=always", source, target], check=True, timeout=60)


def build(base: Path, etcd_dir: Path, count: int, kind: str) -> Stage:
    """A cluster that was killed under load, its logs spoiled unless it is to be started as it is."""
    members = cluster.lay_out(base / "live", count, etcd_dir, "killed")
    if count == 1:
        with members[0].config.open("a") as config:
            config.write("heartbeat-interval: 10\nelection-timeout: 50\n")  # it elects itself some hundred times here
    load = Load([one.client_url for one in members], writers=4, seed=1)
    try:
        running = cluster.start(members, etcd_dir)
        load.start()
        load.wait_for(WRITES, seconds=60)
        cluster.kill_at_once(running)
    finally:
        load.stop()
        cluster.end_all_below(base)
    for spare in base.glob("live/m*/data/member/wal/*.tmp"):
        spare.unlink()  # 64 MB of zeroes that etcd makes anew
    name = f"{wal.read_log(str(members[0].data_dir / 'member' / 'wal')).cluster_id:016x}"
    if kind == "rebuild":
        for one in members:
            assert wreck.flip_entry(one, wreck.look(one).consistent_index - 20, Random(1))
    stage = Stage(
        base=base,
        etcd_dir=etcd_dir,
        members=members,
        confirm=f"killed-{name[:8]}",
        after_wreck={one.name: wreck.fingerprint(one.data_dir) for one in members},
        configs={one.name: one.config.read_bytes() for one in members},
    )
    stage.save("wrecked")
    return stage


@dataclass(frozen=True)
class Counted:
    """A stage whose runs were counted once without a death: every moment of a run and of its rollback, and the end."""

    stage: Stage
    run: tuple[Point, ...]
    rollback: tuple[Point, ...]
    end: End


@pytest.fixture(scope="module")
def counted(etcd_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str, int], Counted]]:
    """``counted(kind, members)``, made once: "wrecked" and "recovered" are saved states of its stage."""
    made: dict[tuple[str, int], Counted] = {}

    def get(kind: str, members: int) -> Counted:
        if (kind, members) not in made:
            made[kind, members] = count(build(tmp_path_factory.mktemp("killed"), etcd_dir, members, kind), kind)
        return made[kind, members]

    yield get
    for one in made.values():
        cluster.end_all_below(one.stage.base)
        shutil.rmtree(one.stage.base)


def count(stage: Stage, kind: str) -> Counted:
    """Recover and roll back without a death."""
    answer = stage.requorum(*stage.recover)
    run, end = stage.points(), stage.end()
    assert answer["verdict"] == kind
    assert stage.problems(answer["run"], kind, end) == []
    cluster.end_all_below(stage.live)
    stage.save("recovered")
    roll_back(stage)
    rollback = stage.points()
    assert stage.not_put_back() == []
    return Counted(stage, tuple(run), tuple(rollback), end)


def roll_back(stage: Stage, point: Point | None = None) -> None:
    """Roll the only run back, to the end or to a death."""
    (run,) = (path.name for path in (stage.live / "state" / "runs").iterdir())
    stage.requorum("rollback", run, *stage.word, point=point, code=-signal.SIGKILL if point else 0)


def tell(record: Callable[[str, object], None], capsys: pytest.CaptureFixture[str], what: str, number: int) -> None:
    """A count, in the report and on the terminal."""
    record(what, number)
    with capsys.disabled():
        print(f"\n{what}: {number} moments", flush=True)


def all_well(found: dict[Point, list[str]]) -> None:
    """Fails with every moment after which something was not as it must be."""
    bad = {point: problems for point, problems in found.items() if problems}
    assert not bad, "\n".join(f"{point}: {'; '.join(problems)}" for point, problems in bad.items())


def attempt(work: Callable[[], list[str]]) -> list[str]:
    """The problems that some work shows; a command that ends wrongly is one."""
    try:
        return work()
    except AssertionError as err:
        return [str(err)]


@pytest.mark.slow
@pytest.mark.rotates(of=4)
@pytest.mark.parametrize("chunk", range(CHUNKS))
@pytest.mark.parametrize("kind", KINDS)
def test_killed_anywhere_then_resumed(
    kind: str,
    chunk: int,
    counted: Callable[[str, int], Counted],
    record_property: Callable[[str, object], None],
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Wherever a run is killed: resumed, it ends with 0 at the same revision and hash, and nothing set aside changes."""
    this = counted(kind, 1)
    tell(record_property, capsys, f"run, {kind}, {chunk + 1}/{CHUNKS}", len(this.run))
    assert len(this.run) > 50

    def one(point: Point) -> list[str]:
        this.stage.put_back("wrecked")
        this.stage.killed(point, *this.stage.recover)
        return this.stage.problems(this.stage.go_on(), kind, this.end)

    all_well({point: attempt(lambda point=point: one(point)) for point in this.run[chunk::CHUNKS]})  # type: ignore[misc]


@pytest.mark.slow
@pytest.mark.rotates(of=4)
@pytest.mark.parametrize("chunk", range(CHUNKS))
@pytest.mark.parametrize("kind", KINDS)
def test_rollback_killed_anywhere_then_rolled_back(
    kind: str,
    chunk: int,
    counted: Callable[[str, int], Counted],
    record_property: Callable[[str, object], None],
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Wherever a rollback is killed: rolled back again, data and configuration are, to the byte, as after the wreck."""
    this = counted(kind, 1)
    tell(record_property, capsys, f"rollback, {kind}, {chunk + 1}/{CHUNKS}", len(this.rollback))
    assert len(this.rollback) > 15

    def one(point: Point) -> list[str]:
        this.stage.put_back("recovered")
        running = cluster.start(this.stage.members, this.stage.etcd_dir) if point.number % 2 else []
        try:
            roll_back(this.stage, point)
        finally:
            cluster.kill_at_once(running)
        if set(this.stage.runs().values()) != {"rolled back"}:
            roll_back(this.stage)
        return this.stage.not_put_back()

    all_well({point: attempt(lambda point=point: one(point)) for point in this.rollback[chunk::CHUNKS]})  # type: ignore[misc]


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_killed_anywhere_then_rolled_back(kind: str, counted: Callable[[str, int], Counted]) -> None:
    """A run that was killed midway can be rolled back instead: everything is as after the wreck (sampled)."""
    this = counted(kind, 1)
    first = next(at for at, point in enumerate(this.run) if point.call == "link")

    def one(point: Point) -> list[str]:
        this.stage.put_back("wrecked")
        this.stage.killed(point, *this.stage.recover)
        if set(this.stage.runs().values()) - {"finished"}:
            roll_back(this.stage)
        return this.stage.not_put_back()

    step = max(len(this.run) // SAMPLED, 1)
    all_well({point: attempt(lambda point=point: one(point)) for point in this.run[first:-6:step]})  # type: ignore[misc]


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_resume_killed_too(kind: str, counted: Callable[[str, int], Counted]) -> None:
    """A run whose ``resume`` was killed as well is resumed once more, to the same end."""
    this = counted(kind, 1)
    stage = this.stage

    def one(point: Point) -> list[str]:
        stage.put_back("wrecked")
        stage.killed(this.run[len(this.run) // 3], *stage.recover)
        (run,) = stage.runs()
        stage.killed(point, "resume", run, *stage.word)
        return stage.problems(stage.go_on(), kind, this.end)

    all_well({point: attempt(lambda point=point: one(point)) for point in this.run[5 : len(this.run) // 2 : 9]})  # type: ignore[misc]


@pytest.mark.slow
def test_three_members_killed_then_resumed(counted: Callable[[str, int], Counted]) -> None:
    """The same with three members, whose steps run at the same time (sampled over the whole run)."""
    this = counted("rebuild", 3)
    stage = this.stage

    def one(point: Point) -> list[str]:
        stage.put_back("wrecked")
        stage.requorum(*stage.recover, point=point, code=None)
        return stage.problems(stage.go_on(), "rebuild", this.end)

    step = max(len(this.run) // SAMPLED, 1)
    all_well({point: attempt(lambda point=point: one(point)) for point in this.run[step // 2 :: step]})  # type: ignore[misc]


def wait_halted(child: "subprocess.Popen[str]") -> None:
    """Wait until a process has halted itself."""
    deadline = time.monotonic() + SECONDS
    while Path(f"/proc/{child.pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "T":
        assert child.poll() is None, "it ended before it came to the call"
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.slow
@pytest.mark.parametrize("part", ["locking", "fencing", "restoring", "starting"])
def test_a_live_run_is_not_resumed_by_another_process(part: str, counted: Callable[[str, int], Counted]) -> None:
    """While the process of a run lives, ``resume`` and ``rollback`` by another end with 8 and change nothing; it goes on."""
    this = counted("rebuild", 1)
    stage = this.stage
    stage.put_back("wrecked")
    locked = next(point for point in this.run if (point.call, point.when) == ("link", "after"))
    at = {"locking": 0.0, "fencing": 0.1, "restoring": 0.5, "starting": 0.85}[part]
    point = this.run[max(int(len(this.run) * at), this.run.index(locked))]
    child = stage.start(*stage.recover, point=point)
    try:
        wait_halted(child)
        (run,) = stage.runs()
        before = {one.name: wreck.fingerprint(one.data_dir.with_name("data.requorum")) for one in stage.members}
        stage.requorum("resume", run, *stage.word, code=8)
        stage.requorum("rollback", run, *stage.word, code=8)
        after = {one.name: wreck.fingerprint(one.data_dir.with_name("data.requorum")) for one in stage.members}
        assert after == before
    finally:
        child.send_signal(signal.SIGCONT)
        ended, _, err = stage.wait(child)
    assert ended == 0, err
    assert stage.problems(run, "rebuild", this.end) == []
    assert set(stage.runs().values()) == {"finished"}


@pytest.mark.slow
def test_a_second_run_beside_a_live_one(counted: Callable[[str, int], Counted]) -> None:
    """While a run lives, ``recover`` by another process ends with 8, and leaves nothing of itself behind."""
    this = counted("rebuild", 1)
    stage = this.stage
    stage.put_back("wrecked")
    child = stage.start(*stage.recover, point=this.run[len(this.run) // 2])
    try:
        wait_halted(child)
        before = {one.name: wreck.fingerprint(one.folder) for one in stage.members}
        stage.requorum(*stage.recover, code=8)
        after = {one.name: wreck.fingerprint(one.folder) for one in stage.members}
        assert {name: set(one) for name, one in after.items()} == {name: set(one) for name, one in before.items()}
        assert after == before
    finally:
        child.send_signal(signal.SIGCONT)
        ended, _, err = stage.wait(child)
    assert ended == 0, err
