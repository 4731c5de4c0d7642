"""The simulator's rules, one by one: what each request does to the revision, the keys and the leases.

Requests are built as etcd's clients encode them; the rules are those of etcd's applier (apply.go, kvstore_txn.go).
"""

from collections.abc import Sequence

import pytest

from requorum.etcdfiles import requests, simulate
from requorum.etcdfiles.messages import Entry, KeyValue
from requorum.etcdfiles.protowire import bytes_field, int_field
from requorum.etcdfiles.simulate import Outcome, Store

EQUAL, GREATER, LESS, NOT_EQUAL = requests.EQUAL, requests.GREATER, requests.LESS, requests.NOT_EQUAL
REVISION = 10
LEASE = 77


def put(
    key: bytes, value: bytes = b"new", *, lease: int = 0, keep_value: bool = False, keep_lease: bool = False
) -> bytes:
    """PutRequest."""
    out = bytes_field(1, key) + bytes_field(2, value) + int_field(3, lease)
    return out + int_field(5, int(keep_value)) + int_field(6, int(keep_lease))


def delete(key: bytes, end: bytes = b"") -> bytes:
    """DeleteRangeRequest."""
    return bytes_field(1, key) + bytes_field(2, end)


def read(revision: int) -> bytes:
    """RangeRequest at a revision."""
    return bytes_field(1, b"a") + int_field(4, revision)


def guard(target: str, result: int, value: int | bytes, key: bytes = b"a", end: bytes = b"") -> bytes:
    """Compare."""
    kinds = {"version": (0, 4), "create": (1, 5), "mod": (2, 6), "value": (3, 7), "lease": (4, 8)}
    kind, number = kinds[target]
    out = int_field(1, result) + int_field(2, kind) + bytes_field(3, key)
    out += int_field(number, value) if isinstance(value, int) else bytes_field(number, value)
    return out + bytes_field(64, end) if end else out


class Op:
    """RequestOps by kind."""

    @staticmethod
    def read(body: bytes) -> bytes:
        """A read."""
        return bytes_field(1, body)

    @staticmethod
    def put(body: bytes) -> bytes:
        """A put."""
        return bytes_field(2, body)

    @staticmethod
    def delete(body: bytes) -> bytes:
        """A delete."""
        return bytes_field(3, body)

    @staticmethod
    def txn(body: bytes) -> bytes:
        """A transaction within the transaction."""
        return bytes_field(4, body)


def txn(guards: Sequence[bytes] = (), success: Sequence[bytes] = (), failure: Sequence[bytes] = ()) -> bytes:
    """TxnRequest."""
    parts = [(1, guards), (2, success), (3, failure)]
    return b"".join(bytes_field(number, one) for number, some in parts for one in some)


def log(*asked: tuple[int, bytes], first: int = 100) -> list[Entry]:
    """Entries that each hold the InternalRaftRequest with this field."""
    head = bytes_field(100, int_field(1, 5))
    return [Entry(0, 2, first + at, bytes_field(number, body) + head) for at, (number, body) in enumerate(asked)]


PUT, DELETE, TXN, COMPACTION, GRANT, REVOKE, ALARM, CHECKPOINT, AUTH, VERSION = 4, 5, 6, 7, 8, 9, 10, 11, 1000, 1300
NOTHING_HELD = b"nobody holds this key"


def store() -> Store:
    """At revision 10, compacted at 5: a (rev 6, version 2), b (rev 7, leased), c (rev 9)."""
    keys = [
        KeyValue(b"a", 4, 6, 2, b"one", 0),
        KeyValue(b"b", 7, 7, 1, b"two", LEASE),
        KeyValue(b"c", 9, 9, 1, b"three", 0),
    ]
    return Store(REVISION, 5, {one.key: one for one in keys}, {LEASE})


def apply(*asked: tuple[int, bytes]) -> tuple[Store, Outcome]:
    """A fresh store with these requests applied."""
    held = store()
    return held, held.apply(log(*asked))


