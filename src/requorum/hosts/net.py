"""Whether something listens at an address, as seen from a host."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import ssl
import threading
import time
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

ANSWER_SECONDS = 3.0
RESOLVE_SECONDS = 8.0
"""A name server that is dead costs 5 s before the next one is asked (resolv.conf(5))."""


def answers(url: str, seconds: float = ANSWER_SECONDS) -> bool:
    """Whether something accepts connections at a client or peer URL."""
    try:
        parts = urlsplit(url)
        with socket.create_connection((parts.hostname or "localhost", parts.port or 2379), timeout=seconds):
            return True
    except (OSError, ValueError):
        return False


def unresolved(names: Sequence[str]) -> tuple[str, ...]:
    """Those of some names for which this host finds no address in time. All are looked up at once."""
    found: set[str] = set()

    def look_up(name: str) -> None:
        with contextlib.suppress(OSError, UnicodeError):
            socket.getaddrinfo(name, None)
            found.add(name)

    threads = [threading.Thread(target=look_up, args=(name,), daemon=True) for name in names]
    for one in threads:
        one.start()
    deadline = time.monotonic() + RESOLVE_SECONDS
    for one in threads:
        one.join(max(deadline - time.monotonic(), 0.0))
    return tuple(name for name in names if name not in found)


def local(names: Sequence[str]) -> tuple[str, ...]:
    """Those of some names and addresses that lead to this very host: what is sent to an address of its own comes from it."""

    def leads_here(address: tuple[Any, ...], family: int) -> bool:
        if str(address[0]).startswith("127."):
            return True
        with contextlib.suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((address[0], 9, *address[2:]))  # nothing is sent
            return str(probe.getsockname()[0]) == str(address[0])
        return False

    lost = set(unresolved([one for one in names if not _is_address(one)]))
    found = []
    for name in names:
        with contextlib.suppress(OSError, UnicodeError):
            told = [] if name in lost else socket.getaddrinfo(name, None, type=socket.SOCK_DGRAM)
            if any(leads_here(one[4], one[0]) for one in told):
                found.append(name)
    return tuple(found)


def names_of(urls: Sequence[str]) -> tuple[str, ...]:
    """The host names in URLs, each once; addresses are none."""
    found: dict[str, None] = {}
    for url in urls:
        try:
            name = urlsplit(url.strip()).hostname or ""
        except ValueError:
            continue
        if name and not _is_address(name):
            found[name] = None
    return tuple(found)


def _is_address(name: str) -> bool:
    for family in (socket.AF_INET, socket.AF_INET6):
        with contextlib.suppress(OSError, ValueError):
            socket.inet_pton(family, name.partition("%")[0])
            return True
    return False


def healthy(url: str, ca: str, cert: str, key: str) -> bool | None:
    """What a member says of itself at ``/health``; None where it cannot be asked that way.

    It costs a hundredth of starting etcdctl: good enough to know when that is worth while.
    """
    parts = urlsplit(url)
    connection: http.client.HTTPConnection
    try:
        if parts.scheme == "https":
            context = ssl.create_default_context(cafile=ca or None)
            if cert and key:
                context.load_cert_chain(cert, key)
            connection = http.client.HTTPSConnection(
                parts.hostname or "", parts.port or 2379, timeout=ANSWER_SECONDS, context=context
            )
        else:
            connection = http.client.HTTPConnection(parts.hostname or "", parts.port or 2379, timeout=ANSWER_SECONDS)
        with contextlib.closing(connection):
            connection.request("GET", "/health")
            body = json.loads(connection.getresponse().read())
        return str(body["health"]).lower() == "true"
    except ConnectionRefusedError:
        return False
    except (OSError, ValueError, KeyError, TypeError, http.client.HTTPException):
        return None


def ready(url: str) -> str:
    """Why an API server is not ready at its ``/readyz``; empty when it is, or when it serves but does not tell strangers."""
    parts = urlsplit(url)
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # nothing is sent or believed: it is only asked whether it serves
    try:
        connection = http.client.HTTPSConnection(
            parts.hostname or "", parts.port or 6443, timeout=ANSWER_SECONDS, context=context
        )
        with contextlib.closing(connection):
            connection.request("GET", parts.path)
            answer = connection.getresponse()
            said = answer.read().decode(errors="replace")
    except (OSError, ValueError, http.client.HTTPException) as err:
        return str(err)
    if answer.status in (200, 401, 403):
        return ""
    failed = [line for line in said.splitlines() if "failed" in line]
    return f"status {answer.status}: {'; '.join(failed)[:300]}"


def clock() -> float:
    """The host's clock, in seconds since 1970."""
    return time.time()
