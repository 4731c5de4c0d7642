"""The plan that replaces one member while quorum holds: removed, set aside, added as a learner, promoted. Pure."""

from collections.abc import Sequence
from dataclasses import replace

from requorum.errors import Refused, UsageError
from requorum.procedures import ahead, gates
from requorum.procedures.make import Outline, bring, new_plan, planned_member, with_phases
from requorum.procedures.values import Plan, PlanMember
from requorum.survey.evidence import LiveEvidence, MemberConfig, MemberEvidence, Peer, Survey, Unknown
from requorum.verdict import hazards
from requorum.verdict.values import Verdict
from requorum.verdict.witnesses import majority

_NEVER = "never restore a snapshot on one member of a cluster that lives"


def replace_plan(
    survey: Survey, verdict: Verdict, name: str, *, on: str = "", run: str, tools: str, powered_off: Sequence[str] = ()
) -> Plan:
    """The plan to replace the member ``name``, on its own host or on another (``on``).

    Raises Refused when quorum does not hold, or would not hold on the way.
    """
    live = [one for one in survey.members if serves(one) and one.name != name]
    for one in survey.members:
        if one.name == name and (why := ahead.why(survey, one)):
            raise Refused(
                f"{name} is not replaced: {why}",
                hint=f"keep its disk, and decide which side is right; {gates.fence_first(verdict)}: every disk is read in "
                f"full then; if its disk is to be given up: move its data dir aside, then replace it",
            )
    listed = _listed(live)
    old = next((peer for peer in listed if peer.name == name), None)
    target = _target(survey, name, on, listed)
    _gate(survey, listed, live, old, target, name, on, powered_off)
    why, hint = hazards.refusal(survey, [target])
    if why:
        raise Refused(why, hint=hint)
    assert isinstance(target.config, MemberConfig)
    if old is None:
        old = next((peer for peer in listed if set(peer.peer_urls) & set(target.config.peer_urls)), None)
    stay = [peer for peer in listed if peer is not old]
    urls = target.config.peer_urls
    joins = [f"{peer.name}={url}" for peer in stay for url in peer.peer_urls if peer.name]
    joins += [f"{target.config.name}={url}" for url in urls]
    members = [planned_member(one, "keep", "", survey, tools, run) for one in live]
    members.append(planned_member(target, "replace", why_down(survey, name), survey, tools, run))
    plan = replace(
        new_plan(survey, verdict, run, tools, tuple(members), tuple(powered_off)),
        kind="replace member",
        summary=f"replace {name}: {why_down(survey, name)}",
        replaces=old.id if old else 0,
        joins=",".join(joins),
        warnings=_moved(name, on, target),
        least_revision=max(one.live.revision for one in live if isinstance(one.live, LiveEvidence)),
    )
    return with_phases(plan, REPLACE)


def _moved(name: str, on: str, target: MemberEvidence) -> tuple[str, ...]:
    """What is left to do where another host took the place."""
    if not on or target.name == name:
        return ()
    text = f"the other members' configuration still names {name} in initial-cluster: it only counts for a dir that is wiped"
    return (f"{text}; write {target.name} there when you write it next",)


def _all(plan: Plan) -> tuple[PlanMember, ...]:
    return plan.members


def _new(plan: Plan) -> tuple[PlanMember, ...]:
    return (plan.replaced,)


def _staying_bare(plan: Plan) -> tuple[PlanMember, ...]:
    return tuple(one for one in bring(plan) if one.role == "keep")


def _new_bare(plan: Plan) -> tuple[PlanMember, ...]:
    """The new member's host where it lacks programs. For a static pod its runtime may have to be started: not before the
    fence, or kubelet would start etcd on the old disk."""
    return tuple(one for one in bring(plan) if one.role == "replace")


def _departing(plan: Plan) -> tuple[None, ...]:
    """One step where the cluster still lists the member; none where it does not."""
    return (None,) if plan.replaces else ()


def serves(member: MemberEvidence) -> bool:
    """Whether a member votes, has a leader and answers."""
    return isinstance(member.live, LiveEvidence) and bool(member.live.leader) and not member.live.learner


def _listed(live: Sequence[MemberEvidence]) -> tuple[Peer, ...]:
    for one in live:
        if isinstance(one.live, LiveEvidence) and one.live.members:
            return one.live.members
    raise Refused("no member that serves could be asked who the members are", hint="look first: requorum survey")


