"""Disks whose log and db do not tell one life at first sight, though nothing of them was damaged: a real etcd made them."""

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

import pytest

from requorum.etcdfiles import messages, mvcc, protowire, v2keys, wal, walwrite
from requorum.hosts.connection import Here
from requorum.rehearsal import cluster, damage
from requorum.rehearsal.cluster import Member
from requorum.rehearsal.gateway import Gateway, NoAnswer, b64
from requorum.survey import around, comparing, gather, merging
from requorum.survey.evidence import DbEvidence, Footing, LogEvidence, MemberEvidence, Survey
from requorum.verdict.decide import decide
from requorum.verdict.values import Verdict
from tests.unit.test_simulate import PUT, log, put

from .rewritten import rewrite

Life = Callable[[Gateway], None]


def live(member: Member, etcd_dir: Path, life: Life) -> None:
    """Let a member live so, and end it in order: its db holds all that it has applied then."""
    (process,) = cluster.start([member], etcd_dir)
    gateway = Gateway(member.client_url)
    try:
        life(gateway)
        process.terminate()
        process.wait(30)
    finally:
        gateway.close()
        cluster.kill_at_once([process])


@pytest.fixture
def alone(tmp_path: Path, etcd_dir: Path) -> Iterator[Callable[[Life], Member]]:
    """``alone(life)``: one member that has lived so; called again, it goes on."""
    (member,) = cluster.lay_out(tmp_path / "alone", 1, etcd_dir, "alone")

    def lived(life: Life) -> Member:
        live(member, etcd_dir, life)
        return member

    yield lived
    cluster.end_all_below(tmp_path)


def write(gateway: Gateway, *keys: str) -> None:
    """A put for each."""
    for key in keys:
        gateway.call("/v3/kv/put", {"key": b64(key), "value": b64("ok")})


def read(member: Member) -> MemberEvidence:
    """A member read in full, and its db held against its log."""
    one = gather.read_dir(Here(), str(member.data_dir), member.name, wal_dir="", in_full=True)
    (held,) = comparing.with_provenance([one], (), lambda _: Here())
    return held


def verdict_on(one: MemberEvidence) -> Verdict:
    """The verdict on it alone, with its log put together."""
    merged = merging.merge([one], lambda _: Here(), in_full=True)
    return decide(Survey(cluster="alone", at="2026-01-01T00:00:00+00:00", verified=True, members=(one,), merged=merged))


def footing(one: MemberEvidence) -> str:
    """What ties its db to its log."""
    assert isinstance(one.db, DbEvidence)
    return one.db.footing.kind if isinstance(one.db.footing, Footing) else ""


def test_the_same_written_again_and_again(alone: Callable[[Life], Member]) -> None:
    """The log has lost its end, and looks as if the db ended in it: the last writes are found there, and were made later."""
    member = alone(lambda gateway: write(gateway, *(f"host/{at % 250}" for at in range(700))))
    folder = member.data_dir / "member/wal"
    whole = wal.read_log(str(folder))
    cut = [whole.entries[index] for index in sorted(whole.entries) if index <= 300]
    rewrite(folder, whole, cut, 299)
    found = read(member)
    assert footing(found) in ("", "beyond")
    assert not any(one.loss.proven_none for one in verdict_on(found).sources)
    assert verdict_on(found).sources[0].revision == 701


def test_writes_that_etcd_refused(alone: Callable[[Life], Member]) -> None:
    """While an alarm is raised puts are in the log and write nothing: that does not speak against the db."""

    def life(gateway: Gateway) -> None:
        write(gateway, *(f"a/{at}" for at in range(40)))
        alarm = {"action": "ACTIVATE", "memberID": "0", "alarm": "NOSPACE"}
        gateway.call("/v3/maintenance/alarm", alarm)
        for at in range(30):
            with pytest.raises(NoAnswer):
                write(gateway, f"b/{at}")

    found = read(alone(life))
    assert isinstance(found.db, DbEvidence)
    assert found.db.alarms
    assert found.db.revision == 41
    assert footing(found) in ("", "records"), found.db.footing
    assert all(one.revision == 41 or not one.revision_exact for one in verdict_on(found).sources)


