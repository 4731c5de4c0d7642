"""A deployment owns itself: each kind answers the same questions, and nobody else asks which kind a member is of."""

import ast
import inspect
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar, get_args

import pytest

import requorum
from requorum.deployments import kinds
from requorum.deployments.config import Deployment
from requorum.hosts.connection import Here
from requorum.inventory.values import ProcessDeployment, StaticPodDeployment, SystemdDeployment
from requorum.procedures.values import target_of
from requorum.run import kinds as step_kinds
from requorum.run import runbook

from .test_plan import rebuild

SOURCE = Path(requorum.__file__).parent
NAMES = {one.__name__ for one in (ProcessDeployment, SystemdDeployment, StaticPodDeployment)}
OWN = {"deployments", "inventory"}
"""The rooms that know the kinds: where they are named, and where they are."""


def _public(protocol: type) -> set[str]:
    return {name for name in dir(protocol) if not name.startswith("_")} | set(protocol.__annotations__)


@pytest.mark.parametrize("kind", kinds.KINDS)
def test_each_kind_answers_everything(kind: str) -> None:
    """With as many arguments as the others."""
    one = kinds.KINDS[kind]
    for protocol, module in ((kinds.Acts, one.acts), (kinds.ByHand, one.by_hand)):
        for name in _public(protocol):
            its, asked = getattr(module, name), getattr(protocol, name, None)
            if inspect.isfunction(asked):
                wanted = len(inspect.signature(asked).parameters) - 1
                assert len(inspect.signature(its).parameters) == wanted, (kind, name)


def test_each_value_answers_everything() -> None:
    """The same names on all of them."""
    values: list[Any] = [ProcessDeployment(config="/c", log="/l"), SystemdDeployment(), StaticPodDeployment()]
    assert {type(one) for one in values} == set(get_args(Deployment))
    for name in (
        "supervised",
        "wanted",
        "user",
        "units",
        "programs_in",
        "image",
        "sealed_by",
        "version",
        "takes_variables",
    ):
        for one in values:
            assert isinstance(getattr(one, name), str | bool | tuple), name
    for one in values:
        assert isinstance(one.files, tuple)
        assert isinstance(one.written_to, tuple)
        assert isinstance(one.upgrade("3.5.30", "node1"), str)
        assert one.as_named().get("deployment", one.kind) == one.kind


def test_nobody_else_asks_which_kind_a_member_is_of() -> None:
    """Neither by its name nor by its type."""
    asking = []
    for path in SOURCE.rglob("*.py"):
        room = path.relative_to(SOURCE).parts[0]
        if room in OWN:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Compare):
                words = {one.value for one in ast.walk(node) if isinstance(one, ast.Constant)}
                by_name = any(isinstance(one, ast.Attribute) and one.attr == "kind" for one in ast.walk(node))
                asking += [f"{path}:{node.lineno}"] if by_name and words & set(kinds.KINDS) else []
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "isinstance":
                by_type = {one.id for one in ast.walk(node) if isinstance(one, ast.Name)} & NAMES
                asking += [f"{path}:{node.lineno}"] if by_type else []
    assert not asking


@dataclass(frozen=True, slots=True, kw_only=True)
class ToyDeployment:
    """etcd in a box that a person winds up."""

    box: str
    kind: str = "toy"
    supervised: ClassVar[bool] = True
    takes_variables: ClassVar[bool] = False


def test_a_toy_kind_is_planned_and_written_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """With nothing but its value and its words; its acts are what the steps call."""
    words: Any = SimpleNamespace(
        fence_at=lambda one: f"{one.box}'s lid",
        fence=lambda one, run: (f"shut {one.box} for {run}",),
        lift=lambda one, *_: (f"open {one.box}",),
        start=lambda one: (f"wind {one.box} up",),
        bring=lambda one, folder, version: (f"put {version} into {one.box}",),
    )
    acts: Any = SimpleNamespace(fenced_by=lambda _host, one: f"the run that shut {one.box}")
    monkeypatch.setitem(kinds.KINDS, "toy", kinds.Kind(acts, words))
    plan = rebuild()
    toy: Any = ToyDeployment(box="box1")
    members = tuple(replace(one, deployment=toy) if one.name == "m1" else one for one in plan.members)
    text = runbook.as_text(replace(plan, members=members))
    for line in ("shut box1 for r1", "open box1", "wind box1 up"):
        assert line in text
    (step,) = (one for phase in plan.phases for one in phase.steps if one.kind == "fence" and one.member == "m1")
    assert step_kinds.of(step).by_hand(plan, target_of(replace(plan, members=members), step)) == ("shut box1 for r1",)
    assert kinds.of(toy).fenced_by(Here("node1"), toy) == "the run that shut box1"
