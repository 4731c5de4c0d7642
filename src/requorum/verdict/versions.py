"""etcd versions that are known to damage data.

Sources: etcd#13766 with its post-mortem #13967, #14370, #17780, and etcd's announcements of the versions in which a fault
was mended. Each tuple below names the first such version of a minor line.
"""

_FAULTS: tuple[tuple[str, tuple[tuple[int, int, int], ...]], ...] = (
    (
        "after a crash its members may hold different data (etcd#13766)",
        ((3, 5, 3),),
    ),
    (
        "a cluster of one may acknowledge what it has not written (etcd#14370)",
        ((3, 4, 21), (3, 5, 5)),
    ),
    (
        "a crash during a defragmentation, or with users and roles, may leave members different",
        ((3, 4, 22), (3, 5, 6)),
    ),
    (
        "a crash during a compaction may set the revision back (etcd#17780)",
        ((3, 4, 32), (3, 5, 14)),
    ),
    (
        "a defragmentation while a snapshot arrives may corrupt the db",
        ((3, 4, 38), (3, 5, 23), (3, 6, 5)),
    ),
)


def known_faults(version: str) -> tuple[str, ...]:
    """What is known to be wrong with a version, the worst first; empty for one that is not understood."""
    try:
        major, minor, patch = (int(part) for part in version.split("."))
    except ValueError:
        return ()
    return tuple(
        what for what, mended in _FAULTS if any((major, minor) == first[:2] and patch < first[2] for first in mended)
    )
