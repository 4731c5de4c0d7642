"""The two checksums etcd's files use: CRC-32C (Castagnoli) and FNV-1a 64."""

from typing import Callable, List, Union

Buffer = Union[bytes, bytearray, memoryview]


def _make_table() -> List[int]:
    table = []
    for n in range(256):
        for _ in range(8):
            n = (n >> 1) ^ 0x82F63B78 if n & 1 else n >> 1
        table.append(n)
    return table


_TABLE = _make_table()


def crc32c_python(data: Buffer, seed: int = 0) -> int:
    """CRC-32C of ``data``, going on from ``seed``: the plain way, for hosts without the fast library."""
    crc = seed ^ 0xFFFFFFFF
    table = _TABLE
    for byte in bytes(data):
        crc = (crc >> 8) ^ table[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF


def _choose() -> Callable[..., int]:
    try:
        from crc32c import crc32c as fast
    except ImportError:
        return crc32c_python
    chosen: Callable[..., int] = fast
    return chosen


crc32c: Callable[..., int] = _choose()
"""CRC-32C of a buffer, going on from an earlier value: ``crc32c(data, seed)``."""


def fnv1a64(data: Buffer) -> int:
    """FNV-1a, 64 bit: bbolt's meta page checksum."""
    value = 0xCBF29CE484222325
    for byte in bytes(data):
        value = ((value ^ byte) * 0x100000001B3) & 0xFFFFFFFFFFFFFFFF
    return value
