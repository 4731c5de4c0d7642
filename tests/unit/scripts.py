"""Scripts of evidence: a few lines that say what the disks hold, and what must be said of them.

One line for each member, by words: ``m1 db 90 log 1-100``. Entry N writes revision N. The words:

- ``gone``: nothing is left; ``denied``: its files may not be read
- ``db N``: its db is at entry N; ``revision R`` where that is another, ``index I`` where it claims another index,
  ``moved N WHY`` and ``refuted WHY``: what the log says of that
- ``log A-B``: its log; ``terms 1:2,95:3`` the terms from which entry on, ``commit C``, ``hole H``, ``end cut``, ``blank``,
  ``born T``, ``id N``, ``voters 1,2``, ``learners 3``, ``forced N`` (from entry N on it votes alone)
- ``alive R@I``: it answers with a leader, at revision R after entry I

Other lines: ``fork 80: m1 | m2 m3`` (the logs differ from entry 80 on, though not in terms), ``snapshot N`` (a saved snapshot
at revision N), ``compared 40: m1 a | m2 b`` (what members hold up to a revision), ``seen N`` (a revision that was served).

Behind ``=>`` stand the row of the table and the verdict; each line after that must be found in what is said.
"""

import dataclasses
import shlex
from dataclasses import dataclass

from requorum.survey.evidence import (
    Comparison,
    DbEvidence,
    Footing,
    Fork,
    LiveEvidence,
    MemberEvidence,
    Stand,
    Survey,
    Unknown,
)
from requorum.verdict.decide import decide
from requorum.verdict.values import Verdict

from .evidence import GONE, THREE, alive, db, log, member, peers, snapshot, survey, voters

DENIED = Unknown(unknown="/d/member/snap/db: Permission denied")


@dataclass(frozen=True)
class Script:
    """What a script says that the disks hold, and what must be said of them."""

    evidence: Survey
    rule: str
    kind: str
    said: tuple[str, ...]


def parse(text: str) -> Script:
    """Read a script."""
    before, _, after = text.partition("=>")
    members: list[MemberEvidence] = []
    forks: list[Fork] = []
    compared: list[Comparison] = []
    snapshots, seen = [], 0
    for line in filter(None, (one.strip() for one in before.splitlines())):
        first, _, rest = line.partition(" ")
        if first == "fork":
            index, _, groups = rest.partition(":")
            split = tuple(tuple(one.split()) for one in groups.split("|"))
            forks.append(Fork(index=int(index), term=2, groups=split))
        elif first == "compared":
            revision, _, stands = rest.partition(":")
            pairs = [one.split() for one in stands.split("|")]
            those = tuple(Stand(member=name, value=value) for name, value in pairs)
            compared.append(Comparison(what=f"the records up to revision {revision}", stands=those))
        elif first == "snapshot":
            snapshots.append(snapshot(int(rest), peers(*THREE)))
        elif first == "seen":
            seen = int(rest)
        else:
            members.append(_member(int(first[1:]), shlex.split(rest)))
    head, *said = [one.strip() for one in after.strip().splitlines()]
    rule, _, kind = head.partition(" ")
    found = dataclasses.replace(
        survey(*members, snapshots=snapshots),
        forks=tuple(forks),
        compared=tuple(compared),
        logs_compared=True,
        seen_revision=seen,
    )
    return Script(evidence=found, rule=rule, kind=kind, said=tuple(said))


def _member(number: int, words: list[str]) -> MemberEvidence:
    its_db: DbEvidence | None = None
    its_log = None
    live: LiveEvidence | None = None
    took = iter(words)
    said: dict[str, str] = {}
    for word in took:
        if word in ("gone", "blank", "denied"):
            said[word] = word
        elif word in ("moved",):
            said[word] = f"{next(took)} {next(took)}"
        else:
            said[word] = next(took)
    those = tuple(int(one) for one in said.get("voters", "1,2,3").split(","))
    learners = tuple(int(one) for one in said["learners"].split(",")) if "learners" in said else ()
    own = int(said.get("id", number))
    if "db" in said:
        at = int(said["db"])
        its_db = db(at, revision=int(said.get("revision", -1)), of=peers(*those, *learners, learners=learners))
        if "index" in said:
            its_db = dataclasses.replace(its_db, consistent_index=int(said["index"]))
        if "moved" in said:
            index, why = said["moved"].split(" ", 1)
            its_db = dataclasses.replace(its_db, footing=Footing(kind="moved", index=int(index), why=why))
        if "refuted" in said:
            its_db = dataclasses.replace(its_db, footing=Footing(kind="refuted", index=0, why=said["refuted"]))
    forced = ((int(said["forced"]), (own,)),) if "forced" in said else ()
    if "log" in said:
        first, _, last = said["log"].partition("-")
        pairs = [one.split(":") for one in said["terms"].split(",")] if "terms" in said else []
        its_log = log(
            own,
            int(last),
            first=int(first),
            terms=[(int(a), int(b)) for a, b in pairs],
            commit=int(said.get("commit", -1)),
            hole=int(said.get("hole", 0)),
            end=said.get("end", "clean"),
            sets=voters((0, those), *forced, learners=learners),
        )
        blank = "blank" in said
        its_log = dataclasses.replace(
            its_log,
            blank=blank,
            founders=those,
            born_term=int(said.get("born", 1)),
            possible_writes=() if blank else its_log.possible_writes,
            peers=peers(*those, *learners, learners=learners),
        )
    if "alive" in said:
        revision, _, index = said["alive"].partition("@")
        live = dataclasses.replace(
            alive(own),
            revision=int(revision),
            raft_index=int(index),
            applied_index=int(index),
            members=peers(*those, *learners, learners=learners),
        )
    nothing = DENIED if "denied" in said else GONE
    return member(number, its_db or nothing, its_log or nothing, live=live, of=THREE)


def everything(verdict: Verdict) -> str:
    """All that a verdict says."""
    loss = [text for one in verdict.sources[:1] for text in (*one.loss.why, one.loss.unproven)]
    findings = [f"{one.subject}: {one.text}" for one in verdict.findings]
    return "\n".join([verdict.summary, *verdict.proof, *loss, *findings])


def play(text: str) -> None:
    """Assert that a script holds."""
    script = parse(text)
    verdict = decide(script.evidence)
    told = everything(verdict)
    assert (verdict.rule, verdict.kind) == (script.rule, script.kind), told
    for one in script.said:
        if one.startswith("not "):
            assert one.removeprefix("not ") not in told, told
        else:
            assert one in told, told
