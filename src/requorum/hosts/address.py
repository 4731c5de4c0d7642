"""How a host is reached: this machine itself, or the operator's own ssh."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where a host is, in the words of ssh. What is empty is left to the operator's ``ssh_config``.

    ``local``: it is this machine. ``python``: the interpreter to try first.
    """

    host: str
    local: bool = False
    user: str = ""
    port: int = 0
    key: str = ""
    ssh_args: tuple[str, ...] = ()
    python: str = ""


HERE = Address(host="localhost", local=True)
