"""What ties a db to the log beside it: the entries that wrote its last records.

bbolt has no page checksums, so everything in a db is a claim, its consistent index first of all. A log's entries are
covered by checksums, and say what they write. So the db's last revisions are looked for among the entries at and below its
index, one after the other: where they are found, the index is true; where an entry must have written something that the db
lacks, it is not, and the whole log is searched for the place where the data really ends.
"""

import contextlib
from dataclasses import dataclass
from functools import partial
from typing import Callable, Dict, FrozenSet, Iterable, Iterator, List, Optional, Sequence, Tuple

from requorum.etcdfiles import bbolt, messages, mvcc, requests, simulate, wal
from requorum.etcdfiles.bbolt import BadPage
from requorum.etcdfiles.faults import EtcdFileError
from requorum.etcdfiles.messages import Entry
from requorum.etcdfiles.mvcc import DbFacts
from requorum.etcdfiles.protowire import WireError
from requorum.etcdfiles.wal import Log

RECORDS, START, BEYOND, MOVED, UNCLEAR, REFUTED = "records", "start", "beyond", "moved", "unclear", "refuted"
FIRST = 2
"""The first revision that anybody writes."""
ENOUGH = 16
"""So many revisions that lie in the log as they lie in the db leave no doubt that the one made the other."""
FEW = 3
"""Fewer may lie in the log in the same way by chance."""
DEEPEST = 4096
"""So many revisions are looked at where the log ends before the db's index."""
CANDIDATES = 16
"""At so many places of the log the search tries to lay the db's last revisions on the entries."""

Write = FrozenSet[Tuple[bool, bytes, bytes]]
"""What one revision changed: (is delete, key, value)."""


@dataclass(frozen=True)
class Footing:
    """How far a db's data goes by the log beside it.

    ``kind``: ``records`` (the entries up to its index wrote its last revisions), ``start`` (the log says that it begins
    with a snapshot at that very index), ``beyond`` (the log ends before its index; ``extra`` revisions come on top of what
    the log wrote), ``moved`` (its index is not where its data ends: that is at ``index``), ``unclear`` (the same, but the data
    may end at several entries, of which ``index`` is the first) or ``refuted`` (this log did not make it). ``why`` says what
    contradicts its index.
    """

    kind: str
    index: int
    extra: int = 0
    why: str = ""


@dataclass(frozen=True)
class _Record:
    """One revision; ``write`` is None where a compaction has removed it."""

    revision: int
    write: Optional[Write]


@dataclass(frozen=True)
class _Entries:
    """What a db is tied to: entries up to ``last``, of which those ``near`` the db's index are at hand; those up to ``begin``
    made nothing of it. ``from_first``: the store was empty before the first one. ``each()`` gives all, ``around(index)`` those
    just below one."""

    last: int
    near: Dict[int, Entry]
    begin: int
    from_first: bool
    each: Callable[[], Iterator[Entry]]
    around: Callable[[int], Dict[int, Entry]]


def footing_of(facts: DbFacts, log: Log) -> Optional[Footing]:
    """Tie a db to the log beside it; ``None`` where there is nothing to compare. ``log`` must have the bodies of the
    entries just below the db's index. Only where that is not where the data ends is the whole log searched for it."""

    def around(index: int) -> Dict[int, Entry]:
        first = index - 4 * ENOUGH
        return wal.read_log(log.wal_dir, from_index=max(first, 1), keep_after=max(first, 0)).entries

    from_first = wal.restored_at(log) == 0
    return _tie(
        facts, _Entries(log.last[1], log.entries, _begins_at(log), from_first, partial(wal.entries_of, log), around)
    )


def footing_on(facts: DbFacts, entries: Sequence[Entry]) -> Optional[Footing]:
    """Tie a db that has no log beside it to the entries of another log of the same history: all of them, from the first on."""
    held = {one.index: one for one in entries}
    return _tie(facts, _Entries(max(held), held, 0, True, lambda: iter(entries), lambda _: held)) if held else None


