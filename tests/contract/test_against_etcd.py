"""What is read and computed here is what etcd itself says of the same files."""

import json
import os
import shutil
import struct
import subprocess
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from requorum.etcdfiles import bbolt, datadir, identity, mvcc, records, simulate, snapfile, tree, verify, wal
from requorum.etcdfiles.messages import Entry, KeyValue
from requorum.rehearsal import cluster
from requorum.rehearsal.gateway import Gateway, Stored, b64

from .rewritten import rewrite

MEMBERS = ("m1", "m2", "m3")
STAGES = (
    "loaded",
    "deleted",
    "compacted",
    "defragmented",
    "leases",
    "emptied",
    "alarm",
    "roles",
    "auth enabled",
    "stopped",
    "restored",
)
RunAlone = Callable[[Path, Path], AbstractContextManager[Gateway]]


def run(*argv: str | Path) -> str:
    """One program to its end; its output."""
    env = {"PATH": os.defpath, "ETCDCTL_API": "3"}
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, env=env)
    assert done.returncode == 0, done.stderr
    return done.stdout


@dataclass(frozen=True)
class Exercised:
    """One member that was put through every kind of request, its db after each stage, and what it said at the end."""

    data_dir: Path
    peer_url: str
    stages: dict[str, Path]
    answers: dict[str, Any]
    last_events: list[tuple[bool, Stored]]


def put(key: str, value: str, **more: Any) -> dict[str, Any]:
    """A put for the gateway."""
    return {"key": b64(key), "value": b64(value), **more}


