"""``requorum recover`` and ``requorum resume``: carry a plan out, or go on with one that was begun."""

import contextlib
import signal
import sys
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from types import FrameType

import anyio
import click
import msgspec

from requorum import errors
from requorum.cli import consent, options, plan_cmd, render
from requorum.cli.options import Where, World
from requorum.cli.progress import Shown
from requorum.errors import Refused, RequorumError, UsageError
from requorum.hosts import files
from requorum.hosts.connection import Connections
from requorum.hosts.tools import Tools
from requorum.plan.values import Plan
from requorum.plan.weaker import weaker
from requorum.proof.prove import Proof
from requorum.run import execute, fetch
from requorum.run import journal as journals
from requorum.run.context import Context
from requorum.run.journal import Journal
from requorum.run.steps import look_again
from requorum.verdict.decide import decide


@click.command()
@options.where
@options.snapshots
@click.option("--plan", "plan_path", type=click.Path(path_type=Path), help="Carry out this saved plan.")
@click.option("--source", "source_id", default="", help="Rebuild from this source (by its name in the survey).")
@options.powered_off
@options.seen_revision
@consent.options
@options.output
def recover(
    where: Where,
    snapshots: tuple[str, ...],
    plan_path: Path | None,
    source_id: str,
    powered_off: tuple[str, ...],
    seen_revision: int,
    yes: bool,
    confirm: str,
    output: str,
) -> int:
    """Survey, decide, plan, and carry it out: nothing is moved before everything is known and you said so.

    First etcd and what writes to it are stopped and fenced; then the source is built, proven, shipped and restored beside
    the old data; then it asks; and only then old and new data change places. `requorum plan` shows all of it before.
    """
    consent.gate_terminal(yes)
    if plan_path is not None:
        if snapshots or source_id or powered_off or seen_revision:
            raise UsageError("--plan already says what to recover from, who is off, and what was served")
        plan = plan_cmd.load_plan(plan_path)
        found = options.plan_programs(plan, where)
        consent.gate_name(plan.cluster, yes, confirm)
        with options.plan_world(plan, where) as connections:
            _gate_world(plan, connections, found, yes=yes)
            return begin(plan, connections, found, yes=yes, output=output)
    with options.world(where, powered_off) as world:
        made = plan_cmd.make_one(world, snapshots, source_id, powered_off, seen_revision)
        if output in ("table", "wide") and not yes:
            render.survey_and_verdict(made.survey, made.verdict, wide=output == "wide")
            plan_cmd.show_phases(made.plan)
        consent.gate_name(made.plan.cluster, yes, confirm)
        kept = msgspec.json.encode({"survey": made.survey, "verdict": made.verdict})
        code = begin(made.plan, world.connections, world.found, yes=yes, output=output, survey=kept)
        if not yes:
            code = _offer(world, journals.load(made.plan.run, world.connections).plan, output) or code
        return code


def _offer(world: World, plan: Plan, output: str) -> int:
    """After a start as is, offer to replace the members that were left behind, one after another."""
    from requorum.cli.member_cmd import replace_one

    code = errors.DONE
    for member in [one for one in plan.members if one.role == "leave fenced"]:
        if click.confirm(f"\nReplace {member.name} now ({member.why})?", err=True):
            code = replace_one(world, member.name, on="", powered_off=(), yes=False, confirm="", output=output) or code
    return code


def begin(
    plan: Plan, connections: Connections, found: Tools | None, *, yes: bool, output: str, survey: bytes = b""
) -> int:
    """Begin a run; what was surveyed is kept beside its journal."""
    if (journals.state_folder() / "runs" / plan.run).exists():
        raise UsageError(f"run {plan.run} was begun already", hint=f"requorum resume {plan.run}")
    journal = journals.create(plan, connections)
    if survey:
        files.write_durably(journal.folder / "survey.json", survey)
    return carry_out(journal, connections, found, yes=yes, output=output, fresh=True)


@click.command()
@click.argument("run")
@options.where
@click.option("--take-over", is_flag=True, help="Take the lock of a holder that is certainly gone.")
@consent.options
@options.output
def resume(run: str, where: Where, take_over: bool, yes: bool, confirm: str, output: str) -> int:
    """Go on with a run that was interrupted, from its journal: here, or with -i from what lies on its hosts."""
    with opened(run, where) as journal:
        if journal.state in (journals.ROLLING_BACK, journals.ROLLED_BACK):
            raise UsageError(f"run {run} is {journal.state}", hint=f"requorum rollback {run} goes on with that")
        if journal.state == journals.FINISHED:
            raise UsageError(f"run {run} is finished already")
        consent.gate_terminal(yes)
        consent.gate_name(journal.plan.cluster, yes, confirm)
        found = options.plan_programs(journal.plan, where)
        assert journal.connections is not None
        return carry_out(journal, journal.connections, found, yes=yes, output=output, take_over=take_over)


@contextlib.contextmanager
def opened(run: str, where: Where) -> Iterator[Journal]:
    """The journal of a run, with the ways to its hosts; one that is not known here is fetched from the hosts."""
    if not journals.known_here(run) and where.given:
        with options.world(where) as world:
            fetch.fetch(run, world.inventory, world.connections)
    plan = journals.load_plan(run)
    with options.plan_world(plan, where) as connections:
        yield journals.load(run, connections)


