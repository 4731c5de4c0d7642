"""What a survey found, as values only: frozen, versioned, serialisable.

Indexes and terms are raft's, revisions are etcd's main revisions, sizes are bytes, ids are numbers (printed in
hexadecimal). What is not known is :class:`Unknown` with the reason, never ``None``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from requorum.deployments.config import Deployment as Deployment
from requorum.deployments.config import MemberConfig as MemberConfig
from requorum.deployments.config import Setting as Setting
from requorum.etcd.binaries import Binaries as Binaries
from requorum.etcdfiles import wal
from requorum.hosts.address import HERE as HERE
from requorum.hosts.address import Address as Address
from requorum.inventory.values import ControlPod as ControlPod
from requorum.inventory.values import ProcessDeployment as ProcessDeployment
from requorum.inventory.values import StaticPodDeployment as StaticPodDeployment
from requorum.inventory.values import SystemdDeployment as SystemdDeployment
from requorum.survey.around_values import Around as Around

SCHEMA = "requorum/Survey/v1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Unknown:
    """A fact that could not be had, and why."""

    unknown: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One damaged place in a file; ``index`` is the raft index of a damaged log record, 0 when it is none."""

    path: str
    offset: int
    kind: str
    detail: str
    index: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """A member as a db records it."""

    id: int
    name: str
    peer_urls: tuple[str, ...]
    client_urls: tuple[str, ...] = ()
    learner: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """Indexes ``first`` to ``last``, both included."""

    first: int
    last: int

    @property
    def count(self) -> int:
        """How many there are."""
        return self.last - self.first + 1


