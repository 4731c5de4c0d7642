"""Writers that behave like API servers, and a record of what each was told.

Every writer owns its keys, so it knows what a guard must say; what it was told is written down as an
:class:`Operation`, acknowledged (with etcd's revision) or not. Nothing here looks at a disk.
"""

import random
import ssl
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from requorum.rehearsal.gateway import Gateway, NoAnswer, b64

PUT, DELETE, REJECTED = "put", "delete", "rejected"


KEYS = "/load/"
"""What every key of a load begins with: an API server may write to the same etcd, below another."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One request of one writer.

    ``kind`` is what it would do to ``key`` (``rejected``: its guard was meant to fail, so it changes nothing);
    ``revision`` is etcd's answer, 0 when no answer came: then it may have happened or not. ``seconds`` is how long it took.
    """

    writer: int
    kind: str
    key: str
    value: str
    lease: int
    revision: int
    seconds: float = 0.0

    @property
    def acknowledged(self) -> bool:
        """Whether the client was told that it happened."""
        return self.revision > 0 and self.kind != REJECTED


@dataclass(slots=True)
class _Owned:
    """What a writer knows of one of its keys; ``mod`` 0 means absent."""

    key: str
    mod: int = 0
    sure: bool = True


def _put_op(key: str, value: str, lease: int = 0) -> dict[str, Any]:
    put = {"key": b64(key), "value": b64(value)}
    if lease:
        put["lease"] = str(lease)
    return {"request_put": put}


def _guard(key: str, mod: int) -> dict[str, Any]:
    return {"key": b64(key), "target": "MOD", "result": "EQUAL", "mod_revision": str(mod)}


@dataclass(slots=True)
class Load:
    """Writers on threads. ``start`` them, wait for ``acknowledged`` to grow, kill the cluster, ``stop`` them.

    ``prefix`` tells the keys of one load from those of another; after ``patience`` requests in a row without an answer
    a writer gives up. ``pause`` is how long each writer waits after an answer, in seconds: without one it writes as fast as
    it can.
    """

    endpoints: Sequence[str]
    writers: int
    seed: int
    value_bytes: int = 700
    prefix: str = ""
    patience: int = 3
    pause: float = 0.0
    context: ssl.SSLContext | None = None
    operations: list[Operation] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)
    _acknowledged: list[int] = field(default_factory=list)
    in_flight: list[int] = field(default_factory=list)

    def start(self) -> None:
        """Begin writing."""
        self._acknowledged = [0] * self.writers
        self.in_flight = [0] * self.writers
        for number in range(self.writers):
            thread = threading.Thread(target=self._write, args=(number,), name=f"writer-{number}", daemon=True)
            self._threads.append(thread)
            thread.start()

    @property
    def acknowledged(self) -> int:
        """How many writes were acknowledged so far."""
        return sum(self._acknowledged)

    def wait_for(self, count: int, seconds: float, tell: Callable[[str], object] = str) -> None:
        """Wait until ``count`` writes are acknowledged, and tell how many are; raises TimeoutError."""
        deadline = time.monotonic() + seconds
        while self.acknowledged < count:
            tell(f"{self.writers} writers: {self.acknowledged} of {count} writes acknowledged")
            if time.monotonic() > deadline:
                raise TimeoutError(f"only {self.acknowledged} of {count} writes were acknowledged in {seconds:.0f} s")
            time.sleep(0.01)

    def wait_for_each(self, seconds: float, tell: Callable[[str], object] = str) -> None:
        """Wait until every writer that has not given up has another write acknowledged; raises TimeoutError.

        After a change of leader etcd lets requests that were on their way to the old one hang for 7 seconds.
        """
        deadline, before = time.monotonic() + seconds, list(self._acknowledged)
        while waiting := [
            at for at, thread in enumerate(self._threads) if thread.is_alive() and self._acknowledged[at] == before[at]
        ]:
            tell(f"{len(waiting)} of {self.writers} writers wait for an answer")
            if time.monotonic() > deadline:
                raise TimeoutError(f"{len(waiting)} writers had no answer in {seconds:.0f} s")
            time.sleep(0.01)

    def stop(self) -> None:
        """End the writers: each finishes or loses its request, then stops."""
        self._stop.set()
        for thread in self._threads:
            thread.join(30)

    def _write(self, number: int) -> None:
        rng = random.Random(f"{self.seed}/{number}")  # noqa: S311 - reproducible load, not a secret
        gateway = Gateway(self.endpoints[number % len(self.endpoints)], context=self.context)
        writer = _Writer(number, rng, gateway, self.value_bytes, self.prefix, self.patience)
        while not self._stop.is_set():
            self.in_flight[number] = 1
            began = time.monotonic()
            operation = writer.step()
            operation = replace(operation, seconds=round(time.monotonic() - began, 3))
            if operation.revision == 0:
                self.operations.append(operation)
                gateway.close()
                time.sleep(0.02)
                if not writer.alive():
                    break
                continue
            self.in_flight[number] = 0
            self.operations.append(operation)
            if operation.acknowledged:
                self._acknowledged[number] += 1
            if self.pause:
                self._stop.wait(self.pause)
        gateway.close()


