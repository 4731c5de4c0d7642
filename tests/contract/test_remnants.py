"""A backup that is ahead of the disks, and compacted beyond all that they hold: what nobody has changed since ties it to them."""

import shutil
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from random import Random

import anyio
import pytest

from requorum.etcdfiles import mvcc, remnants
from requorum.rehearsal import cluster
from requorum.rehearsal.gateway import Gateway, b64
from requorum.survey import gather
from requorum.verdict import values
from requorum.verdict.decide import decide
from requorum.verdict.values import Verdict

from .test_other_lives import Life, live

KEY = "00ff" * 16


@pytest.fixture
def lives(tmp_path: Path, etcd_dir: Path) -> Iterator[Callable[[Life], Path]]:
    """``lives(life)``: a member lives so, and goes on when it is called again; a copy of its data dir."""
    (member,) = cluster.lay_out(tmp_path / "one", 1, etcd_dir, "one")

    def lived(life: Life) -> Path:
        live(member, etcd_dir, life)
        copy = tmp_path / f"copy-{len(list(tmp_path.iterdir()))}"
        shutil.copytree(member.data_dir, copy)
        return copy

    yield lived
    cluster.end_all_below(tmp_path)


def store(gateway: Gateway, rng: Random, writes: int, *, kept: int = 30, says: str = "") -> None:
    """Some keys that are written once, and others that are written and deleted again and again."""
    for at in range(kept):
        gateway.call("/v3/kv/put", {"key": b64(f"kept/{at}/{rng.random()}"), "value": b64(f"once{says}")})
    for _ in range(writes):
        key = b64(f"busy/{rng.randrange(20)}")
        if rng.random() < 0.2:
            gateway.call("/v3/kv/deleterange", {"key": key})
        else:
            gateway.call("/v3/kv/put", {"key": key, "value": b64(f"{rng.random()}{says}")})


def compact(gateway: Gateway) -> None:
    """All that was overwritten or deleted goes."""
    gateway.call("/v3/kv/compaction", {"revision": str(gateway.revision()), "physical": True})


def store_and_compact(gateway: Gateway, rng: Random, writes: int) -> None:
    """The same, and then nothing is left of it but what lives."""
    store(gateway, rng, writes)
    compact(gateway)


def db_of(data_dir: Path) -> str:
    """Its db."""
    return str(data_dir / "member/snap/db")


def judged(disk: Path, backup: Path) -> Verdict:
    """The verdict on one disk, and a backup."""
    return decide(anyio.run(partial(gather.survey_dirs, in_full=True, snapshots=[backup]), [disk]))


@pytest.mark.parametrize("seed", range(3))
def test_what_is_left_of_an_earlier_time(lives: Callable[[Life], Path], seed: int) -> None:
    """Whatever was written, deleted and compacted since: all that a later db still tells of an earlier one's time is in that one,
    at that one's revision and at any before it that it knows. A record that was altered is missed."""
    rng = Random(seed)
    stages = [lives(lambda gateway: store(gateway, rng, 60)) for _ in range(3)]
    later = lives(lambda gateway: store_and_compact(gateway, rng, 150))
    for one in stages:
        facts = mvcc.read_facts(db_of(one))
        assert facts.revision < mvcc.read_facts(db_of(later)).compact_revision
        for revision in (facts.revision, facts.revision - rng.randrange(1, 60)):
            found = remnants.matched(db_of(one), revision, KEY, remnants.remnants_of(db_of(later), revision, KEY))
            assert (found.missing, found.held >= 20) == (0, True)
            assert 0 < found.revision <= revision
        raw = Path(db_of(one)).read_bytes()
        assert b"once" in raw
        Path(db_of(one)).write_bytes(raw.replace(b"once", b"0nce"))
        asked = remnants.remnants_of(db_of(later), facts.revision, KEY)
        assert remnants.matched(db_of(one), facts.revision, KEY, asked).missing >= 30


def test_a_backup_that_went_on_goes_before_the_disk(lives: Callable[[Life], Path]) -> None:
    """The disk was set back. However much it holds, the backup holds all of it but the newest: it is ranked first."""
    rng = Random(1)
    early = lives(lambda gateway: store(gateway, rng, 400, kept=100))
    later = lives(lambda gateway: store_and_compact(gateway, rng, 120))
    verdict = judged(early, Path(db_of(later)))
    best = verdict.sources[0]
    assert best.kind == values.SNAPSHOT
    assert best.loss.known
    assert best.loss.unproven
    assert best.bump == 1_000_000_000
    ahead = mvcc.read_facts(db_of(later)).revision - mvcc.read_facts(db_of(early)).revision
    assert best.loss.at_most < ahead <= next(one for one in verdict.sources if one is not best).loss.at_most


def test_a_backup_of_another_life(lives: Callable[[Life], Path], tmp_path: Path) -> None:
    """The cluster was made anew, with the same names: the old backup is ahead, and nothing of the disk's time in it is the
    disk's."""
    old = lives(lambda gateway: store_and_compact(gateway, Random(2), 300))
    shutil.rmtree(tmp_path / "one/m1/data")
    young = lives(lambda gateway: store(gateway, Random(3), 60, says="new"))
    verdict = judged(young, Path(db_of(old)))
    assert (verdict.rule, verdict.kind) == ("H", values.UNDECIDED)
    assert "another life" in verdict.summary
    assert not any(one.loss.known for one in verdict.sources if one.kind == values.SNAPSHOT)


def test_nothing_of_the_disks_time_is_left(lives: Callable[[Life], Path]) -> None:
    """Every key was written again: nothing can be told, and every write of the disk's log counts."""

    def busy(gateway: Gateway) -> None:
        for at in range(80):
            gateway.call("/v3/kv/put", {"key": b64(f"busy/{at % 5}"), "value": b64(str(at))})
        gateway.call("/v3/kv/deleterange", {"key": b64("busy/"), "range_end": b64("busy0")})

    early = lives(busy)

    def busy_and_compact(gateway: Gateway) -> None:
        busy(gateway)
        compact(gateway)

    later = lives(busy_and_compact)
    assert not remnants.remnants_of(db_of(later), mvcc.read_facts(db_of(early)).revision, KEY)
    found = next(one for one in judged(early, Path(db_of(later))).sources if one.kind == values.SNAPSHOT)
    assert found.loss.at_most >= 80
