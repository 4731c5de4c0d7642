"""What the last look promises less than the plan that was agreed to, field by field; and the plan that is in force then."""

from collections.abc import Callable
from dataclasses import fields, replace

import msgspec
import pytest

from requorum.procedures import inforce
from requorum.procedures.make import make_plan
from requorum.procedures.values import Plan, Step
from requorum.procedures.weaker import weaker
from requorum.run import runbook
from requorum.survey.evidence import Survey
from requorum.verdict.decide import decide
from requorum.verdict.values import Loss, Source

from .evidence import db, log, member, sound, survey

NONE_LOST = Loss(at_most=0, exact=True, why=(), unproven="")


def plan_of(those: Survey, **more: str) -> Plan:
    """The plan for a survey."""
    return make_plan(those, decide(those), run="r1", tools="/opt/etcd", **more)  # type: ignore[arg-type]


def broken(*, last: int = 100) -> Survey:
    """Three members with a damaged entry each: rebuilt, nothing lost, proven."""
    return survey(*(member(n, db(90), log(n, last, hole=50)) for n in (1, 2, 3)))


def unproven() -> Survey:
    """The same, and the ends of two logs are gone."""
    ends = (member(2, db(90), log(2, 95, hole=50, end="cut")), member(3, db(90), log(3, 95, hole=50, end="cut")))
    return survey(member(1, db(90), log(1, 100, hole=50)), *ends)


REBUILD = plan_of(broken())
START = plan_of(survey(sound(1), sound(2), sound(3)))


def source_of(plan: Plan) -> Source:
    """The source of a rebuild."""
    assert plan.source is not None
    return plan.source


def with_source(plan: Plan, **changes: object) -> Plan:
    """The plan with another source."""
    return replace(plan, source=replace(source_of(plan), **changes))  # type: ignore[arg-type]


def left_behind(plan: Plan) -> Plan:
    """The plan without its last member."""
    *others, last = plan.members
    return replace(plan, members=(*others, replace(last, role="leave fenced", why="its db is damaged")))


LESS: dict[str, tuple[Plan, Callable[[Plan], Plan], str]] = {
    "kind": (START, lambda _: REBUILD, "'start as is'"),
    "source": (REBUILD, lambda one: with_source(one, id="m2: bare db"), "m2: bare db"),
    "file": (REBUILD, lambda one: with_source(one, db="/other/db"), "another file"),
    "entry": (REBUILD, lambda one: with_source(one, to_index=99), "goes to entry 99 only"),
    "revision": (REBUILD, lambda one: with_source(one, revision=99), "comes to revision 99 only"),
    "exact": (REBUILD, lambda one: with_source(one, revision_exact=False), "not known exactly"),
    "loss": (
        REBUILD,
        lambda one: replace(with_source(one, loss=replace(NONE_LOST, at_most=3)), loss_at_most=3),
        "3 writes lost",
    ),
    "unknown loss": (
        REBUILD,
        lambda one: replace(with_source(one, loss=replace(NONE_LOST, at_most=-1)), loss_at_most=-1),
        "cannot be known",
    ),
    "proof": (REBUILD, lambda one: replace(one, unproven="1 of 3 logs were read"), "the proof that nothing else"),
    "bump": (REBUILD, lambda one: replace(one, bump=1_000_000), "raised by 1000000"),
    "members": (START, left_behind, "m3 would stay fenced now: its db is damaged"),
    "fewer members": (START, lambda one: replace(one, members=one.members[:2]), "m3 would be no member"),
    "warnings": (START, lambda one: replace(one, warnings=("etcdutl 3.5.1 cannot raise it",)), "cannot raise"),
    "dangers": (START, lambda one: replace(one, dangers=("m1: its disk gives errors",)), "its disk gives errors"),
}


@pytest.mark.parametrize("name", LESS)
def test_each_field(name: str) -> None:
    """Each thing that is less is told by itself, and alone; as good as agreed is no complaint."""
    agreed, change, said = LESS[name]
    assert weaker(agreed, agreed) == ()
    found = weaker(agreed, change(agreed))
    assert any(said in one for one in found), found
    if name != "kind":
        assert len(found) == 1, found


@pytest.mark.parametrize("name", [one for one in LESS if one not in ("kind", "source", "file", "fewer members")])
def test_more_is_not_less(name: str) -> None:
    """The way back is never told: what is better than agreed is taken."""
    agreed, change, _ = LESS[name]
    assert weaker(change(agreed), agreed) == ()


def test_a_source_that_loses_less() -> None:
    """Another source is no complaint where it loses fewer writes; where it loses as many it is another source."""
    some = replace(with_source(REBUILD, loss=replace(NONE_LOST, at_most=3)), loss_at_most=3)
    other = with_source(REBUILD, id="m2: bare db")
    assert weaker(some, other) == ()
    assert weaker(replace(some, loss_at_most=-1), other) == ()
    assert any("m2: bare db" in one for one in weaker(REBUILD, other))