def test_a_put_adds_a_revision() -> None:
    """A new key begins at version 1; an old one keeps its creation and goes to the next version."""
    held, outcome = apply((PUT, put(b"z")), (PUT, put(b"a")))
    assert outcome == Outcome(12, (100, 101), ())
    assert outcome.exact
    assert held.keys[b"z"] == KeyValue(b"z", 11, 11, 1, b"new", 0)
    assert held.keys[b"a"] == KeyValue(b"a", 4, 12, 3, b"new", 0)


def test_a_put_of_the_same_value_adds_a_revision_too() -> None:
    """etcd does not compare values."""
    assert apply((PUT, put(b"a", b"one")))[1].revision == 11


def test_a_put_with_an_unknown_lease_fails() -> None:
    """It changes nothing and adds none; with a lease of the db, or granted on the way, it does."""
    held, outcome = apply((PUT, put(b"z", lease=5)), (PUT, put(b"y", lease=LEASE)))
    assert outcome.writes == (101,)
    assert b"z" not in held.keys
    _, granted = apply((GRANT, int_field(1, 60) + int_field(2, 5)), (PUT, put(b"z", lease=5)))
    assert granted.writes == (101,)
    _, revoked = apply((REVOKE, int_field(1, LEASE)), (PUT, put(b"z", lease=LEASE)))
    assert revoked.writes == (100,)


def test_a_grant_that_is_refused_makes_no_lease() -> None:
    """etcd refuses a TTL above 9 000 000 000 s (lessor.go, MaxLeaseTTL)."""
    held, outcome = apply((GRANT, int_field(1, 9_000_000_001) + int_field(2, 5)), (PUT, put(b"z", lease=5)))
    assert outcome.writes == ()
    assert held.leases == {LEASE}
    assert apply((GRANT, int_field(1, 9_000_000_000) + int_field(2, 5)))[0].leases == {LEASE, 5}


def test_a_put_that_keeps_its_value_needs_one() -> None:
    """``ignore_value`` and ``ignore_lease`` fail on a key that is not there, and keep what is there otherwise."""
    held, outcome = apply(
        (PUT, put(b"z", keep_value=True)),
        (PUT, put(b"z", keep_lease=True)),
        (PUT, put(b"b", b"", keep_value=True)),
    )
    assert outcome.writes == (102,)
    assert held.keys[b"b"] == KeyValue(b"b", 7, 11, 2, b"two", 0)
    held, outcome = apply((PUT, put(b"b", keep_lease=True)))
    assert held.keys[b"b"] == KeyValue(b"b", 7, 11, 2, b"new", LEASE)


def test_a_delete_adds_a_revision_only_when_keys_were_there() -> None:
    """One revision for one key or many, none for none; a key put again begins anew."""
    held, outcome = apply(
        (DELETE, delete(b"nothing")),
        (DELETE, delete(b"a")),
        (DELETE, delete(b"a")),
        (PUT, put(b"a")),
        (DELETE, delete(b"b", b"d")),
    )
    assert outcome == Outcome(13, (101, 103, 104), ())
    assert held.keys == {b"a": KeyValue(b"a", 12, 12, 1, b"new", 0)}


@pytest.mark.parametrize(
    ("key", "end", "left"),
    [
        (b"a", b"c", [b"c"]),
        (b"b", b"\0", [b"a"]),
        (b"\0", b"\0", []),
        (b"c", b"a", [b"a", b"b", b"c"]),
        (b"b", b"b", [b"a", b"b", b"c"]),
        (b"aa", b"b\0", [b"a", b"c"]),
    ],
)
def test_ranges_are_half_open_and_a_zero_byte_means_no_end(key: bytes, end: bytes, left: list[bytes]) -> None:
    """[key, end); an end of one zero byte reaches to the end of the key space."""
    held, outcome = apply((DELETE, delete(key, end)))
    assert sorted(held.keys) == left
    assert outcome.revision == (10 if len(left) == 3 else 11)


