"""What a run will do, and how it ended, for people."""

from requorum import errors
from requorum.cli import render
from requorum.reports.plan import Planned
from requorum.reports.runs import Recovery
from requorum.run import runbook


def planned(found: Planned, *, wide: bool = False, commands: bool = False) -> None:
    """What was seen and decided, and what will be done: phase by phase, or with every command, as a runbook."""
    render.survey_and_verdict(found.survey, found.verdict, wide=wide)
    out, plan = render.console(), found.plan
    out.print()
    if commands:
        out.print(f"plan {plan.run} for {plan.cluster} (etcd {plan.etcd_version}):")
        out.print(runbook.as_text(plan), soft_wrap=True)
    else:
        how = (
            f"requorum member replace {plan.replaced.name} --dry-run"
            if plan.kind == "replace member"
            else "requorum plan"
        )
        out.print(f"plan {plan.run} for {plan.cluster} (etcd {plan.etcd_version}); `{how}` prints every command:")
        for number, phase in enumerate(plan.phases, 1):
            who = ", ".join(step.who for step in phase.steps if step.who)
            out.print(f"{number:2}. {phase.title}" + (f" ({who})" if who else ""))
    for warning in plan.warnings:
        out.print(f"warning: {warning}")


def recovery(done: Recovery, output: str) -> int:
    """How a run ended, in the way that was asked for; returns its exit code."""
    if output in ("json", "yaml"):
        render.data(done, output)
    else:
        _recovery(done, wide=output == "wide")
    return errors.DONE_WITH_WARNINGS if done.warnings else errors.DONE


def _recovery(done: Recovery, *, wide: bool) -> None:
    out = render.console()
    render.proof(done.proof, wide=wide)
    for warning in done.warnings:
        if warning not in done.proof.warnings:
            out.print(f"warning: {warning}")
    replaced = done.verdict == "replace member"
    if done.snapshot is not None:
        when = "from before" if replaced else "of this state"
        saved = done.snapshot
        out.print(f"a snapshot {when} is on {saved.host}: {saved.path} ({render.size(saved.size)})", soft_wrap=True)
    lines = [f"run {done.run} is done; the old data is kept:"]
    if not replaced:
        lines.append(f"  requorum rollback {done.run}   puts it back")
    lines.append(f"  requorum cleanup {done.run}    removes it for good")
    lines += [
        f"  requorum member replace {one.member}   gives the cluster its member {one.member} again"
        for one in done.left_fenced
    ]
    out.print("\n".join(lines), soft_wrap=True)
