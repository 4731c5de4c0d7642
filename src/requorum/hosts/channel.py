"""Calls to an agent on a host, and their answers, over one session."""

import contextlib
import json
import threading
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from typing import Any

from requorum.errors import RequorumError, Unreachable
from requorum.hosts import openssh, wire
from requorum.hosts.bounds import seconds_of
from requorum.hosts.openssh import Session

SEND_SECONDS = 60.0


class Lost(Unreachable):
    """the connection to a host dropped, or it did not answer in time: what it was doing has an unknown outcome"""


class Channel:
    """Many calls at a time, from any thread. Once it is not ``alive`` any more it never is again."""

    def __init__(self, name: str, session: Session) -> None:
        self.name = name
        self.session = session
        self.alive = True
        self._gate = threading.Lock()
        self._pending: dict[int, Future[Any]] = {}
        self._number = 0
        threading.Thread(target=self._read, daemon=True).start()

    def call(self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Send it, and wait as long as the function may take. Raises what it raised there, or Lost.

        A call that takes too long ends the connection: whoever calls again connects anew, and waits for the work that was
        left behind (:func:`requorum.hosts.agent.hold`) instead of doing it a second time beside it.
        """
        seconds = seconds_of(function)
        number, waiting = self._send(function, args, kwargs)
        try:
            answer = waiting.result(timeout=seconds)
        except FutureTimeout:
            self._pending.pop(number, None)
            self.session.process.kill()
            with self._gate:
                self.alive = False
            raise Lost(f"{self.name}: {function.__name__} did not end within {seconds:.0f} s") from None
        try:
            if "error" in answer:
                wire.raise_error(answer["error"])
            return wire.decode(answer.get("ok"))
        except wire.WireFault as err:
            raise RequorumError(f"{self.name}: {function.__name__}: {err}") from err

    def _send(
        self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[int, "Future[Any]"]:
        waiting: Future[Any] = Future()
        name = f"{function.__module__}:{function.__qualname__}"
        request = {"call": name, "args": wire.encode(tuple(args)), "kwargs": wire.encode(kwargs)}
        with self._gate:
            if not self.alive:
                raise Lost(f"{self.name}: the connection dropped")
            self._number += 1
            self._pending[self._number] = waiting
            raw = json.dumps({"id": self._number, **request}).encode() + b"\n"
            timer = openssh.killer(self.session, SEND_SECONDS)  # a host that takes no bytes any more
            try:
                self.session.stdin.write(raw)
                self.session.stdin.flush()
            except OSError:
                raise Lost(f"{self.name}: the connection dropped") from None
            finally:
                timer.cancel()
            return self._number, waiting

    def _read(self) -> None:
        with contextlib.suppress(OSError, ValueError, RecursionError):
            for line in self.session.stdout:
                answer: Any = json.loads(line)
                if not isinstance(answer, dict):
                    break  # it is not our agent that speaks
                number: Any = answer.get("id")
                waiting = self._pending.pop(number, None)
                if waiting is not None:
                    waiting.set_result(answer)
        with contextlib.suppress(OSError):
            self.session.process.kill()
        with self._gate:
            self.alive = False
            pending, self._pending = self._pending, {}
        said = self.session.said()[-200:]
        for one in pending.values():
            one.set_exception(Lost(f"{self.name}: the connection dropped" + (f": {said}" if said else "")))
