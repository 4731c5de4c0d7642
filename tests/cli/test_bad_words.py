"""Bad inventories, member configs, saved plans, journals and locks: each is named, none does harm."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from requorum.rehearsal import wreck

from . import clusters
from .clusters import Cluster
from .process import Requorum
from .test_bad_disks import BAD


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_inventory(requorum: Requorum, tmp_path: Path, kind: str) -> None:
    """Wrong usage: the file is named, and nothing hangs."""
    path = tmp_path / "inventory.yaml"
    path.write_text("schema: requorum/Inventory/v1\nhosts:\n  m1:\n    etcd: {deployment: process, config: a.yaml}\n")
    BAD[kind](path)
    assert str(path) in requorum("survey", "-i", path, code=2).err


@pytest.mark.parametrize(
    "text",
    [
        "schema: requorum/Inventory/v1\nhosts: {}\n",
        "schema: requorum/Inventory/v2\nhosts: {m1: {etcd: {deployment: process, config: a}}}\n",
        "schema: requorum/Inventory/v1\nhosts: {m1: {etcd: {deployment: process}}}\n",
        "schema: requorum/Inventory/v1\nhosts: {m1: {etcd: {deployment: systemd, config: a}}}\n",
        "schema: requorum/Inventory/v1\nhosts: {m1: {roles: [{a: b}], etcd: {deployment: process, config: a}}}\n",
        "schema: requorum/Inventory/v1\nschema: requorum/Inventory/v1\n",
        "hosts: &a [*a]\n",
        "[" * 5000,
        "- 1\n",
        "\ttabs\n",
    ],
)
def test_a_wrong_inventory(requorum: Requorum, tmp_path: Path, text: str) -> None:
    """YAML that is no inventory ends with 2, and with the file's name."""
    path = tmp_path / "inventory.yaml"
    path.write_text(text)
    assert str(path) in requorum("survey", "-i", path, code=2).err


@pytest.mark.parametrize("kind", ["gone", "zeroes", "text", "directory", "pipe", "symlink loop"])
def test_a_bad_member_config(requorum: Requorum, one: Cluster, kind: str) -> None:
    """survey tells which config cannot be read; plan refuses, and does not claim that the disk it never saw is empty."""
    BAD[kind](one.first.config)
    before = one.disks()
    assert str(one.first.config) in "".join(requorum("survey", "-i", one.inventory, code=0).out.split())
    assert str(one.first.config) in requorum("plan", "-i", one.inventory, code=4).err
    assert one.disks() == before


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("http://127.0.0.1:{client}", "http://127.0.0.1:port"),
        ("http://127.0.0.1:{client}", "http://[::1"),
        ("data-dir: ", 'data-dir: "a\\0b" # '),
        ("data-dir: ", "data-dir: [1] # "),
        ("name: m1", "name: m1\nquota-backend-bytes: much"),
        ("name: m1", "name: m1\nclient-transport-security: yes"),
        ("name: m1", "name: [" + "[" * 3000),
    ],
)
def test_a_wrong_value_in_a_member_config(requorum: Requorum, one: Cluster, old: str, new: str) -> None:
    """A value that etcd would not take either is no bug of requorum's: survey goes on, plan says yes or no."""
    port = one.first.client_url.rsplit(":", 1)[1]
    one.replace_in_config(one.first, old.format(client=port), new)
    requorum("survey", "-i", one.inventory, code=0)
    child = requorum.start("plan", "-i", one.inventory)
    assert child.wait(60) in (0, 2, 4)
    requorum.end(child, code=child.returncode)


@pytest.mark.parametrize(
    ("key", "value"),
    [("schema", "requorum/Plan/v9"), ("run", "../../m1"), ("run", ""), ("phases", []), ("members", [])],
)
def test_an_edited_plan(requorum: Requorum, one: Cluster, tmp_path: Path, key: str, value: object) -> None:
    """A plan that no requorum wrote is refused before anything is begun, wherever its run's name would lead."""
    saved = tmp_path / "plan.json"
    requorum("plan", "-i", one.inventory, "--save", saved, code=0)
    saved.write_text(json.dumps({**json.loads(saved.read_text()), key: value}))
    before = one.disks(), one.configs()
    ended = requorum("recover", "--plan", saved, *one.yes, code=2)
    assert str(saved) in ended.err
    assert before == (one.disks(), one.configs())
    assert not (requorum.state / "runs").exists()


def test_a_path_that_cannot_be(requorum: Requorum, one: Cluster) -> None:
    """A NUL in a path of the inventory is a mistake in the inventory."""
    one.inventory.write_text(one.inventory.read_text().replace(f"{one.first.config}", '"m1\\0/etcd.yaml"'))
    for command in ("survey", "plan"):
        assert str(one.inventory) in requorum(command, "-i", one.inventory, code=2).err


def _stop(requorum: Requorum, one: Cluster) -> str:
    """Stop a run at its fence, because a program that is no etcd has the db open; its name."""
    with one.db.open("r+b"):
        requorum("recover", "-i", one.inventory, *one.yes, code=7)
    return requorum.run_name()


@pytest.fixture(scope="module")
def stopped_once(crashed_one: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Cluster, Path, str]]:
    """A stopped run: its cluster, its state folder and its name. To be read only."""
    root = tmp_path_factory.mktemp("stopped")
    state = root / "state"
    state.mkdir()
    made = clusters.copy(crashed_one, root / "cluster")
    yield made, state, _stop(Requorum(state), made)
    made.end()


