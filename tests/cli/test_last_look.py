"""The last look at the disks decides, and nothing that lives is stopped: real members, real damage, real exit codes."""

import json
import shutil
import subprocess
from pathlib import Path
from random import Random

import pytest

from requorum.errors import Refused
from requorum.etcdfiles import datadir, mvcc, wal, walscan
from requorum.hosts.address import HERE
from requorum.hosts.connection import Connections, Here
from requorum.procedures.values import Plan
from requorum.rehearsal import cluster, damage, wreck
from requorum.rehearsal.cluster import Member
from requorum.rehearsal.gateway import b64
from requorum.run import alive, journal
from requorum.run.context import Context
from requorum.survey import codec
from requorum.workbench import audit

from . import clusters
from .clusters import Cluster
from .process import Requorum, wait_until
from .terminal import Ask

DB = "member/snap/db"


def cut_the_end(member: Member) -> None:
    """Cut a log within its last record, as a disk that lost its last sector does: its end is not read any more."""
    layout = datadir.layout_of(str(member.data_dir))
    last = [one for one in wal.records_of(layout.wal_dir) if one.type == walscan.ENTRY][-1]
    with Path(last.path).open("r+b") as file:
        file.truncate(last.offset + 40)


def spoil_all(three: Cluster) -> None:
    """Every log is damaged in an early entry that the db holds: a rebuild, with nothing lost, proven."""
    for one in three.members:
        clusters.spoil_log(one)


def said(text: str) -> str:
    """A message on one line."""
    return " ".join(text.split())


class TestThePlanThatWasSaved:
    """What was proven when a plan was saved is not proven when it is carried out."""

    @pytest.fixture
    def saved(self, requorum: Requorum, three: Cluster) -> Path:
        """A plan with a proof; then two logs lose their ends."""
        spoil_all(three)
        path = requorum.state / "plan.json"
        requorum("plan", "-i", three.inventory, "--save", path, code=0)
        plan = json.loads(path.read_text())
        assert (plan["kind"], plan["bump"], plan["warnings"], plan["unproven"]) == ("rebuild", 0, [], "")
        for one in three.members:
            if one.name != plan["source"]["member"]:
                cut_the_end(one)
        return path

    def test_yes_is_refused(self, requorum: Requorum, three: Cluster, saved: Path) -> None:
        """With --yes it ends with 4 before anything is begun, and says what is gone."""
        before, configs = three.disks(), three.configs()
        ended = requorum("recover", "--plan", saved, *three.yes, code=4)
        assert "the proof that nothing else was lost is gone" in ended.err
        assert "raised by 1000000" in ended.err
        assert (three.disks(), three.configs()) == (before, configs)
        assert not (requorum.state / "runs").exists()

    def test_a_terminal_is_asked(self, requorum: Requorum, three: Cluster, saved: Path, on_terminal: Ask) -> None:
        """On a terminal it is asked about; what is carried out, and how it ends, is what the disks say now."""
        code, shown = on_terminal(three.confirm.encode() + b"\n", "recover", "--plan", saved, seconds=120, times=2)
        assert code == 3, shown
        assert said(shown).count("the proof that nothing else was lost is gone") >= 2
        assert "that nothing else was lost is not proven" in said(shown)
        assert three.revision() > 1_000_000


def test_the_proof_is_lost_behind_the_fence(requorum: Requorum, three: Cluster) -> None:
    """Between the plan and the last look two logs lose their ends: --yes ends with 4, fenced, nothing moved; the journal
    knows, a rollback brings all back, and a new plan says what is left."""
    spoil_all(three)
    before, configs = three.disks(), three.configs()
    held = three.members[0].folder / "held"
    shutil.copy2(three.db, held)
    _stop_at_the_workbench(requorum, three)
    run = requorum.run_name()
    victims = [one for one in three.members if one.name != _source(requorum, run)]
    for one in victims:
        cut_the_end(one)
    ended = requorum("resume", run, *three.yes, code=4)
    assert "promise less than the plan that was agreed to" in ended.err
    assert "the proof that nothing else was lost is gone" in ended.err
    assert f"requorum rollback {run}" in ended.hint
    assert "no member's data was changed" in ended.err
    assert all(one.config.read_text().startswith(f"# fenced by requorum run {run}") for one in three.members)
    requorum("rollback", run, *three.yes, code=0)
    assert three.configs() == configs
    assert {name: three.disks()[name] for name in before if name not in {one.name for one in victims}} == {
        name: what for name, what in before.items() if name not in {one.name for one in victims}
    }
    done = requorum("recover", "-i", three.inventory, *three.yes, "-o", "json", code=3)
    report = json.loads(done.out)
    assert report["bump"] == 1_000_000
    assert report["unproven"]
    assert any("is not proven" in one for one in report["warnings"])


