"""Compare what the members' logs hold, not what they say of it: the same index and term must hold the same bytes.

Whoever read a log (its host, unless that has no Python) sums keyed hashes of entries over the ranges that several logs hold;
the sums are compared, and where they differ the range is cut in parts until the first entry that differs is known. Entries go
nowhere.
"""

import itertools
from collections import defaultdict
from collections.abc import Callable, Sequence

from requorum.errors import RequorumError
from requorum.hosts.connection import Connection
from requorum.survey import disks
from requorum.survey.evidence import Fork, LogEvidence, MemberEvidence

PARTS = 16
"""Into so many parts a range that differs is cut at a time."""
Where = Callable[[MemberEvidence], Connection]
Range = tuple[int, int]
_Sums = dict[str, tuple[int | None, ...]]


def forks(members: Sequence[MemberEvidence], at: Where) -> tuple[Fork, ...]:
    """Where the histories of the members of each cluster part, under the same index and term."""
    clusters = sorted({one.log.cluster_id for one in members if isinstance(one.log, LogEvidence)})
    found: list[Fork] = []
    for cluster in clusters:
        found += _forks(
            [one for one in members if isinstance(one.log, LogEvidence) and one.log.cluster_id == cluster], at
        )
    return tuple(found)


def _forks(group: Sequence[MemberEvidence], at: Where) -> list[Fork]:
    if len(group) < 2:
        return []
    for first, last, term, holders in _shared(group):
        if _differ(holders, (first, last), at):
            fork = _first(holders, (first, last), term, at)
            rest = [one for one in group if not any(one.name in names for names in fork.groups)]
            out = [fork]
            for names in fork.groups:
                out += _forks([*(one for one in group if one.name in names), *rest], at)
            return out
    return []


def _shared(group: Sequence[MemberEvidence]) -> list[tuple[int, int, int, list[MemberEvidence]]]:
    """The ranges of one term that the same two or more logs hold, in order."""
    cuts = set()
    for one in group:
        for run in _log(one).runs:
            cuts |= {run.first, run.last + 1}
    edges = sorted(cuts)
    out = []
    for first, behind in itertools.pairwise(edges):
        holders: dict[int, list[MemberEvidence]] = defaultdict(list)
        for one in group:
            for run in _log(one).runs:
                if run.first <= first and behind - 1 <= run.last:
                    holders[run.term].append(one)
        out += [(first, behind - 1, term, some) for term, some in holders.items() if len(some) > 1]
    return out


def _log(member: MemberEvidence) -> LogEvidence:
    assert isinstance(member.log, LogEvidence)
    return member.log


def _sums(holders: Sequence[MemberEvidence], ranges: Sequence[Range], at: Where) -> _Sums:
    out: _Sums = {}
    for one in holders:
        try:
            out[one.name] = at(one).call(disks.sums, _log(one).wal_dir, tuple(ranges))
        except RequorumError:
            continue
    return out


def _differ(holders: Sequence[MemberEvidence], where: Range, at: Where) -> bool:
    said = {values[0] for values in _sums(holders, [where], at).values()} - {None}
    return len(said) > 1


def _first(holders: Sequence[MemberEvidence], where: Range, term: int, at: Where) -> Fork:
    """The first entry in a range that is not the same on all its holders, and who holds what of it."""
    ranges, found = [where], Fork(index=where[0], term=term, groups=())
    while True:
        sums = _sums(holders, ranges, at)
        differ = [n for n in range(len(ranges)) if len({values[n] for values in sums.values()} - {None}) > 1]
        if not differ:
            return found  # one of them does not answer any more
        first, last = ranges[differ[0]]
        groups: dict[int, list[str]] = defaultdict(list)
        for name, values in sums.items():
            value = values[differ[0]]
            if value is not None:
                groups[value].append(name)
        found = Fork(index=first, term=term, groups=tuple(sorted(tuple(sorted(one)) for one in groups.values())))
        if first == last:
            return found
        step = -(-(last - first + 1) // PARTS)
        ranges = [(low, min(low + step - 1, last)) for low in range(first, last + 1, step)]
