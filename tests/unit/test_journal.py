"""The journal: what it says is on disk before anything goes on, and a half-written line never harms it."""

import dataclasses
import json
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import msgspec
import pytest

from requorum.errors import RequorumError, StoppedMidway, UsageError
from requorum.etcd.binaries import Binaries
from requorum.hosts import files
from requorum.hosts.address import HERE
from requorum.hosts.connection import Connections
from requorum.procedures import inforce
from requorum.procedures.make import make_plan
from requorum.procedures.values import Plan, Step
from requorum.run import execute, journal, lock, runbook
from requorum.run.context import Context
from requorum.run.journal import BEGIN, DONE, FAILED, FINISHED, ROLLED_BACK, ROLLING_BACK, UNDONE, Journal
from requorum.run.steps import build_source
from requorum.run.steps.build_source import BuiltSource
from requorum.verdict.decide import decide
from requorum.verdict.values import Loss

from .evidence import db, log, member, peers, place, survey, voters

pytestmark = pytest.mark.timeout(60)
NO_TOOLS = Binaries(etcd="/none", etcdctl="/none", etcdutl="/none", version="3.5.30")


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A state folder for each test."""
    monkeypatch.setenv("REQUORUM_STATE_DIR", str(tmp_path / "state"))
    return tmp_path / "state"


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    """A plan for one member below this test's folder."""
    lies = dataclasses.replace(
        place(1), data_dir=str(tmp_path / "data"), work=str(tmp_path / "work"), wal_work=str(tmp_path / "work")
    )
    one = member(1, db(90, of=peers(1)), log(1, 100, hole=50, sets=voters((0, (1,)))), of=(1,))
    those = survey(dataclasses.replace(one, place=lies))
    return make_plan(those, decide(those), run="r1", tools="/none")


def step_of(plan: Plan, kind: str) -> Step:
    """The step of a kind."""
    return next(step for phase in plan.phases for step in phase.steps if step.kind == kind)


def lines(path: Path) -> list[dict[str, Any]]:
    """The lines of a journal."""
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_created_and_loaded(plan: Plan) -> None:
    """A new run's journal is empty, and holds the plan to the letter."""
    made = journal.create(plan)
    again = journal.load("r1")
    assert again.plan == plan
    assert (again.done, again.begun, again.undone, again.state) == ({}, set(), set(), "")
    assert made.path.read_bytes() == b""
    known, faults = journal.all_runs()
    assert ([one.plan.run for one in known], faults) == (["r1"], [])


def test_what_was_written_is_read(plan: Plan) -> None:
    """Every event is there again after a restart, with its result."""
    made = journal.create(plan)
    step = step_of(plan, "build source")
    made.write(BEGIN, step.id, "m1")
    assert step.id in journal.load("r1").begun
    assert journal.load("r1").done == {}
    made.write(DONE, step.id, "m1", result={"sha256": "é\n"})
    made.write(FAILED, "x", "m1", why="no")
    made.write(UNDONE, "y", "m1")
    again = journal.load("r1")
    assert again.done[step.id] == {"sha256": "é\n"}
    assert build_source.STEP.of(again, "m1") == BuiltSource(sha256="é\n")
    assert build_source.STEP.of(again, "m2") is None
    assert again.undone == {"y"}
    assert again.last_sign == made.last_sign
    for state in (FINISHED, ROLLING_BACK, ROLLED_BACK):
        made.write(state)
        assert journal.load("r1").state == state


def test_what_another_machine_rolled_back_is_not_finished(plan: Plan) -> None:
    """This machine's own journal ends with the finish; what the members know goes further, and counts."""
    made = journal.create(plan)
    made.write(FINISHED)
    beside = Path(plan.members[0].place.work) / "r1" / "journal.jsonl"
    beside.parent.mkdir(parents=True)
    for event in (ROLLING_BACK, ROLLED_BACK):
        line = {"at": "2026-01-01T00:00:00+00:00", "event": event, "step": "", "member": ""}
        files.append_durably(beside, json.dumps(line).encode() + b"\n")
    assert journal.load("r1").state == ROLLED_BACK


