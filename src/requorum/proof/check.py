"""Could this cluster be recovered right now, and is it well? What a survey of a live cluster says, judged. Pure."""

from dataclasses import dataclass
from typing import Literal

from requorum.etcd import versions
from requorum.proof import advice
from requorum.proof.prove import Proof, Row
from requorum.survey.evidence import Binaries, LiveEvidence, MemberConfig, MemberEvidence, Place, Survey, Unknown
from requorum.verdict.values import Finding, Verdict

QUOTA_WARNING = 0.8
COPIES = 3
"""A recovery needs room for so many copies of the db: the bench's, the snapshot, the restored one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """What was found. ``state``: ok, warning or critical."""

    schema: Literal["requorum/Check/v1"] = "requorum/Check/v1"
    cluster: str
    state: Literal["ok", "warning", "critical"]
    summary: str
    rows: tuple[Row, ...]
    revision: int
    hash: str
    findings: tuple[Finding, ...]


def judge(survey: Survey, verdict: Verdict, proof: Proof | None, fault: str) -> Check:
    """``proof`` is the comparison of the members that serve, ``fault`` why there is none."""
    findings = [one for one in verdict.findings if "they may change while they are read" not in one.text]
    first = [Finding(level="danger", subject="cluster", text=fault)] if fault else []
    findings = [*first, *advice.about_quorum(survey, verdict, fault), *findings]
    for warning in proof.warnings if proof else ():
        findings.append(Finding(level="warning", subject="cluster", text=warning))
    for member in survey.members:
        findings += _member(member, survey)
    state: Literal["ok", "warning", "critical"] = "ok"
    if any(one.level == "warning" for one in findings):
        state = "warning"
    if any(one.level == "danger" for one in findings):
        state = "critical"
    worst = next((one for one in findings if one.level == ("danger" if state == "critical" else "warning")), None)
    summary = f"{worst.subject}: {worst.text}" if worst and state != "ok" else _well(survey, proof)
    return Check(
        cluster=verdict.cluster,
        state=state,
        summary=summary,
        rows=proof.rows if proof else (),
        revision=proof.revision if proof else 0,
        hash=proof.hash if proof else "",
        findings=tuple(findings),
    )


def _well(survey: Survey, proof: Proof | None) -> str:
    count = len(survey.members)
    what = f"{count} members serve one revision with one hash" if proof and count > 1 else "it serves"
    return f"{what}, and could be recovered"


def _member(member: MemberEvidence, survey: Survey) -> list[Finding]:
    out = []

    def say(text: str) -> None:
        out.append(Finding(level="warning", subject=member.name, text=text))

    config, place = member.config, member.place
    if isinstance(config, MemberConfig):
        if config.state == "new":
            say("initial-cluster-state is new: with a wiped data dir it would form an impostor cluster; set existing")
        db = getattr(member.db, "file_size", 0)
        if db > QUOTA_WARNING * config.quota:
            say(f"its db is {db >> 20} MiB of a quota of {config.quota >> 20} MiB: compact, defragment")
        if isinstance(place, Place) and place.free < COPIES * db:
            say(f"{place.free >> 20} MiB free beside the data: a recovery needs {COPIES * db >> 20} MiB")
    if isinstance(place, Unknown) and member.reachable:
        say(f"it could not be recovered as it lies: {place.unknown}")
    if isinstance(member.tools, Unknown) and member.reachable:
        say(f"etcd's programs would have to be brought along: {member.tools.unknown}")
    if isinstance(member.live, LiveEvidence):
        version = member.live.version
        if version != survey.etcd_version and (faults := versions.known_faults(version)):  # that one is told of all
            say(f"etcd {version}: {'; '.join(faults)}: upgrade to {versions.mended_in(version)} or newer")
        if member.live.learner:
            say("it is a learner still: promote it (etcdctl member promote)")
    if isinstance(member.tools, Binaries) and not member.tools.can_bump:
        say(f"etcdutl {member.tools.version} cannot raise the revision at a restore (--bump-revision needs 3.5.10)")
    return out
