"""The second opinion on what was built: every record of every db that counts, up to the built revision, must be in it.

That is asked of the disks themselves, by digests under a key drawn for this one time: it shares no code with what ranked the
sources and predicted the loss, so that it can contradict them. What a db lacks because it was compacted is explained: then
what lives at that compaction must be the same, and all that was written since.
"""

import itertools
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from requorum.errors import RequorumError
from requorum.etcdfiles import mvcc
from requorum.etcdfiles.digests import Digests, marks_for
from requorum.etcdfiles.faults import EtcdFileError
from requorum.hosts.connection import Connection
from requorum.hosts.everywhere import at_once
from requorum.workbench import bench

BLOCKS = 128
"""A difference is told to lie in one of so many ranges of revisions."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Db:
    """A db, on its host."""

    name: str
    host: Connection
    path: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Audit:
    """``agree`` are the members whose records are all in what was built, up to the lower revision of the two, ``differ``
    says of others what is not, ``untold`` of which it could not be told, and why."""

    agree: tuple[str, ...]
    differ: tuple[str, ...]
    untold: tuple[str, ...]


def audit(built: Db, others: Sequence[Db]) -> Audit:
    """Compare a built db with those of the members; raises RequorumError only when what was built cannot be read."""
    untold = [f"{one.name}: there is no Python on its host" for one in others if one.host.bare]
    able = [one for one in others if not one.host.bare]
    key = secrets.token_hex(32)
    try:
        facts = [built.host.call(mvcc.read_facts, built.path)]
        for one in able:
            facts.append(one.host.call(mvcc.read_facts, one.path))
    except EtcdFileError as err:
        raise RequorumError(f"a db cannot be read any more: {err}") from err
    compacted = [max(one.compact_revision, 0) for one in facts]
    marks = marks_for([one.revision for one in facts], [0, *compacted], BLOCKS)
    read = at_once(_reader(key, marks), [built, *able])
    whole = read[0]
    if isinstance(whole, str):
        raise RequorumError(f"what was built cannot be read: {whole}")
    agree, differ = [], []
    for one, found in zip(able, read[1:], strict=True):
        if isinstance(found, str):
            untold.append(f"{one.name}: {found}")
        elif max(whole.compacted, found.compacted) > min(whole.revision, found.revision):
            untold.append(f"{one.name}: it, or what was built, is compacted beyond the other's last revision")
        elif why := difference(whole, found):
            differ.append(f"{one.name}'s db: {why}")
        else:
            agree.append(one.name)
    return Audit(agree=tuple(agree), differ=tuple(differ), untold=tuple(untold))


def _reader(key: str, marks: tuple[int, ...]) -> Callable[[Db], Digests | str]:
    def read(one: Db) -> Digests | str:
        try:
            return one.host.call(bench.digests, one.path, key, marks)
        except RequorumError as err:
            return err.message

    return read


def difference(built: Digests, other: Digests) -> str:
    """What another db holds up to the lower revision of the two that the built one does not hold the same; empty where
    nothing. Both must have been read at the same marks, with one key."""
    low, top = max(built.compacted, other.compacted), min(built.revision, other.revision)
    at = {mark: number for number, mark in enumerate(built.marks)}
    assert built.marks == other.marks
    assert low in at
    assert top in at
    if built.live[at[low]] != other.live[at[low]]:
        return f"the keys that live at revision {low} are others, or have other values"
    marks = [mark for mark in built.marks if low <= mark <= top]
    for before, after in itertools.pairwise(marks):
        ours, theirs = (_written(one, at[before], at[after]) for one in (built, other))
        if ours != theirs:
            return (
                f"of revisions {before + 1} to {after} it holds {theirs[1]} records, and what was built {ours[1]}"
                if ours[1] != theirs[1]
                else f"the records of revisions {before + 1} to {after} are others"
            )
    return ""


def _written(one: Digests, before: int, after: int) -> tuple[int, int]:
    """The sum of what was written between two marks, and how many records that were."""
    total = (int(one.written[after], 16) - int(one.written[before], 16)) % (1 << 128)
    return total, one.count[after] - one.count[before]
