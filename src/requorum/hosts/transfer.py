"""A file from one host to others at the same time: straight where the members trust each other, else through this process.

Nothing lands on this machine's disk. A copy that broke off is gone on with: what had arrived is kept beside the target.
"""

import contextlib
import fcntl
import queue
import secrets
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from requorum.errors import RequorumError
from requorum.hosts import direct, files
from requorum.hosts.connection import Connection
from requorum.hosts.direct import PeerTls
from requorum.hosts.everywhere import at_once

Tell = Callable[[str, int, int], None]
"""Told the host, how many bytes have gone there, and of how many."""

BLOCK = 1 << 20
_PIPE_BYTES = 1 << 20
STALL_SECONDS = 120.0


@dataclass(slots=True)
class _Target:
    host: Connection
    path: Path
    offset: int
    blocks: "queue.Queue[bytes]" = field(default_factory=lambda: queue.Queue(maxsize=8))
    fault: BaseException | None = None

    @property
    def part(self) -> Path:
        return files.part_of(self.path)


def copy(source: Connection, path: str, targets: Sequence[tuple[Connection, str]], sha256: str, tell: Tell) -> None:
    """Copy a file to some hosts; on disk there, and its sha256 compared, when this returns.

    Raises RequorumError with the first host that went wrong; the others are let finish.
    """
    size = source.call(files.size_of, path)
    wanted = [(host, Path(target)) for host, target in targets]
    for attempt in (1, 2):
        aims = [_Target(host, target, host.call(files.size_if_there, files.part_of(target))) for host, target in wanted]
        if source.local and all(host.local for host, _ in wanted):
            for one in aims:
                one.host.call(files.remove_made, one.part)
                one.host.call(files.copy_durably, Path(path), one.part)
        else:
            for one in aims:
                if one.offset > size:
                    one.host.call(files.remove_made, one.part)
                    one.offset = 0
            _stream(source, path, size, aims, tell)
        found = at_once(lambda one: one.host.call(files.finish_part, one.part, one.path, sha256), aims)
        wanted = [(one.host, one.path) for one, right in zip(aims, found, strict=True) if not right]
        if not wanted:
            return
        if attempt == 2:
            break
    names = ", ".join(host.name for host, _ in wanted)
    raise RequorumError(
        f"{names}: what arrived is not what was sent: its sha256 is not {sha256}",
        hint="the disk or the memory of one of these hosts may be failing; resume copies it again",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """A host by the address under which the members know it."""

    host: Connection
    address: str
    port: int
    tls: PeerTls


def straight(source: Peer, path: str, targets: Sequence[tuple[Peer, str]], sha256: str, tell: Tell) -> list[Peer]:
    """Copy a file from a member's host straight to others'; returns those that it could not be brought to this way."""
    size = source.host.call(files.size_of, path)
    token = secrets.token_bytes(direct.TOKEN_BYTES)
    try:
        port = source.host.call(direct.offer, path, source.address, source.port, source.tls, token, len(targets))
    except RequorumError:
        return [peer for peer, _ in targets]

    def one(peer: Peer, target: str) -> bool:
        part = files.part_of(Path(target))
        ended = threading.Event()
        watch = threading.Thread(target=_watch, args=(peer.host, part, size, ended, tell), daemon=True)
        watch.start()
        try:
            found = peer.host.call(direct.take, source.address, port, peer.tls, token, part, size)
            return peer.host.call(files.finish_part, part, Path(target), sha256, found)
        except (RequorumError, OSError):
            return False
        finally:
            ended.set()

    try:
        arrived = at_once(lambda pair: one(*pair), targets)
    finally:
        source.host.call(direct.withdraw, port)
    return [peer for (peer, _), there in zip(targets, arrived, strict=True) if not there]


def _watch(host: Connection, part: Path, size: int, ended: threading.Event, tell: Tell) -> None:
    """Tell how far a copy is that no byte of which passes through here."""
    while not ended.wait(0.5):
        with contextlib.suppress(RequorumError, OSError):
            tell(host.name, host.call(files.size_if_there, part), size)
    tell(host.name, size, size)


def _stream(source: Connection, path: str, size: int, targets: list[_Target], tell: Tell) -> None:
    start = min((one.offset for one in targets), default=size)
    threads = [threading.Thread(target=_write, args=(one, size, tell)) for one in targets]
    with source.read_from(path, start) as reading:
        for thread in threads:
            thread.start()
        at = start
        try:
            _widen(reading)
            while at < size and (block := reading.read(min(BLOCK, size - at))):
                for one in targets:
                    _give(one, block[max(one.offset - at, 0) :])
                at += len(block)
        finally:
            for one in targets:
                _give(one, b"")
            for thread in threads:
                thread.join()
    if at < size:
        raise RequorumError(f"{source.name}: {path} broke off at {at} of {size} bytes")
    failed = [one for one in targets if one.fault]
    if failed:
        first = failed[0].fault
        if isinstance(first, RequorumError):
            raise first
        raise RequorumError(f"{failed[0].host.name}: {first}") from first


def _give(target: _Target, block: bytes) -> None:
    """Hand a block to a target's writer; an empty one ends it. Nothing for one that failed, or does not move."""
    if target.fault is not None:
        return
    try:
        target.blocks.put(block, timeout=STALL_SECONDS)
    except queue.Full:
        target.fault = RequorumError(f"{target.host.name} takes no more bytes since {STALL_SECONDS:.0f} s")


def _write(target: _Target, size: int, tell: Tell) -> None:
    done = target.offset
    try:
        with target.host.append_to(str(target.part)) as out:
            _widen(out)
            while block := target.blocks.get(timeout=STALL_SECONDS * 2):
                out.write(block)
                done += len(block)
                tell(target.host.name, done, size)
    except (OSError, RequorumError, queue.Empty) as err:
        target.fault = target.fault or err
        with contextlib.suppress(queue.Empty):
            while True:
                target.blocks.get_nowait()


def _widen(stream: IO[bytes]) -> None:
    with contextlib.suppress(OSError, AttributeError, ValueError):
        fcntl.fcntl(stream.fileno(), fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
