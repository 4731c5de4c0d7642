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


def clock() -> float:
    """The host's clock, in seconds since 1970."""
    return time.time()
