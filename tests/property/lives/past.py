"""What raft did, and what somebody did to the disks then."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from random import Random

CLUSTER, OTHER = 0xC0FFEE, 0xBAD


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry; ``number`` tells it from every other one, ``voters`` are who votes once it is applied (None: no change)."""

    term: int
    number: int
    writes: bool = False
    voters: tuple[int, ...] | None = None


@dataclass(slots=True)
class Disk:
    """What a member has on its disk. ``at``: its db is at this entry, and holds the writes ``data``; ``base``: what a restored
    db was made of."""

    member: int
    log: list[Entry] = field(default_factory=list)
    term: int = 0
    at: int = 0
    data: tuple[Entry, ...] = ()
    db_term: int = 0
    commit: int = 0
    cluster: int = CLUSTER
    id: int = 0
    base: tuple[Entry, ...] = ()
    restored: bool = False
    end: str = "clean"
    holes: set[int] = field(default_factory=set)
    bad_db: bool = False
    no_db: bool = False
    no_log: bool = False
    gone: bool = False
    born: int = 1

    def apply(self, at: int) -> None:
        """Save the db at an entry."""
        self.at, self.data = at, tuple(self.writes(at))
        self.db_term = self.log[at - 1].term if at else 0

    def copy(self) -> "Disk":
        """As it is now."""
        return replace(self, log=[*self.log], holes={*self.holes})

    @property
    def last(self) -> tuple[int, int]:
        """(term, index)."""
        return (self.log[-1].term if self.log else 0), len(self.log)

    def writes(self, upto: int) -> list[Entry]:
        """What was written up to an entry."""
        return [*self.base, *(one for one in self.log[:upto] if one.writes)]

    @property
    def shown(self) -> set[int]:
        """The writes that lie whole on this disk."""
        out: set[int] = set()
        if self.gone:
            return out
        if not self.no_log:
            out |= {one.number for at, one in enumerate(self.log, 1) if one.writes and at not in self.holes}
        if not self.no_db and not self.bad_db:
            out |= {one.number for one in self.data}
        return out


