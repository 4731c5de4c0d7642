"""The two checksums etcd's files use: CRC-32C (Castagnoli) and FNV-1a 64."""

import ctypes
import os
from typing import Callable, List, Optional, Union

Buffer = Union[bytes, bytearray, memoryview]


_CASTAGNOLI = 0x82F63B78
"""The polynomial, its highest power left out, the lowest bit the highest power."""


def _make_table() -> List[int]:
    table = []
    for n in range(256):
        for _ in range(8):
            n = (n >> 1) ^ _CASTAGNOLI if n & 1 else n >> 1
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


def _from_package() -> Optional[Callable[..., int]]:
    try:
        from crc32c import crc32c as fast
    except ImportError:
        return None
    chosen: Callable[..., int] = fast
    return chosen


def _from_library() -> Optional[Callable[..., int]]:
    """The same package's C function, where its library was sent along; it is called past Python's own interface, so any
    Python of this kind of machine may."""
    try:
        loader = globals()["__loader__"]
        raw = loader.get_data(loader.archive + "/requorum/libcrc32c.so")
        fd = os.memfd_create("crc32c")
        with open(fd, "wb", closefd=False) as file:
            file.write(raw)
        library = ctypes.CDLL(f"/proc/self/fd/{fd}")
        if library._crc32c_intel_probe():
            library.crc32c_init_hw_adler()
            function = library._crc32c_hw_adler
        else:
            function = library._crc32c_sw_slicing_by_8
    except (AttributeError, OSError):
        return None
    function.argtypes = [ctypes.c_uint32, ctypes.c_char_p, ctypes.c_ulong]
    function.restype = ctypes.c_uint32

    def fast(data: Buffer, seed: int = 0) -> int:
        raw = bytes(data)
        return int(function(seed ^ 0xFFFFFFFF, raw, len(raw))) ^ 0xFFFFFFFF

    return fast if fast(b"123456789") == 0xE3069283 and fast(b"6789", fast(b"12345")) == 0xE3069283 else None


def _choose() -> Callable[..., int]:
    return _from_package() or _from_library() or crc32c_python


crc32c: Callable[..., int] = _choose()
"""CRC-32C of a buffer, going on from an earlier value: ``crc32c(data, seed)``."""


def crc32c_joined(first: int, second: int, size: int) -> int:
    """CRC-32C of two runs of bytes one behind the other, from those of each; the second run has ``size`` bytes.

    The first one's is multiplied by x to the power of 8 * size, modulo the polynomial.
    """
    power, square = 1 << 31, 1 << 23  # 1, and x to the power of 8
    while size:
        if size & 1:
            power = _product(power, square)
        square = _product(square, square)
        size >>= 1
    return _product(power, first) ^ second


def _product(one: int, other: int) -> int:
    out = 0
    for bit in range(31, -1, -1):
        if one >> bit & 1:
            out ^= other
        other = (other >> 1) ^ _CASTAGNOLI if other & 1 else other >> 1
    return out


def fnv1a64(data: Buffer) -> int:
    """FNV-1a, 64 bit: bbolt's meta page checksum."""
    value = 0xCBF29CE484222325
    for byte in bytes(data):
        value = ((value ^ byte) * 0x100000001B3) & 0xFFFFFFFFFFFFFFFF
    return value
