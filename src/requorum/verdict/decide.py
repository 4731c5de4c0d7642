"""From a survey to a verdict."""

from requorum.survey.evidence import (
    DbEvidence,
    Fault,
    LiveEvidence,
    MemberEvidence,
    Survey,
    Unknown,
)
from requorum.verdict import values
from requorum.verdict.basis import basis
from requorum.verdict.membership import Electorate, electorate, majority
from requorum.verdict.newest import newest_of
from requorum.verdict.sources import counting, ranked
from requorum.verdict.startasis import start_as_is, why_not
from requorum.verdict.values import Basis, Finding, Loss, Source, StartAsIs, Verdict
from requorum.verdict.versions import known_faults

EXPIRES_SOON_DAYS = 14
CLOCKS_APART_SECONDS = 2.0


def decide(survey: Survey) -> Verdict:
    """The verdict on a survey. Pure: the same survey gives the same verdict."""
    cluster = electorate(survey)
    together = counting(survey, cluster)
    newest = newest_of(cluster, together)
    sources, about_snapshots = ranked(survey, cluster, together, newest)
    found = basis(newest, cluster)
    findings = [*cluster.findings, *about_snapshots, *_member_findings(survey, cluster)]

    def verdict(kind: str, summary: str, proof: tuple[str, ...] = (), start: StartAsIs | None = None) -> Verdict:
        return Verdict(
            kind=kind,  # type: ignore[arg-type]
            cluster=cluster_name(survey.cluster, cluster.cluster_id),
            cluster_id=cluster.cluster_id,
            probable=not survey.verified,
            summary=summary,
            proof=proof,
            findings=tuple(findings),
            start=start,
            sources=sources,
            unsurveyed=cluster.unsurveyed,
            refusal=_refusal(survey, cluster),
            basis=found,
            differences=cluster.differences,
            tie=cluster.tie,
        )

    if cluster.ambiguous:
        return verdict(values.UNDECIDED, cluster.ambiguous)
    alive = _alive(survey, cluster)
    if alive:
        return verdict(*alive)
    start, why_not_start = start_as_is(survey, cluster)
    if start is not None:
        return verdict(values.START_AS_IS, _start_summary(start), (*_read_proof(found), *_start_proof(start)), start)
    if not sources:
        return verdict(values.NOTHING, "no disk and no snapshot holds anything that can be used")
    best = sources[0]
    return verdict(
        values.REBUILD,
        f"rebuild from {best.id}: {loss_text(best.loss)}",
        (f"not started as is: {why_not_start}", *_read_proof(found), *_source_proof(best)),
    )


def cluster_name(name: str, cluster_id: int) -> str:
    """The name that an operator types to confirm: the inventory's, and the first 8 digits of the cluster id."""
    digits = f"{cluster_id:016x}"[:8] if cluster_id else "00000000"
    return f"{name}-{digits}" if name else digits


def loss_text(loss: Loss) -> str:
    """A loss in words."""
    if not loss.known:
        return f"loss cannot be known, because {loss.why[0]}" if loss.why else "loss cannot be known"
    if loss.at_most == 0:
        words = "no write lost" if not loss.unproven else "no write lost that the disks still show"
    elif loss.exact:
        words = f"{loss.at_most} write{'s' if loss.at_most > 1 else ''} lost"
    else:
        words = f"at most {loss.at_most} write{'s' if loss.at_most > 1 else ''} lost"
    return words + (" (unproven)" if loss.unproven else "")


def _alive(survey: Survey, cluster: Electorate) -> tuple[str, str] | None:
    """Rule 1: a quorum lives."""
    led = [
        member
        for member in cluster.counted
        if isinstance(member.live, LiveEvidence)
        and member.live.leader
        and cluster.cluster_id in (0, member.live.cluster_id)
    ]
    if not led:
        return None
    voters = len(cluster.voters) or len(survey.members)
    if len(led) < majority(voters):
        return None
    missing = [member.name for member in survey.members if member not in led]
    if missing:
        return values.REPLACE_MEMBERS, (
            f"{len(led)} of {voters} members serve and have a leader; replace {', '.join(missing)} (never restore one)"
        )
    return values.HEALTHY, f"all {len(led)} members serve and have a leader"