def _gate_world(plan: Plan, connections: Connections, found: Tools | None, *, yes: bool) -> None:
    """A plan that was saved goes on only if the disks still say what it was made from; where they promise less the operator
    is asked, and without one it is refused."""
    survey = anyio.run(look_again.survey_again, plan, connections, found)
    verdict = decide(survey)
    try:
        now = look_again.plan_now(plan, survey, verdict)
        why = look_again.another_to_the_letter(plan, now)
        less = weaker(plan, now)
    except RequorumError as err:
        why, less = err.message, ()
    if less:
        text = f"the world has become another since this plan was made, and promises less: {'; '.join(less)}"
        if yes:
            raise Refused(text, changed="nothing was changed", hint="plan again: requorum plan")
        if not consent.typed(text, plan.cluster):
            raise Refused("not confirmed", changed="nothing was changed", hint="plan again: requorum plan")
    elif why:
        raise Refused(
            f"the world has become another since this plan was made: {why}",
            changed="nothing was changed",
            hint="plan again: requorum plan",
        )


@contextlib.contextmanager
def _stop_on_interrupt(asked: threading.Event) -> Iterator[None]:
    """Let the first Ctrl-C stop a run at its next barrier, and only the second one at once."""

    def stop(_signal: int, _frame: FrameType | None) -> None:
        if asked.is_set():
            raise KeyboardInterrupt
        asked.set()
        print("stopping once what is under way is done; Ctrl-C again stops at once", file=sys.stderr)

    before = signal.signal(signal.SIGINT, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def carry_out(
    journal: Journal,
    connections: Connections,
    found: Tools | None,
    *,
    yes: bool,
    output: str,
    take_over: bool = False,
    fresh: bool = False,
) -> int:
    """Run the plan of a journal to its end; returns the exit code."""
    plan = journal.plan
    asked_to_stop = threading.Event()
    with Shown() as progress:

        def ask(text: str) -> bool:
            if yes:
                return True
            progress.pause()
            return consent.typed(text, plan.cluster)

        context = Context(
            journal=journal,
            connections=connections,
            programs=found,
            ask=ask,
            yes=yes,
            take_over=take_over,
            fresh=fresh,
            moved=progress.moved,
            caught_up=progress.caught_up,
            interrupted=asked_to_stop.is_set,
        )
        try:
            with _stop_on_interrupt(asked_to_stop):
                answer = anyio.run(partial(execute.execute, context, progress))
        except KeyboardInterrupt as err:
            raise execute.interruption(plan.run) from err
    plan = journal.plan  # what the last look at the disks decided
    proof = msgspec.convert(answer, Proof)
    not_ready = _not_ready(journal)
    given_up = _given_up(journal)
    warnings = [*plan.warnings, *given_up, *proof.warnings, *not_ready]
    saved = journal.result("finish snapshot", "")
    if output in ("json", "yaml"):
        report = {
            "schema": "requorum/Recovery/v1",
            "run": plan.run,
            "cluster": plan.cluster,
            "verdict": plan.kind,
            "source": plan.source.id if plan.source else "",
            "predicted_lost_max": plan.loss_at_most if plan.loss_at_most >= 0 else None,
            "bump": plan.bump,
            "unproven": plan.unproven,
            "weaker": journal.decision.weaker if journal.decision else (),
            "proof": proof,
            "snapshot": saved,
            "warnings": warnings,
        }
        render.data(report, output)
    else:
        render.proof(proof, wide=output == "wide")
        for warning in (*plan.warnings, *given_up, *not_ready):
            render.console().print(f"warning: {warning}")
        out = render.console()
        if isinstance(saved, dict):
            when = "from before" if plan.kind == "replace member" else "of this state"
            out.print(
                f"a snapshot {when} is on {saved['host']}: {saved['path']} ({render.size(saved['size'])})",
                soft_wrap=True,
            )
        out.print(_what_now(plan), soft_wrap=True)
    return errors.DONE_WITH_WARNINGS if warnings else errors.DONE


def _given_up(journal: Journal) -> list[str]:
    """What other disks hold, and the source that the operator named does not."""
    built = journal.result("build source", journal.plan.source_on)
    audited = built.get("audit") if isinstance(built, dict) else None
    return [f"given up, and kept in the old data: {one}" for one in (audited or {}).get("differ", ())]


def _not_ready(journal: Journal) -> list[str]:
    """The API servers that came back, but do not serve."""
    results = [
        journal.done.get(step.id)
        for phase in journal.plan.phases
        for step in phase.steps
        if step.kind == "start services"
    ]
    return [said for one in results if isinstance(one, dict) for said in one.get("not_ready", ())]


def _what_now(plan: Plan) -> str:
    """What is kept, and what is left to do."""
    run = plan.run
    lines = [f"run {run} is done; the old data is kept:"]
    if plan.kind != "replace member":
        lines.append(f"  requorum rollback {run}   puts it back")
    lines.append(f"  requorum cleanup {run}    removes it for good")
    left = [one.name for one in plan.members if one.role == "leave fenced"]
    lines += [f"  requorum member replace {name}   gives the cluster its member {name} again" for name in left]
    return "\n".join(lines)
