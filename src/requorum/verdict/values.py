"""What a verdict is made of: frozen, versioned, serialisable."""

from dataclasses import dataclass
from typing import Final, Literal

from requorum.survey.evidence import Comparison, Piece, Run

Outcome = Literal["healthy", "start as is", "replace members", "rebuild", "nothing to rebuild from", "undecided"]
Level = Literal["info", "warning", "danger"]
HEALTHY: Final = "healthy"
START_AS_IS: Final = "start as is"
REPLACE_MEMBERS: Final = "replace members"
REBUILD: Final = "rebuild"
NOTHING: Final = "nothing to rebuild from"
UNDECIDED: Final = "undecided"

OWN_LOG = "own log"
BARE_DB = "bare db"
MERGED_LOG = "merged log"
SNAPSHOT = "snapshot"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Something that the operator should know about a member or a file. ``level``: info, warning or danger."""

    level: Level
    subject: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """The writes that a choice loses out of those that the surveyed disks still show.

    ``at_most`` is -1 when not even a bound can be given, and ``why`` says why; it is the exact number when ``exact``.
    ``unproven`` says why there may have been acknowledged writes that no surveyed disk shows; empty when a majority of
    the voters' logs was read to the end, which proves that there were none.
    """

    at_most: int
    exact: bool
    why: tuple[str, ...]
    unproven: str

    @property
    def proven_none(self) -> bool:
        """No acknowledged write is lost, and that is proven."""
        return self.at_most == 0 and not self.unproven

    @property
    def known(self) -> bool:
        """Whether there is a bound."""
        return self.at_most >= 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Something that the cluster can be rebuilt from.

    ``revision`` is what the store must stand at once it is opened; ``from_index`` to ``to_index`` are the log entries
    that are replayed onto the db (none when they are equal): those of ``wal_dir``, or of a merged log's ``pieces``. A
    merged log that needs no db has none. ``bump`` is what to add to the revision at the restore, 0
    for nothing. ``revision_exact``: it is a prediction that must come true, not a bound. ``last_resort``: something that can
    be checked contradicts it.
    """

    id: str
    kind: Literal["own log", "merged log", "bare db", "snapshot"]
    member: str
    host: str
    db: str
    modified: str = ""
    wal_dir: str
    from_index: int
    to_index: int
    to_term: int
    revision: int
    revision_exact: bool
    saved_snapshot: bool
    loss: Loss
    bump: int
    alarms: tuple[str, ...]
    pieces: tuple[Piece, ...] = ()
    last_resort: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Witness:
    """One member's log as a witness: read to (term, index), ``to_end`` unless its end is damaged or missing, and which
    entries of it cannot be read. It holds the same as the log that is followed up to entry ``agrees_to`` (0: nothing shows
    that). ``excluded`` says why it does not count in the proof."""

    member: str
    votes: bool
    term: int
    index: int
    to_end: bool
    unreadable: tuple[Run, ...]
    agrees_to: int
    excluded: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Basis:
    """Why the log of ``follows``, the highest, holds every acknowledged write: or why that is not proven (``unproven``).

    An acknowledged write is in the logs of a majority of voters, so in one of any ``needed`` logs that were read to their
    end; the highest of them holds all, by raft's election rule. ``committed`` is the highest entry that some disk shows to
    be committed; at most ``may_surface`` writes behind it were perhaps never acknowledged, and come back all the same.
    ``suspects`` are members whose disks refute the assumption. ``apart``: why some disk may hold acknowledged writes that no
    choice keeps, so that nobody knows what is lost; empty where none does.
    """

    follows: str
    voters: int
    needed: int
    read: int
    witnesses: tuple[Witness, ...]
    unproven: str
    assumption: str
    committed: int
    may_surface: int
    suspects: tuple[str, ...] = ()
    apart: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftBehind:
    """A member that is not started, and why."""

    member: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StartAsIs:
    """Which members start on their own disks; the others stay fenced until they are replaced.

    ``first`` are started before the rest: a bare majority with the holder of the highest log in it, so that nobody with
    a lower one can be elected. ``revision`` is the least at which the cluster must stand afterwards.
    """

    members: tuple[str, ...]
    first: tuple[str, ...]
    left_behind: tuple[LeftBehind, ...]
    revision: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The decision. ``cluster`` is the name to confirm: the inventory's and the first 8 digits of the cluster id.

    ``sources`` are ranked, best first. ``start`` is there when ``kind`` is "start as is". ``refusal`` says why nothing
    may be done although there is something to do it with, ``refusal_hint`` what to change; ``rebuild_refusal`` and
    ``rebuild_hint`` are the same for a rebuild, where a start as is may be done.
    ``unsurveyed`` are voters of which nothing was read.
    ``basis`` is the proof, where there is a log. ``differences`` are points of their history at which members do not
    hold the same; ``tie`` says that none of them has a majority: then only the operator can tell who is right. ``rule``: the
    row of the table by which it was decided (:mod:`requorum.verdict.rules`).
    """

    schema: Literal["requorum/Verdict/v1"] = "requorum/Verdict/v1"
    kind: Outcome
    cluster: str
    cluster_id: int
    probable: bool
    summary: str
    proof: tuple[str, ...]
    findings: tuple[Finding, ...]
    start: StartAsIs | None
    sources: tuple[Source, ...]
    unsurveyed: tuple[str, ...]
    refusal: str = ""
    basis: Basis | None = None
    differences: tuple[Comparison, ...] = ()
    tie: str = ""
    rule: str = ""
    refusal_hint: str = ""
    rebuild_refusal: str = ""
    rebuild_hint: str = ""

    @property
    def source(self) -> Source | None:
        """The best source."""
        return self.sources[0] if self.sources else None
