"""Work on several hosts at the same time."""

import threading

import pytest

from requorum.hosts.everywhere import at_once


def test_all_at_the_same_time_and_in_order() -> None:
    """Each waits for the others; the results come in the order of the targets."""
    together = threading.Barrier(5, timeout=30)

    def act(number: int) -> int:
        together.wait()
        return number * number

    assert at_once(act, range(5)) == [0, 1, 4, 9, 16]
    assert at_once(act, []) == []


def test_all_are_let_finish_before_an_error_is_raised() -> None:
    """The first error, in the order of the targets; those that have not begun when it is raised begin all the same."""
    done: list[int] = []

    def act(number: int) -> None:
        if number < 2:
            raise ValueError(f"host {number}")
        done.append(number)

    for _ in range(200):
        done.clear()
        with pytest.raises(ValueError, match="host 0"):
            at_once(act, range(4))
        assert sorted(done) == [2, 3]
