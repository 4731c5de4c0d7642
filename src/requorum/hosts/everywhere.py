"""Hosts are worked on in parallel: one way to do it."""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


def at_once(act: Callable[[T], R], targets: Iterable[T]) -> list[R]:
    """Act on all targets at the same time; the results in their order. All are let finish, then the first error is raised."""
    wanted = [*targets]
    with ThreadPoolExecutor(max_workers=max(len(wanted), 1)) as pool:
        begun = [pool.submit(act, target) for target in wanted]  # not map: at an error it cancels what has not begun
    return [one.result() for one in begun]