@pytest.fixture(scope="module")
def exercised(etcd_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Exercised:
    """See :class:`Exercised`."""
    root = tmp_path_factory.mktemp("exercised")
    (member,) = cluster.lay_out(root, 1, etcd_dir, "exercised")
    stages: dict[str, Path] = {}
    etcdctl: list[str | Path] = [etcd_dir / "etcdctl", "--endpoints", member.client_url]

    def save(stage: str, *options: str) -> None:
        stages[stage] = root / f"{stage}.db"
        run(*etcdctl, *options, "snapshot", "save", stages[stage])

    try:
        (process,) = cluster.start([member], etcd_dir)
        gateway = Gateway(member.client_url)
        answers, events = _exercise(gateway, save, etcdctl)
        gateway.close()
        process.terminate()
        process.wait(30)
    finally:
        cluster.end_all_below(root)
    stages["stopped"] = member.data_dir / "member/snap/db"
    run(etcd_dir / "etcdutl", "snapshot", "restore", stages["roles"], "--data-dir", root / "restored")
    stages["restored"] = root / "restored/member/snap/db"
    return Exercised(member.data_dir, member.peer_url, stages, answers, events)


def _exercise(
    gateway: Gateway, save: Callable[..., None], etcdctl: list[str | Path]
) -> tuple[dict[str, Any], list[tuple[bool, Stored]]]:
    call = gateway.call
    for n in range(150):
        call("/v3/kv/put", put(f"/k/{n % 60:03}", f"{n}-" * (20 + n % 50)))
    save("loaded")
    call("/v3/kv/deleterange", {"key": b64("/k/010"), "range_end": b64("/k/030")})
    call("/v3/kv/deleterange", {"key": b64("/k/040")})
    call("/v3/kv/deleterange", {"key": b64("/nothing")})
    save("deleted")
    call("/v3/kv/compaction", {"revision": str(gateway.revision() - 1), "physical": True})
    save("compacted")
    call("/v3/maintenance/defragment", {})
    save("defragmented")
    leases = [int(call("/v3/lease/grant", {"TTL": "3600"})["ID"]) for _ in range(3)]
    for n, lease in enumerate(leases):
        call("/v3/kv/put", put(f"/leased/{n}", "x", lease=str(lease)))
    call("/v3/kv/put", put("/leased/0", "again", ignore_lease=True))
    call("/v3/kv/put", put("/leased/1", "detached"))
    for lease in leases[:2]:
        call("/v3/lease/revoke", {"ID": str(lease)})
    save("leases")
    _transactions(gateway)
    call("/v3/kv/deleterange", {"key": b64("\0"), "range_end": b64("\0")})
    call("/v3/kv/compaction", {"revision": str(gateway.revision()), "physical": True})
    save("emptied")
    last = int(
        call("/v3/kv/txn", {"success": [{"request_put": put(f"/new/{n}", "v")} for n in range(3)]})["header"][
            "revision"
        ]
    )
    delete = {"request_delete_range": {"key": b64("/new/1"), "range_end": b64("/new/3")}}
    last = int(call("/v3/kv/txn", {"success": [{"request_put": put("/other", "w")}, delete]})["header"]["revision"])
    events = list(gateway.history(last, last))
    answers = {"members": call("/v3/cluster/member/list", {}), "status": call("/v3/maintenance/status", {})}
    member_id = answers["members"]["members"][0]["ID"]
    call("/v3/maintenance/alarm", {"action": "ACTIVATE", "memberID": member_id, "alarm": "NOSPACE"})
    save("alarm")
    call("/v3/maintenance/alarm", {"action": "DEACTIVATE", "memberID": member_id, "alarm": "NOSPACE"})
    call("/v3/maintenance/alarm", {"action": "ACTIVATE", "memberID": member_id, "alarm": "CORRUPT"})
    call("/v3/auth/user/add", {"name": "root", "password": "secret"})
    call("/v3/auth/role/add", {"name": "reader"})
    call("/v3/auth/role/grant", {"name": "reader", "perm": {"permType": "READ", "key": b64("/k/")}})
    call("/v3/auth/user/grant", {"user": "root", "role": "root"})
    save("roles")
    call("/v3/auth/enable", {})
    save("auth enabled", "--user", "root:secret")
    return answers, events


def _transactions(gateway: Gateway) -> None:
    """Guards of each kind that hold and fail, nested transactions, and requests that etcd refuses."""

    def refused(path: str, body: dict[str, Any]) -> None:
        with pytest.raises(Exception, match="etcdserver"):
            gateway.call(path, body)

    def txn(
        guards: list[dict[str, Any]], success: list[dict[str, Any]], failure: list[dict[str, Any]]
    ) -> dict[str, Any]:
        return {"compare": guards, "success": success, "failure": failure}

    def guard(key: str, target: str, result: str, **value: str) -> dict[str, Any]:
        return {"key": b64(key), "target": target, "result": result, **value}

    call, revision = gateway.call, gateway.revision()
    s, f = [{"request_put": put("/t/s", "s")}], [{"request_put": put("/t/f", "f")}]
    read = [{"request_range": {"key": b64("/t/s")}}]
    for one in (
        guard("/absent", "VALUE", "NOT_EQUAL", value=b64("x")),
        guard("/absent", "MOD", "EQUAL", mod_revision="0"),
        guard("/absent", "LEASE", "EQUAL", lease="0"),
        guard("/k/000", "VERSION", "GREATER", version="1"),
        guard("/k/000", "CREATE", "LESS", create_revision="3"),
        guard("/k/000", "VALUE", "GREATER", value=b64("0")),
        guard("/k/", "VERSION", "LESS", version="3", range_end=b64("/k0")),
        guard("/k/", "VERSION", "EQUAL", version="2", range_end=b64("\0")),
        guard("/none", "VERSION", "EQUAL", version="0", range_end=b64("/none0")),
    ):
        call("/v3/kv/txn", txn([one], s, f))
        call("/v3/kv/txn", txn([one], s, read))
        call("/v3/kv/txn", txn([one], [{"request_txn": txn([one], read, s)}], [{"request_txn": txn([one], f, read)}]))
    inner = txn([guard("/t/new", "VERSION", "EQUAL", version="0")], [{"request_put": put("/t/then", "")}], f)
    call("/v3/kv/txn", txn([], [{"request_put": put("/t/new", "n")}, {"request_txn": inner}], []))
    call("/v3/kv/txn", txn([], [{"request_delete_range": {"key": b64("/absent")}}], []))
    refused("/v3/kv/put", put("/t/x", "x", lease="12345"))
    refused("/v3/kv/put", put("/absent", "", ignore_value=True))
    refused("/v3/kv/txn", txn([], [*s, {"request_put": put("/t/x", "x", lease="12345")}], []))
    refused("/v3/kv/txn", txn([], [*s, {"request_range": {"key": b64("/"), "revision": str(revision + 1000)}}], []))
    refused("/v3/kv/txn", txn([], [*s, {"request_range": {"key": b64("/"), "revision": "2"}}], []))
    refused("/v3/kv/compaction", {"revision": str(revision + 1000)})
    call("/v3/kv/txn", txn([], [*s, {"request_range": {"key": b64("/"), "revision": str(revision)}}], []))
    refused("/v3/lease/revoke", {"ID": "12345"})
    refused("/v3/lease/grant", {"ID": "777", "TTL": "9000000001"})
    refused("/v3/kv/put", put("/t/x", "x", lease="777"))


def assert_as_etcdutl(etcdutl: Path, db: Path) -> None:
    """Hash, revision, total keys and total size are those of ``etcdutl snapshot status``, and nothing is damaged."""
    status = json.loads(run(etcdutl, "snapshot", "status", "-w", "json", db))
    found = verify.verify_db(str(db))
    assert {
        "hash": found.hash,
        "revision": found.revision,
        "totalKey": found.total_keys,
        "totalSize": found.total_size,
    } == {name: status[name] for name in ("hash", "revision", "totalKey", "totalSize")}
    assert found.damage == ()
    facts = mvcc.read_facts(str(db))
    assert (facts.last_revision, facts.total_size, facts.damage) == (found.revision, found.total_size, ())


@pytest.mark.parametrize("member", MEMBERS)
def test_a_crashed_members_db_reads_as_etcdutl_reads_it(etcd_dir: Path, disks: Path, member: str) -> None:
    """A db that was being written to when its member was killed is whole, without a gap, and reads the same."""
    db = disks / member / "data/member/snap/db"
    assert_as_etcdutl(etcd_dir / "etcdutl", db)
    assert verify.verify_db(str(db)).sound
    assert datadir.kind_of(str(db)) == "db"
    assert datadir.kind_of(str(disks / member / "data")) == "data dir"


@pytest.mark.parametrize("stage", STAGES)
def test_every_kind_of_db_reads_as_etcdutl_reads_it(etcd_dir: Path, exercised: Exercised, stage: str) -> None:
    """After deletes, compaction, defrag, leases, alarms, users: saved with its trailer, stopped, or restored."""
    db = exercised.stages[stage]
    assert_as_etcdutl(etcd_dir / "etcdutl", db)
    found = verify.verify_db(str(db))
    assert found.sound
    saved = stage not in ("stopped", "restored")
    assert mvcc.read_facts(str(db)).has_trailer == saved
    assert (found.sha256 is not None) == saved
    if saved:
        assert bytes.fromhex(found.sha256 or "") == db.read_bytes()[-mvcc.TRAILER :]


def read_by(processes: int, db: Path) -> verify.Verified:
    """A db in full, with so many processes; raises NotShared."""
    everything = records.KeysWanted(ranges=((b"\0", b"\0"),))
    with bbolt.Bolt(str(db)) as bolt:
        return verify.Walk(bolt, everything, trailer=True, processes=processes).run()


def test_several_processes_read_what_one_reads(exercised: Exercised, crashed: Path) -> None:
    """All that is known of a db, wherever its tree is cut; only where there is nothing to share they do not begin."""
    killed = {name: crashed / name / "data/member/snap/db" for name in MEMBERS}
    shared = set()
    for name, db in {**exercised.stages, **killed}.items():
        alone = read_by(1, db)
        for processes in (2, 3, 4):
            try:
                assert read_by(processes, db) == alone
            except verify.NotShared:
                assert name not in killed
                continue
            shared.add(name)
    assert shared >= {*MEMBERS, "loaded", "deleted"}


def test_nothing_is_reached_by_two_processes(crashed: Path) -> None:
    """Each keeps account of the pages it has reached; together it shows where two have been at the same one."""
    with bbolt.Bolt(str(crashed / "m1/data/member/snap/db")) as bolt:
        bucket = bolt.bucket(b"key")
        assert bucket is not None
        above, *trees = (tree.Tree(bolt) for _ in range(4))
        first, second = above.cut(bucket, 2)
        for one, part in zip(trees, (first, second, [*second, first[-1]]), strict=True):
            assert list(one.below(part))
        assert trees[0].join(bytes(above.seen))
        assert trees[0].join(bytes(trees[1].seen))
        assert not trees[0].join(bytes(trees[2].seen))


def test_several_processes_leave_a_damaged_db_to_one(crashed: Path, tmp_path: Path) -> None:
    """Whichever part has a page that is gone: what is said is what one process says."""
    killed = crashed / "m1/data/member/snap/db"
    with bbolt.Bolt(str(killed)) as bolt:
        bucket = bolt.bucket(b"key")
        assert bucket is not None
        leaves = [
            (leaf.page.pgid * bolt.meta.page_size, len(leaf.page.data)) for leaf in tree.Tree(bolt).leaves(bucket)
        ]
    db = tmp_path / "db"
    for at, size in (leaves[0], leaves[len(leaves) // 2], leaves[-1]):
        shutil.copy(killed, db)
        with db.open("r+b") as file:
            file.seek(at)
            file.write(bytes(size))
        assert read_by(1, db).damage
        with pytest.raises(verify.NotShared):
            read_by(3, db)
        os.truncate(db, verify.SHARED_FROM)
        assert verify.verify_db(str(db)).damage == read_by(1, db).damage


def test_a_snapshot_with_a_flipped_byte_is_found_out(exercised: Exercised, tmp_path: Path) -> None:
    """The trailer tells what bbolt alone cannot."""
    raw = bytearray(exercised.stages["loaded"].read_bytes())
    raw[-mvcc.TRAILER - 1] ^= 1
    (tmp_path / "bad.db").write_bytes(raw)
    found = verify.verify_db(str(tmp_path / "bad.db"))
    assert found.sha256 is None
    assert "trailer" in {one.kind for one in found.damage}


def last_leaf(db: Path) -> tuple[int, bbolt.Page]:
    """The last leaf of the key bucket, and the byte it begins at."""
    with bbolt.Bolt(str(db)) as bolt:
        bucket = bolt.bucket(b"key")
        assert bucket is not None
        page = bolt.page(bucket.root)
        while page.flags == bbolt.BRANCH:
            page = bolt.page(bbolt.branch_items(page)[-1][1])
        return page.pgid * bolt.meta.page_size, page


def test_items_with_room_between_them_are_read_as_etcdutl_reads_them(
    etcd_dir: Path, exercised: Exercised, tmp_path: Path
) -> None:
    """bbolt writes a leaf's items without a gap, but its format does not ask for it."""
    saved, db = exercised.stages["defragmented"], tmp_path / "gap.db"  # one whose key bucket has pages of its own
    shutil.copy(saved, db)
    os.truncate(db, saved.stat().st_size - mvcc.TRAILER)
    start, page = last_leaf(db)
    element = bbolt.HEADER_SIZE + (page.elements - 1) * bbolt.ELEMENT_SIZE
    flags, pos, ksize, vsize = struct.unpack_from("<4I", page.data, element)
    own, room = element + pos, 8
    assert own + ksize + vsize + room <= len(page.data)
    with db.open("r+b") as file:
        file.seek(start + own + room)
        file.write(page.data[own : own + ksize + vsize])
        file.seek(start + element)
        file.write(struct.pack("<4I", flags, pos + room, ksize, vsize))
    assert_as_etcdutl(etcd_dir / "etcdutl", db)
    assert verify.verify_db(str(db)).hash == verify.verify_db(str(saved)).hash


@pytest.fixture
def without_last_leaf(exercised: Exercised, tmp_path: Path) -> Path:
    """The compacted db whose last leaf of the key bucket is zeroes."""
    path = tmp_path / "leaf.db"
    shutil.copy(exercised.stages["compacted"], path)
    start, page = last_leaf(path)
    with path.open("r+b") as file:
        file.seek(start)
        file.write(bytes(len(page.data)))
    return path


def test_a_lost_leaf_makes_no_gap_of_what_was_compacted(exercised: Exercised, without_last_leaf: Path) -> None:
    """Revisions at or below the compact revision are no gaps, whichever page is lost."""
    compacted = mvcc.read_facts(str(exercised.stages["compacted"])).compact_revision
    found = verify.verify_db(str(without_last_leaf))
    assert found.damage
    assert [gap for gap in found.gaps if gap[0] <= compacted] == []


def test_a_lost_leaf_hides_no_other_fact(exercised: Exercised, without_last_leaf: Path) -> None:
    """What the other buckets say is said all the same: index, term, members, version, compact revision."""
    whole = mvcc.read_facts(str(exercised.stages["compacted"]))
    facts = mvcc.read_facts(str(without_last_leaf))
    assert facts.damage
    assert (facts.consistent_index, facts.term, facts.compact_revision) == (
        whole.consistent_index,
        whole.term,
        whole.compact_revision,
    )
    assert (facts.members, facts.cluster_version, facts.conf_state) == (
        whole.members,
        whole.cluster_version,
        whole.conf_state,
    )


def test_live_keys_are_those_etcd_serves(exercised: Exercised) -> None:
    """The live keys of a full reading: 60 written, 21 deleted; none after the delete of everything."""
    everything = records.KeysWanted(ranges=((b"\0", b"\0"),))
    found = verify.verify_db(str(exercised.stages["compacted"]), everything)
    gone = {f"/k/{n:03}" for n in range(10, 30)} | {"/k/040"}
    assert set(found.live) == {f"/k/{n:03}".encode() for n in range(60)} - {one.encode() for one in gone}
    assert found.live_keys == 39
    assert verify.verify_db(str(exercised.stages["emptied"]), everything).live == {}


def test_facts_are_what_the_member_said_of_itself(exercised: Exercised) -> None:
    """Members, ids, version, alarms and auth from a few pages are those of etcd's own answers.

    Early 3.5 releases (3.5.1 does, 3.5.30 does not) leave a member's client URLs out of the db.
    """
    facts = mvcc.read_facts(str(exercised.stages["stopped"]))
    (said,) = exercised.answers["members"]["members"]
    (member,) = facts.members
    assert (member.id, member.name) == (int(said["ID"]), said["name"])
    assert member.peer_urls == tuple(said["peerURLs"])
    assert member.client_urls in ((), tuple(said["clientURLs"]))
    assert not member.learner
    assert member.id == identity.member_id([exercised.peer_url], "exercised")
    log = wal.read_log(str(exercised.data_dir / "member/wal"))
    assert (log.member_id, log.cluster_id) == (member.id, identity.cluster_id([member.id]))
    assert log.cluster_id == int(exercised.answers["members"]["header"]["cluster_id"])
    assert facts.conf_state is not None
    assert facts.conf_state.voters == (member.id,)
    assert exercised.answers["status"]["version"].startswith(facts.cluster_version.rpartition(".")[0])
    assert [(one.member_id, one.kind) for one in facts.alarms] == [(member.id, "CORRUPT")]
    assert facts.auth_enabled
    assert (facts.term, facts.consistent_index) == log.last
    alarm = mvcc.read_facts(str(exercised.stages["alarm"]))
    assert [one.kind for one in alarm.alarms] == ["NOSPACE"]
    assert not alarm.auth_enabled
    assert mvcc.read_facts(str(exercised.stages["loaded"])).alarms == ()


def test_the_revision_of_an_emptied_store_is_the_compactions(exercised: Exercised) -> None:
    """Where the compaction left no record, the compact revision is the store's."""
    facts = mvcc.read_facts(str(exercised.stages["emptied"]))
    assert facts.revision == facts.compact_revision
    assert facts.last_revision <= facts.revision


def test_the_records_of_the_last_revision_are_its_events(exercised: Exercised) -> None:
    """A transaction's records, in order, are what a watch of that revision shows."""
    with bbolt.Bolt(str(exercised.stages["stopped"])) as bolt:
        revision = mvcc.read_facts(bolt.path).last_revision
        found = mvcc.records_at(bolt, revision)
    assert [(gone, kv.key.decode(), kv.value.decode()) for gone, kv in found] == [
        (gone, event.key, event.value) for gone, event in exercised.last_events
    ]
    assert len(found) == 3


def test_a_replay_from_nothing_comes_to_the_revision_of_the_store(exercised: Exercised) -> None:
    """All entries of a member's life, refused requests included, applied to an empty store make etcd's revision."""
    log = wal.read_log(str(exercised.data_dir / "member/wal"))
    store = simulate.Store(1, 0, {}, set())
    outcome = store.apply(log.entries[index] for index in sorted(log.entries))
    found = verify.verify_db(str(exercised.stages["stopped"]), records.KeysWanted(ranges=((b"\0", b"\0"),)))
    assert outcome.revision == found.revision
    assert store.keys == found.live
    assert store.leases == found.leases


@dataclass(frozen=True)
class Predicted:
    """What the simulator makes of a data dir: the revision, and the state of each key that the tail touches."""

    outcome: simulate.Outcome
    keys: dict[bytes, KeyValue | None]


def predict(data_dir: Path, commit: int | None = None) -> Predicted:
    """Apply the entries above the db's consistent index, to ``commit`` or to the end of the log."""
    layout = datadir.layout_of(str(data_dir))
    facts = mvcc.read_facts(layout.db)
    log = wal.read_log(layout.wal_dir, from_index=facts.consistent_index + 1, keep_after=facts.consistent_index)
    last = log.last[1] if commit is None else commit
    tail: list[Entry] = [one for index, one in sorted(log.entries.items()) if index <= last]
    wanted = simulate.keys_wanted(tail)
    found = verify.verify_db(layout.db, wanted)
    store = simulate.Store(facts.revision, facts.compact_revision, dict(found.live), set(found.leases))
    outcome = store.apply(tail)
    assert facts.revision + len(outcome.writes) == outcome.revision
    assert set(outcome.writes) <= set(simulate.count_at_most(tail))
    return Predicted(outcome, {key: store.keys.get(key) for key in wanted.keys})


def assert_as_served(predicted: Predicted, gateway: Gateway) -> None:
    """etcd's revision is the predicted one, and so is every key that the log's tail touched."""
    assert predicted.outcome.exact
    assert gateway.revision() == predicted.outcome.revision
    served = {one.key.encode(): one for one in gateway.read_all()}
    for key, kv in predicted.keys.items():
        one = served.get(key)
        assert (one is None) == (kv is None)
        if one is not None and kv is not None:
            assert (one.create_revision, one.mod_revision, one.version, one.value.encode(), one.lease) == (
                kv.create_revision,
                kv.mod_revision,
                kv.version,
                kv.value,
                kv.lease,
            )


@pytest.mark.parametrize("member", MEMBERS)
def test_etcd_comes_to_the_predicted_revision_at_its_commit(
    disks: Path, tmp_path: Path, run_alone: RunAlone, member: str
) -> None:
    """A member forced to be alone applies its log to HardState.commit: the revision was known before it started."""
    data_dir = disks / member / "data"
    state = wal.read_log(str(data_dir / "member/wal")).hard_state
    assert state is not None
    predicted = predict(data_dir, state.commit)
    with run_alone(data_dir, tmp_path / "alone") as gateway:
        assert_as_served(predicted, gateway)


@pytest.mark.parametrize("member", MEMBERS)
def test_etcd_comes_to_the_predicted_revision_with_its_whole_log(
    disks: Path, tmp_path: Path, run_alone: RunAlone, member: str
) -> None:
    """With a WAL written anew whose commit covers everything, etcd applies the whole log, as predicted."""
    data_dir = disks / member / "data"
    log = wal.read_log(str(data_dir / "member/wal"))
    assert log.hard_state is not None
    predicted = predict(data_dir)
    rewrite(data_dir / "member/wal", log, [log.entries[index] for index in sorted(log.entries)], log.last[1])
    assert predict(data_dir) == predicted
    with run_alone(data_dir, tmp_path / "alone") as gateway:
        assert_as_served(predicted, gateway)


def test_a_restored_data_dir_is_read_in_all_its_parts(exercised: Exercised) -> None:
    """What ``snapshot restore`` writes: one log entry, a mark, and a .snap with the new configuration."""
    data_dir = exercised.stages["restored"].parent.parent.parent
    log = wal.read_log(str(data_dir / "member/wal"))
    snaps, damage = snapfile.read_snaps(str(data_dir / "member/snap"))
    assert (damage, log.damage) == ((), ())
    (snap,) = snaps
    assert (snap.term, snap.index) == log.last == (1, 1)
    assert snap.conf_state.voters == (log.member_id,)
    assert (snap.index, snap.term) in {(mark.index, mark.term) for mark in log.marks}
    facts = mvcc.read_facts(str(exercised.stages["restored"]))
    assert (facts.term, facts.consistent_index) == (1, 1)
    assert [(one.id, one.peer_urls) for one in snap.members] == [(one.id, one.peer_urls) for one in facts.members]
