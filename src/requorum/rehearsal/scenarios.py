"""The scenarios: what is wrecked, what is expected, and how requorum is driven through it."""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from requorum.rehearsal import damage, events, wreck
from requorum.rehearsal.cluster import Member
from requorum.rehearsal.stage import Stage


class Vacuous(Exception):
    """The damage did not hit what it was meant to hit: the scenario proves nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """One way to lose a cluster.

    ``wreck`` damages the disks of the killed members, or raises :class:`Vacuous`. ``verdict`` is what requorum must
    say, ``nothing_lost`` whether every acknowledged write must survive. ``course`` is how requorum is driven: straight
    through, killed midway and resumed, or rolled back in between. ``snapshot``: one is taken halfway through the load.
    ``event`` happens halfway through, too; ``later`` members are configured, but not part of the cluster at first.
    ``last`` happens just before all are killed. ``blind``: no log is left to count from, so more may be lost than what
    the disks show; that must be said.
    """

    name: str
    about: str
    wreck: Callable[[list[Member], Random], None]
    verdict: str
    nothing_lost: bool
    course: str = "straight"
    snapshot: bool = False
    least_members: int = 1
    event: Callable[[Stage], None] | None = None
    last: Callable[[Stage], None] | None = None
    later: int = 0
    blind: bool = False


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


def _wals_gone(members: list[Member], rng: Random) -> None:
    for member in members:
        damage.wal_gone(member.data_dir, rng)


def _diverge_one(members: list[Member], rng: Random) -> None:
    """A member that does not hold the highest log alone: the others can start without it."""
    disks = {member.name: wreck.look(member) for member in members}
    lowest = min(members, key=lambda one: (disks[one.name].last_term, disks[one.name].last_index))
    damage.value_flipped(lowest.data_dir, rng)


def _tails_flipped(members: list[Member], rng: Random) -> None:
    """Every log that is there loses one entry that no db holds, each another one."""
    hit: set[int] = set()
    for member in members:
        if member.data_dir.exists():
            hit.add(damage.tail_flipped(member.data_dir, rng, hit))


def _restart_leader(stage: Stage) -> None:
    events.restart_leader(stage.members, stage.running, stage.etcd_dir)


def _cut_leader_off(stage: Stage) -> None:
    events.cut_leader_off(stage.members, stage.running)


def _add_member(stage: Stage) -> None:
    events.add_member(stage.members, stage.members[-1])


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
        name="wal-gone",
        about="every WAL is gone, the dbs stay: etcd would start, and swallow writes",
        wreck=_wals_gone,
        verdict="rebuild",
        nothing_lost=False,
        blind=True,
    ),
    Scenario(
        name="diverged",
        about="one member's data differs from the others', which no etcd sees",
        wreck=_diverge_one,
        verdict="start as is",
        nothing_lost=True,
        least_members=3,
    ),
    Scenario(
        name="mixed-terms",
        about="leaders changed, the last one was cut off while it went on; then a bit flipped in every WAL's tail",
        wreck=_tails_flipped,
        verdict="rebuild",
        nothing_lost=True,
        least_members=3,
        event=_restart_leader,
        last=_cut_leader_off,
    ),
    Scenario(
        name="member-added-in-the-tail",
        about="a member was added just before the power cut; a bit flipped in every WAL's tail",
        wreck=_tails_flipped,
        verdict="rebuild",
        nothing_lost=True,
        least_members=3,
        last=_add_member,
        later=1,
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
