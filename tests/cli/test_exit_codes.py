"""Every exit code that can be reached, each on a real process."""

import signal
import subprocess
import sys
from pathlib import Path

from requorum.rehearsal import wreck

from . import clusters
from .clusters import Cluster
from .process import Requorum, wait_until


def test_help_lists_every_exit_code(requorum: Requorum) -> None:
    """The operator finds the meaning of each exit code in --help."""
    said = requorum("--help", code=0).out
    for code in (0, 1, 2, 3, 4, 5, 6, 7, 8, 70, 130):
        assert any(line.split()[:1] == [str(code)] for line in said.splitlines()), code


def test_done_is_0_and_the_answer_is_on_stdout(requorum: Requorum, one: Cluster) -> None:
    """A recovery that loses nothing ends with 0; its answer is JSON on stdout and its progress on stderr."""
    done = requorum("recover", "-i", one.inventory, *one.yes, "-o", "json", code=0)
    assert done.out.startswith("{")
    assert '"schema": "requorum/Recovery/v1"' in done.out
    assert "prove" in done.err
    assert one.revision() > 100


def test_failed_with_nothing_changed_is_1(requorum: Requorum, one: Cluster, tmp_path: Path) -> None:
    """Without etcd's programs nothing is begun."""
    before = one.disks(), one.configs()
    ended = requorum("recover", "-i", one.inventory, *one.yes, "--etcd-dir", tmp_path, code=1)
    assert "etcd is not found" in ended.err
    assert "--etcd-dir" in ended.hint
    assert before == (one.disks(), one.configs())


def test_usage_is_2(requorum: Requorum, one: Cluster) -> None:
    """Wrong words, options or names end with 2 and say what is known."""
    requorum("recovr", code=2)
    requorum("recover", "--unknown", code=2)
    requorum("survey", code=2)
    assert "requorum runs" in requorum("resume", "no-such-run", *one.yes, code=2).hint
    assert "m1: bare db" in requorum("plan", "-i", one.inventory, "--source", "nothing", code=2).hint
    assert "no etcd data dir" in requorum("survey", one.root, code=2).err
    requorum("survey", one.data / "member", code=0)  # the inside of a data dir is as good as the dir


def test_done_with_warnings_is_3(requorum: Requorum, one: Cluster, old_etcd_dir: Path) -> None:
    """A recovery from a snapshot by an etcdutl that cannot raise the revision ends with 3, and says what is left to do."""
    wreck.lose_disk(one.first)
    old = ("-i", one.inventory, "--snapshot", one.saved, "--etcd-dir", old_etcd_dir)
    assert "for solo-00000000" in requorum("plan", *old, code=0).out
    done = requorum("recover", *old, "--yes", "--confirm", "solo-00000000", code=3)
    assert "restart every Kubernetes component" in " ".join(done.out.split())
    assert one.revision() > 100


def test_what_rebuild_wrote_can_be_recovered_from(requorum: Requorum, one: Cluster, tmp_path: Path) -> None:
    """The snapshot that ``rebuild`` makes of a cluster's disk is a snapshot of that cluster: ``recover`` takes it."""
    built = tmp_path / "built.db"
    requorum("rebuild", one.data, "-o", built, "--etcd-dir", one.etcd_dir, code=0)
    wreck.lose_disk(one.first)
    requorum("plan", "-i", one.inventory, "--snapshot", built, code=0)


def test_refused_is_4_off_a_terminal(requorum: Requorum, one: Cluster) -> None:
    """Where nobody can be asked, nothing is done without --yes and the right name."""
    before = one.disks(), one.configs()
    for words in (
        (),
        ("--confirm", one.confirm),
        ("--yes",),
        ("--yes", "--confirm", "solo"),
        ("--yes", "--confirm", "x"),
    ):
        ended = requorum("recover", "-i", one.inventory, *words, code=4)
        assert "--confirm" in ended.hint
    assert not (requorum.state / "runs").exists()
    assert before == (one.disks(), one.configs())


def test_no_usable_source_is_6(requorum: Requorum, one: Cluster) -> None:
    """With the only disk lost and no snapshot there is nothing to rebuild from, and that is said."""
    wreck.lose_disk(one.first)
    for command in (("plan",), ("recover", *one.yes)):
        ended = requorum(*command, "-i", one.inventory, code=6)
        assert "--snapshot" in ended.hint
    assert not one.data.exists()