def restored(alone: Callable[[Life], Member], tmp_path: Path, etcd_dir: Path) -> Member:
    """A member that was restored from a snapshot, and has gone on."""
    source = alone(lambda gateway: write(gateway, *(f"a/{at}" for at in range(60))))
    (member,) = cluster.lay_out(tmp_path / "restored", 1, etcd_dir, "restored")
    subprocess.run(
        [
            *(
                etcd_dir / "etcdutl",
                "snapshot",
                "restore",
                source.data_dir / "member/snap/db",
                "--skip-hash-check=true",
            ),
            *("--data-dir", member.data_dir, "--name", member.name),
            *(
                "--initial-cluster",
                f"{member.name}={member.peer_url}",
                "--initial-advertise-peer-urls",
                member.peer_url,
            ),
        ],
        check=True,
        capture_output=True,
        timeout=60,
    )
    live(member, etcd_dir, lambda gateway: write(gateway, *(f"b/{at}" for at in range(20))))
    return member


def test_a_restored_log_does_not_tell_of_the_snapshot(
    alone: Callable[[Life], Member], tmp_path: Path, etcd_dir: Path
) -> None:
    """It begins with entry 1, and what the snapshot held is in none of its entries: nothing was altered; nothing can be built
    on such a log alone."""
    member = restored(alone, tmp_path, etcd_dir)
    found = read(member)
    assert footing(found) == "records"
    verdict = verdict_on(found)
    assert verdict.start is not None
    assert all(one.revision >= 61 for one in verdict.sources)
    (member.data_dir / "member/snap/db").unlink()
    assert not verdict_on(read(member)).sources


def test_what_was_there_before_a_restore_is_found(alone: Callable[[Life], Member], etcd_dir: Path) -> None:
    """Under whatever name it lies beside, and although a restore makes new ids: it is this member's, by its peer URL."""
    member = alone(lambda gateway: write(gateway, "a", "b"))
    elsewhere = member.folder / "elsewhere"
    subprocess.run(
        [
            *(
                etcd_dir / "etcdutl",
                "snapshot",
                "restore",
                member.data_dir / "member/snap/db",
                "--skip-hash-check=true",
            ),
            *("--data-dir", elsewhere, "--name", member.name, "--initial-cluster", f"{member.name}={member.peer_url}"),
            *("--initial-advertise-peer-urls", member.peer_url, "--initial-cluster-token", "another"),
        ],
        check=True,
        capture_output=True,
        timeout=60,
    )
    own = read(member).log
    assert isinstance(own, LogEvidence)
    (found,) = around.look(str(member.data_dir), str(member.data_dir / "member/wal"), member_id=own.member_id).folders
    assert found.path == str(elsewhere)
    assert found.member_id not in (0, own.member_id)


def test_a_log_that_was_begun_anew_beside_an_old_db(alone: Callable[[Life], Member]) -> None:
    """etcd passes over its entries up to the old db's index: they made nothing of it, and do not speak against it."""
    member = alone(lambda gateway: write(gateway, *(f"a/{at}" for at in range(80))))
    shutil.rmtree(member.data_dir / "member/wal")

    def unheard(gateway: Gateway) -> None:
        for at in range(3):
            with pytest.raises(NoAnswer):
                write(gateway, f"b/{at}")

    alone(unheard)
    found = read(member)
    assert footing(found) != "altered"
    assert not any(one.loss.proven_none and one.revision < 81 for one in verdict_on(found).sources)


def test_a_v2_request_far_behind_in_the_log(tmp_path: Path) -> None:
    """It is found wherever it lies, behind much that looks like one."""
    likeness = b"\x12\x03PUT\x1a"
    entries = log(*((PUT, put(b"k", likeness + bytes(1 << 20))) for _ in range(6)), first=1)
    request = protowire.bytes_field(2, b"PUT") + protowire.bytes_field(3, b"/1/k")
    entries.append(messages.Entry(messages.ENTRY_NORMAL, 2, 7, request))
    state = messages.HardState(2, 0, 7)
    (tmp_path / "snap").mkdir()
    walwrite.write_wal(str(tmp_path / "wal"), member_id=1, cluster_id=1, marks=[], entries=entries, state=state)
    assert v2keys.read(str(tmp_path / "snap"), str(tmp_path / "wal")).some == ("/k",)