def _source(requorum: Requorum, run: str) -> str:
    plan = json.loads((requorum.state / "runs" / run / "plan.json").read_text())
    return str(plan["source"]["member"])


def _stop_at_the_workbench(requorum: Requorum, three: Cluster) -> None:
    """Begin a recovery, and let it stop behind the last look: another program holds a member's db open to write."""
    import signal

    child = requorum.start("recover", "-i", three.inventory, *three.yes)
    wait_until(lambda: '"step":"03-look-again"' in requorum.journal(), "the last look")
    child.send_signal(signal.SIGINT)
    requorum.end(child, code=7, seconds=40)


class TestWhatLives:
    """Nothing that answers with a leader is stopped by a recovery; ``fence`` is the word for that."""

    def test_a_quorum_that_is_counted_wrongly(self, requorum: Requorum, three: Cluster) -> None:
        """A member with an existing URL was proposed, and refused when it was applied; one member is down. What serves is
        left alone."""
        three.start()
        _add_a_member_that_exists(three)
        down = next(at for at, one in enumerate(three.members) if not _leads(three, one))
        three.running[down].kill()
        three.running[down].wait(10)
        shutil.rmtree(three.members[down].data_dir / "member" / "wal")
        configs = three.configs()
        for words in (("plan",), ("recover", *three.yes)):
            ended = requorum(*words, "-i", three.inventory, code=4)
            assert "requorum fence" in ended.hint or "member replace" in ended.hint
        assert three.configs() == configs
        assert [one.poll() for at, one in enumerate(three.running) if at != down] == [None, None]

    def test_it_comes_alive_after_the_survey(self, requorum: Requorum, three: Cluster) -> None:
        """A cluster that serves again when a saved plan is begun is seen before it is locked."""
        path = requorum.state / "plan.json"
        requorum("plan", "-i", three.inventory, "--save", path, code=0)
        three.start()
        configs = three.configs()
        ended = requorum("recover", "--plan", path, *three.yes, code=4)
        assert "nothing was changed" in ended.err
        assert three.configs() == configs
        assert [one.poll() for one in three.running] == [None, None, None]

    def test_fence_then_recover(self, requorum: Requorum, three: Cluster) -> None:
        """The operator's word stops what lives; a recovery then takes the fences over, and everything is there."""
        three.start()
        wait_until(lambda: three.revision() > 100, "it serves")
        before = three.revision()
        refused = requorum("recover", "-i", three.inventory, *three.yes, code=4)
        assert "requorum fence" in refused.hint
        requorum("fence", "-i", three.inventory, *three.yes, code=0)
        assert all(one.wait(20) is not None for one in three.running)
        requorum("recover", "-i", three.inventory, *three.yes, code=0)
        assert three.revision() == before


def _restore(three: Cluster, member: Member, *flags: str) -> None:
    """Restore the saved snapshot on one node, with these flags alone."""
    argv: list[str | Path] = [three.etcd_dir / "etcdutl", "snapshot", "restore", three.saved, *flags]
    if flags:
        argv += ["--initial-advertise-peer-urls", member.peer_url]
    subprocess.run([*argv, "--data-dir", member.data_dir], check=True, capture_output=True, timeout=60)


def _leads(three: Cluster, member: Member) -> bool:
    answer = subprocess.run(
        [three.etcd_dir / "etcdctl", f"--endpoints={member.client_url}", "endpoint", "status", "-w", "json"],
        check=True,
        capture_output=True,
        timeout=20,
    )
    status = json.loads(answer.stdout)[0]["Status"]
    return bool(status["leader"] == status["header"]["member_id"])


def _add_a_member_that_exists(three: Cluster) -> None:
    """etcd refuses it when it applies the entry, which stays in the log."""

    def refused() -> bool:
        words = ["member", "add", "again", f"--peer-urls={three.members[2].peer_url}"]
        done = subprocess.run(
            [three.etcd_dir / "etcdctl", f"--endpoints={three.first.client_url}", *words],
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
        )
        return "Peer URLs already exists" in done.stderr

    wait_until(refused, "etcd refuses the member", 20)


