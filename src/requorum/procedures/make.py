"""From a verdict to a plan. The order of the phases is the promise: nothing destructive before everything is known."""

from collections.abc import Sequence
from dataclasses import replace

from requorum.errors import Refused
from requorum.procedures import gates
from requorum.procedures.values import Phase, Plan, PlanHost, PlanMember, Step, StepKind
from requorum.survey.evidence import Binaries, MemberConfig, MemberEvidence, Survey, Unknown
from requorum.verdict import around, values, versions
from requorum.verdict.basis import start_loss
from requorum.verdict.identity import identities
from requorum.verdict.values import Source, Verdict

UNPROVEN = "that nothing else was lost is not proven"
NOT_STOPPED = "what runs there is not stopped"
"""How the two warnings are known again that other parts ask for."""


def make_plan(
    survey: Survey,
    verdict: Verdict,
    *,
    run: str,
    tools: str,
    powered_off: Sequence[str] = (),
    source_id: str = "",
    named: bool | None = None,
) -> Plan:
    """The plan for a verdict, from its best source unless another is named.

    ``named``: it was the operator who named the source (the default where there is one). Raises Refused when a safety gate
    forbids it, NoSource when there is nothing to rebuild from.
    """
    gates.pass_all(survey, verdict, powered_off, source_id)
    if verdict.kind == values.START_AS_IS and not source_id:
        return _start_plan(survey, verdict, run, tools, tuple(powered_off))
    source = gates.choose(survey, verdict, source_id, powered_off)
    gates.one_disk_each(survey)
    plan = _rebuild_plan(survey, verdict, source, run, tools, tuple(powered_off))
    if not (bool(source_id) if named is None else named):
        return plan
    return replace(plan, named=True, warnings=(*gates.chosen_against(verdict, source), *plan.warnings))


def _tools(evidence: MemberEvidence, survey: Survey, folder: str, run: str) -> Binaries:
    """etcd's programs for a member: those on its host; where there are none, the folder that they are brought to."""
    if isinstance(evidence.tools, Binaries) and not evidence.tools.in_container:
        return evidence.tools
    assert not isinstance(evidence.place, Unknown)
    if evidence.name in _without_tools(survey):
        folder = f"{evidence.place.work}/{run}/tools"
    return Binaries(
        etcd=f"{folder}/etcd", etcdctl=f"{folder}/etcdctl", etcdutl=f"{folder}/etcdutl", version=survey.etcd_version
    )


def _without_tools(survey: Survey) -> set[str]:
    return {
        one.name
        for one in survey.members
        if (not isinstance(one.tools, Binaries) or one.tools.in_container)
        and not isinstance(one.deployment, Unknown)
        and one.deployment.supervised
    }


def planned_member(evidence: MemberEvidence, role: str, why: str, survey: Survey, tools: str, run: str) -> PlanMember:
    assert isinstance(evidence.config, MemberConfig)
    assert not isinstance(evidence.deployment, Unknown)
    assert not isinstance(evidence.place, Unknown)
    return PlanMember(
        name=evidence.name,
        host=evidence.host,
        role=role,  # type: ignore[arg-type]
        why=why,
        config=evidence.config,
        deployment=evidence.deployment,
        place=evidence.place,
        was_running=_was_running(evidence),
        tools=_tools(evidence, survey, tools, run),
        bring_tools=evidence.name in _without_tools(survey),
    )


def _was_running(evidence: MemberEvidence) -> bool:
    """Whether etcd is to run again after a rollback; a crash loop is found between two tries as well."""
    if not isinstance(evidence.process, Unknown) and evidence.process.running:
        return True
    return not isinstance(evidence.deployment, Unknown) and evidence.deployment.wanted


def _start_plan(survey: Survey, verdict: Verdict, run: str, tools: str, powered_off: tuple[str, ...]) -> Plan:
    assert verdict.start is not None
    left = {one.member: one.why for one in verdict.start.left_behind}
    members = tuple(
        planned_member(one, "leave fenced" if one.name in left else "start", left.get(one.name, ""), survey, tools, run)
        for one in survey.members
    )
    moved = identities(survey).moved
    members = tuple(replace(one, moved=one.name in moved) for one in members)
    warnings = tuple(f"{name} stays fenced until it is replaced: {why}" for name, why in left.items())
    warnings += tuple(
        f"{name} is off: replace it when it is back (requorum member replace {name})" for name in verdict.unsurveyed
    )
    starting = [one for one in survey.members if one.name not in left]
    warnings += tuple(f"{one.subject}: {one.text}" for one in versions.upgrades(survey, starting))
    unproven = verdict.basis.unproven if verdict.basis else ""
    warnings += unproven_warning(unproven)
    plan = new_plan(survey, verdict, run, tools, members, powered_off)
    plan = replace(
        plan,
        kind="start as is",
        first=verdict.start.first,
        least_revision=verdict.start.revision,
        warnings=(*plan.warnings, *warnings),
        loss_at_most=start_loss(verdict.basis).at_most,
        unproven=unproven,
    )
    return with_phases(plan, START)


