"""What lies in, beside and around a member's data dir other than what etcd reads at its start. Frozen, serialisable.

Sizes are bytes; a revision or an index of 0 was not found.
"""

from __future__ import annotations

from dataclasses import dataclass

CUT_OFF_LOG = "cut-off log"
RECEIVED_DB = "received db"
DB = "db"
TEMPORARY = "temporary"
FOREIGN = "foreign"


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundFile:
    """One file. ``kind``: a "cut-off log" (``.wal.broken``: the file as it was before etcd repaired it by cutting), a
    "received db" (``INDEX.snap.db``: a whole one that a leader sent), a "db" (a saved snapshot or a copy, told by its content),
    "temporary" (etcd's, left half written), or "foreign" (not etcd's; a folder's path ends in a slash).

    ``inside``: it lies in the data dir, not beside it. ``ids`` and ``urls`` are the members that a db names; ``note`` says
    why it could not be read.
    """

    path: str
    kind: str
    inside: bool
    size: int = 0
    modified: str = ""
    revision: int = 0
    consistent_index: int = 0
    ids: tuple[int, ...] = ()
    urls: tuple[str, ...] = ()
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundFolder:
    """Another folder with the db or the log of a member. ``path`` is what requorum takes as DIR; ``named_in`` the file of
    configuration (often a backup of one) that names it."""

    path: str
    inside: bool = False
    named_in: str = ""
    modified: str = ""
    cluster_id: int = 0
    member_id: int = 0
    last_term: int = 0
    last_index: int = 0
    db: str = ""
    revision: int = 0
    consistent_index: int = 0
    ids: tuple[int, ...] = ()
    urls: tuple[str, ...] = ()
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundRun:
    """What a run of requorum's keeps beside a data dir. ``state`` is as ``requorum runs`` shows it; ``holds`` are the folders
    with this member's data that are not empty (``old``, ``old-wal``, ``copy``, …)."""

    run: str
    path: str
    cluster: str
    state: str
    holds: tuple[str, ...]

    @property
    def half_done(self) -> bool:
        """Whether it was neither finished nor taken back."""
        return self.state not in ("finished", "rolled back")


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldFile:
    """A file that a running etcd has open under no name in the data dir: ``path`` is where it was when it was ``deleted``,
    else where it is now."""

    pid: int
    fd: int
    path: str
    deleted: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Unread:
    """A file or folder that was not looked at, and why."""

    path: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """The last entry that a member's etcd knew to be committed, and the highest revision that it had, by what it wrote in its
    own log (``where``) since its last start, as member ``member_id``; 0 where it wrote of none. ``unread``: why that log, which
    is there, could not be read."""

    member_id: int = 0
    index: int = 0
    revision: int = 0
    where: str = ""
    unread: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Around:
    """All of that for one member. ``v2_keys`` counts the keys of the v2 API, which no db holds; ``v2_some`` names a few."""

    files: tuple[FoundFile, ...] = ()
    folders: tuple[FoundFolder, ...] = ()
    runs: tuple[FoundRun, ...] = ()
    held: tuple[HeldFile, ...] = ()
    v2_keys: int = 0
    v2_some: tuple[str, ...] = ()
    unread: tuple[Unread, ...] = ()
    written: Written = Written()
