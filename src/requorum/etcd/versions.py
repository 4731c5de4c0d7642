"""etcd's versions in one table: what each can do, and which are known to damage data.

Sources: etcd#13766 with its post-mortem #13967, #14370, #14730, #17780, and etcd's announcements of the versions in which a
fault was mended (kubernetes/kubernetes#114064 quotes the one of November 2022).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Tuple

Version = Tuple[int, ...]

NO_RESTORE_IN_CTL = (3, 6)
"""From this version on etcdctl has no ``snapshot restore`` any more."""

_BUMP_SINCE: dict[Version, Version] = {(3, 4): (3, 4, 27), (3, 5): (3, 5, 10), (3, 6): (3, 6, 0)}
"""By minor version, the first one whose restore knows ``--bump-revision``; later minor versions do."""


@dataclass(frozen=True)
class Fault:
    """What may happen, and the first and the last version of each minor line in which it does."""

    what: str
    versions: tuple[tuple[Version, Version], ...]


FAULTS: tuple[Fault, ...] = (
    Fault(
        "after a crash its members may hold different data (etcd#13766)",
        (((3, 5, 0), (3, 5, 2)),),
    ),
    Fault(
        "a cluster of one may acknowledge what it has not written (etcd#14370)",
        (((3, 4, 0), (3, 4, 20)), ((3, 5, 0), (3, 5, 4))),
    ),
    Fault(
        "a crash during a defragmentation may leave its members with different data (etcd#14730)",
        (((3, 5, 0), (3, 5, 5)),),
    ),
    Fault(
        "with users and roles, a member that is added may come to differ from the others",
        (((3, 4, 20), (3, 4, 21)), ((3, 5, 5), (3, 5, 5))),
    ),
    Fault(
        "a crash during a compaction may set the revision back (etcd#17780)",
        (((3, 4, 0), (3, 4, 31)), ((3, 5, 0), (3, 5, 13))),
    ),
    Fault(
        "a defragmentation while a snapshot arrives may corrupt the db",
        (((3, 4, 0), (3, 4, 37)), ((3, 5, 0), (3, 5, 22)), ((3, 6, 0), (3, 6, 4))),
    ),
)
"""The worst first."""


def numbers(version: str) -> Version:
    """A version, to compare; raises ValueError for what is none."""
    return tuple(int(part) for part in version.split("."))


def minor_of(version: str) -> str:
    """``3.5`` of ``3.5.30``."""
    return ".".join(version.split(".")[:2])


def can_bump(version: str) -> bool:
    """Whether a version's restore knows --bump-revision (3.4.27, 3.5.10, 3.6.0)."""
    known = numbers(version) if version else ()
    return known >= _BUMP_SINCE.get(known[:2], max(_BUMP_SINCE.values()))


def known_faults(version: str) -> tuple[str, ...]:
    """What is known to be wrong with a version, the worst first; empty for one that is not understood."""
    try:
        known = numbers(version)
    except ValueError:
        return ()
    return tuple(fault.what for fault in FAULTS if any(first <= known <= last for first, last in fault.versions))


def mended_in(version: str) -> str:
    """The first version of its minor line that has none of the faults of :data:`FAULTS`; empty where it has none itself."""
    known = numbers(version)
    lasts = [last for fault in FAULTS for first, last in fault.versions if first[:2] == known[:2] and known <= last]
    return ".".join(str(part) for part in (*known[:2], max(last[2] for last in lasts) + 1)) if lasts else ""
