"""Whoever decides: how they are asked, what they agreed to beforehand, and how they are told what goes on.

A terminal hands in prompts and live rows; a program that agreed to everything beforehand hands in nothing but the cluster's
name. Nothing here knows of either.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Protocol

from requorum.errors import Refused
from requorum.procedures.values import Step
from requorum.reports.plan import Planned


class Watch(Protocol):
    """Who is told how a run goes on, and may ask it to stop at the next barrier."""

    def phase(self, number: int, of: int, title: str) -> None:
        """A phase begins."""

    def step(self, step: Step, state: str, detail: str) -> None:
        """A step began, is done, or failed."""

    def moved(self, host: str, done: int, of: int) -> None:
        """So many bytes have gone to a host."""

    def caught_up(self, member: str, applied: int, of: int) -> None:
        """A learner has applied so many entries of the leader's."""

    def pause(self) -> None:
        """The operator is about to be asked: nothing may be drawn over the question."""

    def interrupted(self) -> bool:
        """Whether the run is to stop at its next barrier."""


class Silent:
    """Tells nobody."""

    def phase(self, number: int, of: int, title: str) -> None:
        """Nothing."""

    def step(self, step: Step, state: str, detail: str) -> None:
        """Nothing."""

    def moved(self, host: str, done: int, of: int) -> None:
        """Nothing."""

    def caught_up(self, member: str, applied: int, of: int) -> None:
        """Nothing."""

    def pause(self) -> None:
        """Nothing."""

    def interrupted(self) -> bool:
        """Never."""
        return False


@dataclass(frozen=True, slots=True, kw_only=True)
class Operator:
    """``yes``: nobody is asked, and nothing is done but what was agreed to: ``confirm`` must be the cluster's name.
    ``attended``: there is somebody to ask. ``ask`` shows a text, and returns whether they typed the name that it is given.
    ``show`` shows what is about to be done. ``watch`` is entered for as long as a run goes on."""

    yes: bool = False
    confirm: str = ""
    attended: bool = False
    ask: Callable[[str, str], bool] = lambda _text, _name: False
    show: Callable[[Planned], object] = lambda _planned: None
    watch: Callable[[], AbstractContextManager[Watch]] = lambda: nullcontext(Silent())

    def gate_presence(self) -> None:
        """Refuse early where nobody could be asked later."""
        if not self.yes and not self.attended:
            raise Refused(
                "standard input is not a terminal, so nobody can be asked",
                hint="for automation: --yes --confirm NAME (plan prints it)",
            )

    def gate_name(self, cluster: str) -> None:
        """Refuse what was agreed to beforehand for a cluster of another name."""
        if self.yes and self.confirm != cluster:
            what = f"{self.confirm!r} is not its name" if self.confirm else "--yes needs --confirm"
            raise Refused(
                f"not confirmed: {what}", changed="nothing was changed", hint=f"this cluster is --confirm {cluster}"
            )

    def gate(self, text: str, cluster: str) -> None:
        """Go on only with consent to ``text``."""
        self.gate_presence()
        self.gate_name(cluster)
        if not self.yes and not self.ask(text, cluster):
            raise Refused("not confirmed", changed="nothing was changed")
