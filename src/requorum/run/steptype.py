"""What a kind of step is: one value that holds all there is to know of it. Each stands in a file of its own in ``run/steps``,
and all of them in :mod:`requorum.run.kinds`."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

from requorum.procedures.values import Plan, PlanHost, PlanMember, StepKind
from requorum.run.context import Context
from requorum.run.journal import Journal

T = TypeVar("T", PlanMember, PlanHost, None)
R = TypeVar("R")

Again = Literal["never", "until data is moved", "until it is proven", "always"]


def nothing_to_undo(_: Context, __: object) -> None:
    """The undo of a step that changes nothing, or only what ``requorum cleanup`` removes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepType(Generic[T, R]):
    """A kind of step, of a member, of a host, or of the cluster (the target is None).

    ``does`` says in a sentence what it does, ``by_hand`` what a person would type instead. ``do`` carries it out, also when it
    was half done before, and returns a ``result`` that the journal keeps; raises RequorumError or OSError. ``undo`` takes it
    back where it began; it may be interrupted and called again, too, and looks at the disk. ``undoing`` is what a rollback calls
    that. ``undone_after``: it is taken back as soon as that kind of step began, because it may have been done by hand since.

    ``again``: whether a resumed run does it again although it is done. ``moves_data``: a member's data is moved, or its etcd
    may write to it from here on. ``unlocked``: it does not need the members' locks. ``asks``: it asks the operator.
    ``in_turn``: one after the other, not at the same time; ``spaced``: starts that follow each other at once wait for each
    other, where members compare themselves first; ``undone_in_turn``: a leader that is stopped together with its followers
    tries for 15 seconds to hand its leadership over to them.
    """

    kind: StepKind
    does: str
    by_hand: Callable[[Plan, T], tuple[str, ...]]
    do: Callable[[Context, T], R]
    result: type[R]
    undo: Callable[[Context, T], None] = nothing_to_undo
    undoing: str = ""
    undone_after: StepKind | None = None
    again: Again = "never"
    moves_data: bool = False
    unlocked: bool = False
    asks: bool = False
    in_turn: bool = False
    spaced: bool = False
    undone_in_turn: bool = False

    def of(self, journal: Journal, target: str = "") -> R | None:
        """What the step of a member or a host (of the cluster, where none is named) came to; None where it is not done."""
        return journal.result(self.kind, target, self.result)
