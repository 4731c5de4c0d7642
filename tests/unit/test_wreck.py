"""A file's fingerprint: what was written where, whether zeroes lie on the disk or are a hole."""

from pathlib import Path

from requorum.rehearsal.wreck import content_of

SIZE = 1 << 20


def sparse(path: Path, *written: tuple[int, bytes]) -> str:
    """The fingerprint of a file with holes but for what is written."""
    with path.open("wb") as file:
        file.truncate(SIZE)
        for at, data in written:
            file.seek(at)
            file.write(data)
    return content_of(path)


def test_zeroes_are_a_hole(tmp_path: Path) -> None:
    """The same bytes have the same fingerprint, however they lie on the disk."""
    raw = bytearray(SIZE)
    raw[300_000:300_003] = b"abc"
    (tmp_path / "whole").write_bytes(raw)
    assert content_of(tmp_path / "whole") == sparse(tmp_path / "a", (300_000, b"abc"))


def test_every_byte_counts(tmp_path: Path) -> None:
    """One byte in a hole, at another place, at the very end, or more: another fingerprint each."""
    path = tmp_path / "a"
    found = [
        sparse(path),
        sparse(path, (300_000, b"a")),
        sparse(path, (300_001, b"a")),
        sparse(path, (300_000, b"b")),
        sparse(path, (300_000, b"a"), (SIZE - 1, b"a")),
        sparse(path, (300_000, b"a"), (SIZE, b"\0")),
    ]
    assert len(set(found)) == len(found)
