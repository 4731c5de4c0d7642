"""etcd's JSON gateway over one kept-alive connection: the client of the rehearsal's writers and of its auditor.

A request ends in one of two ways: an answer of etcd, or :class:`NoAnswer`. After the second nobody knows whether the
write happened, and the auditor allows both.
"""

import base64
import http.client
import json
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit


class NoAnswer(Exception):
    """The request was not answered with success: unknown outcome."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """A key as a read returned it."""

    key: str
    value: str
    mod_revision: int
    create_revision: int
    version: int
    lease: int


def b64(text: str) -> str:
    """Text as the gateway wants it."""
    return base64.b64encode(text.encode()).decode()


def _unb64(text: str) -> str:
    return base64.b64decode(text).decode(errors="surrogateescape")


def stored(kv: dict[str, Any]) -> Stored:
    """A KeyValue of an answer."""
    return Stored(
        key=_unb64(kv.get("key", "")),
        value=_unb64(kv.get("value", "")),
        mod_revision=int(kv.get("mod_revision", 0)),
        create_revision=int(kv.get("create_revision", 0)),
        version=int(kv.get("version", 0)),
        lease=int(kv.get("lease", 0)),
    )


class Gateway:
    """A connection to one member, over TLS with a ``context``; connects when first used and again after a failure."""

    def __init__(self, client_url: str, timeout: float = 5.0, context: ssl.SSLContext | None = None) -> None:
        parts = urlsplit(client_url)
        self._connection: http.client.HTTPConnection
        if context is not None:
            host = parts.hostname or ""
            self._connection = http.client.HTTPSConnection(host, parts.port, timeout=timeout, context=context)
        else:
            self._connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=timeout)

    def close(self) -> None:
        """Drop the connection."""
        self._connection.close()

    def call(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """POST and parse; raises NoAnswer for anything but a success."""
        try:
            self._connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
            response = self._connection.getresponse()
            raw = response.read()
            answer = json.loads(raw)
        except (OSError, http.client.HTTPException, ValueError) as err:
            self._connection.close()
            raise NoAnswer(str(err) or type(err).__name__) from err
        if response.status != 200 or not isinstance(answer, dict):
            raise NoAnswer(raw.decode(errors="replace")[:200])
        return answer

    def read_all(self, prefix: str = "/", page: int = 1000) -> Iterator[Stored]:
        """Every key from ``prefix`` to the end of the key space, by serializable reads of this member alone."""
        start = b64(prefix)
        while True:
            body = {"key": start, "range_end": b64("\0"), "limit": page, "serializable": True}
            answer = self.call("/v3/kv/range", body)
            found = [stored(kv) for kv in answer.get("kvs", [])]
            yield from found
            if not answer.get("more") or not found:
                return
            start = b64(found[-1].key + "\0")

    def revision(self) -> int:
        """The member's own revision, by a serializable read."""
        answer = self.call("/v3/kv/range", {"key": b64("/"), "serializable": True})
        return int(answer["header"]["revision"])

    def history(self, first: int, last: int) -> Iterator[tuple[bool, Stored]]:
        """Every (is delete, record) of the revisions ``first`` to ``last``, read from this member's own store.

        Raises NoAnswer when the history was compacted, or breaks off.
        """
        body = {"create_request": {"key": b64("\0"), "range_end": b64("\0"), "start_revision": str(first)}}
        try:
            self._connection.request("POST", "/v3/watch", json.dumps(body), {"Content-Type": "application/json"})
            response = self._connection.getresponse()
            while line := response.readline():
                result = json.loads(line).get("result", {})
                if int(result.get("compact_revision", 0)):
                    raise NoAnswer("the history was compacted")
                if result.get("canceled"):
                    raise NoAnswer(str(result.get("cancel_reason") or "the watch was refused"))
                at = 0
                for event in result.get("events", []):
                    record = stored(event["kv"])
                    at = record.mod_revision
                    if at <= last:
                        yield event.get("type") == "DELETE", record
                if at >= last:
                    return
        except (OSError, http.client.HTTPException, ValueError) as err:
            raise NoAnswer(str(err) or type(err).__name__) from err
        finally:
            self._connection.close()
