"""Whether something listens at an address, as seen from a host."""

from __future__ import annotations

import socket
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


def clock() -> float:
    """The host's clock, in seconds since 1970."""
    return time.time()
