"""The decision as a table: one row for each case, and exactly one row for any combination of facts.

The decision that can lose data is readable here, and nowhere else. A row's letter is what report, documents and tests quote.
``ANY`` stands for every value of a fact.
"""

from dataclasses import dataclass, fields
from typing import Literal

from requorum.verdict import values

ANY = ""
Alive = Literal["none", "led", "quorum", "all"]
Conflict = Literal["none", "false quorum", "different data"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What the decision depends on.

    ``clusters``: whether the disks are of one cluster, or nothing tells of which. ``alive``: whether members answer with a
    leader: none, too few for a quorum (led), a quorum, all of them. ``conflict``: whether what serves contradicts a stopped
    disk (false quorum) or itself (different data). ``data``: whether members that went through one log hold the same, a
    majority outvotes the rest, or nobody can tell (tie). ``histories``: whether the logs tell one history, several of which
    one can be chosen (decided), or several that each hold what the others lack (open). ``start``: whether the cluster can
    start on the disks it has. ``sources``: whether there is anything to rebuild from. ``audit``: whether the second
    computation of the loss agrees with the first. ``read``: whether everything could be read.
    """

    clusters: Literal["one", "several"]
    alive: Alive
    conflict: Conflict
    data: Literal["same", "tie"]
    histories: Literal["one", "decided", "open"]
    start: Literal["can", "cannot"]
    sources: Literal["some", "none"]
    audit: Literal["agrees", "disagrees"]
    read: Literal["all", "not all"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A row: the facts that it is for (several values of one fact are separated by ``|``), the outcome, and why."""

    letter: str
    outcome: values.Outcome
    why: str
    clusters: str = ANY
    alive: str = ANY
    conflict: str = ANY
    data: str = ANY
    histories: str = ANY
    start: str = ANY
    sources: str = ANY
    audit: str = ANY
    read: str = ANY

    def fits(self, facts: Facts) -> bool:
        """Whether the row is for these facts."""
        return all(
            getattr(self, one.name) == ANY or getattr(facts, one.name) in getattr(self, one.name).split("|")
            for one in fields(facts)
        )


_LIVES = "led|quorum|all"

RULES = (
    Rule(
        letter="A",
        outcome=values.UNDECIDED,
        why="the disks belong to several clusters, or to one that nobody expects: only the operator knows which is meant",
        clusters="several",
    ),
    Rule(
        letter="B",
        outcome=values.UNDECIDED,
        why="what serves has forgotten, or may have thrown away, what a stopped disk holds: whoever replaces that disk "
        "destroys what is left",
        clusters="one",
        alive=_LIVES,
        conflict="false quorum",
    ),
    Rule(
        letter="C",
        outcome=values.UNDECIDED,
        why="members serve with different data: whatever is done next makes one of them right",
        clusters="one",
        alive=_LIVES,
        conflict="different data",
    ),
    Rule(
        letter="D",
        outcome=values.HEALTHY,
        why="every member answers with a leader, and nothing contradicts them",
        clusters="one",
        alive="all",
        conflict="none",
    ),
    Rule(
        letter="E",
        outcome=values.REPLACE_MEMBERS,
        why="a quorum serves, and no stopped disk proves more than it has: a restore would throw away what it holds",
        clusters="one",
        alive="quorum",
        conflict="none",
    ),
    Rule(
        letter="F",
        outcome=values.UNDECIDED,
        why="a member answers with a leader, although too few are seen for a quorum: what lives is never stopped by a count",
        clusters="one",
        alive="led",
        conflict="none",
    ),
    Rule(
        letter="G",
        outcome=values.UNDECIDED,
        why="members that went through one log hold different data, and none has a majority",
        clusters="one",
        alive="none",
        data="tie",
    ),
    Rule(
        letter="H",
        outcome=values.UNDECIDED,
        why="the logs tell several histories under one name, and each holds what the others lack",
        clusters="one",
        alive="none",
        data="same",
        histories="open",
    ),
    Rule(
        letter="I",
        outcome=values.START_AS_IS,
        why="a majority can start on its own disks, one of them holds the highest log, and it is proven that this is all",
        clusters="one",
        alive="none",
        data="same",
        histories="one|decided",
        start="can",
        audit="agrees",
    ),
    Rule(
        letter="J",
        outcome=values.REBUILD,
        why="the disks cannot be started as they are, and what loses least is known",
        clusters="one",
        alive="none",
        data="same",
        histories="one|decided",
        start="cannot",
        sources="some",
        audit="agrees",
    ),
    Rule(
        letter="K",
        outcome=values.NOTHING,
        why="everything was read, and nothing of it can be used",
        clusters="one",
        alive="none",
        data="same",
        histories="one|decided",
        start="cannot",
        sources="none",
        read="all",
    ),
    Rule(
        letter="L",
        outcome=values.UNDECIDED,
        why="nothing that was read can be used, but not everything could be read",
        clusters="one",
        alive="none",
        data="same",
        histories="one|decided",
        start="cannot",
        sources="none",
        read="not all",
    ),
    Rule(
        letter="M",
        outcome=values.UNDECIDED,
        why="the members could start, but the second computation of the loss finds entries that they lack",
        clusters="one",
        alive="none",
        data="same",
        histories="one|decided",
        start="can",
        audit="disagrees",
    ),
    Rule(
        letter="N",
        outcome=values.UNDECIDED,
        why="there is something to rebuild from, but the second computation of its loss finds more than the first",
        clusters="one",
        alive="none",
        data="same",
        histories="one|decided",
        start="cannot",
        sources="some",
        audit="disagrees",
    ),
)


def rule_for(facts: Facts) -> Rule:
    """The one row for these facts."""
    (found,) = (one for one in RULES if one.fits(facts))
    return found
