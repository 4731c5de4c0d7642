"""Now that nothing moves any more: read every disk in full, decide again, and go on only if the decision is the same."""

from pathlib import Path
from typing import Any

import anyio.from_thread
import msgspec

from requorum.errors import Refused
from requorum.hosts.connection import Connections
from requorum.hosts.tools import Tools
from requorum.inventory.inventory import Host, Inventory
from requorum.plan.values import Plan, PlanMember
from requorum.run.context import Context
from requorum.survey import gather
from requorum.survey.evidence import Survey
from requorum.verdict.decide import decide
from requorum.verdict.values import Verdict


def do(context: Context, _: PlanMember | None) -> Any:
    """Raises Refused when the world has become another than the plan's."""
    plan = context.plan
    verdict = decide(anyio.from_thread.run(survey_again, plan, context.connections, context.programs))
    why = what_changed(plan, verdict)
    if why:
        raise Refused(
            f"what the disks say now is not what the plan was made from: {why}",
            changed=f"etcd is fenced on {', '.join(one.name for one in plan.members)}; nothing else was changed",
            hint=f"requorum rollback {plan.run} lifts the fences; then plan again",
        )
    source = next((one for one in verdict.sources if plan.source and one.id == plan.source.id), None)
    if source is None:
        least = verdict.start.revision if verdict.start else plan.least_revision
    else:
        least = source.revision + plan.bump if source.revision_exact else plan.bump
    return {
        "verdict": verdict.kind,
        "summary": verdict.summary,
        "source": msgspec.to_builtins(source),
        "least_revision": least,
    }


async def survey_again(plan: Plan, connections: Connections, found: Tools | None) -> Survey:
    """Read every disk that a plan is about, in full."""
    hosts = tuple(
        Host(name=one.host, roles=("etcd",), etcd=one.deployment, address=plan.host(one.host).address)
        for one in plan.members
    )
    at_hand = found or next((one.tools for one in plan.members if one.deployment.kind == "process"), None)
    cluster = plan.cluster.rsplit("-", 1)[0]
    inventory = Inventory(path=Path("/"), cluster=cluster, hosts=hosts, tools=None, snapshots=())
    return await gather.survey_hosts(inventory, connections, at_hand, in_full=True, snapshots=plan.snapshots)


def what_changed(plan: Plan, verdict: Verdict, *, to_the_letter: bool = False) -> str:
    """Why a plan does not fit a verdict; empty when it does.

    A log may have grown between a plan and its fence (an etcd that crashes and restarts does that): such a source is
    taken as it is now. A plan that was saved for later must fit ``to_the_letter``.
    """
    if verdict.refusal:
        return verdict.refusal
    if verdict.cluster_id != plan.cluster_id:
        return f"the cluster id is {verdict.cluster_id:x}, it was {plan.cluster_id:x}"
    if plan.source is None:
        if verdict.start is None:
            return f"the verdict is now {verdict.kind!r}: {verdict.summary}"
        starting = {one.name for one in plan.started}
        if set(verdict.start.members) != starting or verdict.start.first != plan.first:
            return f"the members to start are now {', '.join(verdict.start.members)}"
        return ""
    now = next((one for one in verdict.sources if one.id == plan.source.id), None)
    if now is None:
        return f"the source {plan.source.id} cannot be used any more"
    if now.db != plan.source.db or now.to_index < plan.source.to_index:
        return f"the source {now.id} now goes to entry {now.to_index} only"
    if to_the_letter and (now.to_index, now.revision) != (plan.source.to_index, plan.source.revision):
        return f"the source {now.id} now goes to entry {now.to_index} and revision {now.revision}"
    if now.loss.at_most > plan.source.loss.at_most or now.loss.known != plan.source.loss.known:
        return f"the source {now.id} would now lose {now.loss.at_most} writes"
    return ""
