"""One flipped bit: anywhere in a db, in a value of its meta bucket, in a WAL file, in a ``.snap`` file."""

from collections.abc import Callable
from pathlib import Path
from random import Random

from requorum.rehearsal.damage import Missed, flip_bit
from tests.damage import rawdisk


def _db(data_dir: Path) -> Path:
    return data_dir / "member" / "snap" / "db"


def meta_value_places(data_dir: Path) -> list[tuple[str, int, int]]:
    """(name, byte in the db file, bit) of every bit of every value in the meta bucket."""
    try:
        found = rawdisk.meta_values(_db(data_dir))
    except (rawdisk.Unreadable, OSError) as err:
        raise Missed(f"no meta bucket: {err}") from err
    return [
        (name.decode(errors="replace"), at + byte, bit)
        for name, (at, value) in found.items()
        for byte in range(len(value))
        for bit in range(8)
    ]


def in_a_meta_value(data_dir: Path, rng: Random) -> None:
    """One bit of consistent index, term, confState, a compact revision or the storage version."""
    places = meta_value_places(data_dir)
    if not places:
        raise Missed("an empty meta bucket")
    # Each value as often as the others: confState is as long as all others together.
    wanted = rng.choice(sorted({name for name, _, _ in places}))
    _, at, bit = rng.choice([one for one in places if one[0] == wanted])
    flip(_db(data_dir), at, bit)


NTH = "bit {} of the meta bucket"
"""The name of one certain bit of all those in the meta bucket's values."""


def nth(name: str) -> int | None:
    """Which bit of the meta bucket a name means; None for any other name."""
    before, after = NTH.split("{}")
    inner = name.removeprefix(before).removesuffix(after)
    return int(inner) if name == NTH.format(inner) and inner.isdigit() else None


def the_nth_of_the_meta_bucket(data_dir: Path, number: int) -> None:
    """Flip the bit of that number; raises Missed behind the last one."""
    places = meta_value_places(data_dir)
    if number >= len(places):
        raise Missed(f"there are {len(places)} bits")
    _, at, bit = places[number]
    flip(_db(data_dir), at, bit)


def in_the_consistent_index(data_dir: Path, rng: Random) -> None:
    """One bit of the consistent index: of its lower four bytes, whose values look like others."""
    places = [one for one in meta_value_places(data_dir) if one[0] == "consistent_index"]
    if not places:
        raise Missed("no consistent index")
    _, at, bit = rng.choice(places[-32:])
    flip(_db(data_dir), at, bit)


def flip(path: Path, at: int, bit: int) -> None:
    """Flip bit ``bit`` of byte ``at``."""
    with path.open("r+b") as file:
        file.seek(at)
        byte = file.read(1)[0]
        file.seek(at)
        file.write(bytes([byte ^ 1 << bit]))


def in_the_db(data_dir: Path, rng: Random) -> None:
    """One bit anywhere in the pages of the db."""
    path = _db(data_dir)
    if not path.exists() or not path.stat().st_size:
        raise Missed("no db")
    raw = path.read_bytes()
    while True:  # etcd extends the file by zeroes that no page uses
        at = rng.randrange(len(raw))
        page = raw[at // 4096 * 4096 :][:4096]
        if page.strip(b"\0"):
            flip_bit(path, at, rng)
            return


def in_the_log(data_dir: Path, rng: Random) -> None:
    """One bit anywhere in the records of the WAL: heads, lengths, checksums, data."""
    files = [one for one in rawdisk.wal_files(data_dir) if one.suffix == ".wal"]
    if not files:
        raise Missed("no WAL file")
    path = rng.choice(files)
    last = 0
    for one in rawdisk.records(path):
        last = one.end
    if not last:
        raise Missed("no record")
    flip_bit(path, rng.randrange(last), rng)


def in_a_record_head(data_dir: Path, rng: Random) -> None:
    """One bit of a record's length, type or checksum."""
    files = [one for one in rawdisk.wal_files(data_dir) if one.suffix == ".wal"]
    found = [one for path in files for one in rawdisk.records(path)]
    if not found:
        raise Missed("no record")
    hit = rng.choice(found)
    flip_bit(hit.path, rng.randrange(hit.offset, max(hit.data_at, hit.offset + 12)), rng)


def in_a_snap(data_dir: Path, rng: Random) -> None:
    """One bit anywhere in a .snap file."""
    files = sorted((data_dir / "member" / "snap").glob("*.snap"))
    if not files:
        raise Missed("no .snap file")
    path = rng.choice(files)
    flip_bit(path, rng.randrange(path.stat().st_size), rng)


Flip = Callable[[Path, Random], None]
DB: dict[str, Flip] = {
    "bit in the meta bucket": in_a_meta_value,
    "bit of the consistent index": in_the_consistent_index,
    "bit in the db": in_the_db,
}
LOG: dict[str, Flip] = {
    "bit in the log": in_the_log,
    "bit in a record's head": in_a_record_head,
    "bit in a .snap": in_a_snap,
}
ALL = {**DB, **LOG}
