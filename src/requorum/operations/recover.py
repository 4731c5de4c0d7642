"""Survey, decide, plan, and carry it out; or go on with a run that was begun."""

import contextlib
from collections.abc import Iterator, Sequence
from functools import partial

import anyio
import msgspec

from requorum.errors import Refused, RequorumError, UsageError
from requorum.etcd.binaries import Binaries
from requorum.hosts import files
from requorum.hosts.connection import Connections
from requorum.operations import hosts
from requorum.operations import plan as plans
from requorum.operations.hosts import Where, World
from requorum.operations.operator import Operator
from requorum.procedures.values import Plan
from requorum.procedures.weaker import weaker
from requorum.proof.prove import Proof
from requorum.reports.plan import Planned
from requorum.reports.runs import LeftFenced, Recovery, Snapshot
from requorum.reports.survey import SurveyAndVerdict
from requorum.run import execute, fetch
from requorum.run import journal as journals
from requorum.run.context import Context
from requorum.run.journal import Journal
from requorum.run.steps import build_source, finish_snapshot, look_again, start_services
from requorum.verdict.decide import decide


def recover(
    world: World,
    operator: Operator,
    *,
    snapshots: Sequence[str] = (),
    source: str = "",
    powered_off: Sequence[str] = (),
    seen_revision: int = 0,
) -> Recovery:
    """Recover the cluster of these hosts; what is named is what :func:`requorum.operations.plan.plan_recovery` takes.

    Raises Refused before anything is changed, StoppedMidway after: then ``resume`` goes on, ``rollback`` takes back.
    """
    operator.gate_presence()
    planned = plans.plan_recovery(
        world, snapshots=snapshots, source=source, powered_off=powered_off, seen_revision=seen_revision
    )
    return begin(planned, world, operator)


def begin(planned: Planned, world: World, operator: Operator) -> Recovery:
    """Carry out what was planned just now; what was surveyed is kept beside the run's journal."""
    operator.show(planned)
    operator.gate_name(planned.plan.cluster)
    kept = SurveyAndVerdict(survey=planned.survey, verdict=planned.verdict)
    return _begin(planned.plan, world.connections, world.programs, operator, kept)


def recover_saved(plan: Plan, at: Where, operator: Operator) -> Recovery:
    """Carry out a plan that was saved, if the disks still say what it was made from."""
    operator.gate_presence()
    operator.gate_name(plan.cluster)
    programs = hosts.programs_of_plan(plan, at)
    with hosts.of_plan(plan, at) as connections:
        _gate_world(plan, connections, programs, operator)
        return _begin(plan, connections, programs, operator)


def resume(run: str, at: Where, operator: Operator, *, take_over: bool = False) -> Recovery:
    """Go on with a run that was interrupted, from its journal: here, or from what lies on its hosts. ``take_over``: the holder
    of its lock is certainly gone."""
    with opened(run, at) as journal:
        if journal.state in (journals.ROLLING_BACK, journals.ROLLED_BACK):
            raise UsageError(f"run {run} is {journal.state}", hint=f"requorum rollback {run} goes on with that")
        if journal.state == journals.FINISHED:
            raise UsageError(f"run {run} is finished already")
        operator.gate_presence()
        operator.gate_name(journal.plan.cluster)
        programs = hosts.programs_of_plan(journal.plan, at)
        return _carry_out(journal, programs, operator, take_over=take_over)


@contextlib.contextmanager
def opened(run: str, at: Where) -> Iterator[Journal]:
    """The journal of a run, with the ways to its hosts; one that is not known here is fetched from the hosts."""
    if not journals.known_here(run) and at.given:
        with hosts.opened(at) as world:
            fetch.fetch(run, world.inventory, world.connections)
    plan = journals.load_plan(run)
    with hosts.of_plan(plan, at) as connections:
        yield journals.load(run, connections)


