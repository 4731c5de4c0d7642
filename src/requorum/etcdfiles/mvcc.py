"""What etcd keeps in its db file, and the few pages that tell what a survey asks.

Buckets and keys: server/mvcc/buckets/bucket.go (3.5), server/storage/schema/bucket.go (3.6). A revision key is 17 bytes
(main revision, ``_``, sub revision), 18 with a trailing ``t`` for a tombstone.
"""

import struct
from dataclasses import dataclass
from typing import List, Optional, Tuple

from requorum.etcdfiles import bbolt, messages
from requorum.etcdfiles.bbolt import BadPage, Bolt
from requorum.etcdfiles.checksum import Buffer
from requorum.etcdfiles.faults import Damage, EtcdFileError
from requorum.etcdfiles.messages import ConfState
from requorum.etcdfiles.protowire import WireError, fields

_REVISION = struct.Struct(">qcq")
TRAILER = 32
MAX_LIVE_READS = 5


@dataclass(frozen=True)
class MemberRecord:
    """A member as the db's members bucket has it. ``learner`` members do not vote."""

    id: int
    name: str
    peer_urls: Tuple[str, ...]
    client_urls: Tuple[str, ...]
    learner: bool


@dataclass(frozen=True)
class Alarm:
    """A raised alarm: ``kind`` is NOSPACE, CORRUPT or the number of one that is not known."""

    member_id: int
    kind: str


@dataclass(frozen=True)
class DbFacts:
    """What a few positioned reads of a db file tell. Sizes are in bytes.

    ``revision`` is the store's current revision as etcd computes it on start (the highest of the last record and the
    two compaction marks, kvstore.go; 1 where nothing was written yet), ``last_revision`` the last record's alone, as
    ``snapshot status`` prints it.
    ``consistent_index`` and ``term`` are 0 where the db has none (a fresh db; before 3.5 for the term).
    """

    path: str
    file_size: int
    page_size: int
    total_size: int
    txid: int
    revision: int
    last_revision: int
    compact_revision: int
    consistent_index: int
    term: int
    conf_state: Optional[ConfState]
    members: Tuple[MemberRecord, ...]
    removed: Tuple[int, ...]
    cluster_version: str
    storage_version: str
    alarms: Tuple[Alarm, ...]
    auth_enabled: bool
    has_trailer: bool
    damage: Tuple[Damage, ...]


BUCKETS = frozenset(
    (
        b"alarm",
        b"auth",
        b"authRoles",
        b"authUsers",
        b"cluster",
        b"key",
        b"lease",
        b"members",
        b"members_removed",
        b"meta",
    )
)
"""etcd's own."""


def parse_revision(key: Buffer) -> Tuple[int, int, bool]:
    """(main, sub, is tombstone) of a revision key; raises WireError for anything else."""
    size = len(key)
    if size not in (17, 18) or (size == 18 and key[17] != 0x74):
        raise WireError("not a revision key")
    main, mark, sub = _REVISION.unpack_from(key)
    if mark != b"_" or main < 0 or sub < 0:
        raise WireError("not a revision key")
    return main, sub, size == 18


def has_trailer(file_size: int) -> bool:
    """Whether the file ends in the sha256 that ``etcdctl snapshot save`` appends (v3_snapshot.go, hasChecksum)."""
    return file_size % 512 == TRAILER


def read_facts(path: str) -> DbFacts:
    """Facts from a few pages: 5 to 20 of them, whatever the size of the file.

    Safe on the file of a running etcd: no lock is taken, and the reading is done again when two transactions were
    committed meanwhile (a freed page is reused by the next but one at the earliest); or one, where anything seems damaged.
    """
    with Bolt(path) as bolt:
        for _ in range(MAX_LIVE_READS):
            before = bolt.meta.txid
            try:
                facts: Optional[DbFacts] = _facts(bolt)
            except EtcdFileError:
                facts = None
            bolt.reload()
            if bolt.meta.txid < before + (2 if facts is not None and not facts.damage else 1):
                if facts is None:
                    break
                return facts
        if facts is None:
            return _facts(bolt)
        raise EtcdFileError(path, "a running etcd changes it faster than it can be read")


def _facts(bolt: Bolt) -> DbFacts:
    meta = bolt.meta
    damage = [Damage(bolt.path, 0, "meta page", fault) for fault in bolt.meta_faults]
    if meta.size > bolt.file_size:
        damage.append(
            Damage(bolt.path, bolt.file_size, "truncated", f"{bolt.file_size} of {meta.size} bytes are there")
        )
    values = _Values()
    for page, kind, fault in _values(bolt, values):
        damage.append(Damage(bolt.path, page * meta.page_size, kind, fault))
    return DbFacts(
        path=bolt.path,
        file_size=bolt.file_size,
        page_size=meta.page_size,
        total_size=meta.size,
        txid=meta.txid,
        revision=max(values.last_revision, values.finished, values.scheduled, 1),
        last_revision=values.last_revision,
        compact_revision=max(values.finished, values.scheduled),
        consistent_index=values.consistent_index,
        term=values.term,
        conf_state=values.conf_state,
        members=values.members,
        removed=values.removed,
        cluster_version=values.cluster_version,
        storage_version=values.storage_version,
        alarms=values.alarms,
        auth_enabled=values.auth_enabled,
        has_trailer=has_trailer(bolt.file_size),
        damage=tuple(damage),
    )


