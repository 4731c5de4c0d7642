"""What there is to say of hosts and members whatever the verdict: damage, clocks, certificates, what runs. Pure."""

from requorum.etcd.versions import known_faults, mended_in
from requorum.survey.evidence import DbEvidence, Fault, MemberEvidence, Survey, Unknown
from requorum.verdict import around, hazards, versions
from requorum.verdict.membership import Electorate
from requorum.verdict.startasis import why_not
from requorum.verdict.values import Finding

EXPIRES_SOON_DAYS = 14
CLOCKS_APART_SECONDS = 2.0


def not_seen(survey: Survey, member: MemberEvidence) -> bool:
    """Whether a member's host could not be reached, or its files may not be read: that is no disk without data, and no
    member that is stopped."""
    hosts = {one.name for one in survey.hosts if one.unreachable}
    denied = isinstance(member.db, Unknown) and "ermission denied" in member.db.unknown
    return not member.reachable or member.host in hosts or denied


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


def member_findings(survey: Survey, cluster: Electorate) -> list[Finding]:
    out = [*_host_findings(survey), *around.findings(survey)]
    out += [*hazards.findings(survey), *versions.upgrades(survey, cluster.counted)]
    if faults := known_faults(survey.etcd_version):
        version = survey.etcd_version
        text = (
            f"etcd {version} is known to be bad: {'; '.join(faults)}. Upgrade to {mended_in(version)} or newer once the "
            f"cluster is back"
        )
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
