"""etcd that is alive, or comes alive in the middle: it is seen, not disturbed, and not recovered over."""

import json
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from requorum.etcdfiles import verify
from requorum.rehearsal import cluster, wreck
from requorum.rehearsal.gateway import b64
from requorum.rehearsal.load import Load

from . import clusters
from .clusters import Cluster
from .process import Requorum, wait_until

DB = "member/snap/db"
LOOKS = 2


@pytest.fixture
def live(one: Cluster) -> Cluster:
    """A cluster of one that serves."""
    one.start()
    return one


def _serves(live: Cluster) -> None:
    """It is the same process still, and takes writes."""
    assert live.running[0].poll() is None
    revision = live.revision()
    live.call("/v3/kv/put", key=b64("/after"), value=b64("x"))
    assert live.revision() == revision + 1


def test_survey_recognises_a_live_etcd(requorum: Requorum, live: Cluster) -> None:
    """survey of a live data dir names process, port and lock, and does not disturb it."""
    told = json.loads(requorum("survey", live.data, "-o", "json", code=0).out)
    process = told["survey"]["members"][0]["process"]
    assert process["pids"] == [live.running[0].pid]
    assert "--config-file" in process["commands"][0]
    assert int(live.first.client_url.rsplit(":", 1)[1]) in process["ports"]
    assert process["locked"] is True
    shown = requorum("survey", live.data, code=0).out
    assert "running" in shown
    assert f"pid {live.running[0].pid}" in shown
    _serves(live)


def test_survey_of_a_live_cluster_is_healthy(requorum: Requorum, live: Cluster) -> None:
    """By its inventory, a live cluster answers for itself."""
    assert "verdict: healthy" in requorum("survey", "-i", live.inventory, code=0).out
    _serves(live)


def _kinds(told: dict[str, Any]) -> set[tuple[str, str]]:
    """What is found, without the numbers that change."""
    findings = told.get("verdict", told)["findings"]
    return {(one["subject"], re.sub("[0-9]+", "#", one["text"])) for one in findings}


def test_three_healthy_members_under_load(requorum: Requorum, three: Cluster) -> None:
    """What is read while it is written is no damage, and members that are asked one after the other do not differ: every
    time, whatever is asked."""
    three.start()
    before = {
        words: json.loads(requorum(*words, "-i", three.inventory, "-o", "json", code=code, answers=True).out)
        for words, code in {("check",): 3, ("survey",): 0, ("survey", "--verify"): 0}.items()
    }
    # some 200 writes a second: unpaced writers fill a log faster than a slow machine can read it
    load = Load([one.client_url for one in three.members], writers=2, seed=1, prefix="again/", pause=0.01)
    load.start()
    try:
        load.wait_for(50, seconds=60)
        for _ in range(LOOKS):
            for words, quiet in before.items():
                code = 3 if words == ("check",) else 0
                told = json.loads(requorum(*words, "-i", three.inventory, "-o", "json", code=code, answers=True).out)
                assert _kinds(told) == _kinds(quiet), words
                assert told.get("verdict", {}).get("rule", "D") == "D", told["verdict"]["summary"]
    finally:
        load.stop()
    assert load.acknowledged > 100


def test_rebuild_refuses_a_live_data_dir(requorum: Requorum, live: Cluster) -> None:
    """A db that is being written is not copied."""
    out = live.root / "out.db"
    ended = requorum("rebuild", live.data, "-o", out, "--etcd-dir", live.etcd_dir, code=4)
    assert f"pid {live.running[0].pid}" in ended.err
    assert "snapshot save" in ended.hint
    assert not out.exists()
    _serves(live)


def test_recover_refuses_a_live_quorum(requorum: Requorum, live: Cluster) -> None:
    """Nothing is recovered over a cluster that serves."""
    configs = live.configs()
    for command in (("plan",), ("recover", *live.yes), ("recover", *live.yes, "--source", "m1: bare db")):
        assert "nothing to recover" in requorum(*command, "-i", live.inventory, code=4).err
    assert live.configs() == configs
    _serves(live)


