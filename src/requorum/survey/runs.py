"""Sets of log indexes as runs: clusters are at hundreds of millions of entries, so none is ever held one by one."""

from collections.abc import Iterable

from requorum.survey.evidence import Run

Runs = tuple[Run, ...]


def union(*sets: Iterable[Run]) -> Runs:
    """Every index that is in any of the sets."""
    out: list[Run] = []
    for one in sorted((run for each in sets for run in each if run.first <= run.last), key=lambda run: run.first):
        if out and one.first <= out[-1].last + 1:
            out[-1] = Run(first=out[-1].first, last=max(out[-1].last, one.last))
        else:
            out.append(one)
    return tuple(out)


def minus(one: Iterable[Run], other: Iterable[Run]) -> Runs:
    """Every index of the first set that is not in the second."""
    left = list(union(one))
    for gone in union(other):
        cut: list[Run] = []
        for run in left:
            if gone.last < run.first or gone.first > run.last:
                cut.append(run)
                continue
            if run.first < gone.first:
                cut.append(Run(first=run.first, last=gone.first - 1))
            if run.last > gone.last:
                cut.append(Run(first=gone.last + 1, last=run.last))
        left = cut
    return tuple(left)


def within(one: Iterable[Run], first: int, last: int) -> Runs:
    """The indexes of a set from ``first`` to ``last``."""
    return tuple(
        Run(first=max(run.first, first), last=min(run.last, last))
        for run in one
        if run.last >= first and run.first <= last
    )


def count(runs: Iterable[Run]) -> int:
    """How many indexes there are."""
    return sum(run.count for run in runs)