class Life:
    """A cluster from its beginning to the survey."""

    def __init__(self, rng: Random) -> None:
        self.rng = rng
        self.count = 0
        self.size = rng.choice([1, 3, 3, 3, 3, 5])
        self.everyone = tuple(range(1, self.size + 1))
        boot = [self._entry(1, voters=self.everyone[: n + 1]) for n in range(self.size)]
        self.disks = {n: Disk(member=n, log=[*boot], commit=self.size, at=self.size, term=1) for n in self.everyone}
        self.learner = 0
        self.out = 0
        self.founders = self.everyone
        self.acknowledged: set[int] = set()
        self.of_a_fork: set[int] = set()
        self.leads: dict[int, int] = {}
        self.match: dict[int, dict[int, int]] = {}
        self.earlier: list[dict[int, Disk]] = []
        self.told: list[str] = []
        self.touched: set[int] = set()
        self.forgetful: set[int] = set()
        self.hurt: set[int] = set()
        self.foreign: set[int] = set()
        self.forced: set[int] = set()
        self.cut: set[int] = set()

    def _entry(self, term: int, *, writes: bool = False, voters: tuple[int, ...] | None = None) -> Entry:
        self.count += 1
        return Entry(term, self.count, writes, voters)

    # -- raft ---------------------------------------------------------------------------------------------------------

    @property
    def majority(self) -> int:
        """How many are more than half."""
        return self.size // 2 + 1

    def elect(self, candidate: int, asked: Sequence[int]) -> bool:
        """Who is asked votes for a candidate whose log is not behind its own, once a term."""
        one = self.disks[candidate]
        term = max(self.disks[n].term for n in {candidate, *asked}) + 1
        granted = [n for n in {candidate, *asked} if self.disks[n].last <= one.last]
        for n in granted:
            self.disks[n].term = term
        if len(granted) < self.majority:
            return False
        self.leads[candidate] = term
        self.match[candidate] = {candidate: len(one.log) + 1}
        one.log.append(self._entry(term))
        self._commit(candidate)
        return True

    def write(self, leader: int, number: int) -> None:
        """A leader, deposed without knowing it or not, appends to its own log."""
        one = self.disks[leader]
        if self.leads.get(leader) == one.term:
            for _ in range(number):
                one.log.append(self._entry(one.term, writes=self.rng.random() < 0.85))
            self.match[leader][leader] = len(one.log)
            self._commit(leader)

    def replicate(self, leader: int, follower: int, back: int = 0) -> None:
        """A follower takes a leader's log, but for its last ``back`` entries."""
        one, other = self.disks[leader], self.disks[follower]
        if follower == leader or self.leads.get(leader) != one.term or other.term > one.term:
            return
        upto = max(len(one.log) - back, self.match[leader].get(follower, 0))
        shared = 0
        while shared < min(len(one.log), len(other.log)) and one.log[shared] == other.log[shared]:
            shared += 1
        if shared < max(other.commit, other.at):
            return  # etcd panics: what it knows to be committed is not there
        if other.log[:upto] != one.log[:upto]:
            other.log = one.log[:upto]
        other.term = one.term
        if follower in self.everyone:
            self.match[leader][follower] = upto
            self._commit(leader)
        other.commit = max(other.commit, min(one.commit, upto))

    def _commit(self, leader: int) -> None:
        one = self.disks[leader]
        held = sorted(self.match[leader].values(), reverse=True)
        upto = held[self.majority - 1] if len(held) >= self.majority else 0
        if upto > one.commit and one.log[upto - 1].term == one.term:
            one.commit = upto
            self.acknowledged |= {entry.number for entry in one.log[:upto] if entry.writes}

    def live(self, steps: int, among: Sequence[int] = ()) -> None:
        """Elections, writes and half-done replications."""
        who = [*(among or self.everyone)]
        for _ in range(steps):
            leaders = [n for n in who if self.leads.get(n) == self.disks[n].term]
            what = self.rng.choice(["write", "write", "replicate", "replicate", "all", "all", "elect"])
            if what == "elect" or not leaders:
                asked = who if self.rng.random() < 0.6 else [n for n in who if self.rng.random() < 0.6]
                self.elect(self.rng.choice(who), asked)
            elif what == "write":
                self.write(self.rng.choice(leaders), self.rng.randint(1, 4))
            elif what == "all":
                leader = self.rng.choice(leaders)
                for n in [*who, *who, *([self.learner] if self.learner else [])]:
                    self.replicate(leader, n)
            else:
                others = [*who, *([self.learner] if self.learner else [])]
                self.replicate(self.rng.choice(leaders), self.rng.choice(others), self.rng.randint(0, 3))
            self._apply()
            self.earlier.append({n: disk.copy() for n, disk in self.disks.items()})

    def _apply(self) -> None:
        for disk in self.disks.values():
            if self.rng.random() < 0.3 and disk.commit > disk.at:
                disk.apply(self.rng.randint(disk.at, disk.commit))

    # -- what somebody did ----------------------------------------------------------------------------------------------

    def touch(self, n: int) -> None:
        """Its log is not as the crash left it."""
        self.touched.add(n)

    def voters_left(self) -> list[int]:
        """Voters whose disks nobody has touched yet."""
        return [n for n in self.everyone if n not in self.touched]

    def a_voter(self) -> int:
        """One of them; 0 for none."""
        left = self.voters_left()
        return self.rng.choice(left) if left else 0

    def set_back(self) -> None:
        """To images of one earlier time."""
        moment = self.rng.choice(self.earlier)
        for _ in range(self.rng.choice([1, 1, 2, self.size])):
            n = self.a_voter()
            if n:
                self.disks[n] = moment[n].copy()
                self.touch(n)
                self.forgetful.add(n)

    def force(self) -> None:
        """``--force-new-cluster`` on one, perhaps used for a while."""
        n = self.a_voter()
        if not n or self.size == 1:
            return
        disk = self.disks[n]
        disk.log = disk.log[: max(disk.commit, self.size)]
        left = self.everyone
        for other in [one for one in self.everyone if one != n]:
            left = tuple(one for one in left if one != other)
            disk.log.append(self._entry(max(disk.term, 1), voters=left))
        if self.learner:  # it is thrown out with the others
            disk.log.append(self._entry(max(disk.term, 1), voters=left))
        disk.term += 1
        disk.log.append(self._entry(disk.term))
        for _ in range(self.rng.choice([0, 0, 1, 3])):
            entry = self._entry(disk.term, writes=True)
            disk.log.append(entry)
            self.acknowledged.add(entry.number)
            self.of_a_fork.add(entry.number)
        disk.commit = len(disk.log)
        disk.apply(self.rng.randint(max(disk.at, self.size), disk.commit))
        self.touch(n)
        self.foreign.add(n)
        self.forgetful.add(n)
        self.forced.add(n)

    def _blank(self, n: int) -> Disk:
        boot = self.earlier[0][n].log[: len(self.founders)]
        return Disk(member=n, log=[*boot], commit=len(boot), at=len(boot), term=1)

    def booted_new(self) -> None:
        """Wiped, and booted again as a new cluster under the same token."""
        chosen = []
        for _ in range(self.rng.choice([1, 1, 2, self.size])):
            n = self.a_voter()
            if n:
                chosen.append(n)
                self.touch(n)
                self.foreign.add(n)
                self.forgetful.add(n)
                self.disks[n] = self._blank(n)
        if len(chosen) >= self.majority and not self.out:
            self.leads, self.match = {}, {}
            self.live(self.rng.randint(1, 3), chosen)

    def false_quorum(self) -> None:
        """One log is damaged, one was set back, one was wiped and joined again: two serve, and have forgotten."""
        if self.size != 3 or len(self.voters_left()) < 3 or self.out:
            return
        hurt, back, wiped = self.rng.sample(self.everyone, 3)
        self.damage(hurt, "hole")
        self.disks[back] = self.rng.choice(self.earlier)[back].copy()
        self.touch(back)
        self.forgetful.add(back)
        self.disks[wiped] = Disk(member=wiped, term=0)
        self.touch(wiped)
        self.forgetful.add(wiped)
        self.foreign.add(wiped)
        self.leads, self.match = {}, {}
        if self.elect(back, [wiped]):
            self.replicate(back, wiped)
            self.live(self.rng.randint(1, 6), [back, wiped])
            self.disks[wiped].born = self.disks[back].term

    def restored(self) -> None:
        """One or more were restored from a snapshot of an earlier or the last state: with flags, or as clusters of one."""
        source = self.rng.choice([*self.earlier[-4:], self.disks])[self.rng.choice(self.everyone)]
        made = tuple(source.writes(source.commit))
        alone = self.rng.random() < 0.5
        same = self.rng.random() < 0.5
        for _ in range(self.rng.choice([1, 1, 2, self.size])):
            n = self.a_voter()
            if not n:
                break
            own = 99 if same else 90 + n
            these = (own,) if alone else tuple(90 + one for one in self.everyone)
            log = [Entry(1, -(one + 1), False, these[: one + 1]) for one in range(len(these))]
            cluster = OTHER if alone and same else OTHER + n if alone else OTHER + 50
            self.disks[n] = Disk(
                member=n,
                log=log,
                commit=len(log),
                at=len(log),
                term=1,
                cluster=cluster,
                id=own if alone else 90 + n,
                base=made,
                data=made,
                restored=True,
            )
            self.touch(n)
            self.forgetful.add(n)
            self.foreign.add(n)

    def joined_again(self) -> None:
        """Wiped, and joined again under its old id, while the others ran."""
        n = self.a_voter()
        others = [one for one in self.everyone if one != n]
        if not n or len(others) < self.majority or self.touched - {n}:
            return
        self.leads, self.match = {}, {}
        leader = self.rng.choice(others)
        if not self.elect(leader, others):
            return
        self.live(self.rng.randint(0, 3), others)
        self.disks[n] = Disk(member=n)
        leaders = [one for one in others if self.leads.get(one) == self.disks[one].term]
        if leaders:
            self.replicate(leaders[0], n)
            self.disks[n].born = self.disks[n].term
        self.touch(n)
        self.forgetful.add(n)
        self.foreign.add(n)

    def copied_over(self) -> None:
        """One member's data dir was copied over another's."""
        source, target = self.a_voter(), self.a_voter()
        if not source or source == target:
            return
        copy = self.disks[source].copy()
        copy.id = copy.id or source
        self.disks[target] = copy
        self.touch(target)
        self.hurt.add(target)

    def remove(self) -> None:
        """A member is removed by the book; its disk stays where it is."""
        leaders = [n for n in self.everyone if self.leads.get(n) == self.disks[n].term]
        highest = max(self.disks[n].term for n in self.everyone)
        leaders = [n for n in leaders if self.disks[n].term == highest]
        if self.size < 3 or not leaders:
            return
        leader = leaders[0]
        out = self.rng.choice([n for n in self.everyone if n != leader])
        for n in self.everyone:
            self.replicate(leader, n)
        left = tuple(n for n in self.everyone if n != out)
        self.disks[leader].log.append(self._entry(self.disks[leader].term, voters=left))
        self.match[leader][leader] = len(self.disks[leader].log)
        for n in self.everyone:
            if n != out or self.rng.random() < 0.5:
                self.replicate(leader, n)
        assert self.disks[leader].commit == len(self.disks[leader].log)
        for n in (*left, *left):
            self.replicate(leader, n)
        self.everyone, self.size = left, len(left)
        self.match[leader].pop(out, None)
        self.out = out

    def damage(self, n: int, what: str) -> None:
        """A disk of the kinds that a crash or a failing drive leaves."""
        disk = self.disks[n]
        log = what in ("hole", "cut", "broken", "silent", "torn", "no log", "gone")
        if log:
            self.touch(n)
            if what in ("silent", "torn"):
                self.forgetful.add(n)
                self.cut.add(n)
            else:
                self.hurt.add(n)
        if what == "gone":
            disk.gone = True
        elif what == "no log":
            disk.no_log = True
        elif what == "no db":
            disk.no_db = True
        elif what == "bad db":
            disk.bad_db = True
        elif disk.log and what == "hole":
            disk.holes.add(self.rng.randint(1, len(disk.log)))
        elif disk.log and what in ("cut", "broken", "silent", "torn"):
            keep = len(disk.log) - self.rng.choice([1, 1, 2, 5]) if what != "torn" else len(disk.log) - 1
            disk.log = disk.log[: max(keep, 0)]
            disk.end = {"silent": "clean"}.get(what, what)
            disk.commit = min(disk.commit, len(disk.log))
        self.told.append(f"m{n}: {what}")

    # -- the truth -----------------------------------------------------------------------------------------------------

    @property
    def majority_of_logs(self) -> bool:
        """Whether a majority of the logs is as the crash left them."""
        return sum(n not in self.touched for n in self.everyone) >= self.majority

    def refuted(self, cluster: int = CLUSTER) -> str:
        """Why some committed index of a cluster cannot have been held by a majority of the logs as they are."""
        known = [
            disk.commit
            for n, disk in self.disks.items()
            if not disk.gone and not disk.no_log and n not in self.foreign and disk.cluster == cluster
        ]
        committed = max(known, default=0)
        short = [
            n
            for n in self.everyone
            if not self.disks[n].gone
            and not self.disks[n].no_log
            and not self.disks[n].holes
            and self.disks[n].end == "clean"
            and (len(self.disks[n].log) < committed or self.disks[n].restored)
            and (n not in self.hurt or n in self.forgetful)
            and n not in self.forced
            and self.disks[n].log
        ]
        if self.out:
            return ""  # its removal was committed by those who voted before: who that was depends on the entry
        if not committed or self.size - len(set(short)) >= self.majority or self.majority_of_logs:
            return ""
        return f"entry {committed} is known to be committed, and {short} end before it"