def test_stopped_midway_is_7_and_resume_goes_on(requorum: Requorum, one: Cluster) -> None:
    """A backup program that has the db open is not killed: the run stops, says so, and goes on once it is gone."""
    clusters.spoil_log(one.first)
    before = one.disks()
    hold = f"f = open({str(one.db)!r}, 'r+b'); print(1, flush=True); input()"
    backup = subprocess.Popen([sys.executable, "-c", hold], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert backup.stdout is not None
        backup.stdout.readline()
        ended = requorum("recover", "-i", one.inventory, *one.yes, code=7)
        run = requorum.run_name()
        assert f"pid {backup.pid}" in ended.err
        assert f"requorum resume {run}" in ended.hint
        assert "What is left, by hand:" in ended.err
        assert "no member's data was changed" in ended.err
        assert backup.poll() is None
        assert "solo" in requorum("runs", code=0).out
    finally:
        backup.kill()
        backup.communicate(timeout=10)
    assert one.disks() == before
    requorum("resume", run, *one.yes, code=0)
    assert one.revision() > 100


def test_locked_is_8_and_names_the_holder(requorum: Requorum, one: Cluster) -> None:
    """A member that another run holds is left alone; who holds it and what to type is said."""
    work = one.root / "m1" / "data.requorum"
    work.mkdir(mode=0o700)
    lock = '{"run": "20200101-000000-abcd", "holder": "ann@elsewhere", "pid": 7, "epoch": 1}'
    (work / "lock.json").write_text(lock)
    before = one.disks(), one.configs()
    ended = requorum("recover", "-i", one.inventory, *one.yes, code=8)
    assert "ann@elsewhere" in ended.err
    assert "requorum resume 20200101-000000-abcd" in ended.hint
    assert before == (one.disks(), one.configs())
    assert (work / "lock.json").read_text() == lock


def test_interrupted_before_any_change_is_130(requorum: Requorum, one: Cluster, tmp_path: Path) -> None:
    """Ctrl-C while the survey is being made ends at once, with 130 and nothing changed."""
    programs = tmp_path / "programs"
    programs.mkdir()
    for name in ("etcd", "etcdctl", "etcdutl"):
        (programs / name).write_text(f"#!/bin/sh\ntouch {programs}/asked\nexec sleep 18.5\n")
        (programs / name).chmod(0o755)
    before = one.disks(), one.configs()
    child = requorum.start("recover", "-i", one.inventory, "--etcd-dir", programs, *one.yes)
    wait_until((programs / "asked").exists, "requorum asks for etcd's version")
    child.send_signal(signal.SIGINT)
    ended = requorum.end(child, code=130, seconds=5)
    assert "interrupted" in ended.err
    assert before == (one.disks(), one.configs())


def test_interrupted_after_a_change_is_not_130(requorum: Requorum, one: Cluster) -> None:
    """Ctrl-C once etcd is fenced ends with 7 and the command that goes on: 130 would say that nothing was changed."""
    clusters.spoil_log(one.first)
    before = one.disks()
    child = requorum.start("recover", "-i", one.inventory, *one.yes)
    wait_until(lambda: '"step":"04-build-source/m1"' in requorum.journal(), "the workbench is at work")
    child.send_signal(signal.SIGINT)
    ended = requorum.end(child, code=7, seconds=20)
    assert f"requorum resume {requorum.run_name()}" in ended.err
    assert one.disks() == before
    requorum("resume", requorum.run_name(), *one.yes, code=0)


def test_a_closed_pipe_is_no_bug(requorum: Requorum, one: Cluster) -> None:
    """``requorum survey | head`` shows no traceback and no bug report."""
    child = requorum.start("survey", one.data, "-o", "json")
    assert child.stdout is not None
    child.stdout.close()
    assert child.stderr is not None
    said = child.stderr.read()
    assert child.wait(20) in (0, 1, 141)
    assert "bug" not in said
    assert "Traceback" not in said
    assert isinstance(child, subprocess.Popen)
