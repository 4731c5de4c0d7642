"""Where a file lies: on a host of the inventory, or on this machine."""

from collections.abc import Collection
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Location:
    """A file; ``host`` is empty for this machine. Printed as it is typed: ``HOST:/PATH``, or the path alone."""

    host: str
    path: str

    def __str__(self) -> str:
        return f"{self.host}:{self.path}" if self.host else self.path

    @property
    def whole(self) -> bool:
        """Whether the path says where the file lies, whatever the current folder is."""
        return self.path.startswith("/")


def location(text: str, hosts: Collection[str]) -> Location:
    """What was typed: ``HOST:PATH`` where it begins with the name of a host, else a path on this machine, colons and all."""
    host, colon, path = text.partition(":")
    return Location(host, path) if colon and host in hosts else Location("", text)