def _refusal(survey: Survey, cluster: Electorate) -> str:
    """Why nothing may be rebuilt or started by requorum, whatever the sources."""
    with_users = [one.name for one in cluster.counted if isinstance(one.db, DbEvidence) and one.db.auth_enabled]
    if with_users:
        return (
            f"users and roles are in force in this etcd ({', '.join(with_users)}): requorum cannot prove a recovery "
            f"without a root password, and does not ask for one"
        )
    old = [
        f"{one.name} ({one.db.cluster_version})"
        for one in cluster.counted
        if isinstance(one.db, DbEvidence) and survey.etcd_version and _minor(one.db) not in ("", _minor_of(survey))
    ]
    if old:
        return (
            f"etcd {survey.etcd_version} is at hand, but the data is of another minor version: {', '.join(old)}; never "
            f"recover with another minor version than the one that wrote the data"
        )
    return ""


def _minor(db: DbEvidence) -> str:
    """The minor version that the members had agreed on; empty where they had not yet. 3.0 is what etcd writes until then
    (MinClusterVersion), for some seconds after the first start, and no version that anybody runs."""
    if db.cluster_version.startswith("3.0."):
        return ""
    return ".".join(db.cluster_version.split(".")[:2])


def _minor_of(survey: Survey) -> str:
    return ".".join(survey.etcd_version.split(".")[:2])


def certificate_faults(member: MemberEvidence) -> tuple[tuple[str, str], ...]:
    """What is wrong with a member's certificates by its host's clock: (level, what)."""
    out = []
    for one in member.certificates:
        name = one.path.rsplit("/", 1)[-1]
        days = (one.not_after - member.clock) / 86400
        if one.fault:
            out.append(("danger", f"certificate {one.path}: {one.fault}"))
        elif days < 0:
            out.append(("danger", f"certificate {name} expired {-days:.1f} days ago: members and clients refuse it"))
        elif one.not_before > member.clock:
            hours = (one.not_before - member.clock) / 3600
            out.append(("danger", f"certificate {name} is valid in {hours:.1f} hours only: is the clock right?"))
        elif days < EXPIRES_SOON_DAYS:
            out.append(("warning", f"certificate {name} expires in {days:.0f} days"))
    return tuple(out)


def _host_findings(survey: Survey) -> list[Finding]:
    """Hosts that cannot be reached, and clocks that are apart."""
    out = [
        Finding(level="warning", subject=one.name, text=f"cannot be reached: {one.unreachable}")
        for one in survey.hosts
        if one.unreachable
    ]
    out += [
        Finding(level="warning", subject=one.name, text=f"what runs there could not be told: {one.fault}")
        for one in survey.hosts
        if one.fault
    ]
    out += [
        Finding(level="info", subject=one.name, text="no Python there: its db is not read in depth, its log is fetched")
        for one in survey.hosts
        if not one.python
    ]
    seen = [one for one in survey.hosts if not one.unreachable]
    if seen:
        ahead = max(seen, key=lambda one: one.clock_ahead)
        behind = min(seen, key=lambda one: one.clock_ahead)
        apart = ahead.clock_ahead - behind.clock_ahead
        if apart > CLOCKS_APART_SECONDS:
            text = f"its clock is {apart:.0f} s ahead of {behind.name}'s: leases and certificates depend on it"
            out.append(Finding(level="warning", subject=ahead.name, text=text))
    return out


def _member_findings(survey: Survey, cluster: Electorate) -> list[Finding]:
    out = _host_findings(survey)
    if faults := known_faults(survey.etcd_version):
        text = f"etcd {survey.etcd_version} is known to be bad: {'; '.join(faults)}. Upgrade once the cluster is back"
        out.append(Finding(level="warning", subject="cluster", text=text))
    for member in survey.members:
        out += [
            Finding(level="danger" if level == "danger" else "warning", subject=member.name, text=text)
            for level, text in certificate_faults(member)
        ]
        if member.hindrance:
            out.append(Finding(level="warning", subject=member.name, text=f"does not run: {member.hindrance}"))
        out += _faults(member)
        if member in cluster.counted and not isinstance(member.log, Unknown) and not isinstance(member.db, Unknown):
            reason = why_not(member)
            swallow = "swallow" in reason
            if reason and not (member.log.faults and "is damaged at byte" in reason):
                text = f"must not start as it is: {reason}"
                out.append(Finding(level="danger" if swallow else "warning", subject=member.name, text=text))
        if isinstance(member.live, Unknown) and not isinstance(member.process, Unknown) and member.process.running:
            pids = ", ".join(str(pid) if pid else "another container's" for pid in member.process.pids)
            ports = ", ".join(str(port) for port in member.process.ports)
            text = f"a live process holds these files (pid {pids}" + (f", ports {ports})" if ports else ")")
            out.append(
                Finding(level="warning", subject=member.name, text=f"{text}; they may change while they are read")
            )
    alarms = sorted({alarm for one in survey.members if isinstance(one.db, DbEvidence) for alarm in one.db.alarms})
    out += [Finding(level="warning", subject="cluster", text=f"alarm raised: {alarm}") for alarm in alarms]
    return out


