"""The loss, computed a second time: by other means than the ranking, and with none of its code.

The ranking follows one history and counts what lies behind a source on it. This goes the other way: it takes every whole
entry that any disk holds, and asks of each whether the choice has it. What it has not must be in the loss that was promised,
or have been replaced by right: by an entry of a later term, of a log that goes on, and below nothing that is known to be
committed where it stands. The records of the dbs are held against the promised revision in the same way.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from requorum.survey.evidence import DbEvidence, Footing, Fork, LogEvidence, MemberEvidence, Survey, Tail
from requorum.verdict.values import Source, StartAsIs

_Span = tuple[int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Choice:
    """What a choice holds: entries, as (first, last, term), above ``floor``; below it what the db of ``base`` holds."""

    name: str
    cluster: int
    base: str
    floor: int
    spans: tuple[tuple[int, int, int], ...]
    revision: int
    at_most: int

    @property
    def end(self) -> int:
        """The last entry."""
        return max([self.floor, *(last for _, last, _ in self.spans)])

    @property
    def last_term(self) -> int:
        """The term of the last entry."""
        return max(self.spans, key=lambda one: one[1], default=(0, 0, 0))[2]

    def term(self, index: int) -> int:
        """The term of an entry, 0 where it is not told."""
        return next((term for first, last, term in self.spans if first <= index <= last), 0)


def audit_source(survey: Survey, source: Source) -> str:
    """What a source lacks beyond the loss that it was called with; empty when the two computations agree."""
    return _audited(survey, source)[1]


def missed(survey: Survey, source: Source) -> int:
    """How many writes a source lacks by this computation beyond the loss that it was called with."""
    count = _audited(survey, source)[0]
    return max(count - source.loss.at_most, 0)


def _audited(survey: Survey, source: Source) -> tuple[int, str]:
    if source.last_resort or not source.loss.known or source.kind == "snapshot":
        return 0, ""
    logs = {one.name: one.log for one in survey.members if isinstance(one.log, LogEvidence)}
    pieces = [(one.member, one.first, one.last) for one in source.pieces]
    if not pieces and source.to_index > source.from_index:
        pieces = [(source.member, source.from_index + 1, source.to_index)]
    spans = [span for name, first, last in pieces if name in logs for span in _clipped(logs[name], first, last)]
    source_members = [name for name, _, _ in pieces]
    base = source.member if source.db else ""
    choice = _Choice(
        name=source.id,
        cluster=next((logs[name].cluster_id for name in (source.member, *source_members) if name in logs), 0),
        base=base,
        floor=source.from_index,
        spans=tuple(spans),
        revision=source.revision if source.revision_exact else 0,
        at_most=source.loss.at_most,
    )
    return _judged(survey, choice)


def audit_start(survey: Survey, start: StartAsIs) -> str:
    """What the members that would be started lack together; empty when they lack nothing."""
    logs = [(one, one.log) for one in survey.members if one.name in start.members and isinstance(one.log, LogEvidence)]
    if not logs:
        return ""
    head, log = max(logs, key=lambda one: (one[1].last_term, one[1].last_index))
    first = min((run.first for run in log.runs), default=log.last_index + 1)  # it may end with the snapshot it was sent
    spans = _clipped(log, first, log.last_index)
    return _judged(
        survey,
        _Choice(
            name="the start",
            cluster=log.cluster_id,
            base=head.name,
            floor=max(first - 1, log.reads_from),  # what lies below the .snap that it starts from is in its db
            spans=tuple(spans),
            revision=0,
            at_most=0,
        ),
    )[1]


def _clipped(log: LogEvidence, first: int, last: int) -> list[tuple[int, int, int]]:
    return [
        (max(run.first, first), min(run.last, last), run.term)
        for run in log.runs
        if run.last >= first and run.first <= last
    ]


def _judged(survey: Survey, choice: _Choice) -> tuple[int, str]:
    """Hold the choice against every log and every db: how many writes it lacks, in words; 0 where that is within the promise."""
    logs = [(one.name, one.log) for one in survey.members if isinstance(one.log, LogEvidence)]
    base = next((log for name, log in logs if name == choice.base), None)
    ours = [log for _, log in logs if choice.cluster in (0, log.cluster_id)]
    top = max(ours, key=lambda log: (log.last_term, log.last_index), default=None)
    lacking: dict[int, list[_Span]] = {}
    names = set()
    for name, log in logs:
        if choice.cluster not in (0, log.cluster_id):
            continue
        quiet = _quiet(name, survey)
        parted = _parted(name, choice.base, survey.forks)
        for first, last, term in _lacks(log, quiet, base, top, choice, parted, _unheard_from(log, ours)):
            lacking.setdefault(term, []).append((first, last))
            names.add(name)
    count = sum(_size(spans) for spans in lacking.values())
    if count > choice.at_most:
        at = min(first for spans in lacking.values() for first, _ in spans)
        return count, (
            f"{choice.name} was to lose at most {choice.at_most} writes, and lacks {count} entries that "
            f"{' and '.join(sorted(names))} still hold, from entry {at} on"
        )
    return _revisions(survey, choice)


def _quiet(name: str, survey: Survey) -> list[int]:
    """Entries of a member's log that wrote nothing (their guards did not hold), by every replay without a doubt onto a db that
    neither its own log nor most of the others contradict. What was replayed need not lie in this log, if the same does."""
    fit = {one.name for one in survey.members if not (_contradicted(one) or _outvoted(one, survey))} | {""}
    tails = [
        (one.tail, [(one.name, 1, one.tail.to_index)])
        for one in survey.members
        if one.name in fit and isinstance(one.tail, Tail)
    ]
    for merged in survey.merged:
        if merged.base in fit and all(piece.proven for piece in merged.pieces):
            tails.append((merged.tail, [(one.member, one.first, one.last) for one in merged.pieces]))
    same = {one.name: _same(name, one.name, survey) for one in survey.members}
    replayed: set[int] = set()
    wrote: set[int] = set()
    for tail, parts in tails:
        if not tail.doubts:
            for member, first, last in parts:
                for low, high in same[member]:
                    replayed.update(range(max(first, low, tail.from_index + 1), min(last, high, tail.to_index) + 1))
                    for run in tail.writes:
                        wrote.update(range(max(first, low, run.first), min(last, high, run.last) + 1))
    return sorted(replayed - wrote)


def _same(name: str, other: str, survey: Survey) -> list[_Span]:
    """Where two members' logs hold the same entries."""
    logs = [
        one.log for at in (name, other) for one in survey.members if one.name == at and isinstance(one.log, LogEvidence)
    ]
    if len(logs) < 2 or logs[0].cluster_id != logs[1].cluster_id:
        return []
    parted = _parted(name, other, survey.forks)
    return [
        (max(one.first, two.first), min(one.last, two.last, parted - 1) if parted else min(one.last, two.last))
        for one in logs[0].runs
        for two in logs[1].runs
        if one.term == two.term and one.last >= two.first and two.last >= one.first
    ]


