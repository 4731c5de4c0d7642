"""What to do about a member that does not serve while others do. Pure.

"Replace it" is right for most; it is the step that loses everything where the stopped disk is the last that holds what was
acknowledged, or where those that serve are not what they seem.
"""

from requorum.procedures import ahead
from requorum.survey.evidence import LiveEvidence, LogEvidence, MemberEvidence, Survey
from requorum.verdict import values
from requorum.verdict.values import Finding, Verdict


def about_quorum(survey: Survey, verdict: Verdict, fault: str) -> tuple[Finding, ...]:
    """Whether quorum holds, and what to do about each member that does not serve; ``fault`` is what sets those apart that
    do."""
    serving = [one for one in survey.members if isinstance(one.live, LiveEvidence) and one.live.leader]
    missing = [one for one in survey.members if one not in serving]
    out: list[Finding] = []
    if verdict.kind == values.REPLACE_MEMBERS:
        out.append(Finding(level="danger", subject="cluster", text=_summary(survey, verdict, serving, missing, fault)))
    elif verdict.kind != values.HEALTHY:
        lives = f" ({', '.join(one.name for one in serving)} answers with a leader)" if serving else ""
        lost = "" if serving and verdict.rule != "F" else "quorum is lost: "
        out.append(Finding(level="danger", subject="cluster", text=f"{lost}{verdict.summary}{lives}"))
    for one in missing:
        if why := ahead.why(survey, one) or of_another_cluster(survey, one):
            out.append(Finding(level="danger", subject=one.name, text=why))
    newest = max((one.live.revision for one in serving if isinstance(one.live, LiveEvidence)), default=0)
    if serving and newest < survey.seen_revision:
        text = (
            f"revision {survey.seen_revision} was served once, and the cluster is at revision {newest}: it lacks what came "
            f"in between; keep every disk as it is"
        )
        out.append(Finding(level="danger", subject="cluster", text=text))
    return tuple(out)


def _summary(
    survey: Survey, verdict: Verdict, serving: list[MemberEvidence], missing: list[MemberEvidence], fault: str
) -> str:
    """The verdict's own words, unless they say to replace a member that must be kept as it is."""
    kept = [one.name for one in missing if ahead.why(survey, one) or of_another_cluster(survey, one)]
    if not fault and not kept:
        return verdict.summary
    names = ", ".join(one.name for one in missing)
    first = f"{len(serving)} members serve and have a leader, {names or 'none'} does not"
    return f"{first}; " + (
        "those that serve differ" if fault else f"what {', '.join(kept)} holds must be looked at first"
    )


def of_another_cluster(survey: Survey, member: MemberEvidence) -> str:
    """What to ask where a cluster of one serves beside a disk that is of another cluster, with more voters; else empty.

    It may have been rebuilt on one node on purpose, or founded or restored beside the others by mistake: nobody but the
    operator knows which.
    """
    serving = [one.live for one in survey.members if isinstance(one.live, LiveEvidence) and one.live.leader]
    log = member.log if isinstance(member.log, LogEvidence) else None
    if (
        log is None
        or not log.voter_sets
        or not log.cluster_id
        or any(one.cluster_id == log.cluster_id for one in serving)
    ):
        return ""
    voters = log.voter_sets[-1].voters
    if len(voters) < 2 or any(len(one.members) != 1 for one in serving) or not serving:
        return ""
    return (
        f"its disk is of a cluster of {len(voters)} voters (id {log.cluster_id:x}), and what serves is another cluster, with "
        f"one member (id {serving[0].cluster_id:x}): was that rebuilt on purpose (then the others "
        f"join it anew, one by one), or founded or restored beside them? Compare the data dirs first: requorum survey "
        f"DATA-DIR…; keep every disk until you know"
    )
