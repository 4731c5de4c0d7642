"""Disks that do not belong, or that must not be started: each with the right verdict and a line that says why."""

import shutil
import subprocess
from pathlib import Path

import pytest

from requorum.etcdfiles import wal
from requorum.etcdfiles.faults import EtcdFileError
from requorum.hosts import net
from requorum.rehearsal import wreck
from requorum.rehearsal.cluster import Member
from requorum.rehearsal.gateway import Gateway

from . import clusters
from .clusters import Cluster
from .process import Requorum, wait_until


def _said(text: str) -> str:
    return " ".join(text.split())


def _bootstrap(three: Cluster, wiped: Member | None = None, **changes: str) -> None:
    """Wipe a member (the third) and let it start as what its changed configuration makes of it, then kill it."""
    member = wiped or three.members[2]
    shutil.rmtree(member.data_dir)
    own = member.config.read_text()
    lines = [line for line in own.splitlines() if line.split(":")[0].replace("-", "_") not in changes]
    member.config.write_text("\n".join(lines) + "\n")
    three.set(member, **changes)
    with (member.folder / "etcd.log").open("ab") as log:
        child = subprocess.Popen(
            [three.etcd_dir / "etcd", "--config-file", member.config], stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
    three.running.append(child)
    wait_until(lambda: _has_log(member.data_dir), "the wiped member has a log")
    three.kill()
    member.config.write_text(own)


def _has_log(data_dir: Path) -> bool:
    try:
        log = wal.read_log(str(data_dir / "member" / "wal"))
    except EtcdFileError:
        return False
    return bool(log.cluster_id and log.hard_state and (data_dir / "member" / "snap" / "db").exists())


def test_an_impostor(requorum: Requorum, three: Cluster) -> None:
    """A wiped member that formed a cluster of its own is not counted: the other two start, it stays fenced."""
    member = clusters.lowest(three)
    name = member.name
    _bootstrap(three, member, initial_cluster=f"{name}={member.peer_url}", initial_cluster_token="fresh")
    before = three.disks()
    assert f"{name}: not counted: its log belongs to an impostor" in _said(
        requorum("survey", "-i", three.inventory, code=0).out
    )
    assert three.disks() == before
    done = requorum("recover", "-i", three.inventory, *three.yes, code=3)
    assert f"{name} stays fenced" in _said(done.out)
    assert wreck.fingerprint(member.data_dir) == before[name]
    assert member.config.read_text().startswith("# fenced by requorum")
    left = next(one for one in three.members if one is not member)
    gateway = Gateway(left.client_url)
    try:
        assert gateway.revision() > 100
    finally:
        gateway.close()


def test_a_foreign_cluster_id(requorum: Requorum, three: Cluster) -> None:
    """A disk of another cluster of three is not counted either."""
    _bootstrap(three, initial_cluster_token="another")
    for command in ("survey", "plan"):
        said = _said(requorum(command, "-i", three.inventory, code=0).out)
        assert "m3: not counted: its log belongs to another cluster" in said


def test_disks_of_different_clusters(requorum: Requorum, three: Cluster, tmp_path: Path) -> None:
    """Where none is in the majority nothing is decided, and rebuild refuses."""
    _bootstrap(three, initial_cluster_token="another")
    dirs = [one.data_dir for one in three.members[1:]]
    assert "verdict: undecided" in requorum("survey", *dirs, code=0).out
    before = three.disks()
    ended = requorum("rebuild", *dirs, "-o", tmp_path / "out.db", "--etcd-dir", three.etcd_dir, code=4)
    assert "different clusters" in ended.err
    assert ended.hint
    assert not (tmp_path / "out.db").exists()
    assert before == three.disks()


def test_a_snapshot_of_other_peers(requorum: Requorum, one: Cluster, three: Cluster) -> None:
    """A snapshot of another cluster is refused, although nothing else is left."""
    wreck.lose_disk(one.first)
    ended = requorum("recover", "-i", one.inventory, "--snapshot", three.saved, *one.yes, code=4)
    assert "it was taken from other members" in ended.err
    assert "a snapshot of this cluster" in ended.hint
    assert not one.data.exists()


def test_the_swallow_trap(requorum: Requorum, one: Cluster) -> None:
    """A log cut below the db's index looks clean; etcd would swallow writes on it, so the db alone is rebuilt from."""
    clusters.cut_log_below_db(one.first)
    said = _said(requorum("survey", one.data, code=0).out)
    assert "danger: data: must not start as it is: it would swallow writes" in said
    assert "verdict: rebuild" in said
    assert "rebuild from m1: bare db" in _said(requorum("plan", "-i", one.inventory, code=0).out)


def test_the_swallow_trap_in_one_of_three(requorum: Requorum, three: Cluster) -> None:
    """The two others start, the cut one is left fenced."""
    member = clusters.lowest(three)
    clusters.cut_log_below_db(member)
    said = _said(requorum("plan", "-i", three.inventory, code=0).out)
    others = ", ".join(one.name for one in three.members if one is not member)
    assert f"danger: {member.name}: must not start as it is: it would swallow writes" in said
    assert f"start {others}; no write lost; {member.name} stays fenced" in said


def test_a_log_that_is_gone(requorum: Requorum, one: Cluster) -> None:
    """A db without its log is rebuilt from, never started."""
    shutil.rmtree(one.data / "member" / "wal")
    said = _said(requorum("plan", "-i", one.inventory, code=0).out)
    assert "no log" in said
    assert "rebuild from m1: bare db" in said


def test_a_member_started_after_its_log_was_gone(requorum: Requorum, one: Cluster) -> None:
    """etcd makes a new log under the old db and swallows what is written then: seen, and not started again. What the old
    log held behind the db is lost, and no file tells how much."""
    shutil.rmtree(one.data / "member" / "wal")
    one.start()
    one.kill()
    before = one.disks()
    said = _said(requorum("survey", "-i", one.inventory, code=0).out)
    assert "danger: m1: must not start as it is: it would swallow writes" in said
    assert "verdict: rebuild" in said
    assert one.disks() == before
    assert "not proven" in _said(requorum("recover", "-i", one.inventory, *one.yes, code=3).out)
    assert one.revision() > 100


@pytest.fixture(params=["flushed", "in the log only"])
def with_users(request: pytest.FixtureRequest, one: Cluster) -> Cluster:
    """A killed cluster in which users and roles are in force: by its db, or only by the end of its log."""
    own = one.first.config.read_text()
    if request.param != "flushed":
        one.set(one.first, backend_batch_interval="60000000000")
    one.start()
    one.call("/v3/auth/user/add", name="root", password="secret")
    one.call("/v3/auth/role/add", name="root")
    one.call("/v3/auth/user/grant", user="root", role="root")
    one.call("/v3/auth/enable")
    if request.param == "flushed":
        one.running[0].terminate()
        one.running[0].wait(20)
    one.kill()
    one.first.config.write_text(own)
    return one


def test_users_and_roles(requorum: Requorum, with_users: Cluster, tmp_path: Path) -> None:
    """With authentication in force nothing could be proven: refused before anything is begun, and said why."""
    before = with_users.disks(), with_users.configs()
    assert "users and roles are in force" in _said(requorum("survey", with_users.data, code=0).out)
    out = tmp_path / "out.db"
    for words in (
        ("plan", "-i", with_users.inventory),
        ("recover", "-i", with_users.inventory, *with_users.yes),
        ("rebuild", with_users.data, "-o", out, "--etcd-dir", with_users.etcd_dir),
    ):
        assert "users and roles are in force" in requorum(*words, code=4).err
    assert before == (with_users.disks(), with_users.configs())
    assert not out.exists()


def test_members_that_were_not_surveyed(requorum: Requorum, three: Cluster) -> None:
    """Voters missing from the inventory could be alive: refused unless each is named as powered off."""
    lines = three.inventory.read_text().split("  m2:")[0]
    three.inventory.write_text(lines)
    before = three.disks()
    ended = requorum("plan", "-i", three.inventory, code=4)
    assert "m2, m3 voted in this cluster" in ended.err
    assert "--powered-off" in ended.hint
    requorum("plan", "-i", three.inventory, "--powered-off", "m2", code=4)
    requorum("plan", "-i", three.inventory, "--powered-off", "m2", "--powered-off", "m3", code=0)
    assert three.disks() == before


def test_a_powered_off_member_that_answers(requorum: Requorum, three: Cluster) -> None:
    """A client or peer port that answers overrides --powered-off."""
    three.inventory.write_text(three.inventory.read_text().split("  m2:")[0])
    _start_alone(three, three.members[1])
    requorum("plan", "-i", three.inventory, "--powered-off", "m2", "--powered-off", "m3", code=4)


def _start_alone(three: Cluster, member: Member) -> None:
    """Start one member of three: it listens, and has no leader."""
    with (member.folder / "etcd.log").open("ab") as log:
        child = subprocess.Popen(
            [three.etcd_dir / "etcd", "--config-file", member.config], stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
    three.running.append(child)
    wait_until(lambda: net.answers(member.peer_url), "it listens")
