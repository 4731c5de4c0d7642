"""Whether something listens at an address, as seen from a host."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import ssl
import time
from urllib.parse import urlsplit

ANSWER_SECONDS = 3.0


def answers(url: str, seconds: float = ANSWER_SECONDS) -> bool:
    """Whether something accepts connections at a client or peer URL."""
    try:
        parts = urlsplit(url)
        with socket.create_connection((parts.hostname or "localhost", parts.port or 2379), timeout=seconds):
            return True
    except (OSError, ValueError):
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