PASTS: tuple[Callable[[Life], None], ...] = (
    Life.set_back,
    Life.force,
    Life.booted_new,
    Life.false_quorum,
    Life.restored,
    Life.joined_again,
    Life.copied_over,
)
DAMAGE = ("hole", "hole", "cut", "broken", "silent", "torn", "no log", "no db", "bad db", "gone")


def drawn(seed: int) -> Life:
    """A cluster, its life, its past and its damage."""
    rng = Random(seed)
    life = Life(rng)
    life.elect(1, life.everyone)
    life.write(1, 6)
    for n in (*life.everyone, *life.everyone):
        life.replicate(1, n)
    life.earlier.append({n: disk.copy() for n, disk in life.disks.items()})
    if life.size > 1 and rng.random() < 0.2:
        life.learner = life.size + 1
        life.disks[life.learner] = Disk(member=life.learner)
    life.live(rng.randint(2, 8))
    if rng.random() < 0.2:
        life.remove()
    life.live(rng.randint(1, 8))
    for disk in life.disks.values():
        if disk.at > len(disk.log):
            disk.apply(len(disk.log))
    pasts = [rng.choice(PASTS) for _ in range(rng.choice([0, 1, 1, 1, 2]))]
    if Life.set_back in pasts or Life.force in pasts:
        pasts = [one for one in pasts if one is not Life.restored]
    for past in pasts:
        life.told.append(past.__name__)
        past(life)
    for _ in range(rng.choice([0, 0, 1, 1, 2, 3])):
        left = [n for n in life.disks if n not in life.touched]
        if left:
            life.damage(rng.choice(left), rng.choice(DAMAGE))
    return life
