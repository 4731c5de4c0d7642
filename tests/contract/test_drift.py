"""A db whose index is ahead of its data, as etcd 3.5.0 to 3.5.2 leave behind (etcd#13766), and what is made of it.

The fault is made on the disk of a killed member: its consistent index is raised in the db file to that of the next
entries of its own log, whose writes the data lacks.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from requorum.etcd import binaries
from requorum.etcdfiles import mvcc, requests, simulate, wal
from requorum.hosts.connection import Here
from requorum.rehearsal import cluster
from requorum.rehearsal.gateway import Gateway, b64
from requorum.survey import disks as reading
from requorum.survey import gather
from requorum.survey.evidence import DbEvidence, LogEvidence, MemberEvidence, Survey, Tail
from requorum.verdict.decide import decide
from requorum.verdict.startasis import why_not
from requorum.workbench import bench


def raise_index(data_dir: Path, by: int) -> None:
    """Let a db claim ``by`` entries more than it holds."""
    db = data_dir / "member" / "snap" / "db"
    index = mvcc.read_facts(str(db)).consistent_index
    raw = db.read_bytes()
    old = b"consistent_index" + index.to_bytes(8, "big")
    assert old in raw
    db.write_bytes(raw.replace(old, b"consistent_index" + (index + by).to_bytes(8, "big")))


def member(root: Path, name: str) -> MemberEvidence:
    """One member of the crashed cluster, read in full."""
    return gather.read_dir(Here(), str(root / name / "data"), name, wal_dir="", in_full=True)


def drifted(root: Path, name: str) -> bool:
    """Whether etcd itself has left a member with the fault: 3.5.1, which these run on, does that now and then."""
    db = member(root, name).db
    assert isinstance(db, DbEvidence)
    return db.applied_index != db.consistent_index


def lagging(root: Path) -> str:
    """The member whose log has most above its db, of those that etcd has left without the fault."""

    def lag(name: str) -> int:
        found = member(root, name)
        assert isinstance(found.tail, Tail)
        return found.tail.to_index - found.tail.from_index

    best = max((name for name in ("m1", "m2", "m3") if not drifted(root, name)), key=lag)
    assert lag(best) > 8, "no db lags its log: the load was too light"
    return best


@pytest.mark.parametrize("writes", [1, 3, 7])
def test_the_replay_begins_where_the_data_ends(disks: Path, etcd_dir: Path, tmp_path: Path, writes: int) -> None:
    """The missing writes are found, counted, and brought back by the replay; a start as is would lose them for good."""
    name = lagging(disks)
    before = member(disks, name)
    assert isinstance(before.tail, Tail)
    indexes = [index for run in before.tail.writes for index in range(run.first, run.last + 1)]
    raise_index(disks / name / "data", indexes[writes - 1] - before.tail.from_index)
    after = member(disks, name)
    assert isinstance(after.tail, Tail)
    assert isinstance(after.db, DbEvidence)
    assert isinstance(after.log, LogEvidence)
    assert after.db.consistent_index == indexes[writes - 1]
    assert indexes[0] - 8 < after.db.applied_index < indexes[0], "what lies between wrote nothing"
    assert after.tail.revision == before.tail.revision
    assert "etcd#13766" in why_not(after)
    recipe = bench.Recipe(
        db=after.db.path,
        parts=(bench.Part(wal_dir=after.log.wal_dir, first=after.tail.from_index + 1, last=after.tail.to_index),),
        revision=after.tail.revision,
        exact=not after.tail.doubts,
        saved_snapshot=False,
    )
    built = bench.build(recipe, tmp_path / "out.db", tmp_path / "bench", binaries.find([etcd_dir]))
    assert built.revision == before.tail.revision


def test_the_others_are_started_without_it(disks: Path) -> None:
    """With two sound members left, and the highest log on one of them, the cluster starts as it is, and the one that drifted
    stays behind."""
    name = lagging(disks)
    raise_index(disks / name / "data", 8)
    names = ("m1", "m2", "m3")
    survey = Survey(cluster="c", at="", verified=True, members=tuple(member(disks, one) for one in names))
    verdict = decide(survey)
    logs = {one.name: one.log.last for one in survey.members if isinstance(one.log, LogEvidence)}
    highest = max(last for other, last in logs.items() if other != name)
    fit = [other for other in names if not drifted(disks, other)]
    if highest < logs[name] or len(fit) < 2:
        assert verdict.kind == "rebuild"
    else:
        assert verdict.start is not None, verdict.proof[0]
        assert name not in verdict.start.members
        assert [one.member for one in verdict.start.left_behind] == [name]


def test_guarded_writes_alone_lie_between(etcd_dir: Path, tmp_path: Path) -> None:
    """Kubernetes writes under guards only: of no such entry it is sure without the keys that it wrote, and there may be many."""
    (one,) = cluster.lay_out(tmp_path, 1, etcd_dir, "guarded")
    with one.config.open("a") as config:
        config.write(f"backend-batch-interval: {3600 * 10**9}\n")
    try:
        running = cluster.start([one], etcd_dir)
        gateway, key = Gateway(one.client_url), b64("/registry/pods/a")
        revision = int(gateway.call("/v3/kv/put", {"key": key, "value": b64("0")})["header"]["revision"])
        gateway.call("/v3/maintenance/defragment", {})  # which commits
        for count in range(80):
            guard = {"key": key, "target": "MOD", "result": "EQUAL", "mod_revision": str(revision + count)}
            put = {"request_put": {"key": key, "value": b64(f"{count + 1}")}}
            assert gateway.call("/v3/kv/txn", {"compare": [guard], "success": [put]})["succeeded"]
        gateway.close()
        cluster.kill_at_once(running)
    finally:
        cluster.end_all_below(tmp_path)
    before = gather.read_dir(Here(), str(one.data_dir), "m1", wal_dir="", in_full=True)
    assert isinstance(before.db, DbEvidence)
    assert isinstance(before.log, LogEvidence)
    assert before.db.revision == revision
    raise_index(one.data_dir, before.log.last_index - before.db.consistent_index)
    after = gather.read_dir(Here(), str(one.data_dir), "m1", wal_dir="", in_full=True)
    assert isinstance(after.tail, Tail)
    assert after.tail.revision == revision + 80, "the index says that nothing is missing"
    assert "etcd#13766" in why_not(after)


def skipped(data: Path, alone: AbstractContextManager[Gateway]) -> list[int]:
    """The entries between where the data ends and where the index says, whose writes etcd lacks once it has started."""
    db, _, _ = reading.read_member(str(data), str(data / "member" / "wal"), in_full=True)
    assert isinstance(db, DbEvidence)
    log = wal.read_log(str(data / "member" / "wal"))
    with alone as gateway:
        there = {
            (deleted, kv.key.encode(), b"" if deleted else kv.value.encode())
            for deleted, kv in gateway.history(1, gateway.revision())
        }
    between = range(db.applied_index + 1, db.consistent_index + 1)
    written = {at: simulate.written_by(requests.request_of(log.entries[at])) for at in between}
    return [at for at, sets in written.items() if sets and not any(there.issuperset(one) for one in sets)]


Alone = Callable[[Path, Path], AbstractContextManager[Gateway]]


def test_where_the_data_ends(disks: Path, run_alone: Alone, tmp_path: Path) -> None:
    """Where the data is said to end before the index, etcd itself skips the entries between: their writes are not there once
    it has started. Shown on a db that was made so, and on each that etcd left so (seldom, and on 3.5.30, too)."""
    made = lagging(disks)
    raise_index(disks / made / "data", 8)
    for name in ("m1", "m2", "m3"):
        db = member(disks, name).db
        assert isinstance(db, DbEvidence)
        if name == made or db.applied_index != db.consistent_index:
            assert skipped(disks / name / "data", run_alone(disks / name / "data", tmp_path / name)), name
