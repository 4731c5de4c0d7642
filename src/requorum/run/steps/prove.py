"""The proof: every started member healthy, at one revision with one hash, not below what was predicted."""

from dataclasses import replace

from requorum.errors import RequorumError
from requorum.procedures.make import seen_warning
from requorum.procedures.values import Plan
from requorum.proof import aftercare, prove
from requorum.proof.prove import Proof
from requorum.run import membership
from requorum.run.by_hand import ctl
from requorum.run.context import Context
from requorum.run.steptype import StepType

ALONE_SECONDS = 15.0
"""So long a member with another peer URL than the cluster knows may take to join by itself: it calls the others, and is heard."""


def by_hand(plan: Plan, _: None) -> tuple[str, ...]:
    all_of_them = ctl(plan.started)
    return (
        f"{all_of_them} endpoint health",
        f"{all_of_them} endpoint status -w table",
        f"{all_of_them} endpoint hashkv  # equal on all, at revision {plan.least_revision} or later",
        f"{all_of_them} alarm list",
        *(
            f"{all_of_them} member update ID --peer-urls={','.join(one.config.peer_urls)}  # {one.name}'s id, if it does not "
            f"join without"
            for one in plan.started
            if one.moved
        ),
    )


def do(context: Context, _: None) -> Proof:
    """Raises RequorumError with the first thing that is not as promised."""
    told = _make_known(context)
    proof = prove.prove(
        context.asked(), context.least_revision, context.dead, quiet=context.plan.kind != "replace member"
    )
    if context.plan.kind != "replace member":
        proof = replace(proof, notes=aftercare.look(context.asked()[0]))
    proof = replace(proof, warnings=(*proof.warnings, *told))
    plan = context.plan
    reached = proof.revision - plan.bump
    if reached < plan.seen_revision and not any("was served once" in one for one in plan.warnings):
        proof = replace(proof, warnings=(*proof.warnings, seen_warning(plan.seen_revision, reached)))
    return proof


def _make_known(context: Context) -> list[str]:
    """Tell the cluster the new peer URLs of members that moved, where they do not join without it: then it is not left to the
    operator, as nothing would come of the run. Returns what was done; done again, it changes nothing."""
    out = []
    moved = {one.config.name: one for one in context.plan.started if one.moved}
    for asked in context.asked():
        if asked.config.name not in moved:
            continue
        try:
            prove.wait_healthy(asked, context.dead, ALONE_SECONDS)
        except RequorumError:
            speakers = [one for one in context.plan.started if one.name in context.plan.first]
            there = next((one for one in membership.listed(context, speakers) if one.name == asked.config.name), None)
            urls = asked.config.peer_urls
            if there is not None and not set(urls) & set(there.peer_urls):
                membership.ctl(context, speakers, "member", "update", f"{there.id:x}", f"--peer-urls={','.join(urls)}")
                out.append(
                    f"{there.name} did not join while the cluster knew it at {', '.join(there.peer_urls)}: it was made known "
                    f"at {', '.join(urls)} (member update)"
                )
    return out


STEP = StepType(
    kind="prove",
    does="proves the result: every started member healthy, at one revision with one hash, not below what was predicted",
    by_hand=by_hand,
    do=do,
    result=Proof,
)
