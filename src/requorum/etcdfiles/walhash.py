"""Keyed hashes of log entries: what two logs hold is compared in a few numbers, without moving the entries.

Each entry has a 64-bit hash over its term, index, type and data, keyed by whoever compares: without the key nobody can
make two entries that look alike. A range of entries is compared by the sum of its hashes, modulo 2 to the power of 64.
A 3.7 leaves the type of a normal entry out, older versions write it as 0: both hash alike.
"""

from array import array
from hashlib import blake2b
from typing import List, Optional, Tuple

MASK = (1 << 64) - 1


class EntryHashes:
    """The hash of every whole entry of a log, by its index; eight bytes an entry."""

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._blocks: List[Tuple[int, "array[int]"]] = []

    def take(self, index: int, data: bytes, payload: int) -> None:
        """The hash of the entry that is encoded in ``data``, which comes behind all that are there; its own data begin at
        ``payload``."""
        if data[1] == 0 and data[0] == 0x08:
            data = data[2:] if payload < len(data) or data[-2:] != b"\x22\x00" else data[2:-2]
        elif payload == len(data) and data[-2:] == b"\x22\x00":
            data = data[:-2]
        value = int.from_bytes(blake2b(data, digest_size=8, key=self._key).digest(), "little")
        if self._blocks:
            first, block = self._blocks[-1]
            if first + len(block) == index:
                block.append(value)
                return
        self._blocks.append((index, array("Q", (value,))))

    def truncate(self, index: int) -> None:
        """Forget the entries from ``index`` on."""
        while self._blocks and self._blocks[-1][0] >= index:
            self._blocks.pop()
        if self._blocks:
            first, block = self._blocks[-1]
            del block[index - first :]

    def __len__(self) -> int:
        return sum(len(block) for _, block in self._blocks)

    def __getitem__(self, index: int) -> int:
        for first, block in self._blocks:
            if first <= index < first + len(block):
                return int(block[index - first])
        raise KeyError(index)

    def sum(self, first: int, last: int) -> Optional[int]:
        """The sum over entries ``first`` to ``last``; ``None`` where one of them is not whole."""
        for begin, block in self._blocks:
            if begin <= first and last < begin + len(block):
                return sum(block[first - begin : last - begin + 1]) & MASK
        return None
