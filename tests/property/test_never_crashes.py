"""Whatever bytes lie on a disk, a reader answers or raises its own error: it never crashes, hangs or eats the memory.

Arbitrary bytes are tried, and real files of a small killed etcd that were damaged in the ways disks damage files. Then
come a few files made by hand for what chance does not find: checksums that hold over values that cannot be.
"""

import json
import os
import resource
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from requorum.etcdfiles import (
    bbolt,
    checksum,
    datadir,
    messages,
    mvcc,
    protowire,
    records,
    requests,
    simulate,
    snapfile,
    verify,
    wal,
    walscan,
)
from requorum.etcdfiles.bbolt import BadPage, Bolt
from requorum.etcdfiles.faults import EtcdFileError
from requorum.etcdfiles.messages import Entry
from requorum.etcdfiles.protowire import WireError
from requorum.rehearsal import cluster
from requorum.rehearsal.gateway import Gateway, b64
from requorum.survey import written

pytestmark = pytest.mark.timeout(60)
many = settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.data_too_large])
PAGE = 4096
EVERYTHING = records.KeysWanted(ranges=((b"\0", b"\0"),))
SEGMENT = f"{0:016x}-{0:016x}.wal"


@dataclass(frozen=True)
class Small:
    """The files of a small member: a db of some dozen pages, a WAL cut shortly behind its records, a .snap."""

    db: bytes
    wal: bytes
    snap: bytes