def _tie(facts: DbFacts, log: _Entries) -> Optional[Footing]:
    index, last = facts.consistent_index, log.last
    if facts.damage or facts.last_revision < 2 or facts.revision != facts.last_revision:
        return None
    if log.begin and index == log.begin:
        return Footing(START, index)
    behind = max(index - last, 0)
    try:
        records = _records(facts, min(ENOUGH + behind, DEEPEST))
    except (BadPage, WireError, EtcdFileError):
        return None
    if not records or any(one.write is not None and (False, b"", b"") in one.write for one in records[:1]):
        return None  # the mark that --bump-revision leaves: no entry wrote it
    found = _Walk(records, log.near, log.begin).down(min(index, last), behind)
    if not behind and not found.contradiction and _impossible(log, facts.revision, index):
        found = _Found(contradiction=f"{index} entries cannot have made revision {facts.revision}")
    elif found.contradiction and _may_refuse(facts, log):
        found = _Walk(records, log.near, log.begin, refuses=True).down(min(index, last), behind)
    if found.contradiction:
        places = _search(log, records)
        if not places:
            return Footing(REFUTED, 0, why=found.contradiction)
        return Footing(MOVED if len(places) == 1 else UNCLEAR, places[0], why=found.contradiction)
    if not found.matched:
        # By its index, all that was looked at could have come behind the log's end: it need not have. Only a log from the
        # first entry on tells: clients may write the same things again and again.
        places = _search(log, records) if behind and log.from_first else []
        if not places:
            return None
        why = f"the log ends at {last}, and the db's last revisions are older"
        return Footing(MOVED if len(places) == 1 else UNCLEAR, places[0], why=why)
    if not behind and found.matched < FEW:
        # Where guards and leases decide, an entry may have written or not: one delete of a key looks like any other.
        places = _search(log, records)
        if places and found.anchor not in places:
            why = f"its last revisions are those that the entries up to {places[-1]} wrote"
            return Footing(MOVED if len(places) == 1 else UNCLEAR, places[0], why=why)
    if behind and not found.skipped:
        why = f"the log ends at {last}, and the db holds nothing that came behind that"
        places = _search(log, records) or [found.anchor]
        if _impossible(log, facts.revision, places[-1]):
            return None  # so few entries cannot have come to that revision
        return Footing(MOVED if len(places) == 1 else UNCLEAR, places[0], why=why)
    if behind:
        return Footing(BEYOND, found.anchor, extra=found.skipped)
    return Footing(RECORDS, found.anchor)


def _impossible(log: _Entries, revision: int, index: int) -> bool:
    """Whether a revision is more than so many entries can have made of an empty store: each makes one, or none."""
    return revision > 1 + index and log.from_first


def _may_refuse(facts: DbFacts, log: _Entries) -> bool:
    """Whether etcd may have refused writes that the log holds."""
    if facts.alarms or facts.auth_enabled:
        return True
    for entry in log.near.values():
        with contextlib.suppress(WireError):
            if simulate.may_refuse(requests.request_of(entry)):
                return True
    return False


def _begins_at(log: Log) -> int:
    """The index of the snapshot that a log begins with, where no entry below it can have made the state: a restored
    member's (etcdutl writes the members' entries and a mark), or one that was sent by the leader. 0 where it begins empty."""
    marks = sorted(mark.index for mark in log.marks if mark.index)
    if not marks:
        return 0
    first = log.runs[0].first if log.runs else marks[0] + 1
    if first > 1:
        return marks[0] if first > marks[0] else 0
    changes = {entry.index for entry in log.conf_changes}
    return marks[0] if all(index in changes for index in range(1, marks[0] + 1)) else 0


