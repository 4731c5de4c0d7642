"""Every kind of step is whole: one value that is planned, written out by hand, carried out, journaled and taken back."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import get_args

import anyio
import msgspec
import pytest

from requorum.errors import UsageError
from requorum.hosts.connection import Connections
from requorum.procedures import make
from requorum.procedures import replace as replacing
from requorum.procedures.values import Phase, Plan, Step, StepKind
from requorum.run import execute, journal, kinds, rollback, runbook
from requorum.run.context import Context
from requorum.run.steps import copy_aside
from requorum.run.steptype import StepType, nothing_to_undo

from . import test_plan

KINDS = set(get_args(StepKind))
OUTLINES = {"start as is": make.START, "rebuild": make.REBUILD, "replace member": replacing.REPLACE}


def test_each_kind_is_one_value_in_a_file_of_its_own() -> None:
    """Exhaustive: no kind without one, and no file of a step that is left out."""
    assert set(kinds.TYPES) == KINDS
    folder = Path(kinds.__file__).parent / "steps"
    files = {path.stem for path in folder.glob("*.py")} - {"__init__"}
    assert len(files) == len(KINDS)
    for kind, one in kinds.TYPES.items():
        assert one.kind == kind
        assert one.does
        assert not one.does.endswith(".")
        assert one.do.__module__ == one.by_hand.__module__
        assert (one.undo is nothing_to_undo) == (not one.undoing), kind
        assert set(msgspec.to_builtins(msgspec.json.schema(one.result))), "what it comes to can be written down"


def test_each_kind_has_a_place_in_some_procedure() -> None:
    """In no procedure twice under one title."""
    assert {kind for outline in OUTLINES.values() for _, kind, _ in outline} == KINDS
    for outline in OUTLINES.values():
        titles = [title for title, _, _ in outline]
        assert len(set(titles)) == len(titles)


@pytest.mark.parametrize("name", OUTLINES)
def test_what_moves_data_is_taken_back(name: str) -> None:
    """In each procedure, and the fence, too; a start is taken back with its configuration."""
    for _, kind, _ in OUTLINES[name]:
        if kinds.TYPES[kind].moves_data and kind != "start":
            assert kinds.TYPES[kind].undo is not nothing_to_undo, kind
    assert kinds.TYPES["fence"].undo is not nothing_to_undo


def plans() -> list[Plan]:
    """A plan of each procedure."""
    return [test_plan.rebuild(), test_plan.start_as_is(), test_plan.rebuild(wal_apart=True)]


@pytest.mark.parametrize("plan", plans())
def test_each_step_of_a_plan_is_written_out(plan: Plan) -> None:
    """By the kind's own words; in a plan that is shown they stand beside the step."""
    for phase in runbook.written_out(plan).phases:
        for step in phase.steps:
            assert step.commands, step.id


def test_a_kind_that_nobody_knows() -> None:
    """It has no words, and nothing is done for it."""
    with pytest.raises(KeyError):
        kinds.of(Step(id="1", kind="unheard of", member=""))  # type: ignore[arg-type]


# -- a toy step, through plan, runbook, execution, journal and rollback ----------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Rung:
    """How often the bell was rung."""

    times: int


def toy(bell: Path) -> StepType[None, Rung]:
    """Rings a bell: a line in a file. In the place of a kind that is there."""

    def do(_: Context, __: None) -> Rung:
        with bell.open("a") as file:
            file.write("ding\n")
        return Rung(times=len(bell.read_text().splitlines()))

    def undo(_: Context, __: None) -> None:
        bell.unlink(missing_ok=True)

    return StepType(
        kind="ship",
        does="rings a bell",
        by_hand=lambda _, __: (f"echo ding >> {bell}",),
        do=do,
        result=Rung,
        undo=undo,
        undoing="silence the bell",
    )


