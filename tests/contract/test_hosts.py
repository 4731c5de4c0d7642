"""What our functions do on a host, and what plain shell does in their place where there is no Python: the same."""

import os
import signal
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from requorum.etcd import binaries
from requorum.hosts import files, net, openssh, processes, programs, trees
from requorum.hosts.connection import Connection, Here
from requorum.hosts.openssh import Opener
from requorum.hosts.shell import Shell

pytestmark = pytest.mark.timeout(180)


def _open(script: str, words: Sequence[str]) -> openssh.Session:
    """A script as it is started on a host, but here."""
    return openssh.Session(["sh", "-c"], openssh.as_root(script, words, password=False), "")


@pytest.fixture(params=["python", "shell"])
def host(request: pytest.FixtureRequest) -> Connection:
    """This machine, called in both ways."""
    return Here() if request.param == "python" else Shell("here", _open)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a space, a quote and a dollar in its name."""
    made = tmp_path / "it's a $HOME"
    made.mkdir()
    return made


def mode(path: Path) -> int:
    """The mode of a file."""
    return stat.S_IMODE(path.stat().st_mode)


def test_read(host: Connection, folder: Path) -> None:
    """A file's bytes, whatever they are; what is missing is FileNotFoundError, a folder and a pipe are refused."""
    raw = bytes(range(256)) * 500
    (folder / "a").write_bytes(raw)
    assert host.call(files.read_file, folder / "a") == raw
    with pytest.raises(FileNotFoundError):
        host.call(files.read_file, folder / "b")
    os.mkfifo(folder / "pipe")
    for odd in (folder, folder / "pipe"):
        with pytest.raises(OSError):
            host.call(files.read_file, odd)
    assert host.call(files.read_end, folder / "a", 0) == b""


def test_the_beginning_of_a_file(host: Connection, folder: Path) -> None:
    """No more than was asked for; what is missing is an error."""
    (folder / "a").write_bytes(b"#!/bin/sh\nexit\n")
    assert host.call(files.read_begin, folder / "a", 2) == b"#!"
    with pytest.raises(OSError):
        host.call(files.read_begin, folder / "b", 2)


def test_what_leads_to_the_host_itself(host: Connection) -> None:
    """Its own addresses, and names of them; nobody else's."""
    asked = ["localhost", "192.0.2.1", "127.0.0.1", "no-such-host.invalid"]
    assert host.call(net.local, asked) == ("localhost", "127.0.0.1")
    assert host.call(net.local, []) == ()


def test_names_without_an_address(host: Connection) -> None:
    """Those that do not resolve, in their order; nothing is asked of a name server for an address."""
    assert host.call(net.unresolved, ["localhost", "no-such-host.invalid", "-bad"]) == ("no-such-host.invalid", "-bad")
    assert host.call(net.unresolved, []) == ()
    urls = ["https://a.b:2380", " http://[::1]:2380", "http://10.0.0.1:1", "unix:///x", "http://a.b:1", "http://[x"]
    assert net.names_of(urls) == ("a.b",)


def test_the_end_of_a_file(host: Connection, folder: Path) -> None:
    """Its last lines, as many as fit whole: a line that would be cut is left out."""
    path = folder / "log"
    path.write_bytes(b"one\ntwo\nthree\n")
    for size, left in ((20, 14), (14, 14), (13, 10), (10, 10), (9, 6), (6, 6), (5, 0)):
        assert host.call(files.read_end, path, size) == path.read_bytes()[14 - left :], size


def test_write(host: Connection, folder: Path) -> None:
    """Whole, with the mode that was asked for, over what was there; nothing is left beside it."""
    target = folder / "a"
    target.write_bytes(b"old")
    host.call(files.write_durably, target, b"new\0\n", 0o644)
    assert (target.read_bytes(), mode(target)) == (b"new\0\n", 0o644)
    host.call(files.write_durably, folder / "b", b"")
    assert (mode(folder / "b"), sorted(os.listdir(folder))) == (0o600, ["a", "b"])


def test_write_like(host: Connection, folder: Path) -> None:
    """With owner and mode of another file."""
    (folder / "old").write_bytes(b"x" * 100)
    (folder / "old").chmod(0o640)
    os.chown(folder / "old", 12, 34)
    host.call(files.write_like, folder / "new", b"short", folder / "old")
    made = (folder / "new").stat()
    assert ((folder / "new").read_bytes(), mode(folder / "new")) == (b"short", 0o640)
    assert (made.st_uid, made.st_gid) == (12, 34)


