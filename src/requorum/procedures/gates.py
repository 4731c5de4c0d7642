"""What must hold before a recovery is planned: each gate refuses with what it saw, and with what helps."""

from collections.abc import Sequence

from requorum.errors import NoSource, Refused, Unreachable, UsageError
from requorum.procedures import ahead
from requorum.survey.evidence import LiveEvidence, MemberEvidence, Survey, Unknown
from requorum.verdict import around, hazards, values
from requorum.verdict.findings import certificate_faults, not_seen
from requorum.verdict.values import Source, Verdict
from requorum.verdict.words import loss_text

_INSIDE = "what lies in a data dir is set aside by rename: move the mount out of there, then plan again"


def pass_all(survey: Survey, verdict: Verdict, powered_off: Sequence[str], source_id: str = "") -> None:
    """Raises Refused at the first gate that a recovery may not pass.

    A source that the operator names decides what the disks leave undecided; it opens no other gate.
    """
    if verdict.refusal:
        raise Refused(verdict.refusal, hint=verdict.refusal_hint)
    if source_id and verdict.rebuild_refusal:
        raise Refused(verdict.rebuild_refusal, hint=verdict.rebuild_hint)
    _gate_living(survey, verdict)
    if verdict.kind == values.UNDECIDED and not source_id:
        raise Refused(verdict.summary, hint=how_to_decide(verdict))
    why, hint = around.v2_refusal(survey)
    if why and verdict.kind == values.REBUILD and not source_id:
        raise Refused(why, hint=hint)
    if not survey.members:
        raise UsageError("no member is named: there is nobody to recover", hint="name the members in the inventory")
    _gate_configured(survey)
    _gate_unsurveyed(verdict, powered_off)


def how_to_decide(verdict: Verdict) -> str:
    """What to type where the disks do not tell which of them is right."""
    if not verdict.sources:
        return "a snapshot can be given: --snapshot FILE --source 'snapshot FILE'; what the disks hold beyond it is given up then"
    known = "; ".join(
        f"{one.id} ({'' if one.revision_exact else 'at most '}revision {one.revision})" for one in verdict.sources
    )
    return (
        f"only you can tell which is right: --source ID (known: {known}), or --snapshot FILE --source 'snapshot FILE'; "
        f"what only the others hold is given up then"
    )


def living(survey: Survey) -> tuple[str, ...]:
    """The members that answer with a leader: they serve, whatever the disks say of their quorum."""
    return tuple(one.name for one in survey.members if isinstance(one.live, LiveEvidence) and one.live.leader)


def fence_first(verdict: Verdict) -> str:
    """What the operator types who gives up what lives: it is not for a recovery to decide."""
    return (
        f"if what it serves is to be given up all the same: requorum fence stops it (on no terminal: --yes --confirm "
        f"{verdict.cluster}), then plan again"
    )


def _gate_living(survey: Survey, verdict: Verdict) -> None:
    """Nothing that lives is stopped by a recovery: that takes a word of its own (``requorum fence``)."""
    alive = living(survey)
    kept = [why for one in survey.members if (why := ahead.why(survey, one))]
    if alive and kept:
        raise Refused(
            f"{', '.join(alive)} {'serves' if len(alive) == 1 else 'serve'}, but {'; '.join(kept)}",
            hint=f"you decide which side is right: nothing is replaced or restored before that; {fence_first(verdict)}: "
            f"every disk is read in full then",
        )
    if verdict.kind in (values.HEALTHY, values.REPLACE_MEMBERS):
        raise Refused(f"nothing to recover: {verdict.summary}", hint=_instead(survey, verdict))
    if alive:
        names = ", ".join(alive)
        raise Refused(
            f"{names} {'answers' if len(alive) == 1 else 'answer'} and {'has' if len(alive) == 1 else 'have'} a leader: "
            f"a recovery stops nothing that lives ({verdict.summary})",
            hint=f"look at what it serves: requorum check; {fence_first(verdict)}",
        )


def _instead(survey: Survey, verdict: Verdict) -> str:
    """What to type instead of a recovery, while quorum holds."""
    words = f"a restore would throw away what the live members hold; {fence_first(verdict)}"
    if verdict.kind != values.REPLACE_MEMBERS:
        return words
    ill = [
        one
        for one in survey.members
        if not (isinstance(one.live, LiveEvidence) and one.live.leader) and not not_seen(survey, one)
    ]
    if not ill:
        return words
    return f"{words}; type: " + "; ".join(f"requorum member replace {one.name}" for one in ill)


def one_disk_each(survey: Survey) -> None:
    """Raises Refused where two members' data dirs are one: a rebuild gives each a dir of its own."""
    seen: dict[str, MemberEvidence] = {}
    for one in survey.members:
        other = next((seen[file] for file in one.disk if file in seen), None)
        if other is not None:
            raise Refused(
                f"{other.name} and {one.name} have one data dir: {other.data_dir} and {one.data_dir} lead to the same files",
                hint="give one of them a data dir of its own in its configuration (an empty one will do), then plan again",
            )
        seen |= dict.fromkeys(one.disk, one)


