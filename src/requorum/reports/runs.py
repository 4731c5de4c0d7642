"""What comes of a run: the answers of ``recover``, ``resume``, ``member replace``, ``rollback``, ``runs`` and ``fence``."""

from dataclasses import dataclass

from requorum.procedures.values import PlanKind
from requorum.proof.prove import Proof


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftFenced:
    """A member that the run did not start, and why."""

    member: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """A snapshot file that a run saved on a host; ``size`` in bytes."""

    host: str
    path: str
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovery:
    """How a run ended. ``verdict`` is the plan's kind; ``source`` the id of what was rebuilt from, empty for none.

    ``predicted_lost_max`` is None where the loss cannot be known; ``weaker`` what the last look at the disks promised less
    than the operator had agreed to. ``warnings`` are all that there are, those of the proof as well.
    """

    schema: str = "requorum/Recovery/v1"
    run: str
    cluster: str
    verdict: PlanKind
    source: str
    predicted_lost_max: int | None
    bump: int
    unproven: str
    weaker: tuple[str, ...]
    proof: Proof
    snapshot: Snapshot | None
    warnings: tuple[str, ...]
    left_fenced: tuple[LeftFenced, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollback:
    """How many steps were undone, and how many writes accepted since the recovery went out of service."""

    schema: str = "requorum/Rollback/v1"
    run: str
    undone: int
    set_aside_writes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRow:
    """A run that was begun on this machine: how many of its steps are done and undone, and when it last wrote (UTC)."""

    run: str
    cluster: str
    verdict: PlanKind
    state: str
    done: int
    undone: int
    steps: int
    last_sign: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOnHosts:
    """A run that hosts know."""

    run: str
    hosts: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Runs:
    """All runs, oldest first; ``unreadable`` says what lies among them and cannot be read."""

    schema: str = "requorum/Runs/v1"
    runs: tuple[RunRow, ...]
    unreadable: tuple[str, ...]
    on_hosts: tuple[RunOnHosts, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class FenceRow:
    """What became of one host."""

    host: str
    ok: bool
    what: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Fences:
    """What became of every host; ``lifted``: fences were taken away, not put up."""

    schema: str = "requorum/Fence/v1"
    lifted: bool
    hosts: tuple[FenceRow, ...]

    @property
    def failed(self) -> tuple[FenceRow, ...]:
        """The hosts on which it did not work."""
        return tuple(one for one in self.hosts if not one.ok)