class TestOneCluster:
    """Members that answer are one cluster only if they know each other."""

    @pytest.fixture
    def three_of_one(self, three: Cluster) -> Cluster:
        """Each node restored the same snapshot with nothing but --data-dir: three clusters of one, with the same ids."""
        for one in three.members:
            shutil.rmtree(one.data_dir)
            _restore(three, one)
        three.running += cluster.start(three.members, three.etcd_dir)
        return three

    def test_one_id_on_three_nodes(self, requorum: Requorum, three_of_one: Cluster) -> None:
        """Revision and hash are the same everywhere, and still nothing is well."""
        found = json.loads(requorum("check", "-i", three_of_one.inventory, "-o", "json", code=1, answers=True).out)
        assert any("one member id" in one["text"] for one in found["findings"])
        assert not any("replace m" in one["text"] for one in found["findings"])

    def test_another_peer_url(self, requorum: Requorum, three: Cluster) -> None:
        """A member whose configuration has another peer URL than its cluster knows: a warning with the command."""
        moved = three.members[2]
        (port,) = cluster.free_ports(1)
        three.replace_in_config(
            moved,
            f"initial-advertise-peer-urls: {moved.peer_url}",
            f"initial-advertise-peer-urls: http://127.0.0.1:{port}",
        )
        three.running += cluster.start(three.members, three.etcd_dir)
        found = json.loads(requorum("check", "-i", three.inventory, "-o", "json", code=3).out)
        (text,) = [one["text"] for one in found["findings"] if "etcdctl member update" in one["text"]]
        assert f"--peer-urls=http://127.0.0.1:{port}" in text
        assert moved.peer_url in text

    def test_a_stopped_disk_that_is_ahead(self, requorum: Requorum, three: Cluster) -> None:
        """Two members went back in time and serve; the third, which is down, holds what they lack: it is not replaced."""
        back = three.members[1:]
        for one in back:
            shutil.rmtree(one.data_dir)
        _found_again(three, back)
        ended = requorum("check", "-i", three.inventory, code=1, answers=True)
        text = said(ended.out)
        assert "keep m1's disk" in text
        assert "replace m1" not in text
        for words in (("plan",), ("member", "replace", "m1", *three.yes)):
            refused = requorum(*words, "-i", three.inventory, code=4)
            assert "keep m1's disk" in refused.err
            assert "requorum fence" in refused.hint


def _found_again(three: Cluster, members: list[Member]) -> None:
    """Wiped members that are bootstrapped again under the same token and members: the same ids, an empty cluster."""
    three.running += cluster.start(members, three.etcd_dir)
    client = Cluster(three.root, three.etcd_dir, members)

    def writes() -> bool:
        try:
            client.call("/v3/kv/put", key=b64("/new"), value=b64("x"))
        except Exception:
            return False
        return True

    wait_until(writes, "the new cluster takes a write", 40)


class TestASourceThatIsNamed:
    """What the disks leave undecided the operator decides, after it was said what that means."""

    def test_a_cluster_of_one(self, requorum: Requorum, three: Cluster, tmp_path: Path) -> None:
        """The only disk left is of a cluster of one, three are expected: nobody is told to leave it out."""
        only = three.first
        for one in three.members:
            shutil.rmtree(one.data_dir)
        _restore(three, only, "--name", only.name, "--initial-cluster", f"{only.name}={only.peer_url}")
        shown = json.loads(requorum("survey", "-i", three.inventory, "--verify", "-o", "json", code=0).out)
        known = [one["id"] for one in shown["verdict"]["sources"]]
        assert known
        if shown["verdict"]["kind"] == "undecided":
            ended = requorum("plan", "-i", three.inventory, code=4)
            assert "--source" in ended.hint
            assert known[0] in ended.hint
            assert "leave" not in ended.hint
        name = shown["verdict"]["cluster"]
        named = ("--source", known[0], "--yes", "--confirm", name)
        done = requorum("recover", "-i", three.inventory, *named, "-o", "json", code=3)
        assert json.loads(done.out)["warnings"]
        assert three.revision() > 100

    def test_not_the_best(self, requorum: Requorum, three: Cluster) -> None:
        """Where a better source is passed over, the plan says what that would have kept."""
        spoil_all(three)
        words = ("--snapshot", three.saved, "--source", f"snapshot {three.saved}")
        plan = json.loads(requorum("plan", "-i", three.inventory, *words, "-o", "json", code=0).out)
        assert any(f"you chose snapshot {three.saved}" in one and "no write lost" in one for one in plan["warnings"])
        assert plan["named"] is True