HOLDS = [
    ("version", EQUAL, 2),
    ("version", GREATER, 1),
    ("version", LESS, 3),
    ("version", NOT_EQUAL, 1),
    ("create", EQUAL, 4),
    ("mod", EQUAL, 6),
    ("mod", LESS, 7),
    ("value", EQUAL, b"one"),
    ("value", NOT_EQUAL, b"two"),
    ("value", GREATER, b"on"),
    ("value", LESS, b"onf"),
    ("lease", EQUAL, 0),
]
FAILS = [
    ("version", EQUAL, 1),
    ("version", GREATER, 2),
    ("version", LESS, 2),
    ("version", NOT_EQUAL, 2),
    ("create", EQUAL, 6),
    ("mod", EQUAL, 4),
    ("value", EQUAL, b""),
    ("value", LESS, b"one"),
    ("lease", NOT_EQUAL, 0),
]


@pytest.mark.parametrize(("target", "result", "value"), HOLDS)
def test_a_guard_that_holds_chooses_success(target: str, result: int, value: int | bytes) -> None:
    """The success branch is carried out, the failure branch is not."""
    held, outcome = apply((TXN, txn([guard(target, result, value)], [Op.put(put(b"s"))], [Op.put(put(b"f"))])))
    assert outcome.writes == (100,)
    assert b"s" in held.keys
    assert b"f" not in held.keys


@pytest.mark.parametrize(("target", "result", "value"), FAILS)
def test_a_guard_that_fails_chooses_failure(target: str, result: int, value: int | bytes) -> None:
    """The failure branch is carried out; one that only reads, as Kubernetes' do, adds no revision."""
    held, outcome = apply((TXN, txn([guard(target, result, value)], [Op.put(put(b"s"))], [Op.put(put(b"f"))])))
    assert outcome.writes == (100,)
    assert b"f" in held.keys
    assert b"s" not in held.keys
    reads = txn([guard(target, result, value)], [Op.put(put(b"s"))], [Op.read(read(0))])
    assert apply((TXN, reads))[1] == Outcome(10, (), ())


def test_all_guards_must_hold() -> None:
    """One failing guard among holding ones is enough; no guard at all means success."""
    good, bad = guard("version", EQUAL, 2), guard("mod", EQUAL, 1)
    assert apply((TXN, txn([good, bad], [Op.put(put(b"s"))])))[1].revision == 10
    assert apply((TXN, txn([good, good], [Op.put(put(b"s"))])))[1].revision == 11
    assert apply((TXN, txn([], [Op.put(put(b"s"))])))[1].revision == 11


@pytest.mark.parametrize(
    ("target", "result", "value", "holds"),
    [
        ("version", EQUAL, 0, True),
        ("create", EQUAL, 0, True),
        ("mod", EQUAL, 0, True),
        ("mod", GREATER, 0, False),
        ("lease", EQUAL, 0, True),
        ("value", EQUAL, b"", False),
        ("value", NOT_EQUAL, b"x", False),
        ("value", LESS, b"x", False),
    ],
)
def test_a_guard_on_a_missing_key(target: str, result: int, value: int | bytes, holds: bool) -> None:
    """A missing key counts as all zeroes; a guard on its value never holds, whatever it asks."""
    for end in (b"", NOTHING_HELD + b"\xff"):
        body = txn([guard(target, result, value, NOTHING_HELD, end)], [Op.put(put(b"s"))])
        assert apply((TXN, body))[1].revision == (11 if holds else 10)


def test_a_guard_on_a_range_speaks_of_each_key() -> None:
    """Every key of the range must satisfy it."""
    for result, number, holds in ((GREATER, 0, True), (EQUAL, 1, False), (LESS, 3, True)):
        body = txn([guard("version", result, number, b"a", b"\0")], [Op.put(put(b"s"))])
        assert apply((TXN, body))[1].revision == (11 if holds else 10)
    assert apply((TXN, txn([guard("version", EQUAL, 1, b"b", b"d")], [Op.put(put(b"s"))])))[1].revision == 11


def test_guards_see_earlier_entries() -> None:
    """Each transaction looks at the state that the entries before it left."""
    create = txn([guard("mod", EQUAL, 0, b"n")], [Op.put(put(b"n"))], [Op.read(read(0))])
    _, outcome = apply((TXN, create), (TXN, create), (DELETE, delete(b"n")), (TXN, create))
    assert outcome.writes == (100, 102, 103)