@dataclass
class _Values:
    last_revision: int = 0
    finished: int = 0
    scheduled: int = 0
    consistent_index: int = 0
    term: int = 0
    conf_state: Optional[ConfState] = None
    members: Tuple[MemberRecord, ...] = ()
    removed: Tuple[int, ...] = ()
    cluster_version: str = ""
    storage_version: str = ""
    alarms: Tuple[Alarm, ...] = ()
    auth_enabled: bool = False


def _values(bolt: Bolt, out: _Values) -> List[Tuple[int, str, str]]:
    """Fill in what each bucket says; returns the (page, kind, reason) of what cannot be read. One does not hide the others."""
    faults: List[Tuple[int, str, str]] = []
    names = []
    try:
        for item in bolt.items(bolt.root_bucket()):
            if not item.is_bucket:
                continue
            names.append(bytes(item.key))
            try:
                _bucket_values(bolt, bytes(item.key), bbolt.bucket_of(item, bolt.meta.root), out)
            except BadPage as err:
                faults.append((err.pgid, err.kind, str(err)))
            except WireError as err:
                faults.append((bolt.meta.root, "page", str(err)))
    except BadPage as err:
        faults.append((err.pgid, err.kind, str(err)))
    if names and not faults and not BUCKETS.intersection(names):
        known = ", ".join(name.decode("ascii", "replace") for name in names[:3])
        raise EtcdFileError(bolt.path, f"a bbolt file, but none of etcd's: its buckets are called {known}")
    return faults


def _bucket_values(bolt: Bolt, name: bytes, bucket: bbolt.Bucket, out: _Values) -> None:
    if name == b"key":
        last = bolt.last(bucket)
        out.last_revision = parse_revision(last.key)[0] if last else 0
    elif name == b"meta":
        for entry in bolt.items(bucket):
            _meta_value(out, bytes(entry.key), bytes(entry.value))
    elif name == b"members":
        out.members = tuple(_member(bytes(entry.value)) for entry in bolt.items(bucket))
    elif name == b"members_removed":
        out.removed = tuple(_hex_id(bytes(entry.key)) for entry in bolt.items(bucket))
    elif name == b"cluster":
        version = bolt.get(bucket, b"clusterVersion")
        out.cluster_version = bytes(version.value).decode("ascii", "replace") if version else ""
    elif name == b"alarm":
        out.alarms = tuple(_alarm(bytes(entry.key)) for entry in bolt.items(bucket))
    elif name == b"auth":
        enabled = bolt.get(bucket, b"authEnabled")
        out.auth_enabled = enabled is not None and bytes(enabled.value) == b"\x01"


def _meta_value(out: _Values, key: bytes, value: bytes) -> None:
    if key == b"consistent_index" and len(value) == 8:
        out.consistent_index = int.from_bytes(value, "big")
    elif key == b"term" and len(value) == 8:
        out.term = int.from_bytes(value, "big")
    elif key == b"scheduledCompactRev":
        out.scheduled = parse_revision(value)[0]
    elif key == b"finishedCompactRev":
        out.finished = parse_revision(value)[0]
    elif key == b"storageVersion":
        out.storage_version = value.decode("ascii", "replace")
    elif key == b"confState":
        state = messages.decode_json(value)
        if isinstance(state, dict):
            voters, learners = _ids(state.get("voters")), _ids(state.get("learners"))
            if voters is not None and learners is not None:
                out.conf_state = ConfState(voters, learners)


def _ids(value: object) -> Optional[Tuple[int, ...]]:
    """A JSON list of member ids (none at all counts as empty); ``None`` for anything else."""
    if value is None:
        return ()
    if not isinstance(value, list) or not all(type(one) is int and one >= 0 for one in value):
        return None
    return tuple(value)


def _hex_id(text: bytes) -> int:
    try:
        return int(text, 16)
    except ValueError as err:
        raise WireError("a member id is not hexadecimal") from err


def _strings(value: object) -> Tuple[str, ...]:
    return tuple(str(one) for one in value) if isinstance(value, list) else ()


def _member(value: bytes) -> MemberRecord:
    data = messages.decode_json(value)
    if not isinstance(data, dict) or not isinstance(data.get("id"), int):
        raise WireError("a member record without an id")
    return MemberRecord(
        id=data["id"],
        name=str(data.get("name", "")),
        peer_urls=_strings(data.get("peerURLs")),
        client_urls=_strings(data.get("clientURLs")),
        learner=bool(data.get("isLearner", False)),
    )


def _alarm(key: bytes) -> Alarm:
    member = kind = 0
    for number, _, value in fields(key):
        if number == 1:
            member = messages.as_int(value)
        elif number == 2:
            kind = messages.as_int(value)
    return Alarm(member, {1: "NOSPACE", 2: "CORRUPT"}.get(kind, str(kind)))


def records_at(bolt: Bolt, revision: int) -> List[Tuple[bool, messages.KeyValue]]:
    """The (is tombstone, record) pairs of the last main revision when that is ``revision``, in order of sub revision.

    Reads from the end of the key bucket only.
    """
    bucket = bolt.bucket(b"key")
    out: List[Tuple[bool, messages.KeyValue]] = []
    if bucket is None:
        return out
    for item in bolt.backwards(bucket):
        main, _, tombstone = parse_revision(item.key)
        if main < revision:
            break
        if main == revision:
            out.append((tombstone, messages.decode_key_value(item.value)))
    return out[::-1]
