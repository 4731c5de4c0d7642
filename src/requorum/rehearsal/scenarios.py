"""The scenarios: what is wrecked, what is expected, and how requorum is driven through it."""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from requorum.rehearsal import damage, wreck
from requorum.rehearsal.cluster import Member


class Vacuous(Exception):
    """The damage did not hit what it was meant to hit: the scenario proves nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """One way to lose a cluster.

    ``wreck`` damages the disks of the killed members, or raises :class:`Vacuous`. ``verdict`` is what requorum must
    say, ``nothing_lost`` whether every acknowledged write must survive. ``course`` is how requorum is driven: straight
    through, killed midway and resumed, or rolled back in between. ``snapshot``: one is taken halfway through the load.
    """

    name: str
    about: str
    wreck: Callable[[list[Member], Random], None]
    verdict: str
    nothing_lost: bool
    course: str = "straight"
    snapshot: bool = False
    least_members: int = 1


def _nothing(members: list[Member], rng: Random) -> None:
    """The power cut itself is all that happened."""


def _flip_below(members: list[Member], rng: Random) -> None:
    for member in members:
        disk = wreck.look(member)
        index = rng.randrange(disk.consistent_index // 2, disk.consistent_index - 10)
        if not wreck.flip_entry(member, index, rng):
            raise Vacuous(f"{member.name}: entry {index} was not hit")


def _flip_above(members: list[Member], rng: Random) -> None:
    for member in members:
        disk = wreck.look(member)
        if disk.last_index < disk.consistent_index + 2:
            raise Vacuous(f"{member.name}: its log holds nothing above its db")
        index = rng.randrange(disk.consistent_index + 1, disk.last_index)
        if not wreck.flip_entry(member, index, rng):
            raise Vacuous(f"{member.name}: entry {index} was not hit")


def _one_left(members: list[Member], rng: Random) -> None:
    disks = {member.name: wreck.look(member) for member in members}
    kept = max(members, key=lambda one: (disks[one.name].last_term, disks[one.name].last_index))
    for member in members:
        if member is not kept:
            wreck.lose_disk(member)


def _all_lost(members: list[Member], rng: Random) -> None:
    for member in members:
        wreck.lose_disk(member)


def _each_differently(members: list[Member], rng: Random) -> None:
    """The highest log stays whole, but its db does not; the others' dbs stay, but their logs do not."""
    disks = {member.name: wreck.look(member) for member in members}
    one, second, *rest = sorted(
        members, key=lambda one: (disks[one.name].last_term, disks[one.name].last_index), reverse=True
    )
    damage.leaf_zeroed(one.data_dir, rng)
    damage.tail_flipped(second.data_dir, rng)
    for member in rest:
        damage.last_wal_cut_in_a_record(member.data_dir, rng)


def _dbs_torn(members: list[Member], rng: Random) -> None:
    for member, tear in zip(members, (damage.leaf_zeroed, damage.root_zeroed, damage.db_cut), strict=False):
        tear(member.data_dir, rng)


SCENARIOS = (
    Scenario(
        name="every-member-broken-differently",
        about="a db page destroyed on one, a bit flipped in the WAL of the second, the WAL of the third cut",
        wreck=_each_differently,
        verdict="rebuild",
        nothing_lost=True,
        least_members=2,
    ),
    Scenario(
        name="power-cut",
        about="every member killed at once, nothing else broken",
        wreck=_nothing,
        verdict="start as is",
        nothing_lost=True,
    ),
    Scenario(
        name="wal-corrupt-below",
        about="every WAL has a flipped bit below what its db holds",
        wreck=_flip_below,
        verdict="rebuild",
        nothing_lost=True,
    ),
    Scenario(
        name="wal-corrupt-above",
        about="every WAL has a flipped bit above what its db holds",
        wreck=_flip_above,
        verdict="rebuild",
        nothing_lost=False,
    ),
    Scenario(
        name="db-torn",
        about="every db is torn, each in another place; the logs reach back to the start",
        wreck=_dbs_torn,
        verdict="rebuild",
        nothing_lost=True,
    ),
    Scenario(
        name="one-disk-left",
        about="all disks but the one with the highest log are lost",
        wreck=_one_left,
        verdict="rebuild",
        nothing_lost=True,
        least_members=2,
    ),
    Scenario(
        name="from-snapshot",
        about="all disks are lost, a snapshot is left",
        wreck=_all_lost,
        verdict="rebuild",
        nothing_lost=False,
        snapshot=True,
    ),
    Scenario(
        name="tool-killed",
        about="requorum is killed midway, and resumed",
        wreck=_flip_below,
        verdict="rebuild",
        nothing_lost=True,
        course="killed",
    ),
    Scenario(
        name="rollback",
        about="a recovery is rolled back, then done again",
        wreck=_flip_below,
        verdict="rebuild",
        nothing_lost=True,
        course="rolled back",
    ),
)
DEFAULT = "every-member-broken-differently"


def named(name: str) -> list[Scenario]:
    """The scenarios of that name, or that begin with it."""
    exact = [one for one in SCENARIOS if one.name == name]
    return exact or [one for one in SCENARIOS if one.name.startswith(f"{name}-")]