def test_what_was_a_bound_may_come_to_less() -> None:
    """A revision that was known as a bound only (the db was held by a process) is no promise."""
    assert weaker(with_source(REBUILD, revision_exact=False, revision=110), REBUILD) == ()


def test_numbers_and_reasons_may_change() -> None:
    """A log that grows changes what a warning says, not its kind; an unproven loss stays as unproven as it was."""
    agreed = replace(
        START,
        unproven="1 of 3 logs",
        warnings=("that nothing else was lost is not proven: 1 of 3 logs", "m3 is off: replace it"),
        dangers=("m1: must not start as it is: the log ends at 5",),
    )
    now = replace(
        agreed,
        unproven="0 of 3 logs",
        warnings=("that nothing else was lost is not proven: 0 of 3 logs", "m3 is off: replace it"),
        dangers=("m1: must not start as it is: the log ends at 7",),
    )
    assert weaker(agreed, now) == ()


def test_dangers_that_were_not_written_down() -> None:
    """A plan of a version before says nothing of dangers: none of them is new then."""
    assert weaker(replace(START, dangers=None), replace(START, dangers=("m1: its disk gives errors",))) == ()


def test_a_disk_that_is_not_used_may_get_worse() -> None:
    """etcd ran on it until it was fenced; the plan leaves it out, as the one before did."""
    agreed = replace(START, members=tuple(replace(one, role="leave fenced") for one in START.members[:1]))
    name = agreed.members[0].name
    danger = f"{name}: must not start as it is: it would swallow writes"
    assert weaker(replace(agreed, dangers=()), replace(agreed, dangers=(danger,))) == ()
    assert weaker(replace(START, dangers=()), replace(START, dangers=(danger,))) == (f"danger: {danger}",)


def test_a_lost_proof_of_real_evidence() -> None:
    """Two logs lose their ends after the plan was made: proof and revision line are gone, and both are told."""
    now = plan_of(unproven(), source_id=source_of(REBUILD).id)
    found = weaker(REBUILD, replace(now, named=False))
    assert any("proof" in one for one in found)
    assert any("raised by" in one for one in found)


def steps(plan: Plan) -> list[Step]:
    """Every step."""
    return [step for phase in plan.phases for step in phase.steps]


class TestInForce:
    """The decision of the last look, put into the plan."""

    def decided(self, agreed: Plan, now: Plan) -> Plan:
        """The plan in force, after the decision went through a journal."""
        made = inforce.decision(agreed, now, ("something",), ("m1",))
        again = msgspec.convert(msgspec.to_builtins(made), inforce.Decision)
        assert again == made
        return inforce.decided_on(agreed, again)

    def test_nothing_changed(self) -> None:
        """The same decision leaves the same plan, step by step."""
        for plan in (START, REBUILD):
            assert self.decided(plan, plan) == plan

    def test_every_field(self) -> None:
        """All that a run says of itself is the last look's; who its members are, where and how, is the plan's."""
        now = replace(plan_of(unproven()), run="other", members=REBUILD.members, hosts=(), made="later")
        found = self.decided(REBUILD, now)
        ours = {"run", "made", "cluster", "cluster_id", "tools", "etcd_version", "members", "snapshots", "powered_off"}
        ours |= {"phases", "hosts", "replaces", "joins", "seen_revision", "schema"}
        for one in fields(Plan):
            wanted = getattr(REBUILD if one.name in ours else now, one.name)
            assert one.name == "phases" or getattr(found, one.name) == wanted, one.name
        assert found.bump == 1_000_000
        text = runbook.as_text(found)
        assert "--bump-revision 1000000" in text
        assert [step.id for step in steps(found)] == [step.id for step in steps(REBUILD)]

    def test_another_kind(self) -> None:
        """What was to be started as it is is rebuilt: all up to the last look is as it was, all behind it is new."""
        found = self.decided(START, REBUILD)
        kinds = [phase.steps[0].kind for phase in found.phases]
        assert kinds.index("look again") < kinds.index("build source") < kinds.index("set aside")
        assert "copy aside" not in kinds
        ids = [step.id for step in steps(found)]
        assert len(set(ids)) == len(ids)
        before = [step.id for step in steps(START)]
        assert ids[: before.index("03-look-again") + 1] == before[: before.index("03-look-again") + 1]
        assert {one.role for one in found.members} == {"restore"}
        assert found.token == "requorum-r1"

    def test_one_stays_behind(self) -> None:
        """A member that cannot be started any more has no step behind the last look."""
        now = plan_of(survey(sound(1), sound(2), member(3, db(90), log(3, 100, hole=50))))
        found = self.decided(START, now)
        assert not [one.id for one in steps(found) if one.member == "m3" and one.kind in ("start", "configure")]
        assert [one.id for one in steps(found) if one.member == "m3" and one.kind == "unlock"]

    def test_what_could_not_be_stopped_is_not_forgotten(self) -> None:
        """The last look is at the members alone; what was not stopped elsewhere is known from before."""
        warning = "cp1: what runs there is not stopped (no answer): restart it"
        agreed = replace(START, warnings=(warning,))
        assert self.decided(agreed, START).warnings == (warning,)