def _records(facts: DbFacts, wanted: int) -> List[_Record]:
    """The last revisions, newest first; those that a compaction removed in between are there as unknown."""
    out: List[_Record] = []
    current: List[Tuple[bool, bytes, bytes]] = []
    main = 0
    with bbolt.Bolt(facts.path) as bolt:
        if bolt.meta.txid != facts.txid:
            return out  # a running etcd has gone on since: these are not the records of that index
        bucket = bolt.bucket(b"key")
        if bucket is None:
            return out
        for item in bolt.backwards(bucket):
            here, _, tombstone = mvcc.parse_revision(item.key)
            if main and here != main:
                out.append(_Record(main, frozenset(current)))
                for gone in range(main - 1, max(here, main - wanted), -1):
                    out.append(_Record(gone, None))
                current = []
                if len(out) >= wanted:
                    return _unless_changed(bolt, facts, out[:wanted])
            main = here
            kv = messages.decode_key_value(item.value)
            current.append((tombstone, kv.key, b"" if tombstone else kv.value))
        if current:
            # What lies below may have lost records of its own revision to a compaction.
            out.append(_Record(main, frozenset(current) if main > facts.compact_revision else None))
        return _unless_changed(bolt, facts, out[:wanted])


def _unless_changed(bolt: bbolt.Bolt, facts: DbFacts, records: List[_Record]) -> List[_Record]:
    """Nothing where two transactions were committed while the records were read: their pages may have been used again."""
    bolt.reload()
    return records if bolt.meta.txid < facts.txid + 2 else []


@dataclass
class _Found:
    """How a walk ended: at the anchor (the entry of the newest revision that was found), with ``matched`` revisions laid
    on entries, ``skipped`` newer ones above the log's end; or with what contradicts."""

    anchor: int = 0
    matched: int = 0
    skipped: int = 0
    contradiction: str = ""


class _Walk:
    """Lay revisions on entries, downwards. An entry whose guards decide, or which deletes a range, may have written or
    not: all ways are followed at once. ``refuses``: so may any other."""

    def __init__(self, records: List[_Record], entries: Dict[int, Entry], begin: int, *, refuses: bool = False) -> None:
        self.records, self.entries, self.begin = records, entries, begin
        self.refuses = refuses
        self.exact = False

    def down(self, top: int, behind: int) -> _Found:
        """From entry ``top`` on; up to ``behind`` revisions may lie above it. Then only those count as laid that the entry
        alone says: among so many ways, some fit by chance."""
        wanted = len(self.records)
        self.exact = behind > 0
        # Revisions used so far -> (entry of the first one laid, how many were laid, how many lie above).
        ways: Dict[int, Tuple[int, int, int]] = {used: (0, 0, used) for used in range(min(behind, wanted) + 1)}
        index = top
        while index > self.begin:
            entry = self.entries.get(index)
            if entry is None:
                break
            after = self.step(entry, ways)
            if not after:
                return _Found(contradiction=self.told(index, ways))
            ways = after
            done = [way for used, way in ways.items() if way[1] >= ENOUGH or (used == wanted and not way[2])]
            if done:
                return self.found(done)
            index -= 1
        if index == 0 and not any(used == wanted for used in ways):
            # Down to the first entry, and the db holds more than all of them, and all above them, can have written.
            revision = self.records[0].revision
            return _Found(contradiction=f"the log's entries up to {top} cannot have made revision {revision}")
        return self.found([way for way in ways.values() if way[1] and (not behind or way[1] >= ENOUGH)])

    def found(self, ways: Iterable[Tuple[int, int, int]]) -> _Found:
        """The way on which most was laid; of those the one with least above."""
        best = max(ways, key=lambda way: (way[1], -way[2]), default=(0, 0, 0))
        return _Found(anchor=best[0], matched=best[1], skipped=best[2])

    def step(self, entry: Entry, ways: Dict[int, Tuple[int, int, int]]) -> Dict[int, Tuple[int, int, int]]:
        """The ways that are left below an entry."""
        try:
            request = requests.request_of(entry)
        except WireError:
            return ways
        if not simulate.count_at_most([entry]):
            return ways
        writes = {frozenset(one) for one in simulate.written_by(request)}
        sure = not self.refuses and simulate.puts_only([entry])
        out: Dict[int, Tuple[int, int, int]] = {}
        for used, way in ways.items():
            if used >= len(self.records):
                if not (sure and self.records[-1].revision == FIRST):
                    out.setdefault(used, way)
                continue
            record = self.records[used]
            if _may_be(request, writes, record.write):
                counts = record.write in writes if self.exact else record.write is not None
                laid = (way[0] or entry.index, way[1] + counts, way[2])
                if used + 1 not in out or out[used + 1][1] < laid[1]:
                    out[used + 1] = laid
            if not sure:
                out.setdefault(used, way)
        return out

    def told(self, index: int, ways: Dict[int, Tuple[int, int, int]]) -> str:
        used = min(min(ways), len(self.records) - 1)
        return f"entry {index} wrote what the db lacks: its revision {self.records[used].revision} is another write"


