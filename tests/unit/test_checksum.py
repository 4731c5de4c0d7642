"""Checksums: the plain Python CRC is the fast one, and both are the standards' own."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from requorum.etcdfiles import checksum


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", 0),
        (b"123456789", 0xE3069283),
        (bytes(32), 0x8A9136AA),
        (b"\xff" * 32, 0x62A8AB43),
        (bytes(range(32)), 0x46DD794E),
        (bytes(range(31, -1, -1)), 0x113FDB5C),
    ],
)
def test_crc32c_is_the_one_of_rfc_3720(data: bytes, expected: int) -> None:
    """Both implementations give the values that RFC 3720 (B.4) prints, and the check value of CRC-32C."""
    assert checksum.crc32c_python(data) == expected
    assert checksum.crc32c(data) == expected


@settings(deadline=None)
@given(data=st.binary(max_size=300), seed=st.integers(0, 0xFFFFFFFF))
def test_the_plain_crc_equals_the_fast_one(data: bytes, seed: int) -> None:
    """A host without the library computes the same values, from any seed and for any kind of buffer."""
    expected = checksum.crc32c(data, seed)
    assert checksum.crc32c_python(data, seed) == expected
    assert checksum.crc32c_python(memoryview(data), seed) == expected
    assert checksum.crc32c(memoryview(data), seed) == expected


@settings(deadline=None)
@given(data=st.binary(max_size=300), cut=st.integers(0, 300))
def test_a_crc_goes_on_where_it_stopped(data: bytes, cut: int) -> None:
    """The CRC of two pieces, one seeded with the other, is the CRC of the whole: a WAL's chain rests on it."""
    for crc in (checksum.crc32c, checksum.crc32c_python):
        assert crc(data[cut:], crc(data[:cut])) == crc(data)


@settings(deadline=None)
@given(first=st.binary(max_size=300), second=st.binary(max_size=300), zeroes=st.sampled_from([0, 1, 1 << 20]))
def test_two_crcs_are_joined(first: bytes, second: bytes, zeroes: int) -> None:
    """The CRC of two runs, from those of each and the length of the second."""
    second += bytes(zeroes)
    joined = checksum.crc32c_joined(checksum.crc32c(first), checksum.crc32c(second), len(second))
    assert joined == checksum.crc32c(first + second)


@settings(deadline=None)
@given(data=st.binary(min_size=1, max_size=300), where=st.integers(0), bit=st.integers(0, 7))
def test_one_flipped_bit_always_shows(data: bytes, where: int, bit: int) -> None:
    """Neither checksum ever misses a single flipped bit."""
    flipped = bytearray(data)
    flipped[where % len(data)] ^= 1 << bit
    assert checksum.crc32c(flipped) != checksum.crc32c(data)
    assert checksum.fnv1a64(flipped) != checksum.fnv1a64(data)


@pytest.mark.parametrize(
    ("data", "expected"),
    [(b"", 0xCBF29CE484222325), (b"a", 0xAF63DC4C8601EC8C), (b"foobar", 0x85944171F73967E8)],
)
def test_fnv1a64_is_the_published_one(data: bytes, expected: int) -> None:
    """The values of the FNV authors' test suite."""
    assert checksum.fnv1a64(data) == expected
