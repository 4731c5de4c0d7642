"""The operator's word, on a real terminal."""

import os
import pty
import re
import select
import subprocess
import time
from collections.abc import Callable, Iterator

import pytest

from . import clusters
from .clusters import Cluster
from .process import Requorum, argv

Ask = Callable[..., tuple[int, str]]


@pytest.fixture
def on_terminal(requorum: Requorum) -> Iterator[Ask]:
    """``on_terminal(answer, *words)``: run a command on a terminal, answer its question; its exit code and the screen."""
    children: list[subprocess.Popen[bytes]] = []

    def run(answer: bytes, *words: object, seconds: float = 30) -> tuple[int, str]:
        master, slave = pty.openpty()
        child = subprocess.Popen(
            argv(*words),
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env={**requorum.env, "TERM": "dumb", "COLUMNS": "200"},
            start_new_session=True,
            preexec_fn=_own_terminal,
        )
        os.close(slave)
        children.append(child)
        screen, deadline, answered = b"", time.monotonic() + seconds, False
        try:
            while time.monotonic() < deadline:
                if select.select([master], [], [], 0.1)[0]:
                    try:
                        read = os.read(master, 65536)
                    except OSError:
                        break
                    screen += read
                if b"to go on" in screen.replace(b"\r\n", b" ") and not answered:
                    time.sleep(0.3)
                    os.write(master, answer)
                    answered, deadline = True, time.monotonic() + 20
                if child.poll() is not None and not select.select([master], [], [], 0)[0]:
                    break
            shown = screen.decode(errors="replace")
            assert child.poll() is not None or child.wait(1) is not None, f"it hangs:\n{shown}"
        except subprocess.TimeoutExpired:
            raise AssertionError(
                f"it does not end after {answer!r}:\n{screen.decode(errors='replace')[-1500:]}"
            ) from None
        finally:
            os.close(master)
        assert answered, shown
        assert "Traceback" not in shown
        assert "bug in requorum" not in shown, shown[-600:]
        return child.returncode, shown

    yield run
    for child in children:
        if child.poll() is None:
            child.kill()
            child.wait(10)


def _own_terminal() -> None:
    """In the child: make the terminal its own, so that Ctrl-C reaches it."""
    import fcntl
    import termios

    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def test_the_right_name(one: Cluster, on_terminal: Ask) -> None:
    """The survey, the verdict and the steps are shown; the cluster's name typed lets the recovery go on."""
    clusters.spoil_log(one.first)
    code, shown = on_terminal(one.confirm.encode() + b"\n", "recover", "-i", one.inventory)
    assert code == 0
    assert shown.index("verdict:") < shown.index("set the old data aside") < shown.index("Everything is checked")
    assert one.revision() > 100


@pytest.mark.parametrize(
    "answer",
    [b"\n", b"y\n", b"\x04", b"\x03"],
    ids=["enter", "y", "ctrl-d", "ctrl-c"],
)
def test_anything_else(requorum: Requorum, one: Cluster, on_terminal: Ask, answer: bytes) -> None:
    """The run stops with everything fenced and no data changed; it can be resumed, or rolled back."""
    clusters.spoil_log(one.first)
    before, configs = one.disks(), one.configs()
    code, shown = on_terminal(answer, "recover", "-i", one.inventory)
    run = requorum.run_name()
    assert code == 7
    assert re.search(f"hint: .*requorum resume {run}", " ".join(shown.split()))
    assert one.disks() == before
    assert one.first.config.read_text().startswith(f"# fenced by requorum run {run}")
    if answer == b"y\n":
        code, _ = on_terminal(one.confirm.encode() + b"\n", "resume", run)
        assert code == 0
        assert one.revision() > 100
        return
    code, shown = on_terminal(b"nothing\n", "rollback", run)
    assert code == 4
    code, shown = on_terminal(one.confirm.encode() + b"\n", "rollback", run)
    assert code == 0
    assert (one.disks(), one.configs()) == (before, configs)


def test_cleanup_wants_the_name_too(requorum: Requorum, one: Cluster, on_terminal: Ask) -> None:
    """What was set aside is removed for good only after the name was typed."""
    clusters.spoil_log(one.first)
    requorum("recover", "-i", one.inventory, *one.yes, code=0)
    run = requorum.run_name()
    old = one.root / "m1" / "data.requorum" / run / "old"
    for words in ((), ("--yes",), ("--yes", "--confirm", "solo")):
        requorum("cleanup", run, *words, code=4)
    assert old.exists()
    requorum("cleanup", run, *one.yes, code=0)
    assert not old.exists()
    assert one.revision() > 100