def test_a_transaction_is_one_revision() -> None:
    """However much it changes."""
    operations = [Op.put(put(b"x")), Op.put(put(b"y")), Op.delete(delete(b"a", b"c")), Op.read(read(0))]
    held, outcome = apply((TXN, txn([], operations)))
    assert outcome == Outcome(11, (100,), ())
    assert sorted(held.keys) == [b"c", b"x", b"y"]
    assert {held.keys[key].mod_revision for key in (b"x", b"y")} == {11}


def test_a_transaction_that_changes_nothing_adds_none() -> None:
    """A delete of nothing, a read, an empty branch."""
    assert apply((TXN, txn([], [Op.delete(delete(b"nothing")), Op.read(read(0))])))[1].writes == ()
    assert apply((TXN, txn()))[1].writes == ()


def test_put_then_delete_in_one_transaction() -> None:
    """The key is gone afterwards, and the revision is added all the same: two records were made."""
    held, outcome = apply((TXN, txn([], [Op.put(put(b"z")), Op.delete(delete(b"z"))])))
    assert outcome.revision == 11
    assert b"z" not in held.keys


def test_delete_then_put_in_one_transaction() -> None:
    """The key begins anew."""
    held, outcome = apply((TXN, txn([], [Op.delete(delete(b"a")), Op.put(put(b"a"))])))
    assert outcome.revision == 11
    assert held.keys[b"a"] == KeyValue(b"a", 11, 11, 1, b"new", 0)


@pytest.mark.parametrize(
    "bad",
    [
        Op.put(put(b"z", lease=5)),
        Op.put(put(b"z", keep_value=True)),
        Op.put(put(b"z", keep_lease=True)),
        Op.read(read(11)),
        Op.read(read(4)),
        Op.txn(txn([], [Op.put(put(b"z", lease=5))])),
        Op.txn(txn([guard("version", EQUAL, 1)], [], [Op.read(read(99))])),
    ],
)
def test_one_impossible_operation_fails_the_whole_transaction(bad: bytes) -> None:
    """Nothing is carried out: unknown lease, nothing to keep, a revision to come or compacted, nested ones too."""
    held, outcome = apply((TXN, txn([], [Op.put(put(b"s")), bad])))
    assert outcome == Outcome(10, (), ())
    assert b"s" not in held.keys
    assert apply((TXN, txn([], [Op.put(put(b"s"))], [bad])))[1].revision == 11, "the branch not chosen does no harm"


@pytest.mark.parametrize("revision", [0, 5, 10])
def test_reads_of_what_is_there_do_no_harm(revision: int) -> None:
    """The compact revision itself can be read, and so can the current one."""
    assert apply((TXN, txn([], [Op.put(put(b"s")), Op.read(read(revision))])))[1].revision == 11


def test_nested_guards_see_the_state_before_the_transaction() -> None:
    """etcd evaluates all guards first: a nested one does not see what the outer transaction puts."""
    inner = txn([guard("version", EQUAL, 0, b"z")], [Op.put(put(b"then"))], [Op.put(put(b"else"))])
    held, outcome = apply((TXN, txn([], [Op.put(put(b"z")), Op.txn(inner)])))
    assert outcome.revision == 11
    assert b"then" in held.keys
    assert b"else" not in held.keys


def test_a_nested_transaction_alone_can_make_the_revision() -> None:
    """Two levels down, and in the failure branch."""
    deep = txn([guard("version", EQUAL, 9)], [], [Op.txn(txn([], [Op.delete(delete(b"c"))]))])
    held, outcome = apply((TXN, txn([], [Op.txn(deep)])))
    assert outcome.revision == 11
    assert b"c" not in held.keys


def test_a_leases_end_takes_its_keys() -> None:
    """One revision when keys were attached, none when there were none."""
    held, outcome = apply(
        (GRANT, int_field(1, 60) + int_field(2, 5)),
        (REVOKE, int_field(1, 5)),
        (PUT, put(b"d", lease=LEASE)),
        (REVOKE, int_field(1, LEASE)),
        (REVOKE, int_field(1, LEASE)),
    )
    assert outcome == Outcome(12, (102, 103), ())
    assert sorted(held.keys) == [b"a", b"c"]
    assert held.leases == set()