@pytest.fixture(scope="module")
def small(etcd_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Small:
    """One member with keys, deletes, leases, an alarm, users, and so few entries a snapshot that it has a .snap."""
    root = tmp_path_factory.mktemp("small")
    (member,) = cluster.lay_out(root, 1, etcd_dir, "small")
    with member.config.open("a") as config:
        config.write("snapshot-count: 50\n")
    try:
        (process,) = cluster.start([member], etcd_dir)
        gateway = Gateway(member.client_url)
        lease = gateway.call("/v3/lease/grant", {"TTL": "3600"})["ID"]
        for n in range(90):
            body = {
                "key": b64(f"/k/{n % 70}"),
                "value": b64("v" * (10 * n % 400)),
                **({"lease": lease} if n % 9 else {}),
            }
            gateway.call("/v3/kv/txn", {"success": [{"request_put": body}]})
        gateway.call("/v3/kv/deleterange", {"key": b64("/k/1"), "range_end": b64("/k/3")})
        gateway.call("/v3/kv/compaction", {"revision": "40", "physical": True})
        gateway.call("/v3/maintenance/defragment", {})
        gateway.call("/v3/auth/role/add", {"name": "r"})
        (said,) = gateway.call("/v3/cluster/member/list", {})["members"]
        gateway.call("/v3/maintenance/alarm", {"action": "ACTIVATE", "memberID": said["ID"], "alarm": "NOSPACE"})
        gateway.close()
        process.terminate()
        process.wait(30)
    finally:
        cluster.end_all_below(root)
    folder = member.data_dir / "member"
    db = (folder / "snap/db").read_bytes()
    log = max((folder / "wal").glob("*.wal")).read_bytes()
    snap = max((folder / "snap").glob("*.snap")).read_bytes()
    with Bolt(str(folder / "snap/db")) as bolt:
        db = db[: bolt.meta.size]
    return Small(db, log.rstrip(b"\0") + bytes(4096), snap)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that the examples of a property write over, one after the other."""
    return tmp_path_factory.mktemp("fuzz")


@pytest.fixture(autouse=True)
def bounded_memory() -> Iterator[None]:
    """Two GiB of address space beyond what is in use: whoever asks for more gets a MemoryError, not the machine."""
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (used + (2 << 30), before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


def offsets(size: int) -> st.SearchStrategy[int]:
    """A place in a file: anywhere, or in the first bytes of a page or of the file, where the structure lies."""
    near = st.builds(lambda page, at: page * PAGE + at, st.integers(0, size // PAGE), st.integers(0, 160))
    return st.one_of(near, st.integers(0, 300), st.integers(0, size)).map(lambda at: min(at, size - 1))


def damages(size: int) -> st.SearchStrategy[Callable[[bytearray], None]]:
    """One damage to a file of this size."""

    def flip(at: int, bit: int) -> Callable[[bytearray], None]:
        def act(raw: bytearray) -> None:
            if at < len(raw):
                raw[at] ^= 1 << bit

        return act

    def write(at: int, data: bytes) -> Callable[[bytearray], None]:
        def act(raw: bytearray) -> None:
            raw[at : at + len(data)] = data[: max(0, len(raw) - at)]

        return act

    def cut(at: int) -> Callable[[bytearray], None]:
        def act(raw: bytearray) -> None:
            del raw[at:]

        return act

    def swap(one: int, other: int) -> Callable[[bytearray], None]:
        def act(raw: bytearray) -> None:
            a, b = slice(one * PAGE, (one + 1) * PAGE), slice(other * PAGE, (other + 1) * PAGE)
            if max(a.stop, b.stop) <= len(raw):
                raw[a], raw[b] = raw[b], raw[a]

        return act

    at, pages = offsets(size), st.integers(2, max(size // PAGE, 2))
    numbers = st.sampled_from([0, 1, 2, 3, 16, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF, 1 << 40, (1 << 64) - 1])
    fields = st.builds(
        lambda value, width, order: (value % (1 << 8 * width)).to_bytes(width, order),
        st.one_of(numbers, st.integers(0, size // PAGE + 1)),
        st.sampled_from([2, 4, 8]),
        st.sampled_from(["little", "big"]),
    )
    return st.one_of(
        st.builds(flip, at, st.integers(0, 7)),
        st.builds(write, at.map(lambda one: one // 8 * 8), fields),
        st.builds(write, at, fields),
        st.builds(write, at, st.integers(1, PAGE).map(bytes)),
        st.builds(cut, at),
        st.builds(swap, pages, pages),
    )


def damaged(pick: st.DataObject, raw: bytes) -> bytes:
    """A file with one to three damages."""
    out = bytearray(raw)
    for act in pick.draw(st.lists(damages(len(raw)), min_size=1, max_size=3)):
        act(out)
    return bytes(out)


def shared(path: Path) -> verify.Verified | None:
    """What two processes find in a db, where they can read it."""
    try:
        with Bolt(str(path)) as bolt:
            return verify.Walk(bolt, EVERYTHING, trailer=True, processes=2).run()
    except verify.NotShared:
        return None


def read_db(path: Path, raw: bytes) -> None:
    """All readers of a db, on these bytes."""
    path.write_bytes(raw)
    try:
        datadir.kind_of(str(path))
        facts = mvcc.read_facts(str(path))
        found = verify.verify_db(str(path), EVERYTHING)
        assert shared(path) in (None, found)
        simulate.Store(facts.revision, facts.compact_revision, found.live, found.leases).apply([])
    except EtcdFileError:
        return
    try:
        with Bolt(str(path)) as bolt:
            mvcc.records_at(bolt, found.revision)
            for meta in bolt.metas:
                bolt.meta = meta
                bolt.last(bolt.root_bucket())
    except (BadPage, WireError, EtcdFileError):
        pass


def read_wal(folder: Path, raw: bytes) -> None:
    """All that is done with a WAL, on these bytes."""
    (folder / SEGMENT).write_bytes(raw)
    try:
        log = wal.read_log(str(folder))
    except EtcdFileError:
        return
    assert len(log.unreadable) <= 1 << 20
    entries = list(log.entries.values())
    simulate.count_at_most(entries)
    simulate.puts_only(entries)
    simulate.keys_wanted(entries)
    simulate.Store(1, 0, {}, set()).apply(entries)
    log.readable_to(1)
    assert log.term_at(log.last[1]) is not None or not log.runs or log.marks
    for change in log.conf_changes:
        try:
            messages.decode_conf_change(change)
        except WireError:
            continue


def test_the_undamaged_files_are_read(small: Small, place: Path, tmp_path: Path) -> None:
    """What the damaged files are made from is whole: else the properties below would prove nothing."""
    (place / "db").write_bytes(small.db)
    found = verify.verify_db(str(place / "db"), EVERYTHING)
    assert found.sound
    assert shared(place / "db") == found
    (tmp_path / SEGMENT).write_bytes(small.wal)
    log = wal.read_log(str(tmp_path))
    assert log.damage == ()
    assert len(log.entries) > 90
    (place / "snap").write_bytes(small.snap)
    assert snapfile.read_snap(str(place / "snap")).index >= 50


@many
@given(raw=st.binary(max_size=9000))
def test_a_db_of_arbitrary_bytes(place: Path, raw: bytes) -> None:
    """No bytes make a db reader crash."""
    read_db(place / "db", raw)


@many
@given(pick=st.data())
def test_a_damaged_db(small: Small, place: Path, pick: st.DataObject) -> None:
    """No damage to a real db makes a reader crash."""
    read_db(place / "db", damaged(pick, small.db))


@many
@given(pick=st.data())
def test_a_db_with_a_damaged_but_valid_meta(small: Small, place: Path, pick: st.DataObject) -> None:
    """A meta page whose checksum holds is not trusted for what it says."""
    raw = bytearray(damaged(pick, small.db) if pick.draw(st.booleans()) else small.db)
    numbers = st.one_of(st.integers(0, 40), st.sampled_from([1 << 20, 1 << 32, (1 << 48) - 1, 1 << 48, (1 << 64) - 1]))
    sizes = st.sampled_from([0, 512, 1024, 4096, 8192, 1 << 20, 1 << 31])
    for slot in (0, 1):
        at = slot * PAGE + bbolt.HEADER_SIZE
        if len(raw) < at + 64 or not pick.draw(st.booleans()):
            continue
        field = pick.draw(st.sampled_from([8, 16, 32, 40, 48]))
        if field == 8:
            struct.pack_into("<I", raw, at + 8, pick.draw(sizes))
        else:
            struct.pack_into("<Q", raw, at + field, pick.draw(numbers))
        struct.pack_into("<Q", raw, at + 56, checksum.fnv1a64(raw[at : at + 56]))
    read_db(place / "db", bytes(raw))


@many
@given(raw=st.binary(max_size=3000))
def test_a_wal_of_arbitrary_bytes(place: Path, raw: bytes) -> None:
    """No bytes make the WAL reader crash."""
    read_wal(place, raw)


@many
@given(pick=st.data())
def test_a_damaged_wal(small: Small, place: Path, pick: st.DataObject) -> None:
    """No damage to a real WAL makes the reader, or the simulator behind it, crash."""
    read_wal(place, damaged(pick, small.wal))


@many
@given(data=st.lists(st.tuples(st.integers(0, 7), st.binary(max_size=40)), max_size=8))
def test_a_wal_of_arbitrary_records(place: Path, data: list[tuple[int, bytes]]) -> None:
    """Records whose checksums hold may still hold anything."""
    read_wal(place, framed(data))


@many
@given(raw=st.binary(max_size=500), real=st.booleans(), pick=st.data())
def test_any_snap(small: Small, place: Path, raw: bytes, real: bool, pick: st.DataObject) -> None:
    """Neither arbitrary bytes, nor damage to a real .snap, nor any bytes under a right checksum make a reader crash."""
    data = raw
    if real:
        data = damaged(pick, small.snap)
    elif pick.draw(st.booleans()):
        data = protowire.int_field(1, checksum.crc32c(raw)) + protowire.bytes_field(2, raw)
    path = place / "any.file"
    path.write_bytes(data)
    for read in (snapfile.read_snap, datadir.kind_of):
        try:
            read(str(path))
        except EtcdFileError:
            continue


@many
@given(raw=st.binary(max_size=200), pick=st.data(), real=st.booleans())
def test_any_message(small: Small, raw: bytes, pick: st.DataObject, real: bool) -> None:
    """Every decoder gives a value or a WireError."""
    data = raw
    if real:
        at = pick.draw(st.integers(0, len(small.wal) - 1))
        data = small.wal[at : at + 300]
    entry = Entry(pick.draw(st.integers(0, 2)), 1, 1, data)
    decoders: list[Callable[[], object]] = [
        lambda: messages.decode_entry(data),
        lambda: messages.decode_hard_state(data),
        lambda: messages.decode_wal_metadata(data),
        lambda: messages.decode_conf_state(data),
        lambda: messages.decode_snapshot_mark(data),
        lambda: messages.decode_conf_change(entry),
        lambda: messages.decode_key_value(data),
        lambda: messages.decode_json(data),
        lambda: mvcc.parse_revision(data),
        lambda: requests.request_of(entry),
        lambda: protowire.read_varint(data, 0),
        lambda: list(protowire.fields(data)),
    ]
    for decode in decoders:
        try:
            decode()
        except WireError:
            continue


BEGAN = "newRaft ab [peers: [], term: 1, commit: 7, applied: 0, lastindex: 7, lastterm: 1]"
etcds_lines = st.builds(
    lambda message, fields: json.dumps({"msg": message, **fields}),
    st.sampled_from(["saved snapshot", "finished scheduled compaction", BEGAN, "x"]),
    st.dictionaries(
        st.sampled_from(["snapshot-index", "compact-revision", "msg"]), st.one_of(st.none(), st.integers(), st.text())
    ),
)


@many
@given(lines=st.lists(st.one_of(st.text(max_size=80), etcds_lines), max_size=8))
def test_any_line_that_etcd_may_have_written(lines: list[str]) -> None:
    """What it says of itself is a number that fits, or nothing."""
    told = written.told(lines, "x")
    assert min(told.member_id, told.index, told.revision) >= 0
    assert max(told.member_id, told.index, told.revision) < 1 << 64, "it can be written as JSON"


wire_messages = st.recursive(
    st.binary(max_size=12),
    lambda inner: st.lists(
        st.tuples(st.sampled_from([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 64]), st.integers(0, (1 << 64) - 1) | inner),
        max_size=4,
    ).map(
        lambda fields: b"".join(
            protowire.int_field(number, one) if isinstance(one, int) else protowire.bytes_field(number, one)
            for number, one in fields
        )
    ),
    max_leaves=8,
)


@many
@given(bodies=st.lists(wire_messages, max_size=6))
def test_any_requests_simulated(bodies: list[bytes]) -> None:
    """Any well-formed message, taken for a request, is applied or doubted."""
    entries = [Entry(0, 1, at + 1, body) for at, body in enumerate(bodies)]
    outcome = simulate.Store(10, 5, {}, {1}).apply(entries)
    assert 10 <= outcome.revision <= 10 + len(simulate.count_at_most(entries))
    assert len(outcome.writes) == outcome.revision - 10
    simulate.keys_wanted(entries)
    assert not simulate.puts_only(entries) or outcome.revision == 10 + len(simulate.count_at_most(entries))


def framed(records: list[tuple[int, bytes]]) -> bytes:
    """A WAL segment of these records, every checksum right."""
    out, crc = b"", 0
    for kind, data in [(walscan.CRC, b""), *records]:
        crc = checksum.crc32c(data, crc)
        body = protowire.int_field(1, kind) + protowire.int_field(2, crc)
        body += protowire.bytes_field(3, data) if data else b""
        out += struct.pack("<Q", len(body) | (0x80 | -len(body) % 8) << 56) + body + bytes(-len(body) % 8)
    return out


def page(pgid: int, flags: int, elements: bytes, count: int) -> bytes:
    """One page of a db."""
    return (struct.pack("<QHHI", pgid, flags, count, 0) + elements).ljust(PAGE, b"\0")


def leaf(pgid: int, items: list[tuple[int, bytes, bytes]]) -> bytes:
    """A leaf of (flags, key, value) items."""
    heads, bodies, at = b"", b"", 16 * len(items)
    for number, (flags, key, value) in enumerate(items):
        heads += struct.pack("<IIII", flags, at - 16 * number + len(bodies), len(key), len(value))
        bodies += key + value
    return page(pgid, bbolt.LEAF, heads + bodies, len(items))


def branch(pgid: int, children: list[tuple[bytes, int]]) -> bytes:
    """A branch of (first key, child) elements."""
    heads, bodies, at = b"", b"", 16 * len(children)
    for number, (key, child) in enumerate(children):
        heads += struct.pack("<IIQ", at - 16 * number + len(bodies), len(key), child)
        bodies += key
    return page(pgid, bbolt.BRANCH, heads + bodies, len(children))


def metas(root: int, hwm: int, page_size: int = PAGE) -> bytes:
    """Two valid meta pages."""
    out = b""
    for txid in (0, 1):
        body = struct.pack("<IIIIQQQQQ", bbolt.MAGIC, bbolt.VERSION, page_size, 0, root, 0, (1 << 64) - 1, hwm, txid)
        head = struct.pack("<QHHI", txid, bbolt.META, 0, 0)
        out += (head + body + struct.pack("<Q", checksum.fnv1a64(body))).ljust(page_size, b"\0")
    return out


def db_of(buckets: dict[str, list[tuple[bytes, bytes]]]) -> bytes:
    """A db of small buckets, each in a leaf of its own."""
    names = sorted(buckets)
    top = leaf(2, [(1, name.encode(), struct.pack("<QQ", 3 + at, 0)) for at, name in enumerate(names)])
    leaves = [leaf(3 + at, [(0, key, value) for key, value in buckets[name]]) for at, name in enumerate(names)]
    return metas(2, 3 + len(names)) + top + b"".join(leaves)


def test_the_hand_made_db_is_one(place: Path) -> None:
    """The files below are refused for what is wrong in them, not for how they are built."""
    member = (b"1", b'{"id": 1, "name": "m1"}')
    (place / "db").write_bytes(db_of({"key": [], "members": [member], "meta": [(b"confState", b'{"voters": [1]}')]}))
    facts = mvcc.read_facts(str(place / "db"))
    assert facts.damage == ()
    assert facts.members[0].name == "m1"
    assert facts.conf_state == messages.ConfState((1,))


@pytest.mark.parametrize(
    "buckets",
    [
        {"meta": [(b"confState", b'{"voters": 5}')]},
        {"meta": [(b"confState", b'{"voters": true}')]},
        {"meta": [(b"confState", b'{"voters": {"a": 1}, "learners": "x"}')]},
        {"meta": [(b"confState", b"[" * 3000)]},
        {"meta": [(b"consistent_index", b""), (b"scheduledCompactRev", b"x")]},
        {"members": [(b"1", b"null"), (b"2", b'{"id": "x"}')]},
        {"members": [(b"1", b'{"id": 1, "peerURLs": 7}')]},
        {"members": [(b"1", b"9" * 3000)]},
        {"members_removed": [(b"no hex", b"")]},
        {"alarm": [(b"\x0a\x01x", b"")]},
        {"cluster": [(b"clusterVersion", b"\xff\xfe")]},
        {"key": [(b"no revision", b"")]},
        {"key": [(struct.pack(">qcq", -1, b"_", 0), b"")]},
        {"key": [(struct.pack(">qcq", (1 << 63) - 1, b"_", 0), b"x")]},
        {"lease": [(b"\xff" * 100, b"")]},
    ],
)
def test_odd_values_in_the_buckets(place: Path, buckets: dict[str, list[tuple[bytes, bytes]]]) -> None:
    """Values of the wrong shape are damage, or as good as absent."""
    read_db(place / "db", db_of(buckets))


@pytest.mark.timeout(5)
def test_a_tree_that_reaches_a_page_many_times(place: Path) -> None:
    """Six levels of a hundred pointers to one page are a trillion paths: no reader walks them."""
    levels = [branch(3 + at, [(bytes([n]), 4 + at) for n in range(100)]) for at in range(6)]
    top = leaf(2, [(1, b"members", struct.pack("<QQ", 3, 0))])
    read_db(place / "db", metas(2, 10) + top + b"".join(levels) + leaf(9, []))


@pytest.mark.timeout(5)
@pytest.mark.parametrize("flags", [bbolt.BRANCH, bbolt.LEAF])
def test_a_page_that_holds_itself(place: Path, flags: int) -> None:
    """A branch that is its own child, and a bucket whose root is the page it lies in."""
    items = [(1, name, struct.pack("<QQ", 2, 0)) for name in (b"alarm", b"key", b"members", b"meta")]
    top = branch(2, [(b"a", 2), (b"b", 2)]) if flags == bbolt.BRANCH else leaf(2, items)
    read_db(place / "db", metas(2, 3) + top)


@pytest.mark.parametrize(
    ("root", "hwm", "size"),
    [((1 << 48) - 1, 1 << 48, PAGE), ((1 << 48) - 1, 1 << 48, 1 << 20), (1 << 43, 1 << 48, 1 << 20)],
)
def test_a_root_far_behind_the_end(place: Path, root: int, hwm: int, size: int) -> None:
    """Page ids up to the largest that a meta may name lie outside the file, whatever their offset comes to."""
    read_db(place / "db", metas(root, hwm, size))


def test_overflow_that_no_file_holds(place: Path) -> None:
    """A page that claims terabytes of overflow is damage; no memory is asked for them."""
    root = bytearray(leaf(2, []))
    struct.pack_into("<I", root, 12, 0xFFFFFFF0)
    read_db(place / "db", metas(2, 1 << 40) + bytes(root))


@pytest.mark.parametrize("index", [1 << 40, 1 << 62, (1 << 64) - 1])
def test_a_log_with_a_huge_gap(place: Path, index: int) -> None:
    """One sound record with an absurd index does not make the reader count up to it."""
    entries = [(walscan.ENTRY, messages.encode_entry(Entry(0, 1, at, b"x"))) for at in (1, 2, index)]
    read_wal(place, framed(entries))


@pytest.mark.timeout(5)
def test_a_log_that_replaces_itself_over_and_over(place: Path) -> None:
    """Ten thousand new leaders, each beginning at the same place, are read in good time."""
    one = [(walscan.ENTRY, messages.encode_entry(Entry(0, term, at, b""))) for term in range(1, 5001) for at in (1, 2)]
    read_wal(place, framed(one))


@pytest.mark.timeout(10)
def test_a_log_of_many_false_beginnings(place: Path) -> None:
    """A megabyte of bytes that look like the head of a long record is passed over in good time."""
    false = struct.pack("<Q", 1 << 19) + b"\x08\x02\x10\x01\x1a\x80\x80\x20"
    read_wal(
        place, framed([(walscan.ENTRY, messages.encode_entry(Entry(0, 1, 1, b"x")))]) + b"\xff" * 8 + false * (1 << 16)
    )


@pytest.mark.timeout(5)
@pytest.mark.parametrize("read", [datadir.kind_of, snapfile.read_snap, mvcc.read_facts, verify.verify_db, wal.read_log])
@pytest.mark.parametrize("what", ["pipe", "folder", "missing", "empty", "dangling"])
def test_what_is_no_file(tmp_path: Path, read: Callable[[str], object], what: str) -> None:
    """A pipe without a writer, an empty folder, nothing at all: an error that names the path, and no waiting."""
    path = tmp_path / "it"
    if what == "pipe":
        os.mkfifo(path)
    elif what == "folder":
        path.mkdir()
    elif what == "empty":
        path.touch()
    elif what == "dangling":
        path.symlink_to(tmp_path / "nowhere")
    with pytest.raises(EtcdFileError, match=str(path)):
        read(str(path))


@pytest.mark.timeout(5)
def test_a_segment_that_is_a_pipe(tmp_path: Path) -> None:
    """A WAL segment that is a pipe is damage or an error, and not waited for."""
    os.mkfifo(tmp_path / SEGMENT)
    try:
        damage = wal.read_log(str(tmp_path)).damage
    except EtcdFileError:
        return
    assert damage