def _may_be(request: requests.Request, writes: "set[Write]", write: Optional[Write]) -> bool:
    """Whether a request can have made a revision."""
    if write is None or write in writes:
        return True
    if isinstance(request, (requests.Put, requests.DeleteRange)):
        return _branch_may_be((request,), write)
    if isinstance(request, requests.Revoke):
        return all(deleted for deleted, _, _ in write)
    if isinstance(request, requests.Txn):
        return _branch_may_be(request.success, write) or _branch_may_be(request.failure, write)
    return False


def _branch_may_be(branch: Sequence[requests.Op], write: Write) -> bool:
    """Whether operations can have made a revision together: what is put is there, unless its value was kept; what is deleted
    may not have been there."""
    if any(isinstance(one, requests.Txn) for one in branch):
        return True
    puts = [one for one in branch if isinstance(one, requests.Put)]
    ranges = [one for one in branch if isinstance(one, requests.DeleteRange)]
    sure = {(False, one.key, one.value) for one in puts if not one.ignore_value}
    kept = {one.key for one in puts if one.ignore_value}
    for deleted, key, _value in write - sure:
        if not (any(_covers(one, key) for one in ranges) if deleted else key in kept):
            return False
    return sure <= write and kept <= {key for deleted, key, _ in write if not deleted}


def _covers(asked: requests.DeleteRange, key: bytes) -> bool:
    """Whether a key is in a range; an end of ``\\0`` means "no end", as in etcd's ranges."""
    if not asked.end:
        return key == asked.key
    return asked.key <= key and (asked.end == b"\0" or key < asked.end)


def _search(log: _Entries, records: List[_Record]) -> List[int]:
    """The entries at which the data may really end, anywhere in the log; none where its last revisions are not in it."""
    newest = records[0].write
    if newest is None:
        return []
    places = []
    for entry in log.each():
        try:
            request = requests.request_of(entry)
        except WireError:
            continue
        if newest in {frozenset(one) for one in simulate.written_by(request)}:
            places.append(entry.index)
    if places and _impossible(log, records[0].revision, min(places)):
        places = [one for one in places if records[0].revision <= 1 + one]
    best = 0
    out: List[int] = []
    for place in sorted(set(places), reverse=True)[:CANDIDATES]:
        try:
            near = log.around(place)
        except EtcdFileError:
            return []
        below = {index: entry for index, entry in near.items() if index <= place}
        found = _Walk(records[:ENOUGH], below, log.begin).down(place, 0)
        if found.contradiction or found.anchor != place or found.matched < best:
            continue
        out = [place] if found.matched > best else [place, *out]
        best = found.matched
    enough = min(len([one for one in records[:ENOUGH] if one.write is not None]), FEW)
    return out if best >= enough and best else []