def _gate_configured(survey: Survey) -> None:
    """Every member must be known well enough to be fenced and started, an empty one too."""
    silent = {one.name: one.unreachable for one in survey.hosts if one.unreachable}
    for member in survey.members:
        if not member.reachable:
            raise Refused(
                f"{member.host} cannot be reached, and {member.name} may be alive there: it could form a cluster of its "
                f"own ({silent.get(member.host) or 'no answer'})",
                hint=f"bring it back (--wait 10m waits for it), or, if it is certainly off: --powered-off {member.host}",
            )
        if isinstance(member.config, Unknown):
            raise Refused(
                f"{member.name}: {member.config.unknown}",
                hint="put its configuration right (its disk may be empty), or, where it is no member: requorum.yaml without it",
            )
        if isinstance(member.deployment, Unknown):
            raise Refused(f"{member.name}: {member.deployment.unknown}", hint="describe it in an inventory")
        if isinstance(member.place, Unknown):
            raise Refused(f"{member.name}: {member.place.unknown}", hint=_INSIDE)
        if own := [one for one in member.unresolved if one in hazards.reached_at(survey)]:
            raise Refused(
                f"{member.host}: {', '.join(own)} does not resolve there: the members could not find each other",
                hint="let the names resolve on the hosts first (/etc/hosts, or the name server): it changes no data",
            )
        for level, text in certificate_faults(member):
            if level == "danger":
                raise Refused(
                    f"{member.host}: {text}; etcd could not serve after a recovery",
                    hint="renew it, or put the clock right, first: it changes no data",
                )


def _gate_unsurveyed(verdict: Verdict, powered_off: Sequence[str]) -> None:
    """Members that were not surveyed and fenced could still form a quorum among themselves."""
    open_ = [name for name in verdict.unsurveyed if name not in powered_off]
    if open_:
        names = ", ".join(open_)
        raise Refused(
            f"{names} voted in this cluster and was not surveyed: it could be alive, and could form a cluster of its own",
            hint="add it to the inventory, or say --powered-off NAME for each member that is certainly off",
        )


def choose(survey: Survey, verdict: Verdict, source_id: str, powered_off: Sequence[str] = ()) -> Source:
    """The best source, or the one that was named; where there is none NoSource, or what kept it from being read."""
    if not verdict.sources:
        gate_no_source(survey, verdict, powered_off)
    if not source_id:
        return verdict.sources[0]
    for source in verdict.sources:
        if source_id == source.id:
            return source
    known = "; ".join(one.id for one in verdict.sources)
    raise UsageError(f"there is no source {source_id!r}", hint=f"known: {known}")


def gate_no_source(survey: Survey, verdict: Verdict, powered_off: Sequence[str] = ()) -> None:
    """Raises what fits where there is no source: NoSource only where everything was read."""
    refused = [one.text for one in verdict.findings if one.text.startswith("refused")]
    if refused:
        raise Refused(f"the snapshot is {refused[0]}", hint="give a snapshot of this cluster")
    off = [*powered_off, *(one.name for one in survey.members if not one.reachable)]
    if off:
        names = ", ".join(dict.fromkeys(off))
        raise Unreachable(
            f"nothing that was read can be rebuilt from, and the disks of {names} were not read",
            hint="bring one of these hosts back, even without its etcd, and plan again; or give a snapshot: --snapshot FILE",
            changed="nothing was changed",
        )
    unread = unread_parts(survey)
    if unread:
        raise Refused(
            f"nothing that could be read can be rebuilt from; not read was: {'; '.join(unread)}",
            hint="keep these disks as they are; make them readable (run as root, copy them off a failing disk) and plan "
            "again, or give a snapshot: --snapshot FILE",
            changed="nothing was changed",
        )
    bad = [f"{one.subject}: {one.text}" for one in verdict.findings if one.text.startswith("cannot be used")]
    raise NoSource("; ".join([verdict.summary, *bad]), hint="look for another snapshot: --snapshot FILE")


def unread_parts(survey: Survey) -> tuple[str, ...]:
    """What is on the disks and could not be read, or not in full: permissions, errors of the disk, damage. A file that was
    given as a snapshot and is none was read."""
    out = []
    for member in survey.members:
        for part, found in (("db", member.db), ("log", member.log)):
            if isinstance(found, Unknown):
                if not _is_absent(found.unknown):
                    out.append(f"{member.name}'s {part} ({found.unknown})")
            elif found.faults:
                out.append(f"{member.name}'s {part} ({found.faults[0].detail})")
    out += [
        f"{one.path} ({one.db.unknown})"
        for one in survey.snapshots
        if isinstance(one.db, Unknown) and any(word in one.db.unknown for word in _UNREADABLE)
    ]
    return tuple(out)


_UNREADABLE = ("Permission denied", "not permitted", "Input/output error", "cannot be read at byte", "be reached")
_ABSENT = ("No such file", "no such folder", "there is no", "no WAL file", "is empty", "no etcd data dir")


def _is_absent(why: str) -> bool:
    """Whether something was looked for and is not there: then it was read as far as it can be."""
    return any(word in why for word in _ABSENT)


def chosen_against(verdict: Verdict, source: Source) -> tuple[str, ...]:
    """What it means that the operator named a source: warnings, where it is not what the disks would have chosen."""
    out = []
    if verdict.kind == values.UNDECIDED:
        out.append(
            f"the disks do not tell which of them is right: you chose {source.id}, and what only the others hold is given "
            f"up ({verdict.summary})"
        )
    best = verdict.sources[0]
    if verdict.kind == values.START_AS_IS and verdict.start is not None:
        out.append(
            f"you chose to rebuild from {source.id}, which comes to revision {source.revision}: a start as is would keep "
            f"the cluster as it was, at revision {verdict.start.revision} or later"
        )
    elif best.id != source.id:
        out.append(
            f"you chose {source.id}, which comes to revision {source.revision}: {best.id} would come to revision "
            f"{best.revision} ({loss_text(best.loss)})"
        )
    return tuple(out)
