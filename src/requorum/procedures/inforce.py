"""The plan that is in force once the fenced disks were read again: what the last look decided, put into the plan. Pure.

Everything that a run says and does from there on (loss, proof, bump, warnings, who is started, the exit code) is taken from
the last look, never from the survey that the plan was made from: an etcd that crashed in between, or a disk that fails, has
changed what is true. The journal keeps the decision, so that a run which is taken up again goes by it too.
"""

from dataclasses import dataclass, replace
from typing import Literal

from requorum.procedures import make
from requorum.procedures.values import Phase, Plan
from requorum.verdict.values import Source


@dataclass(frozen=True, slots=True, kw_only=True)
class Role:
    """What becomes of a member, and why."""

    member: str
    role: Literal["restore", "start", "leave fenced", "keep", "replace"]
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What the last look decided. ``weaker`` is what of it is less than the operator had agreed to before."""

    kind: Literal["start as is", "rebuild", "replace member"]
    summary: str
    proof: tuple[str, ...]
    source: Source | None
    source_on: str
    token: str
    bump: int
    least_revision: int
    loss_at_most: int
    unproven: str
    first: tuple[str, ...]
    roles: tuple[Role, ...]
    warnings: tuple[str, ...]
    dangers: tuple[str, ...]
    named: bool
    weaker: tuple[str, ...] = ()
    witnesses: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class LastLook:
    """What the last look came to. ``decision`` is None in a run of a version that wrote down source and revision alone."""

    verdict: str = ""
    summary: str = ""
    source: Source | None = None
    least_revision: int
    decision: Decision | None = None


def decision(agreed: Plan, now: Plan, weaker: tuple[str, ...] = (), witnesses: tuple[str, ...] = ()) -> Decision:
    """What a plan that was made just now decides for the run of the one that was agreed to.

    ``witnesses`` are the members whose dbs must hold what the source holds. What could not be stopped is known from before
    only: the last look is at the members alone.
    """
    kept = [one for one in agreed.warnings if make.NOT_STOPPED in one and one not in now.warnings]
    return Decision(
        kind=now.kind,
        summary=now.summary,
        proof=now.proof,
        source=now.source,
        source_on=now.source_on,
        token=now.token,
        bump=now.bump,
        least_revision=now.least_revision,
        loss_at_most=now.loss_at_most,
        unproven=now.unproven,
        first=now.first,
        roles=tuple(Role(member=one.name, role=one.role, why=one.why) for one in now.members),
        warnings=(*kept, *now.warnings),
        dangers=now.dangers or (),
        named=now.named,
        weaker=weaker,
        witnesses=witnesses,
    )


def in_force(agreed: Plan, seen: LastLook) -> Plan:
    """The plan that was agreed to, as the last look leaves it: the steps up to that look stay what they were."""
    if seen.decision is None:
        return replace(agreed, source=seen.source or agreed.source, least_revision=seen.least_revision)
    return decided_on(agreed, seen.decision)


def decided_on(agreed: Plan, decided: Decision) -> Plan:
    """The same, by a decision."""
    roles = {one.member: one for one in decided.roles}
    members = tuple(
        replace(one, role=roles[one.name].role, why=roles[one.name].why) if one.name in roles else one
        for one in agreed.members
    )
    plan = replace(
        agreed,
        kind=decided.kind,
        summary=decided.summary,
        proof=decided.proof,
        members=members,
        source=decided.source,
        source_on=decided.source_on,
        token=decided.token,
        bump=decided.bump,
        least_revision=decided.least_revision,
        loss_at_most=decided.loss_at_most,
        unproven=decided.unproven,
        first=decided.first,
        warnings=decided.warnings,
        dangers=decided.dangers,
        named=decided.named,
    )
    return replace(plan, phases=_phases(agreed, plan))


def _phases(agreed: Plan, plan: Plan) -> tuple[Phase, ...]:
    """The same steps where the same members do the same; else those that are new behind the last look."""
    if _outline(agreed) == _outline(plan):
        return agreed.phases
    made = make.with_phases(plan, make.START if plan.kind == "start as is" else make.REBUILD)
    return (*agreed.phases[: _last_look(agreed)], *made.phases[_last_look(made) :])


def _outline(plan: Plan) -> tuple[object, ...]:
    """What the steps of a plan depend on."""
    return plan.kind, plan.first, plan.source_on, tuple((one.name, one.role) for one in plan.members)


def _last_look(plan: Plan) -> int:
    """How many phases there are up to the one in which every disk is read again, that one included."""
    return next(
        (at for at, phase in enumerate(plan.phases, 1) if phase.steps[0].kind == "look again"), len(plan.phases)
    )


def without_programs(agreed: Plan, plan: Plan) -> tuple[str, ...]:
    """Members that are started now, and whose hosts were brought no programs, because they were not to be started."""
    brought = {one.name for one in make.bring(agreed)}
    return tuple(one.name for one in make.bring(plan) if one.name not in brought)
