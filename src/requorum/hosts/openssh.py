"""The operator's own ``ssh``: its configuration, agents, jump hosts and known hosts hold, and none is ever weakened.

One process for each host carries the agent and is the master of the connection; file streams go over the same one.
"""

import contextlib
import os
import shlex
import subprocess
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Protocol

from requorum.errors import RequorumError, Unreachable
from requorum.hosts.address import Address

CONNECT_SECONDS = 10
MARK = "#requorum"
"""What stands before the real input: a password that nobody asked for is read past."""
TAG = "REQUORUM_SESSION"
_AS_ROOT = 'if [ "$(id -u)" = 0 ]; then exec "$@"; else exec sudo {} -- "$@"; fi'
_SKIP = f'while IFS= read -r line; do [ "$line" = "{MARK}" ] && break; done\n'

HINTS = (
    ("host key verification failed", "log in there once by hand, and compare the host key before you accept it"),
    ("permission denied", "is the right key in the agent (ssh-add -l), and the user right?"),
    ("a password is required", "sudo wants a password there: add --ask-become-pass"),
    ("incorrect password", "the sudo password is wrong there"),
    ("may not run sudo", "log in as a user who may become root there"),
    ("could not resolve hostname", "is the name right in the inventory?"),
    ("connection refused", "is it still booting? --wait 10m waits for it"),
    ("timed out", "is it still booting? --wait 10m waits for it"),
    ("no route to host", "is it still booting? --wait 10m waits for it"),
)


def client_args(address: Address, control: Path, *, master: bool) -> list[str]:
    """``ssh`` with its options, up to the destination."""
    argv = ["ssh", "-T"]
    for option in (
        "BatchMode=yes",
        f"ConnectTimeout={CONNECT_SECONDS}",
        "ServerAliveInterval=5",
        "ServerAliveCountMax=3",
        f"ControlMaster={'yes' if master else 'no'}",
        f"ControlPath={control}",
        "ControlPersist=no",
        "ForwardAgent=no",
        "ForwardX11=no",
        "RemoteCommand=none",
        "LogLevel=ERROR",
    ):
        argv += ["-o", option]
    if address.port:
        argv += ["-p", str(address.port)]
    if address.user:
        argv += ["-l", address.user]
    if address.key:
        argv += ["-i", os.path.expanduser(address.key)]
    return [*argv, *address.ssh_args, address.host]


def as_root(script: str, words: Sequence[str], *, password: bool, tag: str = "") -> str:
    """The command line for the remote shell: a script that runs as root, its input starting behind the mark.

    ``tag`` is in the environment of all that it starts, so that what a dropped connection left at work can be found.
    """
    sudo = "-k -S -p ''" if password else "-n"
    inner = ["env", f"{TAG}={tag}", "sh", "-c", _SKIP + script, "sh", *words]
    return shlex.join(["sh", "-c", _AS_ROOT.format(sudo), "sh", *inner])


class Session:
    """A process on a host: its input is open behind the mark, what it says on standard error is kept for errors."""

    def __init__(self, argv: list[str], command: str, password: str) -> None:
        try:
            self.process = subprocess.Popen(
                [*argv, command],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
        except OSError as err:
            raise Unreachable(f"ssh cannot be run: {err.strerror}", hint="install the OpenSSH client") from err
        self._said: list[bytes] = []
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()
        with contextlib.suppress(OSError):
            self.stdin.write((f"{password}\n" if password else "").encode() + f"{MARK}\n".encode())
            self.stdin.flush()

    @property
    def stdin(self) -> IO[bytes]:
        """The input."""
        assert self.process.stdin is not None
        return self.process.stdin

    @property
    def stdout(self) -> IO[bytes]:
        """The output."""
        assert self.process.stdout is not None
        return self.process.stdout

    def _listen(self) -> None:
        assert self.process.stderr is not None
        with self.process.stderr as lines:
            for line in lines:
                self._said.append(line)
                del self._said[:-50]

    def said(self) -> str:
        """The last lines of standard error."""
        self._listener.join(timeout=1)
        return b"".join(self._said).decode(errors="replace").strip()

    def end(self, seconds: float = 5.0) -> int:
        """Close the input and wait; what does not end is killed. Returns the exit status."""
        with contextlib.suppress(OSError):
            self.stdin.close()
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait(seconds)
        finally:
            self.stdout.close()
            self._listener.join(timeout=1)


def killer(session: Session, seconds: float) -> threading.Timer:
    """Kill a session that takes longer; cancel it when it has ended."""
    timer = threading.Timer(seconds, session.process.kill)
    timer.start()
    return timer


def why(name: str, said: str) -> Unreachable:
    """What ssh said, as an error with a hint."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    text = lines[-1] if lines else "the connection ended without a word"
    return Unreachable(f"{name}: {text}", hint=hint_of(name, said))


def hint_of(name: str, said: str) -> str:
    """What helps against what ssh, or sudo behind it, said of a host."""
    return next((hint for words, hint in HINTS if words in said.lower()), f"try it by hand: ssh {name}")


class Opener(Protocol):
    """Starts a script on the host, as root, its input open."""

    def __call__(self, script: str, words: Sequence[str]) -> Session: ...


@contextlib.contextmanager
def read_from(opener: Opener, name: str, path: str, offset: int) -> Iterator[IO[bytes]]:
    """A file's bytes from an offset on."""
    with stream(opener('exec tail -c "+$2" -- "$1"', [path, str(offset + 1)]), name) as one:
        one.stdin.close()
        yield one.stdout


@contextlib.contextmanager
def append_to(opener: Opener, name: str, path: str) -> Iterator[IO[bytes]]:
    """A file to append to, made with mode 0600."""
    with stream(opener('umask 077; exec cat >> "$1"', [path]), name) as one:
        yield one.stdin


@contextlib.contextmanager
def stream(session: Session, name: str) -> Iterator[Session]:
    """A session for a file's bytes; raises RequorumError when it does not end well."""
    try:
        yield session
    except BaseException:
        session.process.kill()
        session.end()
        raise
    status = session.end(seconds=60)
    if status:
        raise RequorumError(f"{name}: the transfer ended with status {status}: {session.said()[-300:]}")
