"""requorum on a real terminal, with somebody who answers its questions."""

import os
import pty
import select
import subprocess
import time
from collections.abc import Callable

from .process import Requorum, argv

Ask = Callable[..., tuple[int, str]]


def ask_on(requorum: Requorum, children: "list[subprocess.Popen[bytes]]") -> Ask:
    """``on_terminal(answer, *words, times=1)``: run a command on a terminal, answer so many of its questions; its exit code
    and the screen."""

    def run(answer: bytes, *words: object, seconds: float = 30, times: int = 1) -> tuple[int, str]:
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
        screen, deadline, answered = b"", time.monotonic() + seconds, 0
        try:
            while time.monotonic() < deadline:
                if select.select([master], [], [], 0.1)[0]:
                    try:
                        read = os.read(master, 65536)
                    except OSError:
                        break
                    screen += read
                if answered < times and screen.replace(b"\r\n", b" ").count(b"to go on") > answered:
                    time.sleep(0.3)  # as a person does: what is typed before the prompt reads may be thrown away
                    os.write(master, answer)
                    answered += 1
                    deadline = time.monotonic() + 20 if answered == times else deadline
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
        assert answered == times, shown
        assert "Traceback" not in shown
        assert "bug in requorum" not in shown, shown[-600:]
        return child.returncode, shown

    return run


def _own_terminal() -> None:
    """In the child: make the terminal its own, so that Ctrl-C reaches it."""
    import fcntl
    import termios

    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