class Told:
    """Who is told of a run."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def phase(self, _: int, __: int, title: str) -> None:
        """A phase begins."""
        self.said.append(title)

    def step(self, step: Step, state: str, _: str) -> None:
        """A step began, is done, or failed."""
        self.said.append(f"{step.id} {state}")


@pytest.fixture
def bell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where it hangs; the toy is known while the test lasts."""
    monkeypatch.setenv("REQUORUM_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setitem(kinds.TYPES, "ship", toy(tmp_path / "bell"))
    return tmp_path / "bell"


def run_of(plan: Plan) -> Context:
    """A run of a plan, on no host."""
    made = journal.create(plan)
    return Context(journal=made, connections=Connections({}), ask=lambda _: True)


def test_a_toy_step_from_the_plan_to_the_rollback(bell: Path) -> None:
    """With nothing but its one value: planned, written out, carried out once, journaled with its result, and taken back."""
    steps = tuple(Step(id=f"0{number}-ship", kind="ship", member="") for number in (1, 2))
    phases = tuple(Phase(title=f"ring {step.id}", steps=(step,)) for step in steps)
    plan = replace(test_plan.rebuild(), members=(), phases=phases)
    assert f"echo ding >> {bell}" in runbook.as_text(plan)
    context, told = run_of(plan), Told()
    anyio.run(execute.execute, context, told)
    assert bell.read_text() == "ding\nding\n"
    again = journal.load("r1")
    assert again.state == journal.FINISHED
    assert kinds.TYPES["ship"].of(again) == Rung(times=1), "the first of the kind"
    anyio.run(execute.execute, replace(context, journal=again), told)
    assert bell.read_text() == "ding\nding\n", "what is done is not done again"
    anyio.run(rollback.roll_back, replace(context, journal=again), told)
    assert not bell.exists()
    assert told.said[-6:] == [
        "silence the bell",
        "02-ship begins",
        "02-ship undone",
        "silence the bell",
        "01-ship begins",
        "01-ship undone",
    ]
    assert journal.load("r1").undone == {"01-ship", "02-ship"}


def test_a_result_that_cannot_be_read(bell: Path) -> None:
    """A journal that somebody has edited: a clear error, not a traceback."""
    step = Step(id="01-ship", kind="ship", member="")
    plan = replace(test_plan.rebuild(), members=(), phases=(Phase(title="ring", steps=(step,)),))
    context = run_of(plan)
    context.journal.write(journal.DONE, step.id, result={"times": "many"})
    with pytest.raises(UsageError, match="what the journal says of 01-ship cannot be read"):
        kinds.TYPES["ship"].of(journal.load("r1"))
    assert bell.parent.is_dir()


# -- runs that a version before has begun -----------------------------------------------------------------------------------


BEFORE = {
    "rebuild": (
        test_plan.rebuild(),
        [
            ("stop what writes to etcd", "stop services"),
            ("fence again, and stop what was started", "configure"),
            ("set the restored data aside", "move in"),
            ("put the old data back", "set aside"),
            ("put the configuration back", "fence"),
            ("bring the rest back", "stop services"),
        ],
    ),
    "start as is": (
        test_plan.start_as_is(),
        [
            ("fence again, and stop what was started", "configure"),
            ("put the copies back", "configure"),
            ("put the configuration back", "fence"),
        ],
    ),
}


@pytest.mark.parametrize("name", BEFORE)
def test_a_rollback_that_a_version_before_has_begun(name: str, bell: Path) -> None:
    """It wrote down a title and the step that it went by; what it has undone is not undone again, in the same order."""
    plan, order = BEFORE[name]
    plan = replace(plan, phases=tuple(one for one in plan.phases if one.steps[0].kind != "ship"))
    made = journal.create(plan)
    for phase in plan.phases:
        for step in phase.steps:
            made._take({"event": journal.BEGIN, "step": step.id})
    rest = [kind.undoing for kind, _ in rollback._left(plan, made)]
    for title, kind in order:
        steps = [step for phase in plan.phases for step in phase.steps if step.kind == kind]
        if not steps:
            continue
        for step in steps:
            made._take({"event": journal.UNDONE, "step": f"{title}: {step.id}"})
        rest = [one for one in rest if one != title]
        assert [one.undoing for one, _ in rollback._left(plan, made)] == rest, title
    assert rest == []
    assert bell.parent.is_dir()


def test_a_copy_is_not_put_back_where_no_etcd_was_let_write(bell: Path) -> None:
    """It may be half made; the data is as it was."""
    plan = test_plan.start_as_is()
    context = run_of(replace(plan, members=()))
    copy_aside.undo(context, plan.member("m1"))
    assert bell.parent.is_dir()