def test_create(host: Connection, folder: Path) -> None:
    """Only one may create a file; the other learns that it is there, and changes nothing."""
    assert host.call(files.create_exclusively, folder / "lock", b"first") is True
    assert host.call(files.create_exclusively, folder / "lock", b"second") is False
    assert ((folder / "lock").read_bytes(), os.listdir(folder)) == (b"first", ["lock"])


def test_rename(host: Connection, folder: Path) -> None:
    """Never over something that is there, a dangling link too."""
    (folder / "a").write_bytes(b"a")
    (folder / "there").symlink_to("nowhere")
    with pytest.raises(FileExistsError):
        host.call(files.rename_durably, folder / "a", folder / "there")
    with pytest.raises(FileNotFoundError):
        host.call(files.rename_durably, folder / "none", folder / "b")
    host.call(files.rename_durably, folder / "a", folder / "b")
    assert sorted(os.listdir(folder)) == ["b", "there"]


def test_names(host: Connection, folder: Path) -> None:
    """What is in a folder, hidden names too; nothing where there is none."""
    for name in (".hidden", "b", "a", "lost+found"):
        (folder / name).mkdir()
    assert sorted(host.call(files.names_in, folder)) == [".hidden", "a", "b", "lost+found"]
    assert host.call(files.names_in, folder / "none") == []
    assert host.call(trees.children, folder, ("lost+found", ".hidden")) == [folder / "a", folder / "b"]
    assert [host.call(files.there, folder / name) for name in ("a", "c")] == [True, False]


def test_make_and_remove(host: Connection, folder: Path) -> None:
    """A folder with its parents, closed to others; removed with all in it; what is not there is fine."""
    deep = folder / "x" / "y"
    host.call(files.make_dir, deep)
    host.call(files.make_dir, deep)
    assert (mode(deep), mode(deep.parent)) == (0o700, 0o700)
    (deep / "f").write_bytes(b"")
    host.call(files.remove_if_empty, deep)
    assert deep.is_dir()
    host.call(files.remove_made, folder / "x")
    host.call(files.remove_made, folder / "x")
    assert os.listdir(folder) == []


def test_move_children(host: Connection, folder: Path) -> None:
    """Everything but what stays; what was moved before an interruption stays moved; done twice it changes nothing."""
    source, target = folder / "data", folder / "old"
    for name in ("member", ".hidden", "lost+found", ".requorum"):
        (source / name).mkdir(parents=True)
    (source / "member" / "db").write_bytes(b"db")
    kept = ("lost+found", ".requorum")
    assert host.call(trees.move_children, source, target, kept) == 2
    assert host.call(trees.move_children, source, target, kept) == 0
    assert sorted(os.listdir(target)) == [".hidden", "member"]
    assert sorted(os.listdir(source)) == [".requorum", "lost+found"]
    assert (target / "member" / "db").read_bytes() == b"db"
    assert host.call(trees.move_children, folder / "none", target, kept) == 0
    (source / "member").mkdir()
    with pytest.raises(FileExistsError):
        host.call(trees.move_children, source, target, kept)
    assert (source / "member").is_dir()


def test_copy_children(host: Connection, folder: Path) -> None:
    """With owner, mode and times; whole or not at all; one that is there stays."""
    source, target = folder / "data", folder / "copy"
    (source / "member").mkdir(parents=True)
    (source / "member" / "db").write_bytes(b"db")
    (source / "member" / "db").chmod(0o640)
    os.chown(source / "member" / "db", 12, 34)
    (source / "lost+found").mkdir()
    (folder / "copy.part").mkdir()
    (folder / "copy.part" / "rest").write_bytes(b"of an earlier try")
    assert host.call(trees.copy_children, source, target, ("lost+found", ".requorum")) == 2
    made = (target / "member" / "db").stat()
    assert (made.st_uid, made.st_gid, stat.S_IMODE(made.st_mode)) == (12, 34, 0o640)
    (target / "member" / "db").write_bytes(b"mine")
    assert host.call(trees.copy_children, source, target, ("lost+found", ".requorum")) == 0
    assert (target / "member" / "db").read_bytes() == b"mine"
    assert not (folder / "copy.part").exists()