class _Writer:
    """One API server: creates, guarded updates, guarded and plain deletes, plain puts, keys with leases."""

    def __init__(
        self, number: int, rng: random.Random, gateway: Gateway, value_bytes: int, prefix: str, patience: int
    ) -> None:
        self.patience = patience
        self.number, self.rng, self.gateway, self.value_bytes = number, rng, gateway, value_bytes
        self.lease = 0
        self.count = 0
        self.failures = 0
        kinds = ("pods", "configmaps", "events", "leases", "masterleases")
        self.keys = [_Owned(f"{KEYS}{kinds[n % 5]}/{prefix}ns-{number}/object-{n}") for n in range(40)]

    def alive(self) -> bool:
        """A writer gives up after some requests without an answer: its cluster is gone."""
        self.failures += 1
        return self.failures < self.patience

    def value(self) -> str:
        self.count += 1
        filler = self.rng.getrandbits(4 * self.rng.randrange(16, self.value_bytes))
        return f'{{"writer":{self.number},"n":{self.count},"data":"{filler:x}"}}'

    def step(self) -> Operation:
        owned = self.rng.choice([one for one in self.keys if one.sure] or self.keys)
        try:
            return self._step(owned)
        except NoAnswer:
            return self.unanswered

    def _step(self, owned: _Owned) -> Operation:
        key, dice = owned.key, self.rng.random()
        leased = "leases" in key or "events" in key
        if leased and not self.lease:
            self.unanswered = self._operation(REJECTED, "", "", 0)
            granted = self.gateway.call("/v3/lease/grant", {"TTL": "3600"})
            self.lease = int(granted["ID"])
        lease = self.lease if leased else 0
        sure = owned.sure  # else its last write was not answered: a guard on it may hold or fail
        if sure and owned.mod and dice < 0.08:
            return self._stale(owned)
        if sure and owned.mod and dice < 0.22:
            return self._delete(owned, guarded=dice < 0.16)
        value = self.value()
        self.unanswered = self._operation(PUT, key, value, lease)
        if leased or not sure or dice > 0.75:
            owned.sure = False
            answer = self.gateway.call("/v3/kv/put", _put_op(key, value, lease)["request_put"])
        else:
            owned.sure = False
            body = {
                "compare": [_guard(key, owned.mod)],
                "success": [_put_op(key, value, lease)],
                "failure": [{"request_range": {"key": b64(key)}}],
            }
            answer = self.gateway.call("/v3/kv/txn", body)
            if not answer.get("succeeded"):
                raise AssertionError(f"a guard on {key} failed although its writer alone owns it")
        return self._told(owned, PUT, value, lease, answer)

    def _delete(self, owned: _Owned, guarded: bool) -> Operation:
        key = owned.key
        self.unanswered = self._operation(DELETE, key, "", 0)
        owned.sure = False
        if guarded:
            body = {
                "compare": [_guard(key, owned.mod)],
                "success": [{"request_delete_range": {"key": b64(key)}}],
                "failure": [{"request_range": {"key": b64(key)}}],
            }
            answer = self.gateway.call("/v3/kv/txn", body)
        else:
            answer = self.gateway.call("/v3/kv/deleterange", {"key": b64(key)})
        return self._told(owned, DELETE, "", 0, answer)

    def _stale(self, owned: _Owned) -> Operation:
        """An update whose guard names an old revision: it must change nothing."""
        self.unanswered = self._operation(REJECTED, owned.key, "", 0)
        body = {
            "compare": [_guard(owned.key, owned.mod - 1)],
            "success": [_put_op(owned.key, "must never be stored")],
            "failure": [{"request_range": {"key": b64(owned.key)}}],
        }
        answer = self.gateway.call("/v3/kv/txn", body)
        return self._operation(REJECTED, owned.key, "", 0, int(answer["header"]["revision"]))

    def _told(self, owned: _Owned, kind: str, value: str, lease: int, answer: dict[str, Any]) -> Operation:
        revision = int(answer["header"]["revision"])
        owned.mod, owned.sure = (0 if kind == DELETE else revision), True
        return self._operation(kind, owned.key, value, lease, revision)

    def _operation(self, kind: str, key: str, value: str, lease: int, revision: int = 0) -> Operation:
        return Operation(writer=self.number, kind=kind, key=key, value=value, lease=lease, revision=revision)
