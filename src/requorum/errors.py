"""How requorum ends: one class, one exit code, one line of documentation.

A message says what happened and where; ``hint`` what to do about it; ``changed`` what was and was not changed, when
anything could have been.
"""

from __future__ import annotations

from typing import ClassVar


class RequorumError(Exception):
    """failed, nothing changed"""

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, *, hint: str = "", changed: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.changed = changed


class UsageError(RequorumError):
    """wrong usage: an argument, an option, an inventory or a plan that cannot be read"""

    exit_code = 2


class Refused(RequorumError):
    """refused by a safety gate, nothing changed beyond what the message says"""

    exit_code = 4


class Unreachable(RequorumError):
    """hosts unreachable, nothing changed"""

    exit_code = 5


class NoSource(RequorumError):
    """no usable source: nothing to rebuild from"""

    exit_code = 6


class StoppedMidway(RequorumError):
    """stopped midway, resumable: the command to type is printed"""

    exit_code = 7


class Locked(RequorumError):
    """locked by another run"""

    exit_code = 8


DONE = 0
DONE_WITH_WARNINGS = 3
BUG = 70
INTERRUPTED = 130

OTHER_CODES = {
    DONE: "done",
    DONE_WITH_WARNINGS: "done, with warnings",
    BUG: "a bug in requorum; a report was written to a file",
    INTERRUPTED: "interrupted before any change",
}


def exit_codes() -> dict[int, str]:
    """Every exit code and what it means, in order."""
    classes: list[type[RequorumError]] = [RequorumError, *RequorumError.__subclasses__()]
    found = {one.exit_code: (one.__doc__ or "").strip() for one in classes}
    assert len(found) == len(classes), "two error classes share an exit code"
    return dict(sorted({**OTHER_CODES, **found}.items()))