def test_configuration_kept_aside(host: Connection, folder: Path) -> None:
    """The original stays under another name, once; it is put back as it was, and another run's is not touched."""
    path = folder / "etcd.env"
    path.write_bytes(b"original")
    host.call(files.keep_aside, path, "r1")
    host.call(files.write_durably, path, b"changed")
    host.call(files.keep_aside, path, "r1")
    assert files.aside(path, "r1").read_bytes() == b"original"
    host.call(files.put_back, path, "r2")
    assert path.read_bytes() == b"changed"
    host.call(files.put_back, path, "r1")
    host.call(files.put_back, path, "r1")
    assert (path.read_bytes(), os.listdir(folder)) == (b"original", ["etcd.env"])
    files.keep_aside(path, "r3")
    path.unlink()
    assert host.call(files.newest_aside, path) == files.aside(path, "r3")


def test_transfer(host: Connection, folder: Path) -> None:
    """Bytes are read from an offset and appended; the name comes only with the right sha256."""
    (folder / "source").write_bytes(b"0123456789")
    with host.read_from(str(folder / "source"), 4) as reading:
        assert reading.read() == b"456789"
    for piece in (b"0123", b"456789"):
        with host.append_to(str(folder / ".target.part")) as out:
            out.write(piece)
    digest = host.call(files.sha256_of, folder / "source")
    assert (
        host.call(files.size_if_there, folder / ".target.part")
        == host.call(files.size_of, str(folder / "source"))
        == 10
    )
    assert host.call(files.finish_part, folder / ".target.part", folder / "target", digest) is True
    assert ((folder / "target").read_bytes(), mode(folder / "target")) == (b"0123456789", 0o600)
    (folder / ".bad.part").write_bytes(b"other")
    assert host.call(files.finish_part, folder / ".bad.part", folder / "bad", digest) is False
    assert not (folder / ".bad.part").exists()
    assert host.call(files.size_if_there, folder / ".bad.part") == 0


def test_journal(host: Connection, folder: Path) -> None:
    """Lines are added only where the folder is there."""
    assert host.call(files.append_if_there, folder / "journal", b"one\n") is True
    assert host.call(files.append_if_there, folder / "journal", b"two\n") is True
    assert host.call(files.append_if_there, folder / "none" / "journal", b"three\n") is False
    assert (folder / "journal").read_bytes() == b"one\ntwo\n"


def test_owners(host: Connection, folder: Path) -> None:
    """A tree gets the owner of a folder; who may write where is told by owner and mode."""
    (folder / "old").mkdir()
    os.chown(folder / "old", 1, 1)
    (folder / "new" / "member").mkdir(parents=True)
    (folder / "new" / "member" / "db").write_bytes(b"")
    host.call(trees.own_tree_like, folder / "new", folder / "old")
    assert {one.stat().st_uid for one in (folder / "new").rglob("*")} == {1}
    for bits, may in ((0o700, True), (0o500, False), (0o077, False)):
        (folder / "old").chmod(bits)
        assert host.call(files.may_write, folder / "old", "daemon") is may
        assert host.call(files.may_write, folder / "old", "root") is True
    os.chown(folder / "old", 0, 0)
    for bits, may in ((0o777, True), (0o770, False)):
        (folder / "old").chmod(bits)
        assert host.call(files.may_write, folder / "old", "daemon") is may
    assert host.call(files.may_write, folder / "old", "nobody-is-called-that") is False


def test_room(host: Connection, folder: Path) -> None:
    """Free bytes, for a folder that is still to be made too; whether a rename is possible."""
    found = host.call(files.free_bytes, folder / "none" / "deeper")
    assert abs(found - files.free_bytes(folder)) < 1 << 30
    for name in ("a", "work"):
        (folder / name).mkdir()
    assert host.call(trees.fault_of_move, folder / "a", folder / "work") == ""
    assert host.call(trees.fault_of_move, folder / "none", folder / "work") == ""
    assert host.call(trees.fault_of_move, Path("/proc"), folder) == "file system"
    host.call(trees.sync_tree, folder)


