"""How far a db's data really goes: to its index, or, where an etcd wrote that first, to an entry before it (etcd#13766)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from requorum.etcdfiles import bbolt, footing, mvcc, requests, simulate, verify
from requorum.etcdfiles.bbolt import BadPage
from requorum.etcdfiles.faults import EtcdFileError
from requorum.etcdfiles.messages import Entry
from requorum.etcdfiles.mvcc import DbFacts
from requorum.etcdfiles.protowire import WireError
from requorum.etcdfiles.verify import Verified
from requorum.etcdfiles.wal import Log


def applied_index(facts: DbFacts, log: Log, verified: Verified | None, tied: footing.Footing | None) -> int:
    """The entry up to which the db's data goes.

    The last revision's records are looked for among the entries around the consistent index. When they are found at
    an earlier entry, and an entry between the two would have written something, the data lags the index (etcd#13766, or a bit
    of it was flipped).
    """
    consistent, revision = facts.consistent_index, facts.last_revision
    if revision < 2 or facts.damage or facts.revision != revision:
        return consistent
    try:
        with bbolt.Bolt(facts.path) as bolt:
            records = mvcc.records_at(bolt, revision)
    except (BadPage, WireError, EtcdFileError):
        return consistent
    there = {(tombstone, kv.key, b"" if tombstone else kv.value) for tombstone, kv in records}
    for index in range(consistent, 0, -1):
        entry = log.entries.get(index)
        if entry is None:
            break
        try:
            request = requests.request_of(entry)
        except WireError:
            return consistent
        if any(set(found) == there for found in simulate.written_by(request)):
            return _first_missing(facts, log.entries, verified, index)
        if simulate.count_at_most([entry]) and not simulate.written_by(request):
            break
    if (
        tied is not None
        and tied.kind == footing.RECORDS
        and all(index in log.entries for index in range(tied.index + 1, consistent + 1))
    ):
        return _first_missing(facts, log.entries, verified, tied.index)
    return consistent


def _first_missing(facts: DbFacts, entries: Mapping[int, Entry], verified: Verified | None, found: int) -> int:
    """The index before the first entry above ``found`` whose write the db lacks; the consistent index if none does. Nothing was
    written since, so the db shows the state that decided; but what was granted in between was not there yet."""
    between = [entries[index] for index in range(found + 1, facts.consistent_index + 1)]
    if not simulate.count_at_most(between) or verified is None:
        return facts.consistent_index
    store = store_of(facts, verified)
    store.leases -= {request.lease for request in map(_request_of, between) if isinstance(request, requests.Grant)}
    outcome = store.apply(between)
    return outcome.writes[0] - 1 if outcome.writes and outcome.exact else facts.consistent_index


def _request_of(entry: Entry) -> requests.Request | None:
    try:
        return requests.request_of(entry)
    except WireError:
        return None


def store_of(facts: DbFacts, verified: Verified) -> simulate.Store:
    return simulate.Store(facts.revision, facts.compact_revision, dict(verified.live), set(verified.leases))


def tied_to(facts: DbFacts, entries: Sequence[Entry]) -> footing.Footing | None:
    """What ties a db without a log to the entries of another, from the first on; its data may end before its
    index."""
    tied, held = footing.footing_on(facts, entries), {one.index: one for one in entries}
    if tied is None or tied.kind != footing.RECORDS or facts.consistent_index not in held:
        return tied
    between = [held[index] for index in range(tied.index + 1, facts.consistent_index + 1)]
    try:
        verified = verify.verify_db(facts.path, simulate.keys_wanted(between)) if between else None
    except EtcdFileError:
        return tied
    ends = _first_missing(facts, held, verified, tied.index)
    if ends == facts.consistent_index:
        return tied
    return footing.Footing(footing.MOVED, ends, why=f"entry {ends + 1} wrote what the db lacks")