@pytest.fixture
def stopped(stopped_once: tuple[Cluster, Path, str], requorum: Requorum) -> tuple[Cluster, Path]:
    """The cluster of a stopped run, and a copy of the run's folder that ``requorum`` works with."""
    made, state, run = stopped_once
    shutil.copytree(state, requorum.state, dirs_exist_ok=True)
    return made, requorum.state / "runs" / run


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_saved_plan(requorum: Requorum, stopped: tuple[Cluster, Path], tmp_path: Path, kind: str) -> None:
    """Wrong usage: the file is named, nothing is begun."""
    one, folder = stopped
    saved = tmp_path / "plan.json"
    shutil.copy(folder / "plan.json", saved)
    BAD[kind](saved)
    assert str(saved) in requorum("recover", "--plan", saved, *one.yes, code=2).err
    assert requorum.run_name() == folder.name


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        *(("plan.json", kind) for kind in BAD if kind not in ("gone", "truncated")),
        *(("journal.jsonl", kind) for kind in BAD if kind not in ("gone", "truncated", "empty", "zeroes")),
    ],
)
def test_a_bad_journal(requorum: Requorum, stopped: tuple[Cluster, Path], name: str, kind: str) -> None:
    """A run whose journal cannot be read is neither resumed nor rolled back nor hidden, and its journal stays as it is."""
    one, folder = stopped
    path = folder / name
    BAD[kind](path)
    kept = path.read_bytes() if path.is_file() else b""
    configs = one.configs()
    listed = requorum("runs", code=0)
    for command in ("rollback", "resume"):
        ended = requorum(command, folder.name, *one.yes, code=2)
        assert folder.name in ended.err
        assert "there is no run" not in ended.err
    assert configs == one.configs()
    assert (path.read_bytes() if path.is_file() else b"") == kept
    assert folder.name in listed.out + listed.err, "the run is hidden"


@pytest.mark.parametrize("line", ["1", "null", '"x"', "[]", "{}", '{"event":"begin","step":[1]}'])
def test_a_strange_line_in_a_journal(requorum: Requorum, stopped: tuple[Cluster, Path], line: str) -> None:
    """A line that no run writes is named with its number."""
    one, folder = stopped
    path = folder / "journal.jsonl"
    count = len(path.read_text().splitlines())
    path.write_text(path.read_text() + line + "\n")
    configs = one.configs()
    assert f"line {count + 1}" in requorum("rollback", folder.name, *one.yes, code=2).err
    assert configs == one.configs()


def test_a_journal_cut_in_its_last_line(requorum: Requorum, one: Cluster) -> None:
    """After a power cut the half line is dropped; looking at the runs does not change the journal."""
    stopped = _stop(requorum, one)
    path = requorum.state / "runs" / stopped / "journal.jsonl"
    path.write_text(path.read_text() + '{"at": "2026-')
    raw = path.read_bytes()
    assert stopped in requorum("runs", code=0).out
    assert path.read_bytes() == raw, "a command that only looks cut the journal of a run that may be writing to it"
    requorum("rollback", stopped, *one.yes, code=0)


@pytest.mark.parametrize("kind", ["zeroes", "random", "directory", "pipe"])
def test_a_bad_lock(requorum: Requorum, three: Cluster, kind: str) -> None:
    """A lock that cannot be read is respected: nothing is begun, the file is named, and no other member stays locked."""
    work = three.root / "m1" / "data.requorum"
    work.mkdir()
    (work / "lock.json").write_text("{}")
    BAD[kind](work / "lock.json")
    before = three.disks(), three.configs()
    ended = requorum("recover", "-i", three.inventory, *three.yes, code=1, seconds=10)
    assert str(work / "lock.json") in ended.err
    assert ended.hint
    assert before == (three.disks(), three.configs())
    assert not list(three.root.glob("m[23]/data.requorum/lock.json"))


@pytest.mark.parametrize("text", ["[]", "{}", "1", '{"run": "x"}'])
def test_a_strange_lock(requorum: Requorum, one: Cluster, text: str) -> None:
    """JSON that is no lock is respected as one."""
    work = one.root / "m1" / "data.requorum"
    work.mkdir()
    (work / "lock.json").write_text(text)
    child = requorum.start("recover", "-i", one.inventory, *one.yes)
    assert child.wait(60) in (1, 8)
    ended = requorum.end(child, code=child.returncode)
    assert "run None" not in ended.err + ended.hint
    assert (work / "lock.json").read_text() == text


@pytest.mark.parametrize("kind", ["empty", "zeroes"])
def test_a_lost_journal_does_not_cost_the_old_data(requorum: Requorum, one: Cluster, kind: str) -> None:
    """When the journal of a finished run is lost, a rollback does not claim success, and cleanup removes nothing."""
    clusters.spoil_log(one.first)
    before = one.disks()["m1"]
    requorum("recover", "-i", one.inventory, *one.yes, code=0)
    run = requorum.run_name()
    BAD[kind](requorum.state / "runs" / run / "journal.jsonl")
    for command in ("rollback", "cleanup"):
        child = requorum.start(command, run, *one.yes)
        child.wait(30)
    kept = [one.data, one.root / "m1" / "data.requorum" / run / "old"]
    assert before in [wreck.fingerprint(folder) for folder in kept], "the member's old data is gone for good"