def test_a_disk_that_may_not_be_read_is_not_nothing(requorum: Requorum, one: Cluster) -> None:
    """A db that is damaged beyond use beside a log that is gone: it is said that it could not be read, and exit is not 6."""
    shutil.rmtree(one.data / "member" / "wal")
    raw = one.db.read_bytes()
    one.db.write_bytes(bytes(8192) + raw[8192:])
    ended = requorum("plan", "-i", one.inventory, code=4)
    assert "could be read" in ended.err
    assert "--snapshot" in ended.hint


def test_a_revision_that_was_served(requorum: Requorum, one: Cluster) -> None:
    """A revision that a monitoring system has seen, and no disk shows, makes a warning: exit 3, wherever it is named."""
    clusters.spoil_log(one.first)
    plan = json.loads(requorum("plan", "-i", one.inventory, "--seen-revision", 5000, "-o", "json", code=0).out)
    assert plan["seen_revision"] == 5000
    assert plan["warnings"]
    out = one.root / "out.db"
    words = ("rebuild", one.data, "-o", out, "--etcd-dir", one.etcd_dir, "--seen-revision", 5000)
    assert requorum(*words, "--format", "json", code=3).out
    done = requorum("recover", "-i", one.inventory, *one.yes, "--seen-revision", 5000, code=3)
    assert "5000" in done.out
    found = requorum("check", "-i", one.inventory, "--seen-revision", 1 << 40, code=1, answers=True)
    assert "was served once" in said(found.out)


