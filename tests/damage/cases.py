"""Clusters that were killed under load, ways to break their disks, and whether requorum judges and rebuilds them rightly.

One case is: copies of a killed cluster's disks, damaged; surveyed, judged, and recovered as the verdict says, by real
etcd; and every write that a client saw acknowledged looked for afterwards. What must hold:

- nothing acknowledged is lost whenever the logs of a majority of voters are whole, record by record;
- otherwise no more is lost than was predicted, unless it was said that the loss cannot be proven;
- the damaged disks are, to the byte, what they were.
"""

import base64
import fcntl
import os
import shutil
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random

import anyio

from requorum.etcd import binaries
from requorum.etcd.binaries import Binaries
from requorum.etcdfiles import datadir, wal
from requorum.rehearsal import audit, cluster, damage, events, wreck
from requorum.rehearsal.cluster import Member
from requorum.rehearsal.gateway import Gateway, NoAnswer
from requorum.rehearsal.load import Load, Operation
from requorum.survey import gather
from requorum.survey.evidence import Survey
from requorum.verdict.decide import decide
from requorum.verdict.values import Source, Verdict
from requorum.workbench import bench
from requorum.workbench.bench import Part, Recipe
from requorum.workbench.recipes import recipe_of

SILENT = {"last WAL cut between records", "last sector zeroed", "last WAL gone", "length zeroed", "last WAL halved"}
"""What may look like a log that simply ends there: a disk that did not keep what it had fsynced."""
LOAD_SECONDS = 120.0
_BUILT: dict[object, tuple[tuple[Operation, ...], list[str]]] = {}


WAL_FILE = 64 << 20
"""etcd begins a new one at so many bytes (wal.go, SegmentSizeBytes)."""
PADDING = 1_200_000
"""Bytes of one request; etcd takes 1.5 MB."""


@dataclass(frozen=True)
class Killed:
    """A cluster that was killed under load: its members' disks are below ``root``; to be read only."""

    root: Path
    etcd_dir: Path
    members: tuple[Member, ...]
    operations: tuple[Operation, ...]
    learners: tuple[str, ...] = ()
    version: str = ""
    removed: str = ""
    """A member that the cluster has removed; its old disk is still there."""
    earlier: Path | None = None
    """Copies of the disks from the middle of the load, a folder for each member."""
    saved: tuple[Path, ...] = ()
    """Snapshots that ``etcdctl`` saved: in the middle of the load, and at its very end."""

    @property
    def voters(self) -> list[str]:
        """The members that vote."""
        return [one.name for one in self.members if one.name not in (*self.learners, self.removed)]

    @property
    def names(self) -> list[str]:
        """The members that have a disk."""
        return [one.name for one in self.members if one.data_dir.exists()]


@dataclass(frozen=True)
class Ended:
    """How a case ended: ``wrong`` says what must not be; ``lost`` how many acknowledged writes are not there."""

    verdict: Verdict
    source: Source | None
    lost: int
    wrong: tuple[str, ...]


