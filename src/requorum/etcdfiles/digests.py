"""What the records of a db come to, as sums of hashes under a key that no client can know: to tell two dbs apart.

Digests are compared, values stay where they are. The key is drawn anew for each comparison, so nobody can have chosen values
that collide. This shares no code with what compares members in a survey (:mod:`requorum.etcdfiles.records`): it is there to
contradict it.
"""

import hashlib
from dataclasses import dataclass
from typing import Dict, List, Sequence, Tuple

from requorum.etcdfiles import mvcc
from requorum.etcdfiles.bbolt import BadPage, Bolt
from requorum.etcdfiles.faults import EtcdFileError
from requorum.etcdfiles.messages import decode_key_value, scan_key_value
from requorum.etcdfiles.protowire import WireError

_MASK = (1 << 128) - 1
_SIZE = 16


@dataclass(frozen=True)
class Digests:
    """A db at some revisions (``marks``, rising).

    ``live`` are sums over the keys that live after each mark, which no compaction changes; ``written`` sums over all records
    up to it: their differences tell what was written between two marks, wherever that was not compacted. ``count`` is how
    many records there were up to each.
    """

    revision: int
    compacted: int
    marks: Tuple[int, ...]
    live: Tuple[str, ...]
    written: Tuple[str, ...]
    count: Tuple[int, ...]


def digests_of(path: str, key: str, marks: Sequence[int]) -> Digests:
    """Read the key bucket of a db once, in the order of its revisions; ``key`` is hexadecimal, of at most 64 bytes.

    Raises EtcdFileError where the db cannot be read.
    """
    keyed = hashlib.blake2b(key=bytes.fromhex(key), digest_size=_SIZE)
    wanted = sorted(set(marks))
    live: Dict[bytes, int] = {}
    alive = written = count = at = 0
    out: List[Tuple[str, str, int]] = []
    with Bolt(path) as bolt:
        try:
            facts = mvcc.read_facts(path)
            bucket = bolt.bucket(b"key")
            for item in bolt.items(bucket) if bucket is not None else ():
                name, value = bytes(item.key), bytes(item.value)
                main, _, tombstone = mvcc.parse_revision(name)
                while at < len(wanted) and wanted[at] < main:
                    out.append((f"{alive & _MASK:x}", f"{written & _MASK:x}", count))
                    at += 1
                if not value:
                    continue  # the mark that a raised revision leaves
                one = keyed.copy()
                one.update(name)
                one.update(value)
                digest = int.from_bytes(one.digest(), "little")
                written += digest
                count += 1
                found = scan_key_value(value, 0, len(value))
                of = value[found[0] : found[1]] if found is not None else decode_key_value(value).key
                alive -= live.pop(of, 0)
                if not tombstone:
                    live[of] = digest
                    alive += digest
        except (BadPage, WireError) as err:
            raise EtcdFileError(path, str(err)) from err
    while at < len(wanted):
        out.append((f"{alive & _MASK:x}", f"{written & _MASK:x}", count))
        at += 1
    return Digests(
        revision=facts.revision,
        compacted=max(facts.compact_revision, 0),
        marks=tuple(wanted),
        live=tuple(one[0] for one in out),
        written=tuple(one[1] for one in out),
        count=tuple(one[2] for one in out),
    )


def marks_for(revisions: Sequence[int], compacted: Sequence[int], blocks: int) -> Tuple[int, ...]:
    """At which revisions some dbs are to be compared: where each ends, up to where each is compacted, and in between, so
    that a difference is found in one of so many ``blocks``."""
    last, first = max(revisions, default=0), min(compacted, default=0)
    step = max((last - first) // max(blocks, 1), 1)
    return tuple(sorted({*revisions, *compacted, *range(first, last, step)}))
