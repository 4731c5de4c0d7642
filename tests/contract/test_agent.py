"""What runs on hosts: the code that is sent, alone, in a bare Python, gives the answers that it gives here."""

import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import requorum
from requorum.errors import RequorumError
from requorum.etcd import binaries
from requorum.etcd import client as etcd_client
from requorum.etcdfiles import bbolt, verify
from requorum.etcdfiles.faults import EtcdFileError
from requorum.hosts import bounds, bundle, files, net, openssh, processes, programs, wire
from requorum.hosts.bounds import seconds_of
from requorum.hosts.channel import Channel, Lost
from requorum.survey import disks
from requorum.survey.evidence import DbEvidence

pytestmark = pytest.mark.timeout(300)


class Agent:
    """The agent as a process of its own, with nothing of this environment in it."""

    def __init__(self, folder: Path) -> None:
        self.child = subprocess.Popen(
            [sys.executable, "-I", "-S", "-u", "-c", bundle.BOOT],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={"PATH": programs.PATH},
            cwd=folder,
        )
        raw = bundle.made()
        assert self.child.stdin is not None
        self.child.stdin.write(f"{len(raw)}\n".encode() + raw)
        self.child.stdin.flush()
        self.hello = self.answer()

    def answer(self) -> Any:
        """Its next answer."""
        assert self.child.stdout is not None
        return json.loads(self.child.stdout.readline())

    def end_input(self) -> None:
        """What a connection that drops does."""
        assert self.child.stdin is not None
        self.child.stdin.close()

    def end(self) -> None:
        """End it, and wait."""
        self.end_input()
        self.child.wait(20)
        assert self.child.stdout is not None
        self.child.stdout.close()

    def ask(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        """Send a call without waiting for its answer."""
        name = f"{function.__module__}:{function.__qualname__}"
        request = {"id": 1, "call": name, "args": wire.encode(args), "kwargs": wire.encode(kwargs)}
        assert self.child.stdin is not None
        self.child.stdin.write(json.dumps(request).encode() + b"\n")
        self.child.stdin.flush()

    def call(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Call a function there."""
        self.ask(function, *args, **kwargs)
        answer = self.answer()
        if "error" in answer:
            wire.raise_error(answer["error"])
        return wire.decode(answer["ok"])


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[Agent]:
    """An agent of this test's own."""
    made = Agent(tmp_path)
    yield made
    made.end()


def test_it_says_hello(agent: Agent) -> None:
    """The first line names the Python that it runs in; no module comes from outside the code that was sent."""
    assert agent.hello["hello"] == list(sys.version_info[:3])


def test_every_function_that_is_called_there_is_sent() -> None:
    """Each module of the package that a host may be asked for is in the bundle."""
    names = {f"requorum/{path}" for path in _sent()}
    for module in (disks, files, net, processes, programs, binaries, etcd_client):
        path = Path(str(module.__file__)).relative_to(Path(requorum.__file__).parent)
        assert f"requorum/{path}" in names


def test_the_same_evidence(agent: Agent, disks_of: Path) -> None:
    """A member read there in full is what it is when it is read here, checksums included."""
    data = str(disks_of / "m1" / "data")
    wal = f"{data}/member/wal"
    there = agent.call(disks.read_member, data, wal, in_full=True)
    assert there == disks.read_member(data, wal, in_full=True)
    db = f"{data}/member/snap/db"
    assert agent.call(disks.fault_of_restored, db, db, bump=0) == ""


@pytest.fixture
def disks_of(crashed: Path) -> Path:
    """The crashed cluster, to be read only."""
    return crashed


def test_the_fast_checksum_is_sent_along(tmp_path: Path) -> None:
    """Where the crc32c package is missing, its C function is used past Python's own interface: it is there, and right."""
    zipped = tmp_path / "sent.zip"
    zipped.write_bytes(bundle.made())
    program = (
        f"import sys; sys.path.insert(0, {str(zipped)!r}); from requorum.etcdfiles import checksum as c; "
        "data = bytes(range(256)) * 999; print(c.crc32c.__qualname__, c.crc32c(data, 7) == c.crc32c_python(data, 7))"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", program], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.split() == ["_from_library.<locals>.fast", "True"]


def test_several_processes_read_a_large_db_there(tmp_path: Path, disks_of: Path, agent: Agent) -> None:
    """The code that is sent shares the work out as well, and finds the same."""
    db = tmp_path / "large.db"
    shutil.copy(disks_of / "m1/data/member/snap/db", db)
    with bbolt.Bolt(str(db)) as bolt:
        alone = verify.Walk(bolt, verify.NOTHING, trailer=False, processes=1).run()
    zipped = tmp_path / "sent.zip"
    zipped.write_bytes(bundle.made())
    program = (
        f"import sys; sys.path.insert(0, {str(zipped)!r}); from requorum.etcdfiles import bbolt, verify; "
        f"walk = verify.Walk(bbolt.Bolt({str(db)!r}), verify.NOTHING, trailer=False, processes=3); "
        "found = walk.run(); print(found.hash, found.live_keys, found.states.live[-1])"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", program], capture_output=True, text=True, timeout=60, check=True
    )
    assert [int(word) for word in done.stdout.split()] == [alone.hash, alone.live_keys, alone.states.live[-1]]
    os.truncate(db, verify.SHARED_FROM)  # as large as what is shared out: a hole behind what the db says it has
    there = agent.call(disks.read_snapshot, str(db), "here", in_full=True)
    assert there == disks.read_snapshot(str(db), "here", in_full=True)
    assert isinstance(there.db, DbEvidence)


def test_nothing_of_others_is_run(agent: Agent) -> None:
    """A function of another package is refused, however it is named."""
    with pytest.raises(wire.WireFault):
        agent.call(shutil.rmtree, "/nowhere")


def test_errors_come_back_as_what_they_are(agent: Agent, tmp_path: Path) -> None:
    """OSError with its number and path, a program's end, a file that cannot be read, and ours with hint."""
    with pytest.raises(FileNotFoundError) as missing:
        agent.call(files.read_file, tmp_path / "nothing")
    assert missing.value.filename == str(tmp_path / "nothing")
    with pytest.raises(programs.ExitedNonZero) as ended:
        agent.call(programs.run, ["/bin/sh", "-c", "echo why >&2; exit 3"], seconds=5)
    assert (ended.value.detail, ended.value.command) == ("why", "/bin/sh -c 'echo why >&2; exit 3'")
    with pytest.raises(programs.TimedOut):
        agent.call(programs.run, ["/bin/sleep", "20"], seconds=0.2)
    (tmp_path / "db").write_bytes(b"x" * 9000)
    with pytest.raises(EtcdFileError) as bad:
        agent.call(disks.fault_of_restored, str(tmp_path / "db"), str(tmp_path / "db"), bump=0)
    assert bad.value.path == str(tmp_path / "db")
    with pytest.raises(RequorumError) as ours:
        agent.call(binaries.find, [str(tmp_path)])
    assert ours.value.hint


def test_work_goes_on_when_the_connection_ends(tmp_path: Path) -> None:
    """The end of the input ends no work that was begun: it is finished, then the agent ends."""
    agent = Agent(tmp_path)
    mark = tmp_path / "mark"
    agent.ask(programs.run, ["/bin/sh", "-c", f"sleep 1; touch {mark}"], seconds=10)
    agent.end_input()
    assert not mark.exists()
    agent.end()
    assert mark.exists()


def test_whoever_comes_next_waits_for_that_work(tmp_path: Path) -> None:
    """A file that one agent holds is not held by another before the first one has ended, work and all."""
    from requorum.hosts import agent as code

    first, second = Agent(tmp_path), Agent(tmp_path)
    lock, mark = str(tmp_path / "busy"), tmp_path / "mark"
    assert first.call(code.hold, lock) is False
    first.ask(programs.run, ["/bin/sh", "-c", f"sleep 1; touch {mark}"], seconds=10)
    first.end_input()
    assert second.call(code.hold, lock) is True
    assert mark.exists(), "the second one did not wait"
    first.end()
    second.end()


def _channel() -> Channel:
    """A channel to an agent here. Killing its session leaves the agent at work, as it does where ssh is in between."""
    words = [sys.executable, "-I", "-S", "-u", "-c", bundle.BOOT]
    session = openssh.Session(["sh", "-c"], "cat | " + openssh.as_root('exec "$@"', words, password=False), "")
    raw = bundle.made()
    session.stdin.write(f"{len(raw)}\n".encode() + raw)
    session.stdin.flush()
    assert b"hello" in session.stdout.readline()
    return Channel("here", session)


def test_a_call_that_takes_too_long_is_never_repeated_beside_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It ends its connection; over the next one its work is waited for."""
    from requorum.hosts import agent as code

    lock = str(tmp_path / "busy")
    first, second = _channel(), _channel()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        assert first.call(code.hold, (lock,), {}) is False
        # The real limit is a minute: only the number is another, all that acts on it is what runs in an outage.
        monkeypatch.setattr(bounds, "USUAL_SECONDS", 0.3)
        with pytest.raises(Lost, match="did not end within"):
            first.call(net.healthy, (url, "", "", ""), {})
        assert not first.alive
        with pytest.raises(Lost):
            first.call(net.clock, (), {})
        first.session.stdin.close()
        assert second.call(code.hold, (lock,), {}) is True, "the work of the first one was not waited for"
    second.session.end()
    first.session.end()


def test_whoever_is_no_agent_ends_the_channel() -> None:
    """Answers that are none end it: nobody waits for their own until the time is up."""
    session = openssh.Session(["sh", "-c"], "read mark; read request; echo 7; exec sleep 60", "")
    channel = Channel("here", session)
    with pytest.raises(Lost):
        channel.call(net.clock, (), {})
    session.end()


def test_python_3_8_would_do() -> None:
    """What is sent uses nothing of the language or the library that is newer than Python 3.8.

    Dataclass options that are newer are taken back by ``old_python`` there.
    """
    top = Path(requorum.__file__).parent
    vermin = Path(sys.executable).with_name("vermin")
    done = subprocess.run(
        [vermin, "-vvv", "--no-tips", *(top / one for one in _sent())],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    newer = [
        line
        for line in done.stdout.splitlines()
        if " requires " in line and any(f"3.{n}" in line for n in (9, 10, 11, 12))
    ]
    assert [
        line for line in newer if "dataclass(" not in line and "'slots'" not in line and "'kw_only'" not in line
    ] == []


def _sent() -> list[Path]:
    top = Path(requorum.__file__).parent
    return [path.relative_to(top) for pattern in bundle.SENT for path in sorted(top.glob(pattern))]


def test_limits() -> None:
    """Every call has a limit, longer where the work is long."""
    assert seconds_of(files.read_file) == 60
    assert seconds_of(disks.read_member) > 600
