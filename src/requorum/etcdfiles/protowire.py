"""The protobuf wire format, read and written by hand: etcd's messages are few and their fields never change."""

from typing import Iterator, Tuple, Union

from requorum.etcdfiles.checksum import Buffer

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5


class WireError(ValueError):
    """Bytes that are not a protobuf message."""


def read_varint(data: Buffer, at: int) -> Tuple[int, int]:
    """The unsigned varint at ``at``, and where the next byte lies."""
    end = len(data)
    if at < end and data[at] < 0x80:  # most are of one byte
        return data[at], at + 1
    value = shift = 0
    while True:
        if at >= end:
            raise WireError("a varint runs past the end")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            if value >> 64:
                raise WireError("a varint is longer than 64 bits")
            return value, at
        shift += 7
        if shift > 63:
            raise WireError("a varint is longer than 64 bits")


def fields(data: Buffer) -> Iterator[Tuple[int, int, Union[int, memoryview]]]:
    """Each field of a message: its number, its wire type, and its value (a view for length-delimited ones)."""
    view = memoryview(data)
    at, end = 0, len(view)
    while at < end:
        tag = view[at]
        at += 1
        if tag > 0x7F:
            tag, at = read_varint(view, at - 1)
        number, wire = tag >> 3, tag & 7
        if number == 0:
            raise WireError("field number 0")
        if wire == VARINT:
            value, at = read_varint(view, at)
            yield number, wire, value
            continue
        if wire == BYTES:
            size, at = read_varint(view, at)
        elif wire == FIXED64:
            size = 8
        elif wire == FIXED32:
            size = 4
        else:
            raise WireError(f"wire type {wire}")
        if size > end - at:
            raise WireError("a field runs past the end")
        yield number, wire, view[at : at + size]
        at += size


def signed(value: int) -> int:
    """The int64 that an unsigned varint stands for."""
    return value - (1 << 64) if value >> 63 else value


def varint(value: int) -> bytes:
    """An unsigned (or two's complement) 64-bit integer as a varint."""
    value &= 0xFFFFFFFFFFFFFFFF
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def int_field(number: int, value: int) -> bytes:
    """One varint field."""
    return varint(number << 3) + varint(value)


def bytes_field(number: int, value: Buffer) -> bytes:
    """One length-delimited field."""
    return varint(number << 3 | BYTES) + varint(len(value)) + bytes(value)