class TestTheRecordsOfEveryDisk:
    """What was built is compared with every db that counts, before anything is moved."""

    def test_they_agree(self, requorum: Requorum, three: Cluster) -> None:
        """Three disks of one cluster: the journal says whose records are all in what was built."""
        spoil_all(three)
        requorum("recover", "-i", three.inventory, *three.yes, code=0)
        (line,) = [
            one
            for one in map(json.loads, requorum.journal().splitlines())
            if "build-source" in one["step"] and one["event"] == "done"
        ]
        assert line["result"]["audit"] == {"agree": ["m1", "m2", "m3"], "differ": [], "untold": []}

    def test_one_that_changes_behind_the_last_look(self, requorum: Requorum, three: Cluster) -> None:
        """A byte of another db changes while the source is built: what was built is not what that db holds, and nothing is
        moved."""
        spoil_all(three)
        plan = json.loads(requorum("plan", "-i", three.inventory, "-o", "json", code=0).out)
        other = next(one for one in three.members if one.name != plan["source"]["member"])
        db = other.data_dir / DB
        before = db.read_bytes()
        damage.value_flipped(other.data_dir, Random(3))
        (place,) = [at for at, (old, new) in enumerate(zip(before, db.read_bytes(), strict=True)) if old != new]
        db.write_bytes(before)
        programs = three.root / "programs"
        programs.mkdir()
        for name in ("etcd", "etcdctl"):
            (programs / name).symlink_to(three.etcd_dir / name)
        (programs / "etcdutl").write_text(
            f'#!/bin/sh\n[ "$2" = restore ] && printf X | dd of={db} bs=1 seek={place} conv=notrunc 2>/dev/null\n'
            f'exec {three.etcd_dir}/etcdutl "$@"\n'
        )
        (programs / "etcdutl").chmod(0o755)
        three.inventory.write_text(three.inventory.read_text().replace(str(three.etcd_dir), str(programs)))
        configs = three.configs()
        ended = requorum("recover", "-i", three.inventory, *three.yes, code=4)
        assert "does not hold what other disks hold" in said(ended.err)
        assert f"{other.name}'s db: the records of revisions" in said(ended.err)
        assert "no member's data was changed" in said(ended.err)
        requorum("rollback", requorum.run_name(), *three.yes, code=0)
        assert three.configs() == configs

    def test_rebuild_says_so(self, requorum: Requorum, three: Cluster, tmp_path: Path) -> None:
        """The same for copied dirs."""
        words = ("rebuild", *(one.data_dir for one in three.members), "-o", tmp_path / "out.db", "--etcd-dir")
        answer = json.loads(requorum(*words, three.etcd_dir, "--format", "json", code=0).out)
        assert len(answer["audit"]["agree"]) == 3
        assert not answer["audit"]["differ"]
        assert wreck.fingerprint(three.data)

    def test_one_that_holds_something_else(self, three: Cluster) -> None:
        """One value is another: which member, and where, is told; nothing is told where a compaction explains it."""
        dbs = {one.name: audit.Db(name=one.name, host=Here(), path=str(one.data_dir / DB)) for one in three.members}
        lowest = min(three.members, key=lambda one: mvcc.read_facts(dbs[one.name].path).revision)
        others = [dbs[one.name] for one in three.members if one is not lowest]
        assert audit.audit(dbs[lowest.name], others) == audit.Audit(
            agree=tuple(one.name for one in others), differ=(), untold=()
        )
        damage.value_flipped(lowest.data_dir, Random(3))
        found = audit.audit(others[0], [others[1], dbs[lowest.name]])
        assert found.agree == (others[1].name,)
        (text,) = found.differ
        assert text.startswith(f"{lowest.name}'s db: the records of revisions ")

    def test_a_compaction_explains_it(self, one: Cluster) -> None:
        """A db that was compacted holds less than an older one, and the same: before, at, and behind the compaction."""
        one.start()
        for n in range(40):
            one.call("/v3/kv/put", key=b64(f"/again/{n % 5}"), value=b64(str(n)))
        one.call("/v3/kv/deleterange", key=b64("/again/4"))
        one.save_snapshot_as(one.root / "before.db")
        one.call("/v3/kv/compaction", revision=one.revision() - 10, physical=True)
        one.call("/v3/kv/put", key=b64("/again/0"), value=b64("later"))
        one.kill()
        before = audit.Db(name="before", host=Here(), path=str(one.root / "before.db"))
        after = audit.Db(name="after", host=Here(), path=str(one.db))
        assert audit.audit(after, [before]) == audit.Audit(agree=("before",), differ=(), untold=())
        assert audit.audit(before, [after]) == audit.Audit(agree=("after",), differ=(), untold=())

    def test_another_life_of_the_cluster(self, requorum: Requorum, one: Cluster) -> None:
        """The disk holds another history than the snapshot that was given: nothing is done unless the snapshot is named."""
        shutil.rmtree(one.data)
        one.start()
        for n in range(5):
            one.call("/v3/kv/put", key=b64(f"/other/{n}"), value=b64("x"))
        one.save_snapshot_as(one.root / "other.db")  # which commits what is only in memory so far
        one.kill()
        shutil.rmtree(one.data / "member" / "wal")
        given = ("-i", one.inventory, "--snapshot", one.saved)
        before = one.disks()
        for command in (("plan",), ("recover", *one.yes)):
            assert "of another life of this cluster" in requorum(*command, *given, code=4).err
        assert one.disks() == before
        plan = json.loads(requorum("plan", *given, "--source", f"snapshot {one.saved}", "-o", "json", code=0).out)
        name = ("--yes", "--confirm", plan["cluster"])
        done = requorum("recover", *given, "--source", f"snapshot {one.saved}", *name, code=3)
        assert "given up, and kept in the old data: m1's db" in said(done.out)


def test_alive_at_the_last_moment(
    requorum: Requorum, three: Cluster, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """What comes alive behind the survey is seen when it is to be locked or fenced; what does not lead is no hindrance."""
    path = tmp_path / "plan.json"
    requorum("plan", "-i", three.inventory, "--save", path, code=0)
    monkeypatch.setenv("REQUORUM_STATE_DIR", str(tmp_path / "own"))
    made = journal.create(codec.decode(path.read_bytes(), Plan))
    with Connections({one.name: HERE for one in three.members}) as connections:
        context = Context(journal=made, connections=connections, ask=lambda _: True)
        alive.refuse_living(context, made.plan.members)
        three.start()
        with pytest.raises(Refused, match="stops nothing that lives") as caught:
            alive.refuse_living(context, made.plan.members)
        assert "requorum fence" in caught.value.hint
        with pytest.raises(Refused, match="m2 answers"):
            alive.refuse_living(context, [made.plan.member("m2")], "m1 may be fenced")
        for child in three.running[:2]:
            child.kill()
            child.wait(10)
        wait_until(lambda: _refuses_nothing(context), "the last one has no leader", 30)


def _refuses_nothing(context: Context) -> bool:
    try:
        alive.refuse_living(context, context.plan.members)
    except Refused:
        return False
    return True