def _contradicted(member: MemberEvidence) -> bool:
    """Whether a db's own log contradicts it."""
    footing = member.db.footing if isinstance(member.db, DbEvidence) else None
    return isinstance(footing, Footing) and footing.kind in ("refuted", "altered", "unclear")


def _size(spans: Sequence[_Span]) -> int:
    """How many indexes some spans hold, each counted once."""
    total = end = 0
    for first, last in sorted(spans):
        total += max(last - max(first, end + 1) + 1, 0)
        end = max(end, last)
    return total


def _lacks(
    log: LogEvidence,
    quiet: Sequence[int],
    base: LogEvidence | None,
    top: LogEvidence | None,
    choice: _Choice,
    parted: int,
    unheard: int,
) -> Iterable[tuple[int, int, int]]:
    """The possible writes of a log that a choice has not, and that nothing replaced by right, as (first, last, term).

    A log is cut into stretches within which nothing changes that matters, so that the first entry speaks for all.
    """
    edges = {1, choice.floor + 1, parted, log.commit + 1, unheard}
    for first, last, _ in choice.spans:
        edges |= {first, last + 1}
    for run in (*(base.runs if base is not None else ()), *(top.runs if top is not None else ())):
        edges |= {run.first, run.last + 1}
    cuts = sorted(edges)
    for first, last in _writes(log, quiet):
        for run in log.runs:
            low, high = max(first, run.first), min(last, run.last)
            if low > high:
                continue
            begins = [low, *(at for at in cuts if low < at <= high)]
            for begin, end in zip(begins, [*(at - 1 for at in begins[1:]), high], strict=True):
                if unheard and begin >= unheard:
                    continue
                if not _held(begin, run.term, log, base, top, choice, parted):
                    yield begin, end, run.term


