"""A host as everything above sees it: functions that are called there, and files that are streamed.

This machine is one too. A function of ours runs on a host as it runs here: the same code, called with plain values.
"""

import contextlib
import json
import os
import secrets
import shlex
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, ParamSpec, Protocol, Self, TypeVar

from requorum.errors import Unreachable
from requorum.hosts import agent, bundle, openssh
from requorum.hosts.address import Address
from requorum.hosts.channel import Channel
from requorum.hosts.everywhere import at_once
from requorum.hosts.shell import Shell

P = ParamSpec("P")
T = TypeVar("T")

HELLO_SECONDS = 45.0
_PYTHONS = ("python3", "/usr/bin/python3", "/usr/libexec/platform-python", "/opt/bin/python")


_START = """for p in {}; do command -v "$p" >/dev/null 2>&1 || continue; "$p" -I -u -c "$1"
status=$?; [ $status = 97 ] || exit $status; done
echo '{{"no_python": true}}'; exit 97"""


class NoPython(Unreachable):
    """a host has no Python to run our functions with"""


class Connection(Protocol):
    """One host. Calls may come from any thread."""

    name: str
    local: bool

    @property
    def bare(self) -> bool:
        """Whether there is no Python there: much can be done all the same, but not all."""

    def call(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a function of ours there; raises what it raises. Lost: nobody knows whether it was done."""

    def read_from(self, path: str, offset: int) -> "contextlib.AbstractContextManager[IO[bytes]]":
        """A file's bytes from an offset on."""

    def append_to(self, path: str) -> "contextlib.AbstractContextManager[IO[bytes]]":
        """A file to append to, made with mode 0600."""

    def hold(self, path: str) -> None:
        """Be the only one that acts on that host with this file, until the connection ends."""

    def close(self) -> None:
        """End it."""


class Here:
    """This machine: functions are simply called."""

    local = True
    bare = False

    def __init__(self, name: str = "localhost") -> None:
        self.name = name

    def call(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call it."""
        return function(*args, **kwargs)

    @contextlib.contextmanager
    def read_from(self, path: str, offset: int) -> Iterator[IO[bytes]]:
        """A file's bytes from an offset on."""
        with open(path, "rb") as file:
            file.seek(offset)
            yield file

    @contextlib.contextmanager
    def append_to(self, path: str) -> Iterator[IO[bytes]]:
        """A file to append to."""
        with open(path, "ab", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
            yield file

    def hold(self, path: str) -> None:
        """A process that died here took its work with it."""

    def close(self) -> None:
        """Nothing to end."""


class OverSsh:
    """A machine over the operator's own ssh: an agent there answers calls; it is started when first needed."""

    local = False

    def __init__(self, name: str, address: Address, control: Path, password: str = "") -> None:
        self.name = name
        self.address = address
        self.control = control
        self.password = password
        self._gate = threading.Lock()
        self._channel: Channel | None = None
        self._shell: Shell | None = None
        self._master: openssh.Session | None = None
        self._held: list[str] = []
        self._tag = ""

    def call(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Send it, and wait as long as the function may take."""
        there = self._connected()
        if isinstance(there, Shell):
            return there.call(function, *args, **kwargs)
        result: T = there.call(function, args, kwargs)
        return result

    @property
    def bare(self) -> bool:
        """Whether there is no Python there."""
        return isinstance(self._connected(), Shell)

    def _connected(self) -> "Channel | Shell":
        """The agent there; a plain shell where there is no Python to run one."""
        with self._gate:
            if self._shell is not None:
                self._keep_master()
                return self._shell
            if self._channel is None or not self._channel.alive:
                try:
                    made = Channel(self.name, self._open())
                except NoPython:
                    self._shell = Shell(self.name, self._session)
                    self._keep_master()
                    return self._shell
                try:
                    for path in self._held:
                        made.call(agent.hold, (path,), {})
                except BaseException:
                    made.session.process.kill()  # nothing may be done over it: the next one waits again
                    raise
                self._channel = made
            return self._channel

    def _keep_master(self) -> None:
        """A session that does nothing but carry the others, where no agent does; a new one waits for what others left."""
        if self._master is not None and self._shell is not None and self._shell.overran:
            self._master.end()
            self._shell.overran = False
        if self._master is not None and self._master.process.poll() is None:
            return
        with contextlib.suppress(FileNotFoundError):
            self.control.unlink()
        self._tag = secrets.token_hex(8)
        argv = openssh.client_args(self.address, self.control, master=True)
        script = "echo ready; exec cat > /dev/null"
        command = openssh.as_root(script, [], password=bool(self.password), tag=self._tag)
        master = openssh.Session(argv, command, self.password)
        timer = openssh.killer(master, HELLO_SECONDS)
        ready = master.stdout.readline()
        timer.cancel()
        if ready.strip() != b"ready":
            master.end()
            raise openssh.why(self.name, master.said())
        try:
            if self._held and self._shell is not None:
                self._shell.wait_for_others(self._tag)
        except BaseException:
            master.end()  # nothing may be done over it: the next one waits again
            raise
        self._master = master

    def _open(self) -> openssh.Session:
        """Start the agent; returns once it has said hello."""
        pythons = " ".join(shlex.quote(one) for one in (self.address.python, *_PYTHONS) if one)
        argv = openssh.client_args(self.address, self.control, master=True)
        with contextlib.suppress(FileNotFoundError):
            self.control.unlink()  # of a master that died
        command = openssh.as_root(_START.format(pythons), [bundle.BOOT], password=bool(self.password))
        session = openssh.Session(argv, command, self.password)
        raw = bundle.made()
        timer = openssh.killer(session, HELLO_SECONDS)
        try:
            with contextlib.suppress(OSError):
                session.stdin.write(f"{len(raw)}\n".encode() + raw)
                session.stdin.flush()
            line = session.stdout.readline()
        finally:
            timer.cancel()
        try:
            hello = json.loads(line) if line else {}
        except ValueError:
            hello = {}
        if "hello" in hello:
            return session
        session.process.kill()
        session.end()
        if "no_python" in hello:
            raise NoPython(
                f"{self.name}: no Python 3.8 or newer is there", hint="install python3 there, as Ansible needs"
            )
        raise openssh.why(self.name, session.said() or line.decode(errors="replace"))

    def hold(self, path: str) -> None:
        """Be the only one that acts there, on every connection from now on."""
        there = self._connected()
        if isinstance(there, Shell):
            there.wait_for_others(self._tag)
        else:
            self.call(agent.hold, path)
        if path not in self._held:
            self._held.append(path)

    def read_from(self, path: str, offset: int) -> "contextlib.AbstractContextManager[IO[bytes]]":
        """A file's bytes from an offset on."""
        self._connected()
        return openssh.read_from(self._session, self.name, path, offset)

    def append_to(self, path: str) -> "contextlib.AbstractContextManager[IO[bytes]]":
        """A file to append to."""
        self._connected()
        return openssh.append_to(self._session, self.name, path)

    def _session(self, script: str, words: Sequence[str]) -> openssh.Session:
        argv = openssh.client_args(self.address, self.control, master=False)
        command = openssh.as_root(script, words, password=bool(self.password), tag=self._tag)
        return openssh.Session(argv, command, self.password)

    def close(self) -> None:
        """End the agent and with it the connection."""
        if self._channel is not None:
            self._channel.session.end()
            self._channel = None
        if self._master is not None:
            self._master.end()
            self._master = None


class Connections:
    """One connection for each host of a cluster; each is made when it is first needed."""

    def __init__(self, addresses: Mapping[str, Address], password: str = "") -> None:
        remote = any(not address.local for address in addresses.values())
        # A socket's path must be short; nothing is made where all is on this machine.
        self._folder = tempfile.TemporaryDirectory(prefix="rq-") if remote else None
        folder = Path(self._folder.name) if self._folder else Path()
        self._all: dict[str, Connection] = {
            name: Here(name) if address.local else OverSsh(name, address, folder / str(at), password)
            for at, (name, address) in enumerate(addresses.items())
        }

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __getitem__(self, name: str) -> Connection:
        return self._all[name]

    def names(self) -> list[str]:
        """Every host."""
        return list(self._all)

    def close(self) -> None:
        """End them all."""
        at_once(lambda one: one.close(), self._all.values())
        if self._folder:
            self._folder.cleanup()
