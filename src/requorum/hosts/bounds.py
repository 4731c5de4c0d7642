"""How long a function may take on a host, and where the parts of one are done that has to run elsewhere than its host."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator
from contextvars import ContextVar
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


_HOST: ContextVar[Any] = ContextVar("host", default=None)


@contextlib.contextmanager
def on(host: Any) -> Iterator[None]:
    """Let every :func:`part` that is called here be done on a host that cannot run our code."""
    token = _HOST.set(host)
    try:
        yield
    finally:
        _HOST.reset(token)


def elsewhere() -> bool:
    """Whether what is called here is to be done on another machine."""
    return _HOST.get() is not None


def part(function: F) -> F:
    """A function that others are made of: done where they are meant to be done."""

    @functools.wraps(function)
    def done(*args: Any, **kwargs: Any) -> Any:
        host = _HOST.get()
        return function(*args, **kwargs) if host is None else host.call(done, *args, **kwargs)

    made: Any = done
    return made  # type: ignore[no-any-return]


def made_of_parts(function: F) -> F:
    """Say that a function only calls others on a host: where that cannot run our code it runs here, and each of them there."""
    setattr(function, "made_of_parts", True)  # noqa: B010 - a callable has no such attribute for mypy
    return function


def is_made_of_parts(function: Callable[..., Any]) -> bool:
    """Whether a function is marked so."""
    return bool(getattr(function, "made_of_parts", False))