def test_a_key_put_again_without_its_lease_is_detached() -> None:
    """The lease's end then finds no key."""
    held, outcome = apply((PUT, put(b"b")), (REVOKE, int_field(1, LEASE)))
    assert outcome.writes == (100,)
    assert b"b" in held.keys


def test_the_end_of_an_unknown_lease_changes_nothing() -> None:
    """etcd answers "requested lease not found" even where a record still names that lease."""
    held = store()
    held.leases.clear()
    assert held.apply(log((REVOKE, int_field(1, LEASE)))) == Outcome(10, (), ())
    assert b"b" in held.keys


@pytest.mark.parametrize(
    ("number", "body"),
    [
        (COMPACTION, int_field(1, 8)),
        (GRANT, int_field(1, 60) + int_field(2, 5)),
        (CHECKPOINT, b""),
        (VERSION, bytes_field(1, b"3.5.0")),
        (3, read(0)),
    ],
)
def test_requests_that_change_no_key_add_none(number: int, body: bytes) -> None:
    """Compactions, grants, checkpoints, versions, reads."""
    assert apply((number, body))[1] == Outcome(10, (), ())


def test_leaders_members_and_v2_requests_add_none() -> None:
    """Neither do entries that are no requests of the v3 store."""
    v2 = int_field(1, 4) + bytes_field(2, b"PUT") + bytes_field(3, b"/0/members") + bytes_field(4, b"{}")
    entries = [Entry(0, 2, 100, b""), Entry(1, 2, 101, b"\x08\x01\x10\x01"), Entry(0, 2, 102, v2)]
    assert store().apply(entries) == Outcome(10, (), ())
    assert simulate.count_at_most(entries) == ()
    assert simulate.puts_only(entries)


def test_a_compaction_moves_what_can_be_read() -> None:
    """A read below it fails its transaction from then on; an older compaction changes nothing."""
    body = txn([], [Op.put(put(b"s")), Op.read(read(7))])
    _, outcome = apply(
        (TXN, body), (COMPACTION, int_field(1, 8)), (TXN, body), (COMPACTION, int_field(1, 6)), (TXN, body)
    )
    assert outcome.writes == (100,)


def test_a_compaction_of_the_future_is_refused() -> None:
    """etcd answers "required revision is a future revision" and compacts nothing."""
    body = txn([], [Op.put(put(b"s")), Op.read(read(10))])
    assert apply((COMPACTION, int_field(1, 1000)), (TXN, body))[1].writes == (101,)


@pytest.mark.parametrize(
    ("number", "body"),
    [(ALARM, int_field(1, 1) + int_field(3, 1)), (ALARM, int_field(1, 2) + int_field(3, 1)), (AUTH, b"")],
    ids=["raised", "disarmed", "auth"],
)
def test_what_may_refuse_writes_is_a_doubt(number: int, body: bytes) -> None:
    """Alarms and changes of users make the count an upper bound, said once however often it happens."""
    _, outcome = apply((number, body), (number, body), (PUT, put(b"z")))
    assert outcome.revision == 11
    assert len(outcome.doubts) == 1
    assert not outcome.exact
    assert not simulate.puts_only(log((number, body)))


def test_listing_alarms_is_no_doubt() -> None:
    """``etcdctl endpoint health`` puts an alarm request that only lists into the log."""
    assert apply((ALARM, b""), (PUT, put(b"z")))[1] == Outcome(11, (101,), ())


def test_an_entry_that_cannot_be_read_counts_and_is_a_doubt() -> None:
    """It may have been a write: the count stays an upper bound."""
    entries = [Entry(0, 2, 100, b"\x22\xff"), *log((PUT, put(b"z")), first=101)]
    outcome = store().apply(entries)
    assert (outcome.revision, outcome.writes) == (12, (100, 101))
    assert not outcome.exact
    assert simulate.count_at_most(entries) == (100, 101)
    assert not simulate.puts_only(entries)