@dataclass(frozen=True, slots=True, kw_only=True)
class TermRun:
    """Whole log entries ``first`` to ``last`` of one term."""

    first: int
    last: int
    term: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """What reading a db in full showed. ``hash`` and the counts are those of ``etcdutl snapshot status``."""

    hash: str
    revision: int
    total_keys: int
    live_keys: int
    total_size: int
    trailer: bool
    gaps: tuple[Run, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Footing:
    """How far a db's data goes by the log beside it (:mod:`requorum.etcdfiles.footing`), with the reason where that is not
    its own index. ``extra``: revisions that it holds on top of what the log wrote. ``altered``: most of it is the log's, and
    something in it is not (:mod:`requorum.etcdfiles.provenance`)."""

    kind: Literal["records", "start", "beyond", "moved", "unclear", "altered", "refuted"]
    index: int
    extra: int = 0
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class DbEvidence:
    """A db file, last written at ``modified`` by its host's clock.

    ``applied_index`` is the entry up to which its data goes: the consistent index, unless the records prove another
    (etcd 3.5.0-3.5.2 save the two apart, etcd#13766; a db has no checksums). ``footing`` is what ties it to the log.
    ``configuration``: the voters and learners of its confState, which a restore leaves stale. ``of_its_log``: every record of
    it is a write of the log beside it, or of another of its history (looked at where members differ, or nothing else speaks for
    it).
    """

    path: str
    modified: str = ""
    file_size: int
    total_size: int
    revision: int
    last_revision: int
    compact_revision: int
    consistent_index: int
    applied_index: int
    term: int
    peers: tuple[Peer, ...]
    removed: tuple[int, ...]
    cluster_version: str
    storage_version: str
    alarms: tuple[str, ...]
    auth_enabled: bool
    saved_snapshot: bool
    checked: Checked | Unknown
    faults: tuple[Fault, ...]
    footing: Footing | Unknown = Unknown(unknown="no log to compare it with")
    configuration: tuple[tuple[int, ...], tuple[int, ...]] = ((), ())
    of_its_log: bool = False

    @property
    def sound(self) -> bool:
        """Nothing wrong was found, in whatever was read of it."""
        return not self.faults and (isinstance(self.checked, Unknown) or not self.checked.gaps)


@dataclass(frozen=True, slots=True, kw_only=True)
class VoterSet:
    """Who votes from ``index`` on."""

    index: int
    voters: tuple[int, ...]
    learners: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CutOff:
    """What etcd's own repair cut off a log that has gone on differently since: entries ``fork`` to ``last`` in the copy at
    ``path``, some of them known to be committed, with at most so many ``writes``."""

    path: str
    fork: int
    last: int
    writes: int


MOST_COMPACTIONS = 64
"""So many of a log's last compactions are told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LogEvidence:
    """A member's WAL with its .snap files. ``wal_dir`` is the path of etcd's ``.wal.broken`` where that holds what etcd's own
    repair has cut off: the log is then told as it was before.

    ``runs`` are all whole entries that were read; ``reads_from`` is the index of the .snap that etcd would start from
    (0: from the beginning of the log), ``refusals`` why etcd would not start from there, and ``possible_writes`` the
    whole entries above ``classified_above`` that could each add a revision. ``peers`` are the members that entries of it
    added, with the URLs that they had then.

    ``blank``: it reaches back to its first entry, and none of its entries is a client's. ``founders`` are the members that
    its first entries name, ``born_term`` is the term in which it was begun (0 where that file is gone): 1 with a member that
    founded the cluster, later with one that joined. ``restored_at`` is the index of the snapshot that a restore wrote behind
    the members' entries; 0 where it begins at its first entry with an empty store, None where neither is seen.
    ``compactions`` are the revisions to which its entries above ``classified_above`` compact, the last
    :data:`MOST_COMPACTIONS`; ``shared_changes`` those of these entries that change what all dbs have in common (members,
    versions, users).
    """

    wal_dir: str
    cluster_id: int
    member_id: int
    runs: tuple[TermRun, ...]
    last_term: int
    last_index: int
    commit: int
    end: str
    reads_from: int
    refusals: tuple[str, ...]
    voter_sets: tuple[VoterSet, ...]
    possible_writes: tuple[Run, ...]
    unreadable: tuple[Run, ...]
    faults: tuple[Fault, ...]
    classified_above: int = 0
    peers: tuple[Peer, ...] = ()
    blank: bool = False
    founders: tuple[int, ...] = ()
    born_term: int = 0
    restored_at: int | None = None
    compactions: tuple[int, ...] = ()
    shared_changes: tuple[int, ...] = ()
    cut_off: CutOff | None = None

    @property
    def last(self) -> tuple[int, int]:
        """(term, index), the order in which raft compares logs."""
        return self.last_term, self.last_index

    @property
    def cut_by_etcd(self) -> bool:
        """Whether etcd has cut this log, and it is told as it was before."""
        return wal.is_broken_copy(self.wal_dir)

    @property
    def end_is_read(self) -> bool:
        """Whether the log was read to its end: no damage there but one torn last record with only zeroes behind."""
        return self.end in ("clean", "torn")


@dataclass(frozen=True, slots=True, kw_only=True)
class Tail:
    """The unbroken part of a log above the db's ``from_index``, and what a simulated replay comes to.

    ``revision`` is the store's after ``to_index``; ``writes`` the indexes that add a revision, exactly those when
    ``doubts`` is empty, at most those otherwise.
    """

    from_index: int
    to_index: int
    to_term: int
    revision: int
    writes: tuple[Run, ...]
    doubts: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stand:
    """What one member's data comes to."""

    member: str
    value: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """What the members' data comes to at one point of their common history: it must be the same for all.

    ``what``: "the records up to revision N" or "the revision after entry N".
    """

    what: str
    stands: tuple[Stand, ...]

    @property
    def of_records(self) -> bool:
        """Whether it compares records, not revisions."""
        return self.what.startswith("the records")

    @property
    def records_up_to(self) -> int:
        """The revision up to which records are compared; 0 where none are."""
        return int(self.what.rpartition(" ")[2]) if self.of_records else 0

    @property
    def agreed(self) -> bool:
        """Whether all have the same."""
        return len({one.value for one in self.stands}) == 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Fork:
    """Two histories under one cluster id: from entry ``index`` on the members of each group hold other bytes than those of
    the others, under the same index and term. ``index`` is the first such entry that is known."""

    index: int
    term: int
    groups: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """Entries ``first`` to ``last`` (both included) as they lie in one member's log.

    ``why`` says what proves that the log which is followed held the same ones; ``proven`` is false when nothing does.
    ``wal_dir`` is where they are read from where that is not the member's WAL dir.
    """

    member: str
    first: int
    last: int
    why: str
    proven: bool = True
    wal_dir: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class MergedLog:
    """One log out of those of several members, and what it comes to on top of a db.

    It follows the log of ``follows``, the highest by (last term, last index). ``base`` is the member whose db it is
    replayed onto, empty when it reaches back to the first entry and needs none. ``pieces`` follow each other without a
    gap, from ``tail.from_index`` + 1 to ``tail.to_index``.
    """

    follows: str
    base: str
    pieces: tuple[Piece, ...]
    tail: Tail


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessEvidence:
    """Whether something runs on a member's files. ``pids`` is empty when nothing does."""

    pids: tuple[int, ...]
    commands: tuple[str, ...]
    ports: tuple[int, ...]
    locked: bool

    @property
    def running(self) -> bool:
        """Something holds the files."""
        return bool(self.pids)


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a member's files lie, links resolved, and where a run may put its own beside them.

    The work folders are on the same file systems as the dirs, so that everything can be set aside by rename: next to
    the dir, or inside it where the dir is a mount root. ``wal_apart``: the WAL dir is moved by itself, ``wal_inside``:
    it lies below the data dir all the same. Sizes are in bytes.
    """

    data_dir: str
    wal_dir: str
    work: str
    wal_work: str
    wal_apart: bool
    wal_inside: bool = False
    used: int
    free: int
    wal_free: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveEvidence:
    """What a running member answered; ``members`` are those that it knows of, learners included. ``hash`` is that of its
    records up to a revision that it was asked for, with both and the compact revision in it; empty when it was not asked."""

    member_id: int
    cluster_id: int
    leader: int
    revision: int
    raft_index: int
    raft_term: int
    version: str
    errors: tuple[str, ...]
    learner: bool = False
    members: tuple[Peer, ...] = ()
    applied_index: int = 0
    hash: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """A certificate file: valid from ``not_before`` to ``not_after`` (seconds since 1970) for ``names``.

    ``fault`` says why it could not be read.
    """

    path: str
    subject: str = ""
    not_before: float = 0.0
    not_after: float = 0.0
    names: tuple[str, ...] = ()
    fault: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberEvidence:
    """What one member's disk, process and host say, or why they cannot say it. ``hindrance`` is what keeps it from running,
    other than its own files; ``absent``: no etcd is installed on its host. ``disk`` are its files as (machine, device,
    inode): two members that share one are one disk. ``unresolved`` are names of hosts in its configuration for which its own
    host finds no address, ``still_at`` peer URLs that only the cluster knows it at, and that lead to its host all the same."""

    name: str
    host: str
    data_dir: str
    wal_dir: str
    config: MemberConfig | Unknown
    deployment: Deployment | Unknown
    place: Place | Unknown
    process: ProcessEvidence | Unknown
    live: LiveEvidence | Unknown
    db: DbEvidence | Unknown
    log: LogEvidence | Unknown
    tail: Tail | Unknown
    tools: Binaries | Unknown = Unknown(unknown="not looked for")
    reachable: bool = True
    certificates: tuple[Certificate, ...] = ()
    clock: float = 0.0
    hindrance: str = ""
    absent: bool = False
    disk: tuple[str, ...] = ()
    unresolved: tuple[str, ...] = ()
    still_at: tuple[str, ...] = ()
    around: Around | Unknown = Unknown(unknown="not looked for")


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """A unit of Kubernetes on a host. ``wanted``: it ran, or was to run at boot, before anybody fenced it."""

    unit: str
    active: str
    wanted: bool
    fenced_by: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class HostEvidence:
    """One host: why it cannot be reached (empty when it can), how far its clock is off, and what runs there.

    ``fault`` says why it could not be told what runs there, although the host answers.
    ``python``: our code can be run there. ``pods`` are the control plane's static pods, in the order in which they are stopped.

    ``clock_ahead`` is in seconds against the operator's machine, as exact as the connection is quick.
    """

    name: str
    roles: tuple[str, ...]
    unreachable: str = ""
    fault: str = ""
    clock_ahead: float = 0.0
    address: Address = HERE
    python: bool = True
    services: tuple[Service, ...] = ()
    pods: tuple[ControlPod, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotEvidence:
    """A snapshot file or backup that was given, or ``found`` around a member. ``host`` is where it lies, empty for the
    operator's machine."""

    path: str
    host: str
    db: DbEvidence | Unknown
    found: bool = False

    @property
    def name(self) -> str:
        """What it is called as a source, and among those that are compared."""
        where = f"{self.host}:" if self.found and self.host else ""
        return f"snapshot {where}{self.path}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """The evidence of every member and of every snapshot. ``verified``: every file was read in full. ``logs_compared``: what
    the logs' entries hold was compared, and ``forks`` is all that was found. ``seen_revision`` is known to have been served."""

    schema: Literal["requorum/Survey/v1"] = "requorum/Survey/v1"
    cluster: str
    at: str
    verified: bool
    members: tuple[MemberEvidence, ...]
    snapshots: tuple[SnapshotEvidence, ...] = ()
    etcd_version: str = ""
    etcdutl_can_bump: bool = False
    hosts: tuple[HostEvidence, ...] = ()
    notes: tuple[str, ...] = field(default=())
    merged: tuple[MergedLog, ...] = ()
    compared: tuple[Comparison, ...] = ()
    forks: tuple[Fork, ...] = ()
    logs_compared: bool = False
    seen_revision: int = 0