@pytest.mark.parametrize(("own", "born"), [(True, 1), (False, 2)])
def test_who_founds_a_cluster_slowly(tmp_path: Path, own: bool, born: int) -> None:
    """It hears of the others' leader before it has written anything: its own first entries stand before that leader's term. One
    that was emptied and joins again has none."""
    first = [messages.Entry(messages.ENTRY_CONF_CHANGE, 1, 1, b"")]
    (tmp_path / "member/snap").mkdir(parents=True)
    walwrite.write_wal(
        str(tmp_path / "member/wal"),
        member_id=1,
        cluster_id=1,
        marks=[messages.SnapshotMark(0, 0, None)],
        entries=first if own else [],
        state=messages.HardState(2, 0, 1 if own else 0),
    )
    log = gather.read_dir(Here(), str(tmp_path), "m1", wal_dir="", in_full=True).log
    assert isinstance(log, LogEvidence), log
    assert log.born_term == born


def test_one_delete_looks_like_another(alone: Callable[[Life], Member]) -> None:
    """Under leases and guards alone an entry may have written or not. The index was flipped to an earlier delete of the key that
    was deleted last: the revisions before tell the two apart."""

    def life(gateway: Gateway) -> None:
        lease = gateway.call("/v3/lease/grant", {"TTL": "3600"})["ID"]
        never = {"compare": [{"key": b64("none"), "target": "VERSION", "result": "EQUAL", "version": "7"}]}
        put = {"request_put": {"key": b64("none"), "value": b64("x")}}
        for _ in range(120):
            gateway.call("/v3/kv/txn", {**never, "success": [put]})
        for at in range(240):
            key = b64(f"busy/{at % 3}")
            if at % 8 == 7:
                gateway.call("/v3/kv/deleterange", {"key": b64("busy/0")})
            gateway.call("/v3/kv/put", {"key": key, "value": b64(str(at)), "lease": lease})
        gateway.call("/v3/kv/put", {"key": b64("busy/0"), "value": b64("last"), "lease": lease})
        gateway.call("/v3/kv/deleterange", {"key": b64("busy/0")})

    member = alone(life)
    db = member.data_dir / "member/snap/db"
    index = mvcc.read_facts(str(db)).consistent_index
    raw = db.read_bytes()
    told = b"consistent_index"
    for back in (5, 9, 17, 33, 65, 99):
        db.write_bytes(raw.replace(told + index.to_bytes(8, "big"), told + (index - back).to_bytes(8, "big")))
        found = read(member)
        assert isinstance(found.db, DbEvidence)
        assert found.db.applied_index >= index - 4, (back, found.db.footing)


def test_a_log_that_etcd_has_repaired(disks: Path) -> None:
    """It ends cleanly now, and no better than before: what was cut off may have been more than the half record that is left."""
    data_dir = disks / "m1/data"
    damage.last_wal_cut_in_a_record(data_dir, Random(1))
    before = gather.read_dir(Here(), str(data_dir), "m1", wal_dir="", in_full=True).log
    segment = max((data_dir / "member/wal").glob("*.wal"))
    end = max(one.end for one in wal.records_of(str(segment.parent)) if one.path == str(segment) and one.sound)
    shutil.copy(segment, segment.with_name(f"{segment.name}.broken"))
    os.truncate(segment, end)
    after = gather.read_dir(Here(), str(data_dir), "m1", wal_dir="", in_full=True).log
    assert isinstance(before, LogEvidence)
    assert isinstance(after, LogEvidence)
    assert (before.end_is_read, after.end_is_read, after.refusals) == (False, False, ())
    assert after.last_index == before.last_index