def _faults(member: MemberEvidence) -> list[Finding]:
    out: list[Finding] = []
    failing: list[Fault] = []
    for part, what in (("log", member.log), ("db", member.db)):
        if isinstance(what, Unknown):
            if what.unknown and not (part == "log" and isinstance(member.db, Unknown)):
                out.append(Finding(level="warning", subject=member.name, text=f"no {part}: {what.unknown}"))
            continue
        for fault in what.faults[:3]:
            name = fault.path.rsplit("/", 1)[-1]
            where = f", entry {fault.index}" if fault.index else ""
            text = f"{part} damaged: {name} at byte {fault.offset}{where}: {fault.detail}"
            out.append(Finding(level="warning", subject=member.name, text=text))
        if len(what.faults) > 3:
            text = f"{part}: {len(what.faults) - 3} more damaged places"
            out.append(Finding(level="warning", subject=member.name, text=text))
        failing += [fault for fault in what.faults if fault.kind == "unreadable"]
    if failing:
        text = "its disk gives errors (dmesg and SMART say more): do not trust it with data before you know why"
        out.append(Finding(level="danger", subject=member.name, text=text))
    return out


def _read_proof(found: Basis | None) -> tuple[str, ...]:
    """Which voters' logs were read to where, and what follows."""
    if found is None:
        return ()
    lines = []
    for one in found.witnesses:
        holes = sum(run.count for run in one.unreadable)
        how = "read to its end" if one.to_end else "not read to its end"
        how += f", {holes} {'entry' if holes == 1 else 'entries'} unreadable" if holes else ""
        if one.member != found.follows:
            how += f", the same as {found.follows}'s up to {one.agrees_to}" if one.agrees_to else ", shares no entry"
        lines.append(
            f"log of {one.member}: term {one.term}, index {one.index}, {how}"
            + ("" if one.votes else " (does not vote)")
        )
    if found.voters and found.read >= found.needed:
        lines.append(
            f"{found.read} of {found.voters} voters' logs were read to their end: any write that was acknowledged is in "
            f"at least one of them, and the highest log holds them all ({found.assumption})"
        )
    elif found.voters:
        lines.append(
            f"only {found.read} of {found.voters} voters' logs were read to their end, {found.needed} are needed for a "
            f"proof: what only the others held cannot be known"
        )
    if found.may_surface:
        lines.append(
            f"entry {found.committed} is known to be committed; of what lies behind it, at most {found.may_surface} "
            f"writes may never have been acknowledged, and come back all the same, as after any change of leader"
        )
    return tuple(lines)


def _start_summary(start: StartAsIs) -> str:
    left = f"; {', '.join(one.member for one in start.left_behind)} stays fenced" if start.left_behind else ""
    return f"no restore is needed: start {', '.join(start.members)}; no write lost{left}"


def _start_proof(start: StartAsIs) -> tuple[str, ...]:
    return (
        "the members to start are a majority of every voter set in force, and one of them holds the highest log",
        f"{', '.join(start.first)} start first: nobody with a lower log can be elected without the highest one's vote",
        f"revision after the start: at least {start.revision}",
    )


def _source_proof(source: Source) -> tuple[str, ...]:
    what = {
        values.OWN_LOG: f"replay entries {source.from_index + 1} to {source.to_index} of {source.member}'s log onto its db",
        values.MERGED_LOG: f"replay entries {source.from_index + 1} to {source.to_index} "
        + (f"onto {source.member}'s db" if source.db else "onto nothing: the log reaches back to its start"),
        values.BARE_DB: f"take {source.member}'s db as it is",
        values.SNAPSHOT: f"restore {source.db}",
    }[source.kind]
    how = "exactly" if source.revision_exact else "at most"
    lines = [f"{what}: {how} revision {source.revision}"]
    for piece in source.pieces:
        which = f"entry {piece.first}" if piece.first == piece.last else f"entries {piece.first} to {piece.last}"
        lines.append(f"  {which} from {piece.member}'s log: {piece.why}")
    if source.modified:
        lines.append(f"its db file was last changed {source.modified}; an etcd in a crash loop changes it too")
    lines += [f"loss: {loss_text(source.loss)}"] + [f"  {why}" for why in source.loss.why]
    if source.loss.unproven:
        lines.append(f"unproven: {source.loss.unproven}")
    return tuple(lines)