def _target(survey: Survey, name: str, on: str, listed: Sequence[Peer]) -> MemberEvidence:
    """The evidence of where the new member will run."""
    if on:
        found = next((one for one in survey.members if one.host == on), None)
        if found is None:
            raise UsageError(f"--with {on}: it is no etcd host of the inventory")
        return found
    found = next((one for one in survey.members if one.name == name), None)
    if found is None:
        known = ", ".join(sorted({one.name for one in survey.members} | {one.name for one in listed if one.name}))
        raise UsageError(
            f"no surveyed member is called {name}",
            hint=f"known: {known}; a new host in its place: --with HOST",
        )
    return found


def why_down(survey: Survey, name: str) -> str:
    """Why a member does not serve, as its disk and its process tell."""
    found = next((one for one in survey.members if one.name == name), None)
    if found is None:
        return "it was not surveyed"
    if not found.reachable:
        return found.config.unknown if isinstance(found.config, Unknown) else "its host cannot be reached"
    if isinstance(found.log, Unknown):
        return f"its log cannot be read: {found.log.unknown}"
    if isinstance(found.db, Unknown):
        return f"its db cannot be read: {found.db.unknown}"
    if found.log.refusals:
        return found.log.refusals[0]
    if found.db.faults:
        return f"its db is damaged: {found.db.faults[0].detail}"
    return found.live.unknown if isinstance(found.live, Unknown) else "it serves"


def _gate(
    survey: Survey,
    listed: Sequence[Peer],
    live: Sequence[MemberEvidence],
    old: Peer | None,
    target: MemberEvidence,
    name: str,
    on: str,
    powered_off: Sequence[str],
) -> None:
    voters = [peer for peer in listed if not peer.learner]
    alive = {one.live.member_id for one in live if isinstance(one.live, LiveEvidence)}
    serving = [peer for peer in voters if peer.id in alive]
    if len(serving) < majority(len(voters)):
        raise Refused(
            f"{len(serving)} of {len(voters)} voters serve, {majority(len(voters))} are needed to change the members",
            hint="without quorum the cluster is recovered: requorum recover",
        )
    left = len(voters) - (1 if old is not None and not old.learner else 0)
    if left < 1 or len(serving) < majority(left):
        raise Refused(f"without {name} {len(serving)} of {left} voters would serve: quorum would be lost")
    others = [peer for peer in listed if peer.learner and peer is not old]
    if others:
        names = ", ".join(peer.name or f"{peer.id:x}" for peer in others)
        raise Refused(
            f"{names} is a learner already, and etcd takes one at a time",
            hint="let it be promoted, or remove it, first",
        )
    here = next((one for one in survey.members if one.name == name), None)
    if here is not None and serves(here):
        raise Refused(f"{name} serves and has a leader: there is nothing to replace", hint=_NEVER)
    if not target.reachable or isinstance(target.config, Unknown) or isinstance(target.place, Unknown):
        why = next((one.unknown for one in (target.config, target.place) if isinstance(one, Unknown)), "unreachable")
        raise Refused(
            f"{target.host} cannot take the new member: {why}", hint="put it right, or name another: --with HOST"
        )
    if on and isinstance(target.live, LiveEvidence):
        raise Refused(
            f"{on} runs an etcd already, of cluster {target.live.cluster_id:x}",
            hint="stop it, or name a host where none runs",
        )
    if on and here is not None and here.host != on and not here.reachable and name not in powered_off:
        raise Refused(
            f"{name}'s host {here.host} cannot be reached, and etcd may run there",
            hint=f"if it is certainly off: --powered-off {here.host}",
        )


REPLACE: Outline = [
    ("lock every member", "lock", _all),
    ("bring etcd's programs where they are missing", "bring tools", _staying_bare),
    ("save a snapshot first", "save snapshot", None),
    ("wait until it is whole", "finish snapshot", None),
    ("fence the member, so that nothing can start it, and stop what runs", "fence", _new),
    ("bring etcd's programs there, if they are missing", "bring tools", _new_bare),
    ("preflight", "preflight", _new),
    ("the operator's word", "the operator's word", None),
    ("remove it from the cluster", "remove member", _departing),
    ("set its data aside", "set aside", _new),
    ("add it as a learner: it does not vote yet", "add learner", None),
    ("configure: the members of now, state existing, fence lifted", "configure", _new),
    ("start it, empty", "start", _new),
    ("wait until it has caught up, and let it vote", "promote", None),
    ("prove", "prove", None),
    ("unlock", "unlock", _all),
]