def _begin(
    plan: Plan,
    connections: Connections,
    programs: Binaries | None,
    operator: Operator,
    kept: SurveyAndVerdict | None = None,
) -> Recovery:
    if (journals.state_folder() / "runs" / plan.run).exists():
        raise UsageError(f"run {plan.run} was begun already", hint=f"requorum resume {plan.run}")
    journal = journals.create(plan, connections)
    if kept:
        files.write_durably(journal.folder / "survey.json", msgspec.json.encode(kept))
    return _carry_out(journal, programs, operator, fresh=True)


def _gate_world(plan: Plan, connections: Connections, programs: Binaries | None, operator: Operator) -> None:
    """A plan that was saved goes on only if the disks still say what it was made from; where they promise less the operator
    is asked, and without one it is refused."""
    survey = anyio.run(look_again.survey_again, plan, connections, programs)
    verdict = decide(survey)
    try:
        now = look_again.plan_now(plan, survey, verdict)
        why = look_again.another_to_the_letter(plan, now)
        less = weaker(plan, now)
    except RequorumError as err:
        why, less = err.message, ()
    if less:
        text = f"the cluster has changed since this plan was made, and promises less: {'; '.join(less)}"
        if operator.yes:
            raise Refused(text, changed="nothing was changed", hint="plan again: requorum plan")
        if not operator.ask(text, plan.cluster):
            raise Refused("not confirmed", changed="nothing was changed", hint="plan again: requorum plan")
    elif why:
        raise Refused(
            f"the cluster has changed since this plan was made: {why}",
            changed="nothing was changed",
            hint="plan again: requorum plan",
        )


def _carry_out(
    journal: Journal, programs: Binaries | None, operator: Operator, *, take_over: bool = False, fresh: bool = False
) -> Recovery:
    """Run the plan of a journal to its end."""
    cluster, run = journal.plan.cluster, journal.plan.run
    assert journal.connections is not None
    with operator.watch() as watch:

        def ask(text: str) -> bool:
            if operator.yes:
                return True
            watch.pause()
            return operator.ask(text, cluster)

        context = Context(
            journal=journal,
            connections=journal.connections,
            programs=programs,
            ask=ask,
            yes=operator.yes,
            take_over=take_over,
            fresh=fresh,
            moved=watch.moved,
            caught_up=watch.caught_up,
            interrupted=watch.interrupted,
        )
        try:
            proof = anyio.run(partial(execute.execute, context, watch))
        except KeyboardInterrupt as err:
            raise execute.interruption(run) from err
    assert proof is not None, "every plan ends with a proof"
    return _report(journal, proof)


def _report(journal: Journal, proof: Proof) -> Recovery:
    plan = journal.plan  # what the last look at the disks decided
    saved = finish_snapshot.STEP.of(journal)
    return Recovery(
        run=plan.run,
        cluster=plan.cluster,
        verdict=plan.kind,
        source=plan.source.id if plan.source else "",
        predicted_lost_max=plan.loss_at_most if plan.loss_at_most >= 0 else None,
        bump=plan.bump,
        unproven=plan.unproven,
        weaker=journal.decision.weaker if journal.decision else (),
        proof=proof,
        snapshot=Snapshot(host=saved.host, path=saved.path, size=saved.size) if saved else None,
        warnings=(*plan.warnings, *_given_up(journal), *proof.warnings, *_not_ready(journal)),
        left_fenced=tuple(
            LeftFenced(member=one.name, why=one.why) for one in plan.members if one.role == "leave fenced"
        ),
    )


def _given_up(journal: Journal) -> list[str]:
    """What other disks hold, and the source that the operator named does not."""
    built = build_source.STEP.of(journal, journal.plan.source_on)
    return [f"given up, and kept in the old data: {one}" for one in (built.audit.differ if built else ())]


def _not_ready(journal: Journal) -> list[str]:
    """The API servers that came back, but do not serve."""
    back = [start_services.STEP.of(journal, host.name) for host in journal.plan.hosts]
    return [said for one in back if one for said in one.not_ready]
