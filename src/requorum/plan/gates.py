"""What must hold before a recovery is planned: each gate refuses with what it saw, and with what helps."""

from collections.abc import Sequence

from requorum.errors import NoSource, Refused, UsageError
from requorum.survey.evidence import LiveEvidence, Survey, Unknown
from requorum.verdict import values
from requorum.verdict.decide import certificate_faults
from requorum.verdict.values import Source, Verdict

_INSIDE = "what lies in a data dir is set aside by rename: move the mount out of there, then plan again"


def pass_all(survey: Survey, verdict: Verdict, powered_off: Sequence[str], source_id: str = "") -> None:
    """Raises Refused at the first gate that a recovery may not pass."""
    if verdict.refusal:
        raise Refused(verdict.refusal)
    if verdict.kind in (values.HEALTHY, values.REPLACE_MEMBERS):
        raise Refused(f"nothing to recover: {verdict.summary}", hint=_instead(survey, verdict))
    if verdict.tie and not source_id:
        known = "; ".join(one.id for one in verdict.sources)
        raise Refused(verdict.summary, hint=f"only you can tell which is right: --source ID ({known})")
    if verdict.kind == values.UNDECIDED and not verdict.tie:
        raise Refused(verdict.summary, hint="leave the disks that do not belong here out of the inventory")
    if not survey.members:
        raise UsageError("no member is named: there is nobody to recover", hint="name the members in the inventory")
    _gate_configured(survey)
    _gate_unsurveyed(verdict, powered_off)


def _instead(survey: Survey, verdict: Verdict) -> str:
    """What to type instead of a recovery, while quorum holds."""
    words = "a restore would throw away what the live members hold"
    if verdict.kind != values.REPLACE_MEMBERS:
        return words
    ill = [one.name for one in survey.members if not (isinstance(one.live, LiveEvidence) and one.live.leader)]
    return f"{words}; type: " + "; ".join(f"requorum member replace {name}" for name in ill)


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
                hint="put its configuration right (its disk may be empty), or take it out of the inventory",
            )
        if isinstance(member.deployment, Unknown):
            raise Refused(f"{member.name}: {member.deployment.unknown}", hint="describe it in an inventory")
        if isinstance(member.place, Unknown):
            raise Refused(f"{member.name}: {member.place.unknown}", hint=_INSIDE)
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


def choose(verdict: Verdict, source_id: str) -> Source:
    """The best source, or the one that was named; NoSource where there is none."""
    if not verdict.sources:
        refused = [one.text for one in verdict.findings if one.text.startswith("refused")]
        if refused:
            raise Refused(f"the snapshot is {refused[0]}", hint="give a snapshot of this cluster")
        bad = [f"{one.subject}: {one.text}" for one in verdict.findings if one.text.startswith("cannot be used")]
        raise NoSource("; ".join([verdict.summary, *bad]), hint="look for another snapshot: --snapshot FILE")
    if not source_id:
        return verdict.sources[0]
    for source in verdict.sources:
        if source_id == source.id:
            return source
    known = "; ".join(one.id for one in verdict.sources)
    raise UsageError(f"there is no source {source_id!r}", hint=f"known: {known}")