@pytest.mark.parametrize("left", [1, 10, 40])
def test_torn_last_line(plan: Plan, left: int) -> None:
    """A last line that was half written is dropped, and cut off by the next one; all others are whole."""
    made = journal.create(plan)
    made.write(BEGIN, "a")
    whole = made.path.read_bytes()
    made.write(BEGIN, "b")
    made.path.write_bytes(made.path.read_bytes()[: len(whole) + left])
    again = journal.load("r1")
    assert again.begun == {"a"}
    again.write(BEGIN, "c")
    assert journal.load("r1").begun == {"a", "c"}


def test_listing_runs_does_not_touch_a_line_in_the_making(plan: Plan) -> None:
    """Who only lists the runs does not cut off a line that the run's own process is writing now."""
    made = journal.create(plan)
    made.write(BEGIN, "a")
    with made.path.open("ab") as file:
        file.write(b'{"at": "", "event": "begin", "step": "b"')
        file.flush()
        journal.all_runs()
        file.write(b"}\n")
    assert journal.load("r1").begun == {"a", "b"}


@pytest.mark.parametrize("torn", [b"{", b"\0" * 30])
def test_torn_beside_the_member(plan: Plan, torn: bytes) -> None:
    """The member's own part gets whole lines again after a half one."""
    made = journal.create(plan)
    work = Path(plan.members[0].place.work) / "r1"
    work.mkdir(parents=True)
    made.write(BEGIN, "a", "m1")
    beside = work / "journal.jsonl"
    assert lines(beside) == lines(made.path)
    with beside.open("ab") as file:
        file.write(torn)
    journal.load("r1").write(BEGIN, "b", "m1")
    assert [one["step"] for one in map(json.loads, beside.read_text().splitlines()[-1:])] == ["b"]


@pytest.mark.parametrize("bad", [b"nonsense\n", b"[]\n", b"3\n", b'{"event": "done"}\n', b"\xff\n"])
def test_bad_line(plan: Plan, bad: bytes) -> None:
    """A whole line that is no event is never passed over in silence, nor a crash."""
    made = journal.create(plan)
    made.write(BEGIN, "a")
    with made.path.open("ab") as file:
        file.write(bad)
    try:
        again = journal.load("r1")
    except UsageError as err:
        assert "line 2" in str(err)  # noqa: PT017 - either end is right
    else:
        assert again.begun == {"a"}


@pytest.mark.parametrize("name", ["none", "", "..", "../r1", "r1/../r1", "/"])
def test_no_such_run(plan: Plan, name: str) -> None:
    """A run that is not there, or a name that is none, is wrong usage."""
    journal.create(plan)
    with pytest.raises(UsageError):
        journal.load(name)


def test_unreadable_plan(plan: Plan) -> None:
    """A run whose plan cannot be read is told, and does not hide the others."""
    made = journal.create(plan)
    shutil.copytree(made.folder, made.folder.with_name("r2"))
    (made.folder / "plan.json").write_text("{}")
    with pytest.raises(UsageError, match="cannot be read"):
        journal.load("r1")
    known, faults = journal.all_runs()
    assert known == []
    assert len(faults) == 2


class Watch:
    """Told how a run goes on; looks at the disk at each step."""

    def __init__(self, look: Callable[[Step, str], None]) -> None:
        self.look = look

    def phase(self, number: int, of: int, title: str) -> None:
        """Not looked at."""

    def step(self, step: Step, state: str, detail: str) -> None:
        """Look."""
        self.look(step, state)


def go(made: Journal, watch: Watch) -> None:
    """Carry a run's plan out as far as it goes."""
    with Connections({"host1": HERE}) as connections:
        context = Context(journal=made, connections=connections, programs=NO_TOOLS, ask=lambda _: True)
        anyio.run(partial(execute.execute, context, watch))


def only(plan: Plan, *kinds: str) -> Plan:
    """A plan cut down to some phases."""
    return dataclasses.replace(plan, phases=tuple(one for one in plan.phases if one.steps[0].kind in kinds))


def looked_again(made: Journal, result: object) -> Journal:
    """The journal, after its last look came to something, read again from the disk."""
    step = step_of(made.agreed, "look again")
    made.write(BEGIN, step.id)
    made.write(DONE, step.id, result=result)
    return journal.load("r1")


