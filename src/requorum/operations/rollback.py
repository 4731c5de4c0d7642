"""Put everything back as it was before a run."""

from functools import partial
from pathlib import Path

import anyio

from requorum.deployments import kinds
from requorum.errors import Refused, RequorumError, UsageError
from requorum.etcdfiles import datadir, mvcc
from requorum.etcdfiles.faults import EtcdFileError
from requorum.hosts import files
from requorum.operations import hosts, recover
from requorum.operations.hosts import Where
from requorum.operations.operator import Operator
from requorum.procedures.values import work_of
from requorum.reports.runs import Rollback
from requorum.run import journal as journals
from requorum.run import rollback as rollback_run
from requorum.run.context import Context
from requorum.run.steps import prove
from requorum.survey import live
from requorum.survey.evidence import LiveEvidence


def roll_back(run: str, at: Where, operator: Operator, *, discard_writes: int = 0, take_over: bool = False) -> Rollback:
    """Stop what the run started, set its data aside too, and put the old data and configuration back.

    ``discard_writes``: so many writes that were accepted since may go out of service where nobody is asked.
    """
    with recover.opened(run, at) as journal:
        assert journal.connections is not None
        context = Context(
            journal=journal,
            connections=journal.connections,
            programs=hosts.programs_of_plan(journal.plan, at),
            ask=lambda _: True,
            take_over=take_over,
        )
        if journal.state == journals.ROLLED_BACK:
            raise UsageError(f"run {run} was rolled back already")
        _gate_lost_journal(context)
        since = writes_since(context) if journal.state != journals.ROLLING_BACK else 0
        _gate(context, operator, since, discard_writes)
        with operator.watch() as watch:
            undone = anyio.run(partial(rollback_run.roll_back, context, watch))
        return Rollback(run=run, undone=undone, set_aside_writes=since)


def _gate(context: Context, operator: Operator, since: int, discard_writes: int) -> None:
    plan = context.plan
    text = f"Rolling back run {plan.run} of {plan.cluster}: what it started is stopped and set aside, the old data returns."
    if since:
        text += f"\n{since} writes were accepted since, and go out of service."
    operator.gate(text, plan.cluster)
    if operator.yes and since > discard_writes:
        raise Refused(
            f"{since} writes were accepted since the recovery; a rollback takes them out of service",
            hint=f"if that is meant: --discard-writes {since} (they stay in the set-aside data until cleanup)",
        )


def _gate_lost_journal(context: Context) -> None:
    """A journal that says nothing, although the disks show that the run did something, is not believed."""
    journal, run = context.journal, context.plan.run
    if journal.begun:
        return
    for member in journal.plan.members:
        work = Path(work_of(member, run))
        host = context.host(member)
        fenced = kinds.of(member.deployment).fenced_by(host, member.deployment) == run
        if fenced or any(host.call(files.there, work / name) for name in ("old", "copy")):
            raise UsageError(
                f"the journal of run {run} is lost, here and on {member.name}: what it did cannot be told",
                hint=f"the old data of {member.name} is in {work}; put it back by hand",
            )


def writes_since(context: Context) -> int:
    """How many revisions were made since the proof (or, without one, beyond what was promised)."""
    journal, plan = context.journal, context.plan
    if plan.kind == "replace member":
        return 0  # only a learner goes: the members that run on hold every write
    lifted = ("configure", "start")  # a supervisor may start etcd as soon as its fence is lifted
    if not any(step.kind in lifted for step in context.begun()):
        return 0
    proof = prove.STEP.of(journal)
    base = proof.revision if proof else plan.least_revision
    newest = 0
    for member in plan.started:
        host = context.host(member)
        up = live.answers(host, member.config.endpoint)
        said = live.ask(host, member.config, context.tools(member)) if up else None
        if isinstance(said, LiveEvidence):
            newest = max(newest, said.revision)
            continue
        try:
            newest = max(newest, host.call(mvcc.read_facts, datadir.layout_of(member.place.data_dir).db).revision)
        except EtcdFileError:
            continue
    if not newest:
        raise RequorumError("no member tells how many writes were accepted since the recovery")
    return max(newest - base, 0)