def test_the_keys_wanted_are_those_that_decide() -> None:
    """Keys put, deleted or compared, ranges, leases revoked: nested ones and those of both branches included."""
    inner = txn([guard("mod", EQUAL, 1, b"g2")], [Op.delete(delete(b"d2"))], [Op.put(put(b"p2"))])
    body = txn(
        [guard("mod", EQUAL, 1, b"g1"), guard("mod", EQUAL, 1, b"h", b"i")], [Op.txn(inner)], [Op.put(put(b"p1"))]
    )
    entries = log(
        (TXN, body),
        (DELETE, delete(b"r", b"\0")),
        (DELETE, delete(b"d1")),
        (REVOKE, int_field(1, LEASE)),
        (PUT, put(b"p3", lease=9)),
    )
    wanted = simulate.keys_wanted([*entries, Entry(0, 2, 200, b"\x22\xff")])
    assert wanted.keys == {b"g1", b"g2", b"d1", b"d2", b"p1", b"p2", b"p3"}
    assert wanted.ranges == ((b"h", b"i"), (b"r", b"\0"))
    assert wanted.leases == {LEASE}
    assert wanted.wants(b"zzz", 0)
    assert wanted.wants(b"a", LEASE)
    assert not wanted.wants(b"i", 0)
    assert not wanted.wants(b"a", 9)


def test_the_bound_counts_all_that_may_write() -> None:
    """Puts, deletes, ends of leases, transactions with a write in any branch; never reads, grants or compactions."""
    entries = log(
        (PUT, put(b"z", lease=5)),
        (DELETE, delete(b"nothing")),
        (REVOKE, int_field(1, 5)),
        (TXN, txn([], [Op.read(read(0))])),
        (TXN, txn([], [], [Op.txn(txn([], [Op.put(put(b"z"))]))])),
        (GRANT, int_field(2, 5)),
        (COMPACTION, int_field(1, 8)),
    )
    assert simulate.count_at_most(entries) == (100, 101, 102, 104)
    assert set(store().apply(entries).writes) <= set(simulate.count_at_most(entries))


def test_only_plain_puts_make_the_bound_exact() -> None:
    """A put with a lease or that keeps something may fail; a read-only transaction, a grant, a compaction may not."""
    harmless = [(TXN, txn([], [Op.read(read(0))])), (GRANT, int_field(2, 5)), (COMPACTION, int_field(1, 8))]
    assert simulate.puts_only(log((PUT, put(b"z")), *harmless))
    for other in (
        (PUT, put(b"z", lease=LEASE)),
        (PUT, put(b"z", keep_value=True)),
        (PUT, put(b"z", keep_lease=True)),
        (DELETE, delete(b"a")),
        (REVOKE, int_field(1, 5)),
        (TXN, txn([], [], [Op.put(put(b"z"))])),
    ):
        assert not simulate.puts_only(log((PUT, put(b"y")), other))


def test_what_a_request_leaves_behind() -> None:
    """The (is delete, key, value) sets by which a record on a disk is known again; none where they cannot be told."""

    def written(number: int, body: bytes) -> list[tuple[tuple[bool, bytes, bytes], ...]]:
        (entry,) = log((number, body))
        return simulate.written_by(requests.request_of(entry))

    assert written(PUT, put(b"k", b"v")) == [((False, b"k", b"v"),)]
    assert written(PUT, put(b"k", keep_value=True)) == []
    assert written(DELETE, delete(b"k")) == [((True, b"k", b""),)]
    assert written(DELETE, delete(b"k", b"l")) == []
    assert written(GRANT, int_field(2, 5)) == []
    two = [Op.put(put(b"k", b"v")), Op.delete(delete(b"d"))]
    both = [((False, b"k", b"v"), (True, b"d", b"")), ((False, b"o", b"w"),)]
    assert written(TXN, txn([], two, [Op.read(read(0)), Op.put(put(b"o", b"w"))])) == both
    assert written(TXN, txn([], [*two, Op.delete(delete(b"k", b"l"))], [Op.read(read(0))])) == []