def test_the_last_look_is_in_force(plan: Plan) -> None:
    """What the last look decided is the plan from then on, also for whoever takes the run up later; what was agreed to is
    not forgotten."""
    assert plan.source is not None
    less = Loss(at_most=7, exact=False, why=("three entries cannot be read",), unproven="1 of 3 logs")
    now = dataclasses.replace(
        plan,
        source=dataclasses.replace(plan.source, loss=less),
        bump=1_000_000,
        loss_at_most=7,
        unproven="1 of 3 logs",
        warnings=("that nothing else was lost is not proven: 1 of 3 logs",),
        least_revision=5,
    )
    made = journal.create(plan)
    decided = inforce.decision(plan, now, ("more may be lost",), ("m1",))
    again = looked_again(made, {"decision": msgspec.to_builtins(decided), "source": None, "least_revision": 5})
    assert again.plan == made.plan
    assert (again.plan.bump, again.plan.loss_at_most, again.plan.least_revision) == (1_000_000, 7, 5)
    assert (again.plan.unproven, again.plan.warnings) == (now.unproven, now.warnings)
    assert again.plan.source == now.source
    assert again.agreed == plan
    assert again.decision == decided
    assert "--bump-revision 1000000" in runbook.as_text(again.plan)


def test_a_last_look_of_a_version_before(plan: Plan) -> None:
    """It wrote down the source and the revision alone: the rest stays as it was planned, and the run can be resumed."""
    assert plan.source is not None
    grown = dataclasses.replace(plan.source, to_index=101, revision=101)
    seen = {"verdict": "rebuild", "summary": "", "source": msgspec.to_builtins(grown), "least_revision": 101}
    again = looked_again(journal.create(plan), seen)
    assert again.plan == dataclasses.replace(plan, source=grown, least_revision=101)
    assert again.decision is None


def test_a_last_look_that_makes_no_sense(plan: Plan) -> None:
    """A line that was changed is told as one, not taken for a decision."""
    made = journal.create(plan)
    with pytest.raises(UsageError, match="look-again cannot be read"):
        looked_again(made, {"decision": {"kind": "burn it"}})


def test_begin_before_done(plan: Plan) -> None:
    """Each step is in the journal on disk before it is reported, and before the next one begins."""
    made = journal.create(only(plan, "lock", "unlock"))
    seen: list[tuple[str, str]] = []

    def look(step: Step, state: str) -> None:
        events = [(one["event"], one["step"]) for one in lines(made.path)]
        if state == "done":
            assert events[-2:] == [(BEGIN, step.id), (DONE, step.id)]
        seen.append((step.kind, state))

    go(made, Watch(look))
    assert seen == [("lock", "begins"), ("lock", "done"), ("unlock", "begins"), ("unlock", "done")]
    assert lines(made.path)[-1]["event"] == FINISHED
    assert not lock.path_of(plan.members[0]).exists()


def test_no_action_without_its_line(plan: Plan) -> None:
    """Where the journal cannot be written nothing is done, and the run stops in an orderly way."""
    made = journal.create(only(plan, "lock", "unlock"))
    made.path.unlink()
    made.path.mkdir()
    with pytest.raises(RequorumError):
        go(made, Watch(lambda step, state: None))
    assert not lock.path_of(plan.members[0]).exists()


def test_a_failed_step_stops_at_its_barrier(plan: Plan) -> None:
    """A step that fails is in the journal with its reason; no later phase begins, and the rest is printed by hand."""
    made = journal.create(only(plan, "lock", "fence", "set aside", "unlock"))
    with pytest.raises(StoppedMidway) as caught:
        go(made, Watch(lambda step, state: None))
    assert [one["event"] for one in lines(made.path)] == [BEGIN, DONE, BEGIN, FAILED]
    assert lines(made.path)[-1]["why"]
    assert "What is left, by hand" in caught.value.changed
    assert "requorum resume r1" in caught.value.hint
    assert "no member's data was changed" in caught.value.changed


def test_done_steps_are_not_done_again(plan: Plan) -> None:
    """A resumed run passes over what is done, but takes its lock again and gives it back in the end."""
    made = journal.create(only(plan, "lock", "unlock"))
    for kind in ("lock", "unlock"):
        made.write(BEGIN, step_of(made.plan, kind).id)
        made.write(DONE, step_of(made.plan, kind).id)
    go(journal.load("r1"), Watch(lambda step, state: None))
    assert journal.load("r1").state == FINISHED
    assert not lock.path_of(plan.members[0]).exists()