def _unheard_from(log: LogEvidence, ours: Sequence[LogEvidence]) -> int:
    """The entry from which on what a log holds cannot have been acknowledged, because its member had no vote any more, and a
    majority of those that had end before; 0 for none. A leader that was removed goes on for a moment."""
    in_force = [one for one in log.voter_sets if one.index <= log.commit]
    if not in_force or log.member_id in in_force[-1].voters or not in_force[-1].voters:
        return 0
    voters = dict.fromkeys(in_force[-1].voters, 0)
    read = [
        one
        for one in ours
        if one.member_id in voters and one.end_is_read and not one.blank and one.commit <= one.last_index
    ]  # one that ends before its own commit has lost more than that
    for one in read:
        voters[one.member_id] = max(voters[one.member_id], one.last_index)
    lowest = len(voters) // 2  # so many may hold more, and it is no majority
    ends = sorted(voters[number] for number in {one.member_id for one in read})
    if len(ends) <= lowest:
        return 0
    return max(ends[lowest], in_force[-1].index, *(one.commit for one in ours)) + 1


def _writes(log: LogEvidence, quiet: Sequence[int]) -> list[_Span]:
    """Where a log may hold writes: those that it tells, and all that it does not tell of, below."""
    out = [(1, log.classified_above)]
    for run in log.possible_writes:
        first = run.first
        for index in quiet[bisect_left(quiet, run.first) : bisect_right(quiet, run.last)]:
            out.append((first, index - 1))
            first = index + 1
        out.append((first, run.last))
    return [(first, last) for first, last in out if first <= last]


def _held(
    index: int,
    term: int,
    log: LogEvidence,
    base: LogEvidence | None,
    top: LogEvidence | None,
    choice: _Choice,
    parted: int,
) -> bool:
    """Whether a choice has an entry of a log, or does without it by right."""
    rewritten = bool(parted) and index >= parted
    own = choice.term(index)
    if own == term and not rewritten:
        return True
    if index <= choice.floor and not rewritten and not own:
        # A db holds it, unless the log that it was made from has an earlier term's entry there.
        other = next((run.term for run in base.runs if run.first <= index <= run.last), 0) if base else 0
        if not other or other >= term:
            return True
    # Replaced by right: the choice goes on in a later term, or the highest log of a later term has not got it either; and
    # nobody knew it to be committed.
    later = max(own, choice.last_term) > term
    if top is not None and top.last_term > term:
        later = later or not any(run.first <= index <= run.last and run.term == term for run in top.runs)
    return later and not rewritten and index > log.commit


def _parted(one: str, other: str, forks: Sequence[Fork]) -> int:
    """The entry from which on two members' logs hold other bytes under the same terms; 0 for none."""
    found = [
        fork.index
        for fork in forks
        if any(one in group for group in fork.groups)
        and any(other in group for group in fork.groups)
        and not any(one in group and other in group for group in fork.groups)
    ]
    return min(found, default=0)


def _revisions(survey: Survey, choice: _Choice) -> tuple[int, str]:
    """Whether some db holds records beyond what was promised."""
    if not choice.revision:
        return 0, ""
    for one in survey.members:
        db = one.db
        if not isinstance(db, DbEvidence) or not db.sound or _outvoted(one, survey):
            continue
        if isinstance(one.log, LogEvidence) and choice.cluster not in (0, one.log.cluster_id):
            continue
        if isinstance(db.footing, Footing) and db.footing.kind in ("refuted", "altered"):
            continue
        if db.last_revision > choice.revision + choice.at_most:
            return db.last_revision - choice.revision, (
                f"{choice.name} comes to revision {choice.revision} and was to lose at most {choice.at_most} writes, but "
                f"{one.name}'s db holds records up to revision {db.last_revision}"
            )
    return 0, ""


def _outvoted(member: MemberEvidence, survey: Survey) -> bool:
    """Whether most of the members that were compared at some point hold something else than this one."""
    for one in survey.compared:
        mine = [stand.value for stand in one.stands if stand.member == member.name]
        others = [stand.value for stand in one.stands if stand.member != member.name]
        if mine and len(others) > 1 and others.count(others[0]) == len(others) and others[0] != mine[0]:
            return True
    return False
