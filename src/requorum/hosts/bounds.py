"""How long a function may take on a host before its outcome counts as unknown."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

F = TypeVar("F", bound="Callable[..., Any]")

USUAL_SECONDS = 60.0


def within(seconds: float) -> Callable[[F], F]:
    """Say that a function may take longer (or must be faster) than usual."""

    def mark(function: F) -> F:
        setattr(function, "seconds", seconds)  # noqa: B010 - a callable has no such attribute for mypy
        return function

    return mark


def seconds_of(function: Callable[..., Any]) -> float:
    """A function's limit."""
    return float(getattr(function, "seconds", USUAL_SECONDS))
