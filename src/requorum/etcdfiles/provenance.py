"""Whether all that a db holds was written by the log beside it.

bbolt has no page checksums: a flipped bit in a record's key or value is seen by no etcd, and by nobody else where there is no
other db to compare it with. Where the log reaches back far enough its entries are covered by checksums, and say what was
written: each record must be in one of them, and the versions of each key must follow each other.
"""

import os
from dataclasses import dataclass
from itertools import chain
from typing import Dict, Iterator, List, NamedTuple, Optional, Sequence, Set, Tuple, Union

from requorum.etcdfiles import bbolt, messages, mvcc, requests, simulate, wal
from requorum.etcdfiles.bbolt import BadPage
from requorum.etcdfiles.faults import EtcdFileError
from requorum.etcdfiles.messages import Entry, KeyValue
from requorum.etcdfiles.mvcc import DbFacts
from requorum.etcdfiles.protowire import WireError
from requorum.etcdfiles.wal import Log

MOST_BYTES = 1 << 29
"""A log that is larger is not gone through for this."""
ANCHORS = 5
"""So many revisions, laid on entries in their order, are not laid there by chance."""
MOST_MISSED = 1000
"""Behind so many that no entry made, the entries that made the rest are not in the log."""
LOOK_BACK = 20_000
"""So many records further back the one before of the same key is looked for, where only the newest ones are in question."""


@dataclass(frozen=True)
class Provenance:
    """So many records of a db its log must have written, and ``foreign`` ones of them it did not; ``why`` tells the newest of
    those, or of a key's records that do not follow each other. ``whole``: the entries that wrote all of them are there."""

    records: int = 0
    foreign: int = 0
    why: str = ""
    whole: bool = False


UNTOLD = Provenance()


def provenance(
    facts: DbFacts,
    log: Optional[Log],
    begins_empty: bool,
    index_known: bool = True,
    brought: Sequence[Entry] = (),
    brought_to: int = 0,
) -> Provenance:
    """Hold a db's records against the log beside it, if there is one; nothing where that does not tell.

    ``begins_empty``: the log reaches back to the beginning of the store, and what its first entries must have written is looked
    at; what its last ones up to the db's index must have written is in any case. Between the two entries may be missing: what
    they may have written is left out. What a db holds behind a log's end was made by entries that are gone. ``index_known``:
    something corroborates the db's index. ``brought`` are the entries of another log of the same history, from 1 on; up to
    ``brought_to`` they are those that the db's member applied.
    """
    index = facts.consistent_index
    if facts.damage:
        return UNTOLD
    try:
        if log is not None and sum(os.path.getsize(one.path) for one in log.segments) > MOST_BYTES:
            return UNTOLD
        whole_to, whole_from = 0, index + 1
        if log is not None and log.runs:
            whole_to = log.readable_to(log.runs[0].first) if begins_empty else 0
            whole_from = _whole_from(log, index)
        whole_to = min(max(whole_to, brought_to), index)
        apart = 0 < whole_to < whole_from - 1
        written = _written(
            facts, log, brought, whole_to, whole_from, _replayed(log, brought, whole_to) if apart else None
        )
        begin, above = 0, facts.revision - written.last_sure
        if whole_to and not apart:
            begin = facts.revision
        elif apart:
            missing = whole_from - 1 - whole_to  # each has written one revision, or none
            begin = 1 + written.first_sure
            if index_known:
                begin = max(begin, facts.revision - written.last_most - missing)
            above = min(above, 1 + written.first_most + missing)
        if begin < facts.revision:
            above = min(above, _surely_above(facts, written))
        return _held_against(facts, written, begin, max(begin, above))
    except (BadPage, WireError, EtcdFileError, OSError):
        return UNTOLD


def written_since(facts: DbFacts, log: Log, revision: int) -> bool:
    """Whether each record above a revision is what one of the entries wrote whose bodies the log has, and follows the one before
    of its key. Not so: :func:`provenance` tells why, or that it cannot be told."""
    try:
        puts: Set[int] = set()
        kept: Set[bytes] = set()
        for entry in log.entries.values():
            for put in _puts(requests.request_of(entry)) if entry.index <= facts.consistent_index else ():
                if put.ignore_value or put.ignore_lease:
                    kept.add(put.key)
                puts.add(hash((put.key, put.value, put.lease)))
        newer: Dict[bytes, _Version] = {}
        left = LOOK_BACK
        for main, tombstone, kv in _newest_first(facts):
            left -= main <= revision
            if not left or (main <= revision and not newer):
                return True
            after = newer.pop(kv.key, None)
            this = _Version(main, kv.create_revision, kv.version)
            if after and not _follows(after, None if tombstone else this):
                return False
            if tombstone or main <= revision:
                continue
            if kv.key not in kept and hash((kv.key, kv.value, kv.lease)) not in puts:
                return False
            if not _follows(this, None):
                newer[kv.key] = this
    except (BadPage, WireError, EtcdFileError, OSError):
        return False
    return all(one.revision <= facts.compact_revision for one in newer.values())


def _whole_from(log: Log, index: int) -> int:
    """The first of the entries up to ``index`` between which none is missing; ``index + 1`` where that one is."""
    at = index + 1
    for run in reversed(log.runs):
        if run.first < at <= run.last + 1:
            at = run.first
    return at


