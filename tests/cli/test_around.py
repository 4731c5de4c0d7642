"""What lies around a member's data: found, named with what to type, used where it is the cluster's, and never removed."""

import json
import os
import shutil
import subprocess
import urllib.parse
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from requorum.etcdfiles import v2keys
from requorum.hosts import processes
from requorum.rehearsal import wreck
from requorum.rehearsal.gateway import b64
from requorum.survey import around

from . import clusters
from .clusters import Cluster
from .process import Requorum, wait_until


def survey(requorum: Requorum, *words: object) -> dict[str, Any]:
    """A survey with its verdict, as JSON."""
    answer: dict[str, Any] = json.loads(requorum("survey", *words, "-o", "json", code=0).out)
    return answer


def found(told: dict[str, Any], level: str = "") -> list[str]:
    """The findings of a level."""
    return [one["text"] for one in told["verdict"]["findings"] if level in ("", one["level"])]


def zero(path: Path) -> None:
    """Let a file be nothing but zeroes."""
    path.write_bytes(bytes(path.stat().st_size))


def lose(three: Cluster) -> None:
    """Let nothing of any member's log and db be readable."""
    for member in three.members:
        for path in (*member.data_dir.glob("member/wal/*.wal"), member.data_dir / "member/snap/db"):
            zero(path)


@pytest.mark.parametrize("where", ["snapshot.db", "backup/etcd 1.snapshot", "member/snap/saved", "../beside.db"])
def test_a_snapshot_that_lies_there(requorum: Requorum, three: Cluster, where: str) -> None:
    """In or beside a data dir, under any name: it is a source by itself, and a whole recovery may go from it alone."""
    path = three.members[1].data_dir / where
    path.parent.mkdir(exist_ok=True)
    shutil.copy(three.saved, path)
    told = survey(requorum, "-i", three.inventory)
    (snapshot,) = told["survey"]["snapshots"]
    assert (snapshot["host"], os.path.normpath(snapshot["path"]), snapshot["found"]) == (
        "m2",
        os.path.normpath(path),
        True,
    )
    assert told["verdict"]["kind"] == "start as is"
    lose(three)
    told = survey(requorum, "-i", three.inventory)
    assert told["verdict"]["sources"][0]["id"] == f"snapshot m2:{os.path.normpath(path)}"
    requorum("recover", "-i", three.inventory, "--yes", "--confirm", "trio-00000000", code=3)
    assert three.revision() > 50


def test_a_snapshot_of_others_is_no_source(requorum: Requorum, one: Cluster, three: Cluster) -> None:
    """One of another cluster, a foreign bbolt file and a plain file are named, and nothing more."""
    shutil.copy(three.saved, one.data / "other.db")
    (one.data / "README").write_text("mine")
    told = survey(requorum, "-i", one.inventory)
    assert told["survey"]["snapshots"] == []
    assert any(str(one.data / "other.db") in text for text in found(told, "info"))
    assert any(f"not etcd's, but in its data dir: {one.data}/README" in text for text in found(told, "info"))


def test_a_db_that_the_leader_sent(requorum: Requorum, one: Cluster) -> None:
    """``INDEX.snap.db`` is a whole db: where the member's own is lost it is what is left."""
    (one.data / "member/snap/db").rename(one.data / "member/snap/0000000000000100.snap.db")
    told = survey(requorum, "-i", one.inventory)
    assert any("is a whole db that a leader sent" in text for text in found(told))
    assert any(source["db"].endswith(".snap.db") for source in told["verdict"]["sources"])


def test_a_log_that_etcd_cut(requorum: Requorum, one: Cluster) -> None:
    """``.wal.broken`` is named: the log's end is not all that there was."""
    kept = one.wal.with_name(f"{one.wal.name}.broken")
    shutil.copy(one.wal, kept)
    assert any(str(kept) in text for text in found(survey(requorum, one.data), "warning"))


