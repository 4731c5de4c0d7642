"""Now that nothing moves any more: read every disk in full and decide again. This decision is the one that is carried out.

What it promises less than the plan that the operator agreed to is asked about before anything is moved; where nobody can be
asked, the run ends here.
"""

from dataclasses import replace
from pathlib import Path

import anyio.from_thread

from requorum.errors import Refused, RequorumError
from requorum.etcd.binaries import Binaries
from requorum.hosts.connection import Connections
from requorum.inventory.inventory import Host, Inventory
from requorum.procedures import inforce
from requorum.procedures.inforce import LastLook
from requorum.procedures.make import make_plan
from requorum.procedures.values import Plan
from requorum.procedures.weaker import weaker
from requorum.run.context import Context
from requorum.run.steptype import StepType
from requorum.survey import gather
from requorum.survey.around_values import Around
from requorum.survey.evidence import MemberEvidence, Survey
from requorum.verdict import values
from requorum.verdict.decide import decide
from requorum.verdict.values import Source, Verdict


def by_hand(_: Plan, __: None) -> tuple[str, ...]:
    return ("# every disk is read again, in full; the verdict must be the same", "requorum survey --verify")


def do(context: Context, _: None) -> LastLook:
    """What is in force from here on. Raises Refused when it is less than was agreed to and nobody can be asked, or when
    there is no plan any more."""
    agreed = context.journal.agreed
    survey = anyio.from_thread.run(survey_again, agreed, context.connections, context.programs)
    verdict = decide(survey)
    changed = f"etcd is fenced on {', '.join(one.name for one in agreed.members)}; no member's data was changed"
    back = f"requorum rollback {agreed.run} lifts the fences, then plan again: the new plan says what the disks say now"
    try:
        now = plan_now(agreed, survey, verdict)
    except RequorumError as err:
        raise Refused(
            f"what the disks say now is not what the plan was made from: {err.message}", changed=changed, hint=back
        ) from err
    less = weaker(agreed, now)
    decided = inforce.decision(agreed, now, less, witnesses(verdict))
    if bare := inforce.without_programs(agreed, inforce.decided_on(agreed, decided)):
        raise Refused(
            f"{', '.join(bare)} can be started now and could not before, and has no programs of etcd",
            changed=changed,
            hint=back,
        )
    if less and context.yes:
        raise Refused(
            f"the disks, read again in full, promise less than the plan that was agreed to: {'; '.join(less)}",
            changed=changed,
            hint=f"{back}; requorum resume {agreed.run}, without --yes, asks you on a terminal",
        )
    return LastLook(
        verdict=verdict.kind,
        summary=verdict.summary,
        source=now.source,
        least_revision=now.least_revision,
        decision=decided,
    )


def plan_now(agreed: Plan, survey: Survey, verdict: Verdict) -> Plan:
    """The plan that would be made of what the disks say now: from the source that was agreed to while that is there, and
    nothing else loses less (a source that the operator named is never passed over).

    Raises RequorumError where there is none: a gate forbids it, or nothing is left to rebuild from.
    """
    if verdict.cluster_id != agreed.cluster_id:
        raise Refused(f"the cluster id is {verdict.cluster_id:x}, it was {agreed.cluster_id:x}")
    wanted = agreed.source.id if agreed.source else ""
    there = next((one for one in verdict.sources if one.id == wanted), None)
    keeps = there is not None and (agreed.named or not _loses_less(verdict, there))
    now = make_plan(
        survey,
        verdict,
        run=agreed.run,
        tools=agreed.tools,
        powered_off=agreed.powered_off,
        source_id=wanted if keeps else "",
        named=agreed.named and keeps,
    )
    return replace(now, seen_revision=agreed.seen_revision)


def _loses_less(verdict: Verdict, source: Source) -> bool:
    """Whether a start as is, or the best source, loses fewer writes than this one."""
    if verdict.start is not None:
        return source.loss.at_most != 0
    best = verdict.sources[0].loss
    return best.known and (not source.loss.known or best.at_most < source.loss.at_most)


def witnesses(verdict: Verdict) -> tuple[str, ...]:
    """The members whose dbs count: whatever is built must hold what they hold up to its revision. A db that a majority
    outvotes is no source, and no witness."""
    return tuple(
        dict.fromkeys(
            one.member
            for one in verdict.sources
            if one.kind in (values.OWN_LOG, values.BARE_DB) and not one.last_resort
        )
    )


async def survey_again(plan: Plan, connections: Connections, found: Binaries | None) -> Survey:
    """Read every disk that a plan is about, in full."""
    hosts = tuple(
        Host(name=one.host, roles=("etcd",), etcd=one.deployment, address=plan.host(one.host).address)
        for one in plan.members
    )
    at_hand = found or next((one.tools for one in plan.members if not one.deployment.supervised), None)
    cluster = plan.cluster.rsplit("-", 1)[0]
    inventory = Inventory(path=Path("/"), cluster=cluster, hosts=hosts, tools=None, snapshots=())
    survey = await gather.survey_hosts(inventory, connections, at_hand, in_full=True, snapshots=plan.snapshots)
    members = tuple(_without_own(one, plan.run) for one in survey.members)
    return replace(survey, members=members, seen_revision=plan.seen_revision)


def _without_own(member: MemberEvidence, run: str) -> MemberEvidence:
    """A member without what this very run has made beside its data: that is no news, and no danger."""
    if not isinstance(member.around, Around):
        return member
    runs = tuple(one for one in member.around.runs if one.run != run)
    return replace(member, around=replace(member.around, runs=runs))


def another_to_the_letter(agreed: Plan, now: Plan) -> str:
    """Why a plan that was saved for later does not fit what the disks say now, to the letter; empty when it does.

    What is less than agreed to is told by :func:`requorum.procedures.weaker.weaker`; this is about the rest: logs that grew,
    members that could be started and could not before.
    """
    if now.kind != agreed.kind:
        return f"it is {now.kind!r} now: {now.summary}"
    if [(one.name, one.role) for one in now.members] != [(one.name, one.role) for one in agreed.members]:
        return f"the members to start are now {', '.join(one.name for one in now.started)}"
    if now.first != agreed.first:
        return f"those to start first are now {', '.join(now.first)}"
    before, after = agreed.source, now.source
    if before and after and (before.id, before.to_index, before.revision) != (after.id, after.to_index, after.revision):
        return f"the source {after.id} now goes to entry {after.to_index} and revision {after.revision}"
    return ""


STEP = StepType(
    kind="look again",
    does="reads every disk in full, and decides again: this decision is the one that is carried out",
    by_hand=by_hand,
    do=do,
    result=LastLook,
    again="until data is moved",
)
