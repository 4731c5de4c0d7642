"""A set of log indexes, held as runs: a gap may be of millions."""

from typing import Iterable, Iterator, Sequence, Tuple, Union, overload


class Indexes(Sequence[int]):
    """Ascending indexes; reads like a tuple of them. ``runs`` are (first, last) pairs, both included."""

    def __init__(self, runs: Iterable[Tuple[int, int]] = ()) -> None:
        self.runs = tuple(runs)

    def __len__(self) -> int:
        return sum(last - first + 1 for first, last in self.runs)

    def __iter__(self) -> Iterator[int]:
        for first, last in self.runs:
            yield from range(first, last + 1)

    def __contains__(self, index: object) -> bool:
        return isinstance(index, int) and any(first <= index <= last for first, last in self.runs)

    @overload
    def __getitem__(self, at: int) -> int: ...
    @overload
    def __getitem__(self, at: slice) -> Tuple[int, ...]: ...
    def __getitem__(self, at: Union[int, slice]) -> Union[int, Tuple[int, ...]]:
        if isinstance(at, slice):
            return tuple(self[one] for one in range(*at.indices(len(self))))
        left = at if at >= 0 else at + len(self)
        for first, last in self.runs:
            if 0 <= left <= last - first:
                return first + left
            left -= last - first + 1
        raise IndexError(at)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Indexes):
            return self.runs == other.runs
        return isinstance(other, tuple) and len(other) == len(self) and all(a == b for a, b in zip(self, other))

    def __hash__(self) -> int:
        return hash(self.runs)

    def __repr__(self) -> str:
        return f"Indexes({self.runs})"


NONE = Indexes()
"""No index at all."""