@pytest.mark.parametrize("name", ["member.bak", "member-20240101", "old member"])
def test_a_member_folder_of_another_name(requorum: Requorum, one: Cluster, name: str, tmp_path: Path) -> None:
    """It is named beside a new, empty one, and taken as a data dir is: the same comes of it."""
    aside = one.data / name
    (one.data / "member").rename(aside)
    told = survey(requorum, one.data)
    assert told["verdict"]["kind"] == "start as is"
    (danger,) = found(told, "danger")
    assert f"its data is in {aside}; etcd looks for {one.data}/member" in danger
    assert f"first rename {aside} to member" in told["verdict"]["summary"]
    one.start()
    one.call("/v3/kv/put", key=b64("/new"), value=b64("x"))
    one.kill()
    told = survey(requorum, "-i", one.inventory)
    (danger,) = [text for text in found(told, "danger") if str(aside) in text and "requorum rebuild" in text]
    assert "of this very member" in danger
    assert "That is more than its data dir holds" in danger
    before = wreck.fingerprint(aside)
    out = tmp_path / "out.db"
    requorum("rebuild", aside, "-o", out, "--etcd-dir", one.etcd_dir, code=0)
    assert wreck.fingerprint(aside) == before
    shutil.rmtree(one.data / "member")
    aside.rename(one.data / "member")
    for words in ((one.data,), (one.data / "member",)):
        again = tmp_path / f"again{len(str(words))}.db"
        requorum("rebuild", *words, "-o", again, "--etcd-dir", one.etcd_dir, code=0)
        assert revision(requorum, again) == revision(requorum, out) > 300


def revision(requorum: Requorum, path: Path) -> int:
    """The revision of a snapshot."""
    told = json.loads(requorum("inspect", path, "-o", "json", code=0).out)
    return int(told["db"]["revision"])


def test_its_own_data_is_nothing_found(three: Cluster) -> None:
    """A configuration names the member's own data dir: that is not read a second time, as another folder with a member."""
    member = three.first
    wal_dir = str(member.data_dir / "member/wal")
    assert around.look(str(member.data_dir), wal_dir, configs=(str(member.config),), member_id=1).folders == ()


@pytest.mark.parametrize("named", ["etcd.yaml.bak", "etcd.yaml.2024-01-01~", "beside"])
def test_an_empty_dir_while_the_old_one_lies_elsewhere(
    requorum: Requorum, one: Cluster, tmp_path: Path, named: str
) -> None:
    """A data dir that was edited after the outage: the old one is found by a backup of the configuration, or beside it."""
    old = one.data.with_name("data-of-before") if named == "beside" else tmp_path / "elsewhere" / "etcd"
    old.parent.mkdir(exist_ok=True)
    if named != "beside":
        kept = one.first.config.read_text().replace(str(one.data), str(old))
        one.first.config.with_name(named.replace("etcd.yaml", one.first.config.name)).write_text(kept)
    one.data.rename(old)
    one.data.mkdir()
    told = survey(requorum, "-i", one.inventory)
    (danger,) = [text for text in found(told, "danger") if "holds no data, but" in text]
    assert f"{old}" in danger
    assert (named == "beside") or "(named in " in danger


def test_members_on_one_host_are_no_finds(requorum: Requorum, three: Cluster, tmp_path: Path) -> None:
    """Copied data dirs side by side are each other's neighbours: none is shown as something that lies around another."""
    dirs = []
    for member in three.members:
        dirs.append(shutil.copytree(member.data_dir, tmp_path / "copies" / member.name))
    told = survey(requorum, *dirs)
    assert [one["around"]["folders"] for one in told["survey"]["members"]] == [[], [], []]
    alone = survey(requorum, dirs[0])
    assert alone["survey"]["members"][0]["around"]["folders"] == []


def test_disks_that_were_set_back_while_they_were_off(requorum: Requorum, three: Cluster) -> None:
    """All of them, to one moment: they agree with each other, and only what etcd wrote in its own log tells that it had come
    further. A start on them makes them the cluster again: from then on that counts."""
    disks = [one.data_dir for one in three.members]
    kept = [shutil.copytree(one, one.with_name("image")) for one in disks]
    three.start()
    for number in range(80):
        three.call("/v3/kv/put", key=b64(f"/late/{number}"), value=b64("x"))
    revision = three.revision()
    three.call("/v3/kv/compaction", revision=revision, physical=True)
    three.kill()
    assert "was served" not in str(survey(requorum, "-i", three.inventory)["verdict"]), "as they are nothing is missing"
    for one, image in zip(disks, kept, strict=True):
        shutil.rmtree(one)
        image.rename(one)
    told = survey(requorum, "--verify", "-i", three.inventory)
    (danger,) = [text for text in found(told, "danger") if f"revision {revision} was served" in text]
    assert any(f"({one.folder / 'etcd.log'}) says so" in danger for one in three.members)
    assert told["verdict"]["kind"] == "rebuild"
    assert "(unproven)" in told["verdict"]["summary"]
    assert all(one["loss"]["unproven"] for one in told["verdict"]["sources"])
    three.start()
    three.kill()
    assert "was served" not in str(survey(requorum, "-i", three.inventory)["verdict"])