def test_recover_refuses_when_a_majority_lives(requorum: Requorum, three: Cluster) -> None:
    """Two of three serve: the third is to be replaced, not the cluster restored."""
    wreck.lose_disk(three.members[2])
    three.running += cluster.start(three.members[:2], three.etcd_dir)
    ended = requorum("recover", "-i", three.inventory, *three.yes, code=4)
    assert "replace m3" in ended.err
    assert "live members" in ended.hint
    _serves(three)


def but(seen: wreck.Fingerprint, name: str) -> wreck.Fingerprint:
    """A fingerprint without one file."""
    return {path: what for path, what in seen.items() if path != name}


@contextmanager
def _supervised(one: Cluster) -> Iterator[None]:
    """A supervisor that starts the first member's etcd again and again, as systemd's Restart=always does."""
    line = f'while :; do "{one.etcd_dir}/etcd" --config-file "{one.first.config}"; sleep 0.2; done'
    with (one.first.folder / "supervised.log").open("wb") as log:
        supervisor = subprocess.Popen(["/bin/sh", "-c", line], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        yield
    finally:
        supervisor.kill()
        supervisor.wait(10)
        cluster.end_all_below(one.root)


def test_a_supervisor_that_restarts_a_broken_member(requorum: Requorum, one: Cluster) -> None:
    """Crash-looping etcd is fenced for good; the recovery works, and a rollback brings back the disk as the fence met it.

    An etcd that ran when it was looked at is started again by the rollback, crashes as before, and has opened its db by
    then: that is the same in content, all else to the byte.
    """
    clusters.spoil_log(one.first)
    log = wreck.fingerprint(one.data / "member" / "wal")
    configs = one.configs()
    with _supervised(one):
        wait_until((one.first.folder / "supervised.log").stat, "etcd was started once")
        requorum("recover", "-i", one.inventory, *one.yes, code=0)
        assert one.revision() > 100
        aside = one.root / "m1" / "data.requorum" / requorum.run_name() / "old"
        assert wreck.fingerprint(aside / "member" / "wal") == log
        before, held = wreck.fingerprint(aside), verify.verify_db(str(aside / DB))
    requorum("rollback", requorum.run_name(), *one.yes, code=0)
    after, found = wreck.fingerprint(one.data), verify.verify_db(str(one.data / DB))
    assert but(after, DB) == but(before, DB)
    assert (found.hash, found.total_keys, found.damage) == (held.hash, held.total_keys, ())
    ran = any('"was_running":true' in path.read_text() for path in requorum.state.rglob("*") if path.is_file())
    assert ran or after == before
    assert one.configs() == configs


def test_a_supervisor_on_the_last_member_of_three(requorum: Requorum, three: Cluster) -> None:
    """One lone member runs without a leader under a supervisor, its disk the only one left: fenced and rebuilt.

    That the lost disks held nothing else cannot be proven: exit 3, and it says so.
    """
    for lost in three.members[1:]:
        wreck.lose_disk(lost)
    configs = three.configs()
    with _supervised(three):
        held = '"step":"02-fence/m1"'
        wait_until(
            lambda: re.search("ports [0-9]", requorum("survey", three.data, code=0).out), "the lone member listens", 20
        )
        child = requorum.start("recover", "-i", three.inventory, *three.yes)
        assert child.wait(90) in (0, 3, 4, 7)
        ended = requorum.end(child, code=child.returncode)
        assert held in requorum.journal()
        code = child.returncode
        if code in (0, 3):
            assert three.revision() > 100
    requorum("rollback", requorum.run_name(), *three.yes, code=0)
    assert three.configs() == configs
    assert "verdict: rebuild" in requorum("survey", "-i", three.inventory, code=0).out
    assert code == 3, ended.out
    assert "is not proven" in ended.out