def kill(
    root: Path,
    etcd_dir: Path,
    seed: int,
    *,
    members: int = 3,
    writes: int = 600,
    snapshot_count: int = 250,
    wal_files: int = 1,
    compact: bool = False,
    leaders: int = 0,
    cut_off: bool = False,
    learner: bool = False,
    replaced: bool = False,
    with_past: bool = False,
) -> Killed:
    """Start a cluster, load it, let happen what is asked for, and kill it.

    ``with_past``: copies of the disks and a snapshot are kept from the middle of the load; ``replaced``: one more member
    joins, and the first is removed.
    """
    later = 1 if learner or replaced else 0
    found = cluster.lay_out(root, members + later, etcd_dir, f"damage-{seed}", later=later)
    for one in found:
        with one.config.open("a") as config:
            # In nanoseconds: every db lags its log, on a slow machine too.
            config.write(
                f"snapshot-count: {snapshot_count}\nbackend-batch-interval: 300000000\nunsafe-no-fsync: true\n"
            )
            if with_past:  # many are started, again and again
                config.write("heartbeat-interval: 80\nelection-timeout: 800\n")
    load = Load(
        [one.client_url for one in found[:members]],
        1 if wal_files > 1 else 8,
        seed,
        value_bytes=700,
        patience=5000 if with_past else 200,
    )
    saved: list[Path] = []
    try:
        running = cluster.start(found[:members], etcd_dir)
        load.start()
        load.wait_for(writes // 2, LOAD_SECONDS)
        if compact:
            _compact(found[0])
        if with_past:
            saved.append(_save(found[0], etcd_dir, root / "middle.db"))
            cluster.kill_at_once(running)
            for one in found[:members]:
                _keep(one.data_dir, root / "earlier" / one.name)
            running = cluster.start(found[:members], etcd_dir)
        for _ in range(wal_files - 1):
            _fill_wal_file(found[0])
            load.wait_for(load.acknowledged + writes // 2, LOAD_SECONDS)
        for _ in range(leaders):
            events.restart_leader(found[:members], running, etcd_dir)
        if learner:
            events.add_member(found[:members], found[-1], learner=True)
            running += cluster.start(found[-1:], etcd_dir)
        if replaced:
            events.add_member(found[:members], found[-1])
            running += cluster.start(found[-1:], etcd_dir)
            _remove(found[-1], found[0])
            load.wait_for(load.acknowledged + Random(seed).choice([0, 0, 60]), LOAD_SECONDS)
        load.wait_for(writes, LOAD_SECONDS)
        if with_past and not cut_off:
            saved.append(_save(found[-1 if replaced else 0], etcd_dir, root / "late.db"))
        if cut_off:
            events.cut_leader_off(found[:members], running)
            load.wait_for(load.acknowledged + 60, LOAD_SECONDS)
        cluster.kill_at_once(running)
    finally:
        load.stop()
        cluster.end_all_below(root)
    for one in found:
        _trim(one.data_dir)
    return Killed(
        root,
        etcd_dir,
        tuple(found),
        tuple(load.operations),
        (found[-1].name,) if learner else (),
        removed=found[0].name if replaced else "",
        earlier=root / "earlier" if with_past else None,
        saved=tuple(saved),
    )


def _save(member: Member, etcd_dir: Path, target: Path) -> Path:
    subprocess.run(
        [etcd_dir / "etcdctl", f"--endpoints={member.client_url}", "snapshot", "save", target],
        check=True,
        capture_output=True,
        timeout=60,
        env={"ETCDCTL_API": "3"},
    )
    return target


def _keep(data_dir: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run(["cp", "-a", "--sparse=always", data_dir, target], check=True, timeout=120)
    _trim(target)


def _remove(speaker: Member, member: Member) -> None:
    """Remove a member from the cluster; its disk stays as it is."""
    gateway = Gateway(speaker.client_url, timeout=30)
    try:
        listed = gateway.call("/v3/cluster/member/list", {})["members"]
        found = next(one["ID"] for one in listed if one.get("name") == member.name)
        deadline = time.monotonic() + LOAD_SECONDS
        while True:
            try:
                gateway.call("/v3/cluster/member/remove", {"ID": found})
            except NoAnswer as err:
                if "unhealthy cluster" not in str(err) or time.monotonic() > deadline:
                    raise
                time.sleep(0.2)
            else:
                return
    finally:
        gateway.close()


def _fill_wal_file(member: Member) -> None:
    """Have a new WAL file begun: by transactions whose guards fail, which lie in the log and leave nothing in the db."""
    value = base64.b64encode(Random(1).randbytes(PADDING)).decode()
    nowhere = base64.b64encode(b"/padding").decode()
    guarded = {
        "compare": [{"key": nowhere, "target": "VERSION", "result": "EQUAL", "version": "1"}],
        "success": [{"request_put": {"key": nowhere, "value": value}}],
    }
    gateway = Gateway(member.client_url, timeout=30)
    try:
        for _ in range(WAL_FILE // PADDING + 1):
            gateway.call("/v3/kv/txn", guarded)
    finally:
        gateway.close()


def _compact(member: Member) -> None:
    gateway = Gateway(member.client_url, timeout=30)
    try:
        gateway.call("/v3/kv/compaction", {"revision": str(gateway.revision() - 50)})
    finally:
        gateway.close()


def _trim(data_dir: Path) -> None:
    """Drop the zeroes that etcd preallocates, so that copies are cheap; a log ends in some all the same."""
    for spare in data_dir.glob("member/wal/*.tmp"):
        spare.unlink()
    if not data_dir.exists():
        return
    last = list(wal.records_of(datadir.layout_of(str(data_dir)).wal_dir))[-1]
    os.truncate(last.path, min((last.end // 4096 + 20) * 4096, os.path.getsize(last.path)))


def copied(killed: Killed, root: Path) -> list[Member]:
    """Copies of the disks, under the same addresses."""
    out = []
    for one in killed.members:
        folder = root / one.name
        folder.mkdir(parents=True)
        if one.data_dir.exists():
            subprocess.run(["cp", "-a", "--sparse=always", one.data_dir, folder / "data"], check=True, timeout=120)
        config = one.config.read_text().replace(str(killed.root), str(root))
        config = config.replace("unsafe-no-fsync: true\n", "")  # only so that the load is quick: nothing was unplugged
        (folder / "etcd.yaml").write_text(
            config.replace("initial-cluster-state: new", "initial-cluster-state: existing")
        )
        out.append(Member(name=one.name, folder=folder, peer_url=one.peer_url, client_url=one.client_url))
    return out


def damaged(members: Sequence[Member], wanted: Mapping[str, Sequence[str]], rng: Random) -> None:
    """Damage members by name; raises :class:`damage.Missed`."""
    for member in members:
        for name in wanted.get(member.name, ()):
            damage.ALL[name](member.data_dir, rng)


def judged(members: Sequence[Member], found: Binaries) -> tuple[Survey, Verdict]:
    """Survey the disks that are there in full, and decide."""
    dirs = [one.data_dir for one in members if one.data_dir.exists()]
    survey = anyio.run(partial(gather.survey_dirs, in_full=True, found=found), dirs)
    return survey, decide(survey)


def play(killed: Killed, wanted: Mapping[str, Sequence[str]], rng: Random, work: Path) -> Ended:
    """One case from the damage to the audit. What is in ``work`` is left behind only where something is wrong."""
    members = copied(killed, work / "disks")
    damaged(members, wanted, rng)
    before = {one.name: wreck.fingerprint(one.data_dir) for one in members}
    found = binaries.find([killed.etcd_dir])
    survey, verdict = judged(members, found)
    wrong: list[str] = []
    source = None
    lost: tuple[Operation, ...] | None = None
    if verdict.start is not None:
        starting = verdict.start.members
        names = {one.name: _named(one.data_dir, members) for one in survey.members}
        lost, bad = _start(killed, [names[one] for one in starting], [names[one] for one in verdict.start.first], work)
        wrong += bad
    elif verdict.sources and verdict.kind == "rebuild":
        source = verdict.source
        assert source is not None
        lost, bad = _rebuild(killed, survey, source, found, work)
        wrong += bad
    wrong += [
        f"the disk of {one.name} was changed" for one in members if wreck.fingerprint(one.data_dir) != before[one.name]
    ]
    if _unseen(killed, wanted) and lost is not None:
        lost, wrong = (), [one for one in wrong if "is not what was written" not in one]
    wrong += _judge(killed, wanted, verdict, source, lost)
    if not wrong:
        cleared(work)
    return Ended(verdict, source, len(lost or ()), tuple(wrong))


def _unseen(killed: Killed, wanted: Mapping[str, Sequence[str]]) -> bool:
    """Whether a value differs on the only db that is left: nobody can see that."""
    flipped = [name for name, some in wanted.items() if "value flipped" in some]
    others = [
        name for name in killed.names if not any(one in damage.DB or one == "disk gone" for one in wanted.get(name, ()))
    ]
    return bool(flipped) and not others and len(flipped) == 1


def _named(data_dir: str, members: Sequence[Member]) -> Member:
    return next(one for one in members if str(one.data_dir) == data_dir)


def _judge(
    killed: Killed,
    wanted: Mapping[str, Sequence[str]],
    verdict: Verdict,
    source: Source | None,
    lost: tuple[Operation, ...] | None,
) -> list[str]:
    """What must not be, going by what was broken."""
    whole = [
        name
        for name in killed.names
        if not any(one in damage.LOG or one == "disk gone" for one in wanted.get(name, ()))
    ]
    sound = [
        name for name in killed.names if not any(one in damage.DB or one == "disk gone" for one in wanted.get(name, ()))
    ]
    voters = [one for one in killed.names if one not in killed.learners]
    majority = len([one for one in whole if one in voters]) > len(voters) // 2
    said = f"{verdict.kind}: {verdict.summary}"
    if lost is None:
        if verdict.kind == "undecided" and verdict.tie:
            return (
                []
                if any("value flipped" in some for some in wanted.values())
                else [f"a tie without a difference: {said}"]
            )
        if verdict.sources and not majority and "the db is of another life than the logs" in verdict.summary:
            return []  # of a leader that others had deposed only the log may be left, and of those only dbs
        reaching = [one for one in whole if _reaches_back(killed, one)]
        return [f"nothing could be done although {sound} and {reaching} are whole: {said}"] if sound or reaching else []
    if majority and lost:
        one = lost[0]
        return [
            f"{len(lost)} writes lost although a majority of logs is whole, the first: {one.key} at {one.revision} ({said})"
        ]
    silent = any(one in SILENT for some in wanted.values() for one in some)
    loss = source.loss if source else None
    if loss is not None and loss.known and not loss.unproven and not silent and len(lost) > loss.at_most:
        return [f"{len(lost)} writes lost, {loss.at_most} at most were predicted ({said})"]
    if loss is None and lost and not silent:
        return [f"{len(lost)} writes lost by a start as is ({said})"]
    return []


def _reaches_back(killed: Killed, name: str) -> bool:
    """Whether a member's log holds the first entry: then no db is needed."""
    member = next(one for one in killed.members if one.name == name)
    runs = wal.read_log(datadir.layout_of(str(member.data_dir)).wal_dir).runs
    return bool(runs) and runs[0].first == 1


def _start(
    killed: Killed, starting: Sequence[Member], first: Sequence[Member], work: Path
) -> tuple[tuple[Operation, ...], list[str]]:
    """Start copies of the members that the verdict names, as it says, and audit each."""
    root = work / "started"
    copies = {}
    for one in starting:
        (root / one.name).mkdir(parents=True)
        subprocess.run(["cp", "-a", "--sparse=always", one.data_dir, root / one.name / "data"], check=True, timeout=120)
        config = one.config.read_text().replace(str(one.folder), str(root / one.name))
        copies[one.name] = Member(
            name=one.name, folder=root / one.name, peer_url=one.peer_url, client_url=one.client_url
        )
        copies[one.name].config.write_text(config)
    with (killed.root / "addresses").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # other tests start the same members, under the same addresses
        return _run(killed, copies, starting, first, root)


def _run(
    killed: Killed, copies: Mapping[str, Member], starting: Sequence[Member], first: Sequence[Member], root: Path
) -> tuple[tuple[Operation, ...], list[str]]:
    running = []
    try:
        running += cluster.start([copies[one.name] for one in first], killed.etcd_dir)
        running += cluster.start([copies[one.name] for one in starting if one not in first], killed.etcd_dir)
        return _audited(killed, {name: one.client_url for name, one in copies.items() if name not in killed.learners})
    finally:
        cluster.kill_at_once(running)
        cluster.end_all_below(root)


def _rebuild(
    killed: Killed, survey: Survey, source: Source, found: Binaries, work: Path
) -> tuple[tuple[Operation, ...], list[str]]:
    """Build the source, restore it as a cluster of one, and audit that. The same recipe on the same bytes is not built
    again: half the ways to break a db end in one and the same log."""
    wal_dirs = {one.name: one.wal_dir for one in survey.members}
    parts = tuple(Part(wal_dir=wal_dirs[one.member], first=one.first, last=one.last) for one in source.pieces)
    recipe = recipe_of(source, parts)
    digests = {folder: str(wreck.fingerprint(Path(folder))) for folder in {one.wal_dir for one in recipe.parts}}
    db = wreck.content_of(Path(recipe.db)) if recipe.db else ""
    same = (
        killed.root,
        db,
        tuple((digests[one.wal_dir], one.first, one.last) for one in recipe.parts),
        recipe.revision,
    )
    if same not in _BUILT:
        _BUILT[same] = _build(killed, recipe, found, work)
    lost, wrong = _BUILT[same]
    return lost, [*wrong]


def _build(killed: Killed, recipe: Recipe, found: Binaries, work: Path) -> tuple[tuple[Operation, ...], list[str]]:
    built = bench.build(recipe, work / "built.db", work / "bench", found)
    (alone,) = cluster.lay_out(work / "restored", 1, killed.etcd_dir, "restored")
    with alone.config.open("a") as config:
        config.write("heartbeat-interval: 20\nelection-timeout: 200\n")
    peers = ["--initial-cluster", f"{alone.name}={alone.peer_url}", "--initial-advertise-peer-urls", alone.peer_url]
    argv = [
        found.etcdutl,
        "snapshot",
        "restore",
        built.path,
        "--data-dir",
        alone.data_dir,
        "--name",
        alone.name,
        *peers,
    ]
    subprocess.run([str(one) for one in argv], check=True, capture_output=True, timeout=120)
    running = []
    try:
        running += cluster.start([alone], killed.etcd_dir)
        lost, wrong = _audited(killed, {alone.name: alone.client_url})
    finally:
        cluster.kill_at_once(running)
        cluster.end_all_below(work / "restored")
    if recipe.exact and built.revision != recipe.revision:
        wrong.append(f"revision {built.revision}, {recipe.revision} was predicted")
    return lost, wrong


def _audited(killed: Killed, urls: Mapping[str, str]) -> tuple[tuple[Operation, ...], list[str]]:
    found = audit.audit(killed.operations, urls)
    return found.lost, list(found.wrong)


def cleared(work: Path) -> None:
    """Remove what a case left behind: hundreds of megabytes each."""
    for one in work.iterdir():
        if one.is_dir():
            shutil.rmtree(one)
        else:
            one.unlink()
