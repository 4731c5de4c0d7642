"""What is drawn: clusters, pasts, damage, and how a case is played."""

from pathlib import Path
from random import Random

from lab import etcds
from requorum.rehearsal import damage
from tests.damage import bits, cases, pasts
from tests.damage.trial import Drawn, Mode


def cluster_of(seed: str, root: Path, versions: tuple[str, ...]) -> cases.Killed:
    """The cluster of a seed."""
    rng = Random(seed)
    members = rng.choice([1] + [3] * 8 + [5])
    learner = members == 3 and rng.random() < 0.25
    replaced = members == 3 and not learner and rng.random() < 0.2
    return cases.kill(
        root,
        etcds.folder_of(rng.choice(versions)),
        rng.randrange(1 << 30),
        members=members,
        writes=rng.randrange(300, 1200),
        snapshot_count=rng.choice([100, 250, 1000, 10_000]),
        wal_files=rng.choice([1] * 10 + [2, 3]),
        compact=rng.random() < 0.4,
        leaders=rng.choice([0, 0, 1, 2]) if members > 1 else 0,
        cut_off=members > 1 and not replaced and rng.random() < 0.35,
        learner=learner,
        replaced=replaced,
        with_past=True,
    )


def every_meta_bit(seed: str, root: Path, versions: tuple[str, ...]) -> cases.Killed:
    """Three members whose dbs lag their logs: one bit of one of them is flipped in every case."""
    rng = Random(seed)
    return cases.kill(
        root,
        etcds.folder_of(rng.choice(versions)),
        rng.randrange(1 << 30),
        writes=400,
        compact=True,
        with_past=True,
    )


def damage_of(names: list[str], rng: Random) -> dict[str, tuple[str, ...]]:
    """Damage for each member: mostly one thing each, sometimes two, sometimes none."""
    log, db = [*damage.LOG, *bits.LOG], [*damage.DB, *bits.DB]
    out: dict[str, tuple[str, ...]] = {}
    for name in names:
        dice = rng.random()
        if dice < 0.15:
            continue
        if dice < 0.22:
            out[name] = ("disk gone",)
        elif dice < 0.55:
            out[name] = (rng.choice(log),)
        elif dice < 0.85:
            out[name] = (rng.choice(db),)
        else:
            out[name] = (rng.choice(log), rng.choice(db))
    return out


def case_of(names: list[str], rng: Random, only: tuple[str, ...] = (), meta_bit: int | None = None) -> Drawn:
    """What is done in a case. ``only``: the pasts to draw from; ``meta_bit``: this bit of a meta bucket is flipped."""
    weighted = {name: weight for name, (weight, _) in pasts.ALL.items() if not only or name in only}
    dice = rng.random()
    some: list[str] = []
    broken: dict[str, tuple[str, ...]] = {}
    if meta_bit is not None:
        return Drawn(mode="words", pasts=(), damage={names[meta_bit % len(names)]: (bits.NTH.format(meta_bit),)})
    if dice < 0.05 and not only:
        pass  # a power cut, and nothing else
    elif dice < 0.25 and not only:
        broken = damage_of(names, rng)
    elif dice < 0.37 and not only:  # one bit on one member: the rest is whole
        broken = {rng.choice(names): (rng.choice([*bits.ALL, *bits.DB]),)}
    else:
        some = rng.choices([*weighted], weights=[*weighted.values()], k=1 if rng.random() < 0.8 else 2)
        some = [*dict.fromkeys(some)]
        if rng.random() < 0.25:
            broken = {rng.choice(names): (rng.choice([*damage.LOG, *damage.DB, *bits.ALL]),)}
    dice = rng.random()
    mode: Mode = "full" if dice < 0.2 else "halfway" if dice < 0.25 else "words"
    if some and some[-1] in pasts.LIVES_ON and not broken and rng.random() < 0.5:
        mode = "living"
    return Drawn(mode=mode, pasts=tuple(some), damage=broken)