def seen_warning(seen: int, revision: int) -> str:
    """What a run ends with that does not come to a revision which the operator knows to have been served."""
    return (
        f"revision {seen} was served once, and this comes to revision {revision} only: {seen - revision} revisions that no "
        f"surveyed disk shows are lost"
    )


def unproven_warning(unproven: str) -> tuple[str, ...]:
    """What a run ends with where nobody can know whether more was lost."""
    return (f"{UNPROVEN}: {unproven}",) if unproven else ()


def _rebuild_plan(
    survey: Survey, verdict: Verdict, source: Source, run: str, tools: str, powered_off: tuple[str, ...]
) -> Plan:
    members = tuple(planned_member(one, "restore", "", survey, tools, run) for one in survey.members)
    warnings = [
        f"{name} is off and no member of the rebuilt cluster: its old data cannot join it; when it is back, requorum "
        f"member replace {name} adds it again"
        for name in verdict.unsurveyed
    ]
    if keys := around.v2_keys(survey):
        warnings.append(f"{keys} are not carried over: no db holds them")
    bump = source.bump
    unproven = source.loss.unproven
    if not source.loss.known and not unproven:
        unproven = source.loss.why[0] if source.loss.why else "the loss cannot be known"
    warnings += unproven_warning(unproven)
    if source.revision < survey.seen_revision:
        warnings.append(seen_warning(survey.seen_revision, source.revision))
    if bump and not survey.etcdutl_can_bump:
        bump = 0
        warnings.append(
            f"etcdutl {survey.etcd_version} cannot raise the revision (--bump-revision needs 3.5.10 or 3.6): restart "
            f"every Kubernetes component, kubelets included, or their caches stay wrong"
        )
    plan = new_plan(survey, verdict, run, tools, members, powered_off)
    plan = replace(
        plan,
        kind="rebuild",
        source=source,
        source_on=_bench_host(survey, members, source).name,
        token=f"requorum-{run}",
        bump=bump,
        least_revision=source.revision + bump if source.revision_exact else bump,
        loss_at_most=source.loss.at_most,
        unproven=unproven,
        warnings=(*plan.warnings, *warnings),
    )
    return with_phases(plan, REBUILD)


def new_plan(
    survey: Survey,
    verdict: Verdict,
    run: str,
    tools: str,
    members: tuple[PlanMember, ...],
    powered_off: tuple[str, ...],
) -> Plan:
    if not tools:
        _gate_programs(members)
    return Plan(
        run=run,
        made=survey.at,
        cluster=verdict.cluster,
        cluster_id=verdict.cluster_id,
        kind="rebuild",
        summary=verdict.summary,
        proof=verdict.proof,
        tools=tools,
        etcd_version=survey.etcd_version,
        members=members,
        source=None,
        source_on="",
        snapshots=tuple(
            f"{one.host}:{one.path}" if one.host else one.path for one in survey.snapshots if not one.found
        ),
        token="",
        bump=0,
        least_revision=0,
        loss_at_most=0,
        powered_off=powered_off,
        phases=(),
        warnings=_left_alone(survey),
        dangers=tuple(f"{one.subject}: {one.text}" for one in verdict.findings if one.level == "danger"),
        seen_revision=survey.seen_revision,
        hosts=tuple(
            PlanHost(name=one.name, roles=one.roles, address=one.address, services=one.services, pods=one.pods)
            for one in survey.hosts
            if not one.unreachable
        ),
    )


def _gate_programs(members: Sequence[PlanMember]) -> None:
    """What is in an image only can be taken out with containerd only: better said before anything is stopped."""
    for one in members:
        inside = one.deployment
        if one.bring_tools and one.role != "leave fenced" and inside.image and inside.sealed_by:
            raise Refused(
                f"{one.host}: etcd's programs are in the image {inside.image} alone, and requorum cannot take them out with "
                f"the runtime at {inside.sealed_by}",
                hint=f"bring the programs of etcd {inside.version or 'of that version'} along: --etcd-dir DIR",
            )


def _left_alone(survey: Survey) -> tuple[str, ...]:
    """Hosts on which something that writes to etcd may run on, because it could not be stopped."""
    silent = [
        f"{one.name}: {NOT_STOPPED} ({one.unreachable or one.fault}): restart its kube-apiserver, "
        f"controller-manager and scheduler once the cluster is back, or what they remember stays wrong"
        for one in survey.hosts
        if (one.unreachable or one.fault) and "control-plane" in one.roles
    ]
    return tuple(silent)


