"""Settings that do harm at the next start: what the operator must know of them, and when nothing may begin while they stand.

Some do harm whatever the disks hold (:class:`~requorum.deployments.config.Hazard`, found with the configuration); others only
with this program, this db, or on a disk that is empty while others are not. Pure.
"""

from collections.abc import Sequence
from urllib.parse import urlsplit

from requorum.etcd.versions import minor_of
from requorum.survey.evidence import (
    DbEvidence,
    LogEvidence,
    MemberConfig,
    MemberEvidence,
    Place,
    Setting,
    Survey,
    Unknown,
)
from requorum.verdict.values import Finding
from requorum.verdict.versions import program_of

KNOWN_MINORS = ("3.4", "3.5", "3.6", "3.7")
"""The versions of etcd whose flags are known."""
NEAR = 0.95
"""So full of its quota a db is told to be nearly full."""
_MIB = 1 << 20


def findings(survey: Survey) -> list[Finding]:
    """What the settings of every member would do at its next start."""
    found: list[Finding] = []
    for member in survey.members:
        config = member.config
        if not isinstance(config, MemberConfig):
            continue
        for one in config.hazards:
            text = f"{one.where}: {one.setting}: {one.effect}; {one.remedy}"
            found.append(Finding(level=one.level, subject=member.name, text=text))
        found += [*_unknown(member, config, survey), *_quota(member, config), *_impostor(member, config, survey)]
        if member.unresolved:
            text = f"from {member.host}, names of its configuration do not resolve: {', '.join(member.unresolved)}"
            needed = set(member.unresolved) & reached_at(survey)
            found.append(Finding(level="danger" if needed else "info", subject=member.name, text=text))
    return found


def reached_at(survey: Survey) -> set[str]:
    """The hosts that members are reached at: a name in a configuration that is nobody's any more hinders nothing."""
    urls = [
        url
        for one in survey.members
        if isinstance(one.config, MemberConfig)
        for url in (*one.config.peer_urls, one.config.endpoint)
    ]
    return {urlsplit(url).hostname or "" for url in urls}


def refusal(survey: Survey, members: Sequence[MemberEvidence]) -> tuple[str, str]:
    """Why none of these members may be started by a recovery, and what to change; empty where they may."""
    for member in members:
        config = member.config
        if not isinstance(config, MemberConfig):
            continue
        for one in config.hazards:
            if one.refuses:
                hint = f"{one.remedy} ({one.where}), on {member.host}, then type the command again"
                return f"{member.name}: {one.where} has {one.setting}: {one.effect}", hint
        version = program_of(member, survey)
        for setting in _not_defined(config, version):
            if setting.known_in:
                text = (
                    f"{member.name}: etcd {version} does not start with {setting.spelled} ({setting.where}), which it does "
                    f"not know ({_known_to(setting.known_in)})"
                )
                hint = f"take it out there, or bring a version that knows it, on {member.host}, then type the command again"
                return text, hint
    return "", ""


def _not_defined(config: MemberConfig, version: str) -> list[Setting]:
    """The flags and feature gates that a version does not know: it refuses to start with one."""
    minor = minor_of(version)
    if minor not in KNOWN_MINORS:
        return []
    gates = minor not in ("3.4", "3.5")  # before that, the setting itself is unknown
    return [
        one
        for one in config.settings
        if minor not in one.known_in and (one.by == "flag" or (one.by == "gate" and gates))
    ]


def _known_to(minors: Sequence[str]) -> str:
    return (
        f"etcd {', '.join(minors)} {'does' if len(minors) == 1 else 'do'}" if minors else "no version known here does"
    )


def _unknown(member: MemberEvidence, config: MemberConfig, survey: Survey) -> list[Finding]:
    version = program_of(member, survey)
    minor = minor_of(version)
    found = [
        Finding(
            level="danger",
            subject=member.name,
            text=f"{one.where}: etcd {version} does not know {one.spelled} and does not start with it "
            f"({_known_to(one.known_in)})",
        )
        for one in _not_defined(config, version)
    ]
    passed_over = [
        f"{one.spelled.partition('=')[0].rstrip(':')} ({one.where})"
        for one in config.settings
        if one.by in ("variable", "key") and one.known_in and minor in KNOWN_MINORS and minor not in one.known_in
    ]
    if passed_over:
        text = f"etcd {version} passes over settings that it does not know: {', '.join(passed_over)}"
        found.append(Finding(level="info", subject=member.name, text=text))
    return found


def _quota(member: MemberEvidence, config: MemberConfig) -> list[Finding]:
    """A db that is over its quota: etcd raises NOSPACE at the first write, and takes none any more."""
    if not isinstance(member.db, DbEvidence) or config.quota <= 0 or member.db.total_size < config.quota * NEAR:
        return []
    places = [f"{one.where}: {one.spelled.rstrip(':')}" for one in config.settings if one.name == "quota-backend-bytes"]
    named = places[-1] if places else "no quota-backend-bytes is set, so etcd's default holds"
    sizes = f"its db has {member.db.total_size // _MIB} MiB, the quota is {config.quota // _MIB} MiB"
    if member.db.total_size >= config.quota:
        text = f"{named}: {sizes}: etcd raises NOSPACE at the first write and then takes none; raise the quota, or defragment"
        return [Finding(level="danger", subject=member.name, text=text)]
    return [Finding(level="warning", subject=member.name, text=f"{named}: {sizes}: nearly full")]


def _impostor(member: MemberEvidence, config: MemberConfig, survey: Survey) -> list[Finding]:
    """An empty dir beside others' data, and a configuration that says "new": what starts there begins a cluster."""
    empty = isinstance(member.db, Unknown) and isinstance(member.log, Unknown)
    empty = empty and isinstance(member.place, Place) and member.place.used == 0 and member.reachable
    others = [one.name for one in survey.members if isinstance(one.db, DbEvidence) or isinstance(one.log, LogEvidence)]
    if not empty or not others or config.state != "new":
        return []
    alone = len([one for one in config.initial_cluster.split(",") if one.strip()]) < 2
    places = [one.where for one in config.settings if one.name == "initial-cluster-state"]
    where = f"{places[-1]}: initial-cluster-state=new" if places else "initial-cluster-state is new, etcd's default,"
    text = (
        f"{where} over an empty {config.data_dir}, while {', '.join(others)} hold data: an etcd that is started there founds "
        f"a new cluster" + (" of its own" if alone else " together with any other member whose dir is empty")
    )
    return [Finding(level="danger" if alone else "warning", subject=member.name, text=text)]
