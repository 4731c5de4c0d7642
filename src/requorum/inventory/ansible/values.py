"""What an Ansible inventory says: its hosts, the groups they are in, and their variables."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

Reader = Literal["ansible-inventory", "own reader"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Vaulted:
    """A value encrypted with ansible-vault: it is set, and what it is nobody knows here. The ciphertext is not kept."""


VAULTED = Vaulted()


class OddKey(str):
    """A mapping's key that was no string in the file, in the form that JSON gives it: 22 is "22", yes is "true"."""

    __slots__ = ()


class Malformed(ValueError):
    """What no inventory may hold. ``line`` is counted from 1; 0 where it is not known."""

    def __init__(self, what: str, line: int = 0) -> None:
        super().__init__(what)
        self.what = what
        self.line = line


@dataclass(frozen=True, slots=True, kw_only=True)
class AnsibleHost:
    """One host. ``groups`` holds the direct and the inherited ones, sorted, without ``all``.

    ``variables`` are merged by Ansible's precedence, and hold templates as they were written. They may hold passwords:
    they are left out of the repr, so that no report shows them.
    """

    name: str
    groups: tuple[str, ...]
    variables: Mapping[str, object] = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class AnsibleInventory:
    """The hosts of one inventory, sorted by name. ``notes`` are sentences on what was passed over."""

    hosts: tuple[AnsibleHost, ...]
    path: Path
    read_with: Reader
    notes: tuple[str, ...]
