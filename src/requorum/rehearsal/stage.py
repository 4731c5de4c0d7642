"""What one rehearsal works with."""

import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from requorum.rehearsal import wreck
from requorum.rehearsal.cluster import Member
from requorum.rehearsal.drive import Driver
from requorum.rehearsal.load import Load

Show = Callable[[str, bool], None]


@dataclass(slots=True, kw_only=True)
class Stage:
    """What one rehearsal works with. ``show`` is told what goes on: a line, and whether it is worth keeping."""

    root: Path
    etcd_dir: Path
    members: list[Member]
    running: "list[subprocess.Popen[bytes]]"
    rng: Random
    load: Load
    driver: Driver
    show: Show
    snapshot: Path | None = None
    after_wreck: dict[str, wreck.Fingerprint] = field(default_factory=dict)

    def tell(self, text: str) -> None:
        """A line that stays."""
        self.show(text, True)

    def tell_live(self, text: str) -> None:
        """A line that the next one replaces."""
        self.show(text, False)