def test_a_run_that_is_half_done(requorum: Requorum, one: Cluster) -> None:
    """Killed once the data was set aside: the survey says which run has it, and what to type; that is right."""
    clusters.spoil_log(one.first)
    child = requorum.start("recover", "-i", one.inventory, *one.yes)
    wait_until(lambda: list(one.root.glob("m1/data.requorum/*/old/member")), "the old data is set aside", 60)
    child.kill()
    child.communicate(timeout=10)
    run = requorum.run_name()
    shutil.rmtree(one.data)  # what was restored, if it was moved in already
    one.data.mkdir()
    told = survey(requorum, "-i", one.inventory)
    (danger,) = [text for text in found(told, "danger") if "half done" in text]
    assert f"requorum resume {run}" in danger
    assert f"requorum rollback {run}" in danger
    assert told["verdict"]["kind"] == "undecided"
    assert f"requorum resume {run}" in told["verdict"]["summary"]
    assert f"requorum resume {run}" in requorum("plan", "-i", one.inventory, code=4).err
    requorum("rollback", run, *one.yes, "--discard-writes", "9", code=0)
    told = survey(requorum, "-i", one.inventory)
    assert not [text for text in found(told, "danger") if "half done" in text]


def test_cleanup_keeps_what_is_not_etcds(requorum: Requorum, one: Cluster) -> None:
    """A backup and a script in the data dir outlive it, and are named; what etcd and requorum made is gone."""
    clusters.spoil_log(one.first)
    shutil.copy(one.saved, one.data / "snapshot.db")
    (one.data / "scripts").mkdir()
    (one.data / "scripts" / "backup.sh").write_text("#!/bin/sh\n")
    requorum("recover", "-i", one.inventory, *one.yes, code=0)
    run = requorum.run_name()
    ended = requorum("cleanup", run, *one.yes, code=0)
    old = one.root / "m1" / "data.requorum" / run / "old"
    for name in ("snapshot.db", "scripts/backup.sh"):
        assert f"m1: {old / name}" in ended.out
        assert (old / name).exists()
    assert not (old / "member").exists()
    assert os.listdir(old.parent) == ["old"]
    told = survey(requorum, "-i", one.inventory)
    assert told["verdict"]["kind"] == "healthy"


STARTED: dict[str, Callable[[Cluster], tuple[list[str], dict[str, str], Path]]] = {
    "config": lambda one: (["--config-file", str(one.first.config)], {}, Path("/")),
    "config=": lambda one: ([f"--config-file={one.first.config.name}"], {}, one.first.config.parent),
    "flag": lambda one: (["--data-dir", str(one.data), *_flags(one)], {}, Path("/")),
    "flag=": lambda one: ([f"-data-dir={one.data.name}", *_flags(one)], {}, one.data.parent),
    "variable": lambda one: (_flags(one), {"ETCD_DATA_DIR": str(one.data)}, Path("/")),
    "config by variable": lambda one: ([], {"ETCD_CONFIG_FILE": str(one.first.config)}, Path("/")),
}


def _flags(one: Cluster) -> list[str]:
    first = one.first
    return [
        *("--name", first.name, "--listen-client-urls", first.client_url, "--advertise-client-urls", first.client_url),
        *("--listen-peer-urls", first.peer_url, "--initial-advertise-peer-urls", first.peer_url),
        *("--initial-cluster", f"{first.name}={first.peer_url}"),
    ]


@pytest.mark.parametrize(
    ("lost", "how"), [*(("deleted", how) for how in STARTED), ("moved", "config"), ("moved", "flag=")]
)
def test_files_that_went_while_etcd_runs(requorum: Requorum, one: Cluster, how: str, lost: str) -> None:
    """However it was started: it is seen to run on that data dir, and what it holds is a danger with the way out."""
    words, more, folder = STARTED[how](one)
    with (one.first.folder / "etcd.log").open("ab") as log:
        child = subprocess.Popen(
            [one.etcd_dir / "etcd", *words],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env={"PATH": os.defpath, **more},
            cwd=folder,
        )
    one.running.append(child)
    wait_until(lambda: one.first.client_url and _serves(one), "it serves")
    was = one.revision()
    if lost == "deleted":
        shutil.rmtree(one.data / "member")
    else:
        one.data.rename(one.data.with_name("moved away"))
        one.data.mkdir()
    assert [found.pid for found in processes.holders_of([one.data])] == [child.pid]
    shown = requorum("survey", "-i", one.inventory, code=0).out
    assert "stopped" not in shown
    whole = survey(requorum, "-i", one.inventory)
    (danger,) = [text for text in found(whole, "danger") if f"(pid {child.pid})" in text]
    assert "snapshot" in danger
    if lost == "moved":
        assert str(one.data.with_name("moved away")) in danger
        return
    command = danger.partition("as root: ")[2].partition(". A snapshot")[0]
    subprocess.run(["/bin/sh", "-ec", command], check=True, timeout=30)
    assert child.poll() is None
    assert one.revision() == was
    child.kill()
    child.wait(10)
    out = one.root / "out.db"
    requorum("rebuild", one.data.with_name("m1-held"), "-o", out, "--etcd-dir", one.etcd_dir, code=0)
    assert revision(requorum, out) == was