def test_programs(host: Connection, folder: Path) -> None:
    """A program's output, an environment of its own, and its ways of failing, each told apart."""
    done = host.call(
        programs.run, ["/bin/sh", "-c", 'echo "$A $HOME"; pwd'], seconds=5, env={"A": "a b"}, cwd=str(folder)
    )
    assert done.out == f"a b \n{folder}\n"
    with pytest.raises(programs.ExitedNonZero) as ended:
        host.call(programs.run, ["/bin/sh", "-c", "echo why >&2; exit 3"], seconds=5)
    assert ended.value.detail == "why"
    with pytest.raises(programs.TimedOut):
        host.call(programs.run, ["/bin/sleep", "30"], seconds=0.3)
    with pytest.raises(programs.NotFound):
        host.call(programs.run, ["/none/such"], seconds=5)
    (folder / "tool").write_text("#!/bin/sh\n")
    assert host.call(programs.which, "tool", [folder]) is None
    host.call(files.make_executable, folder / "tool")
    assert host.call(programs.which, "tool", ["/none", folder]) == folder / "tool"


def test_tools(host: Connection, etcd_dir: Path) -> None:
    """etcd's programs, and what they can do."""
    assert host.call(binaries.find, [str(etcd_dir)]) == binaries.find([etcd_dir])


@pytest.fixture
def holder(folder: Path) -> Iterator[Callable[[str], "subprocess.Popen[bytes]"]]:
    """``holder(mode)``: a process called etcd that has a file of the folder open."""
    made: list[subprocess.Popen[bytes]] = []
    program = folder.parent / "etcd"
    program.symlink_to(sys.executable)

    def start(how: str) -> "subprocess.Popen[bytes]":
        (folder / "db").touch()
        code = f"file = open({str(folder / 'db')!r}, {how!r}); print('open', flush=True); import time; time.sleep(50)"
        child = subprocess.Popen([program, "-I", "-S", "-c", code], stdout=subprocess.PIPE)
        made.append(child)
        assert child.stdout is not None
        assert child.stdout.readline() == b"open\n"
        return child

    yield start
    for one in made:
        one.kill()
        one.wait(10)
        assert one.stdout is not None
        one.stdout.close()


def test_holders(host: Connection, folder: Path, holder: Callable[[str], "subprocess.Popen[bytes]"]) -> None:
    """Who writes to a folder's files is seen, who only reads them is not; an etcd is stopped, and its end waited for."""
    assert host.call(processes.holders_of, [folder]) == ()
    holder("rb")
    assert host.call(processes.holders_of, [folder]) == ()
    child = holder("r+b")
    (found,) = host.call(processes.holders_of, [folder])
    assert (found.pid, "etcd" in found.command) == (child.pid, True)
    assert host.call(processes.stop_holders, [folder]) == (child.pid,)
    assert child.wait(5) == -signal.SIGTERM


def test_what_is_ending_has_a_name(folder: Path) -> None:
    """A process that ends loses its command line before its files: an etcd that was stopped is no stranger meanwhile."""
    program = folder / "etcd"
    program.symlink_to("/bin/true")
    child = subprocess.Popen([program, "--name", "m1"])
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert processes.command_of(child.pid) == "etcd"
    child.wait(5)
    assert processes.command_of(child.pid) == ""
    assert processes.command_of(0) == "a process of another container"


def test_ports(host: Connection) -> None:
    """Whether something listens."""
    import socket

    with socket.create_server(("127.0.0.1", 0)) as server:
        assert host.call(net.answers, f"https://127.0.0.1:{server.getsockname()[1]}") is True
        port = server.getsockname()[1]
    assert host.call(net.answers, f"https://127.0.0.1:{port}") is False


def test_work_that_a_dropped_connection_left_behind(folder: Path) -> None:
    """Without an agent, too: whoever comes next waits for it, and not for its own."""

    def opener(tag: str) -> Opener:
        def start(script: str, words: Sequence[str]) -> openssh.Session:
            return openssh.Session(["sh", "-c"], openssh.as_root(script, words, password=False, tag=tag), "")

        return start

    mark = folder / "mark"
    left = opener("first")('echo; sleep 1; touch "$1"', [str(mark)])
    left.stdin.close()
    assert left.stdout.readline(), "it does not run"
    second = Shell("here", opener("second"))
    second.wait_for_others("second")
    assert mark.exists(), "it did not wait"
    assert left.end() == 0
    mine = opener("second")("echo; exec sleep 300", [])
    assert mine.stdout.readline(), "it does not run"
    second.wait_for_others("second")
    assert mine.process.poll() is None, "it waited for its own"
    mine.process.kill()
    mine.end()
