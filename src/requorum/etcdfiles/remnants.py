"""What a later db still holds of an earlier one's time, although it was compacted beyond all that the earlier one holds.

A compaction at a revision keeps, of each key, the record that lives then (etcd, mvcc/index.go). So a record of the earlier
time that is still there has lived ever since: if both dbs are of one history, it lives in the earlier one as well. And a key
that existed then, and was changed since, lives there with the same creation. So what has lasted ties two dbs together, even
where there is no revision at which both still know everything.

Hashes under a key that no client can know are compared, values stay where they are.
"""

import hashlib
from dataclasses import dataclass
from typing import Dict, Iterator, Tuple

from requorum.etcdfiles import mvcc
from requorum.etcdfiles.bbolt import BadPage, Bolt
from requorum.etcdfiles.faults import EtcdFileError
from requorum.etcdfiles.messages import KeyValue, decode_key_value
from requorum.etcdfiles.protowire import WireError

_SIZE = 8
"""Bytes of a hash."""


@dataclass(frozen=True)
class Matched:
    """How many remnants the earlier db holds, how many it lacks, and the newest revision at which one that it holds was written
    or created; 0 where it holds none."""

    held: int
    missing: int
    revision: int


def remnants_of(path: str, revision: int, key: str) -> bytes:
    """What a db still holds of the time up to a revision, as hashes of 8 bytes each; ``key`` is hexadecimal, of at most 64 bytes.

    Raises EtcdFileError where the db cannot be read, or is written to meanwhile.
    """
    hasher = hashlib.blake2b(key=bytes.fromhex(key), digest_size=_SIZE)
    live: Dict[bytes, bytes] = {}
    created: Dict[bytes, bytes] = {}
    for main, name, value, kv, tombstone in _records(path):
        if main > revision:
            if not tombstone and kv.create_revision <= revision and kv.key not in live and kv.key not in created:
                created[kv.key] = _hash_creation(hasher, kv)
        elif tombstone:
            live.pop(kv.key, None)
        else:
            live[kv.key] = _hash(hasher, b"record", name, value)
    return b"".join((*live.values(), *created.values()))


def matched(path: str, revision: int, key: str, remnants: bytes) -> Matched:
    """Which remnants a db holds, by what lives in it at the revision; ``key`` as it was for :func:`remnants_of`.

    Raises EtcdFileError where the db cannot be read, or is written to meanwhile.
    """
    hasher = hashlib.blake2b(key=bytes.fromhex(key), digest_size=_SIZE)
    live: Dict[bytes, Tuple[bytes, int, bytes, int]] = {}
    for main, name, value, kv, tombstone in _records(path):
        if main > revision:
            continue
        if tombstone:
            live.pop(kv.key, None)
        else:
            record, creation = _hash(hasher, b"record", name, value), _hash_creation(hasher, kv)
            live[kv.key] = (record, main, creation, kv.create_revision)
    revisions: Dict[bytes, int] = {}
    for record, main, creation, created in live.values():
        revisions[record], revisions[creation] = main, created
    found = [revisions.get(remnants[at : at + _SIZE], 0) for at in range(0, len(remnants), _SIZE)]
    missing = found.count(0)
    return Matched(held=len(found) - missing, missing=missing, revision=max(found, default=0))


def _records(path: str) -> Iterator[Tuple[int, bytes, bytes, KeyValue, bool]]:
    """Each record of the key bucket, in the order of revisions: its main revision, its name, its bytes and what they mean, and
    whether it is a tombstone."""
    try:
        with Bolt(path) as bolt:
            before, bucket = bolt.meta.txid, bolt.bucket(b"key")
            for item in bolt.items(bucket) if bucket is not None else ():
                name, value = bytes(item.key), bytes(item.value)
                if value:  # none: the mark that --bump-revision leaves
                    main, _, tombstone = mvcc.parse_revision(name)
                    yield main, name, value, decode_key_value(value), tombstone
            bolt.reload()
            if bolt.meta.txid > before + 1:
                raise EtcdFileError(path, "it was written to while it was read")
    except (BadPage, WireError) as err:
        raise EtcdFileError(path, str(err)) from err


def _hash_creation(hasher: "hashlib.blake2b", kv: KeyValue) -> bytes:
    return _hash(hasher, b"created", kv.create_revision.to_bytes(8, "big", signed=True), kv.key)


def _hash(hasher: "hashlib.blake2b", *parts: bytes) -> bytes:
    one = hasher.copy()
    for part in parts:
        one.update(part)
    return one.digest()