def _bench_host(survey: Survey, members: Sequence[PlanMember], source: Source) -> PlanMember:
    """The member on whose host the source is opened: where it lies, or where most room is; it takes a Python there."""
    bare = {one.name for one in survey.hosts if not one.python}
    able = [one for one in members if one.host not in bare]
    if not able:
        raise Refused(
            "no member's host has a Python: the source cannot be opened there",
            hint="install python3 on one of them, or rebuild from copied data dirs: requorum rebuild DIR… -o FILE",
        )
    return next((one for one in able if one.name == source.member), _roomiest(able, source.host))


def _roomiest(members: Sequence[PlanMember], host: str) -> PlanMember:
    """Where a snapshot is opened that no member owns: on the host where it lies, else where most room is."""
    return next((one for one in members if one.host == host), max(members, key=lambda one: one.place.free))


def bring(plan: Plan) -> tuple[PlanMember, ...]:
    """The members whose hosts lack etcd's programs."""
    return tuple(one for one in plan.started if one.bring_tools)


def _hosts(plan: Plan) -> tuple[PlanHost, ...]:
    return tuple(one for one in plan.hosts if one.services or one.pods)


def _all(plan: Plan) -> tuple[PlanMember, ...]:
    return plan.members


def _together(plan: Plan) -> tuple[None, ...]:
    """One step for all members but the one where the source lies; none where that is the only one."""
    return (None,) if len(plan.started) > 1 else ()


def _starting(plan: Plan) -> tuple[PlanMember, ...]:
    return plan.started


def _first(plan: Plan) -> tuple[PlanMember, ...]:
    return tuple(one for one in plan.started if one.name in plan.first)


def _rest(plan: Plan) -> tuple[PlanMember, ...]:
    return tuple(one for one in plan.started if one.name not in plan.first)


def _source_host(plan: Plan) -> tuple[PlanMember, ...]:
    return (plan.member(plan.source_on),)


def with_phases(plan: Plan, outline: "Outline") -> Plan:
    """The plan with the phases of an outline."""
    phases: list[Phase] = []
    for title, kind, who in outline:
        number = len(phases) + 1
        targets: tuple[PlanMember | PlanHost | None, ...] = who(plan) if callable(who) else (None,)
        steps = tuple(
            Step(
                id=f"{number:02}-{kind.replace(' ', '-')}" + (f"/{one.name}" if one else ""),
                kind=kind,
                member=one.name if isinstance(one, PlanMember) else "",
                host=one.name if isinstance(one, PlanHost) else "",
            )
            for one in targets
        )
        if steps:
            phases.append(Phase(title=title, steps=steps))
    return replace(plan, phases=tuple(phases))


Outline = Sequence[tuple[str, StepKind, object]]
"""The phases of a plan: what each is called, the kind of its steps, and who has one."""

START: Outline = [
    ("lock every member", "lock", _all),
    ("stop what writes to etcd", "stop services", _hosts),
    ("fence etcd, so that nothing can start it, and stop what runs", "fence", _all),
    ("bring etcd's programs where they are missing", "bring tools", bring),
    ("look again: read every disk in full, decide again", "look again", None),
    ("copy logs and dbs aside", "copy aside", _starting),
    ("preflight", "preflight", _starting),
    ("the operator's word", "the operator's word", None),
    ("configure a bare majority with the highest log: state existing, fence lifted", "configure", _first),
    ("start it", "start", _first),
    ("wait until it has a leader: nobody with a lower log can be elected", "wait for a leader", None),
    ("configure the rest", "configure", _rest),
    ("start the rest", "start", _rest),
    ("prove", "prove", None),
    ("save a snapshot of what was proven", "save snapshot", None),
    ("bring the rest back", "start services", _hosts),
    ("wait until the snapshot is whole", "finish snapshot", None),
    ("unlock", "unlock", _all),
]

REBUILD: Outline = [
    ("lock every member", "lock", _all),
    ("stop what writes to etcd", "stop services", _hosts),
    ("fence etcd, so that nothing can start it, and stop what runs", "fence", _all),
    ("bring etcd's programs where they are missing", "bring tools", bring),
    ("look again: read every disk in full, decide again", "look again", None),
    ("build the source and open it in a throwaway etcd", "build source", _source_host),
    ("restore it there beside the old data; elsewhere make the members' own logs", "restore beside", _starting),
    ("ship the restored db to every member at once, the same bytes", "ship", _together),
    ("preflight", "preflight", _starting),
    ("the operator's word", "the operator's word", None),
    ("set the old data aside", "set aside", _starting),
    ("move the restored data in", "move in", _starting),
    ("configure: new token, state existing, fence lifted", "configure", _starting),
    ("start", "start", _starting),
    ("prove", "prove", None),
    ("save a snapshot of what was proven", "save snapshot", None),
    ("bring the rest back", "start services", _hosts),
    ("wait until the snapshot is whole", "finish snapshot", None),
    ("unlock", "unlock", _all),
]
