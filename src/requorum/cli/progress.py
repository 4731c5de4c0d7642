"""How a run is shown on standard error: a line for each phase, one live row for each step on a terminal."""

import signal
import sys
import threading
import time
from types import FrameType
from typing import Self

from rich.console import Console
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from requorum.cli import render
from requorum.procedures.values import Step

_MARKS = {"done": ("ok", "green"), "failed": ("failed", "bold red"), "undone": ("undone", "yellow")}


class Shown:
    """Progress on a terminal (live rows) or in a log (plain lines). ``at_barriers``: the first Ctrl-C stops a run at its next
    barrier, and only the second one at once."""

    def __init__(self, console: Console | None = None, *, at_barriers: bool = True) -> None:
        self.console = console or render.console(err=True)
        self.at_barriers = at_barriers
        self.rows: dict[str, tuple[float, str]] = {}
        self.transfers: dict[str, tuple[float, str]] = {}
        self.live: Live | None = None
        self.asked_to_stop = threading.Event()

    def __enter__(self) -> Self:
        self.before = signal.signal(signal.SIGINT, self._stop) if self.at_barriers else None
        if self.console.is_terminal:
            self.live = Live(console=self.console, get_renderable=self._table, refresh_per_second=8, transient=True)
            self.live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.pause()
        if self.at_barriers:
            signal.signal(signal.SIGINT, self.before)

    def _stop(self, _signal: int, _frame: FrameType | None) -> None:
        if self.asked_to_stop.is_set():
            raise KeyboardInterrupt
        self.asked_to_stop.set()
        print("stopping once what is under way is done; Ctrl-C again stops at once", file=sys.stderr)

    def interrupted(self) -> bool:
        """Whether Ctrl-C was pressed."""
        return self.asked_to_stop.is_set()

    def pause(self) -> None:
        """Stop drawing: the operator is asked."""
        if self.live:
            self.live.stop()
            self.live = None

    def phase(self, number: int, of: int, title: str) -> None:
        """A phase begins."""
        where = f"{number}/{of} " if of else ""
        self.console.print(Text(f"{where}{title}", style="bold"))

    def moved(self, host: str, done: int, of: int) -> None:
        """Bytes have gone to a host."""
        began, _ = self.transfers.get(host, (time.monotonic(), ""))
        rate = done / max(time.monotonic() - began, 0.1)
        text = f"{render.size(done)} of {render.size(of)}, {render.size(int(rate))}/s"
        self.transfers[host] = (began, text)
        if done >= of:
            del self.transfers[host]

    def caught_up(self, member: str, applied: int, of: int) -> None:
        """A learner has applied so many entries of the leader's."""
        began, _ = self.transfers.get(member, (time.monotonic(), ""))
        self.transfers[member] = (began, f"entry {applied} of {of} applied")
        if applied >= of:
            del self.transfers[member]

    def step(self, step: Step, state: str, detail: str) -> None:
        """A step begins or ends."""
        name = step.who or "all"
        if state == "begins":
            self.rows[step.id] = (time.monotonic(), name)
            return
        began, _ = self.rows.pop(step.id, (time.monotonic(), name))
        mark, style = _MARKS[state]
        seconds = f"{time.monotonic() - began:.1f} s"
        self.console.print(
            Text.assemble("    ", f"{name:<12} ", (mark, style), f" {seconds}", f"  {detail}" if detail else "")
        )

    def _table(self) -> Table:
        grid = Table.grid(padding=(0, 1))
        for began, name in list(self.rows.values()):
            grid.add_row("   ", Spinner("dots"), name, f"{time.monotonic() - began:.0f} s")
        for host, (began, text) in list(self.transfers.items()):
            grid.add_row("   ", Spinner("dots"), host, f"{time.monotonic() - began:.0f} s {text}")
        return grid
