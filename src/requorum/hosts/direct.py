"""A file from one member's host straight to another's, over the TLS that the members trust each other with.

The sender listens on the member's peer address (etcd is fenced, so the port is free, and every firewall between members
lets it through); both sides show their peer certificates, and the receiver a token that came over ssh. Keys stay where
they are. What does not get through this way goes through the operator's machine instead. Runs on the hosts.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import os
import socket
import ssl
import struct
import threading
from dataclasses import dataclass
from pathlib import Path

from requorum.errors import RequorumError
from requorum.hosts.bounds import within

_BLOCK = 1 << 20
CONNECT_SECONDS = 5.0
WAIT_SECONDS = 60.0
_OPEN: dict[int, socket.socket] = {}
STALL_SECONDS = 60.0
TOKEN_BYTES = 32
_OFFSET = struct.Struct(">Q")


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerTls:
    """The files that a member talks to its peers with."""

    ca: str
    cert: str
    key: str

    def context(self, *, server: bool) -> ssl.SSLContext:
        """A context in which both sides must show a certificate of the members' authority."""
        made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if server else ssl.PROTOCOL_TLS_CLIENT)
        made.minimum_version = ssl.TLSVersion.TLSv1_2
        made.load_cert_chain(self.cert, self.key)
        made.load_verify_locations(self.ca)
        made.verify_mode = ssl.CERT_REQUIRED
        return made


def offer(path: str, address: str, port: int, tls: PeerTls, token: bytes, takers: int) -> int:
    """Serve a file to so many takers, for a minute at most; returns the port that is listened on.

    Raises RequorumError when nothing can be listened on, or the certificates cannot be used.
    """
    try:
        context = tls.context(server=True)
        try:
            listener = socket.create_server((address, port))
        except OSError:
            listener = socket.create_server((address, 0))
    except (OSError, ssl.SSLError) as err:
        raise RequorumError(f"nothing can be offered at {address}: {err}") from err
    listener.settimeout(WAIT_SECONDS)
    number = int(listener.getsockname()[1])
    _OPEN[number] = listener
    threading.Thread(target=_serve, args=(listener, context, path, token, takers)).start()
    return number


def withdraw(port: int) -> None:
    """Listen no more: the port is the member's own, and its etcd needs it next."""
    listener = _OPEN.pop(port, None)
    if listener is not None:
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)  # wakes whoever waits in accept
        listener.close()


def withdraw_all() -> None:
    """Listen nowhere any more: whoever asked for it is gone."""
    for port in list(_OPEN):
        withdraw(port)


def _serve(listener: socket.socket, context: ssl.SSLContext, path: str, token: bytes, takers: int) -> None:
    threads = []
    with listener, contextlib.suppress(OSError):
        for _ in range(takers):
            plain, _ = listener.accept()
            threads.append(threading.Thread(target=_send, args=(plain, context, path, token)))
            threads[-1].start()
    for thread in threads:
        thread.join()


def _send(plain: socket.socket, context: ssl.SSLContext, path: str, token: bytes) -> None:
    plain.settimeout(STALL_SECONDS)
    with plain, contextlib.suppress(OSError, ssl.SSLError, ValueError):
        _talk(context.wrap_socket(plain, server_side=True), path, token)


def _talk(peer: ssl.SSLSocket, path: str, token: bytes) -> None:
    with peer, open(path, "rb", buffering=0) as file:
        asked = _exactly(peer, TOKEN_BYTES + _OFFSET.size)
        if not hmac.compare_digest(asked[:TOKEN_BYTES], token):
            return
        file.seek(_OFFSET.unpack(asked[TOKEN_BYTES:])[0])
        while block := file.read(_BLOCK):
            peer.sendall(block)


def _exactly(peer: ssl.SSLSocket, size: int) -> bytes:
    out = b""
    while len(out) < size:
        more = peer.recv(size - len(out))
        if not more:
            raise ValueError("too short")
        out += more
    return out


@within(3600.0)
def take(address: str, port: int, tls: PeerTls, token: bytes, part: Path, size: int) -> str:
    """Fetch a file that is offered, from where an earlier try broke off; returns the sha256 of the whole.

    Raises RequorumError when it does not come through whole.
    """
    buffer = bytearray(_BLOCK)
    view = memoryview(buffer)
    digest = hashlib.sha256()
    fd = os.open(part, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    with open(fd, "r+b", buffering=0) as file:
        done = 0
        while block := file.read(_BLOCK):
            digest.update(block)
            done += len(block)
        try:
            with socket.create_connection((address, port), timeout=CONNECT_SECONDS) as plain:
                plain.settimeout(STALL_SECONDS)
                with tls.context(server=False).wrap_socket(plain, server_hostname=address) as peer:
                    peer.sendall(token + _OFFSET.pack(done))
                    while done < size and (count := peer.recv_into(view)):
                        digest.update(view[:count])
                        left = view[:count]
                        while left:
                            left = left[file.write(left) :]
                        done += count
        except (OSError, ssl.SSLError) as err:
            raise RequorumError(f"{address}:{port} does not send: {err}") from err
    if done != size:
        raise RequorumError(f"{address}:{port} sent {done} of {size} bytes")
    return digest.hexdigest()