@dataclass
class _Written:
    """What the log's entries put, as hashes of (key, value, lease), and which of the last ones did so, where only one did; the
    keys of which something was kept as it was; how many of its first and of its last entries must have written, and how many
    may have."""

    puts: Dict[int, int]
    kept: Set[bytes]
    first_sure: int
    last_sure: int
    first_most: int
    last_most: int


def _replayed(log: Optional[Log], brought: Sequence[Entry], whole_to: int) -> Optional[int]:
    """How many revisions the entries from the first to ``whole_to`` make of an empty store; ``None`` where some of them may have
    been refused."""
    store, at = simulate.Store(1, 0, {}, set()), 0
    for entry in chain(brought, wal.entries_of(log) if log is not None else ()):
        if entry.index == at + 1 <= whole_to:
            store.apply((entry,))
            at += 1
    return None if store.doubts or at < whole_to else store.revision - 1


def _written(
    facts: DbFacts,
    log: Optional[Log],
    brought: Sequence[Entry],
    whole_to: int,
    whole_from: int,
    replayed: Optional[int],
) -> _Written:
    puts: Dict[int, int] = {}
    kept: Set[bytes] = set()
    writes: Dict[int, bool] = {}  # index of what may have written: whether it must have
    refuses = bool(facts.alarms) or facts.auth_enabled
    for entry in chain(brought, wal.entries_of(log) if log is not None else ()):
        request = requests.request_of(entry)
        refuses = refuses or simulate.may_refuse(request)
        for put in _puts(request):
            if put.ignore_value or put.ignore_lease:
                kept.add(put.key)
            what = hash((put.key, put.value, put.lease))
            recent = whole_from <= entry.index <= facts.consistent_index
            puts[what] = entry.index if recent and puts.get(what, entry.index) == entry.index else 0
        if entry.index <= facts.consistent_index and simulate.count_at_most([entry]):
            writes[entry.index] = simulate.puts_only([entry])
    first = [sure for index, sure in writes.items() if index <= whole_to]
    last = [sure for index, sure in writes.items() if index >= whole_from]
    return _Written(
        puts=puts,
        kept=kept,
        first_sure=replayed if replayed is not None else 0 if refuses else sum(first),
        last_sure=0 if refuses else sum(last),
        first_most=replayed if replayed is not None else len(first),
        last_most=len(last),
    )


def _puts(request: Union[requests.Request, requests.Op]) -> Iterator[requests.Put]:
    if isinstance(request, requests.Put):
        yield request
    elif isinstance(request, requests.Txn):
        for one in (*request.success, *request.failure):
            yield from _puts(one)


def _newest_first(facts: DbFacts) -> Iterator[Tuple[int, bool, KeyValue]]:
    """Each change that a db holds, the newest first: (revision, is tombstone, what). Raises EtcdFileError where the file is
    another than the facts are of."""
    with bbolt.Bolt(facts.path) as bolt:
        bucket = bolt.bucket(b"key")
        if bucket is None or bolt.meta.txid != facts.txid:
            raise EtcdFileError(facts.path, "it has changed meanwhile")
        for item in bolt.backwards(bucket):
            main, _, tombstone = mvcc.parse_revision(item.key)
            if item.value:  # else the mark that --bump-revision leaves
                yield main, tombstone, messages.decode_key_value(item.value)


def _held_against(facts: DbFacts, written: _Written, begin: int, above: int) -> Provenance:
    """The records up to the revision ``begin`` and those above another one, held against what was written; and against those
    before of the same keys."""
    records = foreign = 0
    why = ""
    newer: Dict[bytes, _Version] = {}
    for main, tombstone, kv in _newest_first(facts):
        if main <= above and not begin:
            return Provenance(records, foreign, why)
        after = newer.pop(kv.key, None)
        this = _Version(main, kv.create_revision, kv.version)
        if after and not _follows(after, None if tombstone else this):
            why = why or f"its revision {after.revision} does not follow the one before of the same key"
        if tombstone:
            continue
        newer[kv.key] = this
        if begin < main <= above:
            continue
        records += 1
        if kv.key not in written.kept and hash((kv.key, kv.value, kv.lease)) not in written.puts:
            foreign += 1
            why = why or f"its revision {main} is a write that no entry of the log made"
    for one in newer.values():
        if one.revision > facts.compact_revision and not _follows(one, None):
            why = why or f"its revision {one.revision} is of a key that nobody made"
    return Provenance(records, foreign, why, begin >= facts.revision)


def _surely_above(facts: DbFacts, written: _Written) -> int:
    """A revision behind which the log's last entries made all: some that they alone can have made, in their order, lie below.
    Nobody knows without the keys whether a guarded write came about; that it did is seen by what it left."""
    hits: List[int] = []
    low, missed = facts.consistent_index, 0
    for main, tombstone, kv in _newest_first(facts):
        if tombstone:
            continue
        index = written.puts.get(hash((kv.key, kv.value, kv.lease)), 0)
        missed = missed + 1 if not index else 0
        if missed > MOST_MISSED or index > low:
            break
        if index and main not in hits[-1:]:
            low = index
            hits.append(main)
    return hits[-ANCHORS] if len(hits) >= ANCHORS else facts.revision


class _Version(NamedTuple):
    """Which one of its key a record is."""

    revision: int
    created: int
    version: int


def _follows(after: _Version, before: Optional[_Version]) -> bool:
    """Whether a record is the next one of its key; ``None``: the key was not there."""
    if before is None:
        return after.created == after.revision and after.version == 1
    return after.created == before.created and after.version == before.version + 1