def _serves(one: Cluster) -> bool:
    try:
        return one.revision() > 0
    except Exception:
        return False


def test_nothing_is_stopped_that_holds_the_only_copy(requorum: Requorum, three: Cluster) -> None:
    """The last member of three runs on deleted files, without a leader: recover refuses, and it runs on."""
    for member in three.members[1:]:
        wreck.lose_disk(member)
    before = _log_of(three).count("is starting a new election")
    with (three.first.folder / "etcd.log").open("ab") as log:
        child = subprocess.Popen(
            [three.etcd_dir / "etcd", "--config-file", three.first.config],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    three.running.append(child)
    wait_until(lambda: _log_of(three).count("is starting a new election") > before, "it runs, and finds nobody")
    for path in three.data.glob("member/*/*"):
        path.unlink()  # its folders stay, so that it does not end by itself
    ended = requorum("recover", "-i", three.inventory, *three.yes, code=4)
    assert "a running etcd holds files that are not in its data dir" in ended.err
    assert child.poll() is None


def _log_of(cluster: Cluster) -> str:
    path = cluster.first.folder / "etcd.log"
    return path.read_text(errors="replace") if path.exists() else ""


@pytest.mark.parametrize("where", ["log", "snap"])
def test_keys_of_the_v2_api(requorum: Requorum, one: Cluster, where: str, tmp_path: Path) -> None:
    """They are in no db: warned about, kept by a start as is, and a rebuild is refused unless its source is named."""
    one.set(one.first, enable_v2="true")
    if where == "snap":
        one.replace_in_config(one.first, "snapshot-count: 100", "snapshot-count: 5")
    one.start()
    wait_until(lambda: _serves(one), "it serves")
    for name in ("a", "b", "gone"):
        _v2(one, f"coreos.com/network/{name}", "PUT")
    _v2(one, "coreos.com/network/gone", "DELETE")
    for number in range(40 if where == "snap" else 0):
        one.call("/v3/kv/put", key=b64(f"/x{number}"), value=b64("x"))
    one.kill()
    told = survey(requorum, "-i", one.inventory)
    (danger,) = [text for text in found(told, "danger") if "v2 API" in text]
    assert danger.startswith("2 keys of the v2 API (/coreos.com/network/a, /coreos.com/network/b)")
    assert told["verdict"]["kind"] == "start as is"
    requorum("plan", "-i", one.inventory, code=0)
    out = tmp_path / "out.db"
    assert "--source" in requorum("rebuild", one.data, "-o", out, "--etcd-dir", one.etcd_dir, code=4).hint
    assert not out.exists()
    ended = requorum(
        "rebuild", one.data, "-o", out, "--etcd-dir", one.etcd_dir, "--source", "data: db + own log", code=3
    )
    assert "not in it: 2 keys of the v2 API" in ended.out
    clusters.spoil_log(one.first)
    assert "--source" in requorum("recover", "-i", one.inventory, *one.yes, code=4).hint


def _v2(one: Cluster, key: str, method: str) -> None:
    data = urllib.parse.urlencode({"value": "v"}).encode() if method == "PUT" else None
    request = urllib.request.Request(f"{one.first.client_url}/v2/keys/{key}", data=data, method=method)
    request.add_header("Content-Type", "application/x-www-form-urlencoded")
    with urllib.request.urlopen(request, timeout=5) as answer:
        answer.read()


def test_values_that_look_like_v2_requests(one: Cluster) -> None:
    """A client's value with the very bytes of such a request is no v2 key."""
    one.start()
    wait_until(lambda: _serves(one), "it serves")
    one.call("/v3/kv/put", key=b64("/a"), value=b64("\x12\x03PUT\x1a\x07/1/mine"))
    one.kill()
    keys = v2keys.read(str(one.data / "member/snap"), str(one.data / "member/wal"))
    assert (keys.count, keys.unread) == (0, "")
