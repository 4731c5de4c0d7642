"""A WAL written anew, for the workbench: never into a folder that already holds one."""

import os
import struct
from typing import BinaryIO, Iterable

from requorum.etcdfiles import messages, protowire
from requorum.etcdfiles.checksum import crc32c
from requorum.etcdfiles.messages import Entry, HardState, SnapshotMark
from requorum.etcdfiles.walscan import CRC, ENTRY, METADATA, SNAPSHOT, STATE


class _Writer:
    def __init__(self, file: BinaryIO) -> None:
        self.file = file
        self.crc = 0

    def record(self, kind: int, data: bytes) -> None:
        """One frame, padded to 8 bytes; the checksum runs on (wal/encoder.go)."""
        body = protowire.int_field(1, kind)
        if kind == CRC:
            body += protowire.int_field(2, self.crc)
        else:
            self.crc = crc32c(data, self.crc)
            body += protowire.int_field(2, self.crc) + protowire.bytes_field(3, data)
        pad = -len(body) % 8
        length = len(body) | ((0x80 | pad) << 56 if pad else 0)
        self.file.write(struct.pack("<Q", length) + body + b"\0" * pad)


def write_wal(
    wal_dir: str,
    *,
    member_id: int,
    cluster_id: int,
    marks: Iterable[SnapshotMark],
    entries: Iterable[Entry],
    state: HardState,
) -> str:
    """Write one segment that holds everything, fsync it, and return its path. ``wal_dir`` must not exist yet.

    The order is the one etcd itself writes: checksum mark, metadata, snapshot marks, entries, and one hard state at the
    end whose commit covers them all. The file is then extended with zeroes, as etcd's own preallocated segments are.
    """
    os.mkdir(wal_dir, 0o700)
    path = os.path.join(wal_dir, f"{0:016x}-{0:016x}.wal")
    with open(path, "xb") as file:
        os.fchmod(file.fileno(), 0o600)
        writer = _Writer(file)
        writer.record(CRC, b"")
        writer.record(METADATA, messages.encode_wal_metadata(member_id, cluster_id))
        for mark in marks:
            writer.record(SNAPSHOT, messages.encode_snapshot_mark(mark))
        for entry in entries:
            writer.record(ENTRY, messages.encode_entry(entry))
        writer.record(STATE, messages.encode_hard_state(state))
        file.flush()
        file.truncate(max(file.tell() + (1 << 20), 1 << 20))
        os.fsync(file.fileno())
    folder = os.open(wal_dir, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
    return path
