"""Which version of etcd may start on data of which."""

import re
from collections.abc import Sequence

from requorum.etcd.versions import minor_of
from requorum.survey.evidence import (
    Binaries,
    DbEvidence,
    MemberEvidence,
    Survey,
    Unknown,
)
from requorum.verdict.values import Finding

_DIGITS = re.compile("[0-9]{1,9}")


def program_of(member: MemberEvidence, survey: Survey) -> str:
    """The version of etcd that would start on a member's disk; empty where nothing tells."""
    if not isinstance(member.deployment, Unknown) and member.deployment.version:
        return member.deployment.version
    return member.tools.version if isinstance(member.tools, Binaries) else survey.etcd_version


def data_minor(members: Sequence[MemberEvidence]) -> str:
    """The minor version that the members had agreed on, the highest that any db has: it goes up only; empty where they had
    not yet. 3.0 is what etcd writes until then (MinClusterVersion), for some seconds after the first start, and no version
    that anybody runs."""
    said = [minor_of(one.db.cluster_version) for one in members if isinstance(one.db, DbEvidence)]
    return max(
        (one for one in said if one != "3.0" and _number(one)), key=lambda one: _number(one) or (0, 0), default=""
    )


def _number(minor: str) -> tuple[int, int] | None:
    """``(3, 5)`` of ``3.5``; None for what is no version: a db has no checksums."""
    major, _, rest = minor.partition(".")
    return (int(major), int(rest)) if _DIGITS.fullmatch(major) and _DIGITS.fullmatch(rest) else None


def _steps(data: str, version: str) -> int:
    """How many minor versions a program is ahead of the data; 0 where either is not known."""
    ours, theirs = _number(data), _number(minor_of(version))
    if ours is None or theirs is None:
        return 0
    (major, minor), (other_major, other) = ours, theirs
    return other - minor if major == other_major else 100


def upgrades(survey: Survey, members: Sequence[MemberEvidence]) -> list[Finding]:
    """Members on whose disk a program of the next minor version would start: etcd's own way up, and what it means."""
    data = data_minor(members)
    found = []
    for one in members:
        version = program_of(one, survey)
        if _steps(data, version) == 1 and not isinstance(one.deployment, Unknown):
            text = (
                f"etcd {version} would start on data of {data}: that is etcd's own upgrade, and once all members have made "
                f"it, {data} cannot open the data any more"
            )
            if data == "3.5":
                text += (
                    "; 3.6 does not start on data that is still in the v2 store, and members that were removed under 3.5 "
                    "before 3.5.26 may come back (etcd#20967)"
                )
            found.append(Finding(level="warning", subject=one.name, text=text))
    return found


def refusal(survey: Survey, members: Sequence[MemberEvidence], *, as_is: bool) -> tuple[str, str]:
    """Why the programs at hand must not touch this data, and which to bring where; empty where they may.

    A start ``as_is`` by the next minor version is etcd's own upgrade; a rebuild is never one, and nothing goes back or over
    two versions at once.
    """
    data = data_minor(members)
    allowed = (0, 1) if as_is else (0,)
    wrong = [one for one in members if _steps(data, program_of(one, survey)) not in allowed]
    if not wrong:
        return "", ""
    written = [f"{one.name} ({one.db.cluster_version})" for one in members if isinstance(one.db, DbEvidence)]
    programs = ", ".join(f"{one.name} {program_of(one, survey)}" for one in members)
    text = (
        f"the data is of etcd {data} ({', '.join(written)}), but the programs at hand are of another minor version "
        f"({programs}); never recover with another minor version than the one that wrote the data"
    )
    return text, _bring(data, wrong)


def _bring(data: str, members: Sequence[MemberEvidence]) -> str:
    """What to put where, so that members run with programs of a version."""
    own = {
        one.name: "" if isinstance(one.deployment, Unknown) else one.deployment.upgrade(data, one.host)
        for one in members
    }
    words = []
    if plain := [name for name, how in own.items() if not how]:
        words.append(f"--etcd-dir DIR with etcd, etcdctl and etcdutl of {data} for {', '.join(plain)}")
    words += [how for how in own.values() if how]
    return "; ".join(words) + "; then type the command again"
