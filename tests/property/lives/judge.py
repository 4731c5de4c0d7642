"""Whether what is said of them is true."""

from collections.abc import Iterator, Sequence

from requorum.survey.evidence import Piece, Survey
from requorum.verdict.basis import start_loss
from requorum.verdict.decide import decide
from requorum.verdict.values import Source, Verdict

from .past import CLUSTER, Disk, Entry, Life, drawn
from .reported import made_of, survey_of


def lies(life: Life, survey: Survey, verdict: Verdict) -> Iterator[str]:
    """What is said and not true."""
    named = {one.subject for one in verdict.findings if "contradicts what is checked" in one.text}
    shown = {number for n, disk in life.disks.items() if f"m{n}" not in named for number in disk.shown}
    shown -= _deposed(life)
    forgotten = bool(life.forgetful) and not life.majority_of_logs
    of_a_fork = bool(life.forced & life.cut)

    def excused(lost: set[int], at_most: int, refuted: str) -> bool:
        of_it = of_a_fork and lost - shown <= life.of_a_fork
        return (forgotten or of_it) and not refuted and len(lost & shown) <= at_most

    def held(who: str, member: str, state: set[int], at_most: int, proven: bool) -> Iterator[str]:
        lost = life.acknowledged - state
        refuted = life.refuted(life.disks[int(member[1:])].cluster)
        if not proven:
            if len(lost & shown) > at_most:
                yield f"{who}: {at_most} said (unproven), {len(lost & shown)} lie whole on a disk and are lost"
            return
        if refuted and life.acknowledged:
            yield f"{who}: called proven, but {refuted}"
        elif len(lost) > at_most and not excused(lost, at_most, refuted):
            yield f"{who}: {at_most} said, {len(lost)} lost, {len(lost & shown)} of them on a disk"

    for source in verdict.sources:
        if source.loss.known:
            state = {one.number for one in _built(life, source)}
            yield from held(source.id, source.member, state, source.loss.at_most, not source.loss.unproven)
    if verdict.start is not None:
        loss = start_loss(verdict.basis)
        for leader in [] if loss.at_most < 0 else _electable(life, verdict.start.first):
            state = {one.number for one in leader.writes(len(leader.log))}
            yield from held(
                f"start, led by m{leader.member}", f"m{leader.member}", state, loss.at_most, not loss.unproven
            )


def _deposed(life: Life) -> set[int]:
    """What old images show of a leader that was deposed by right, as all disks tell it: behind everything that is known to be
    committed, and of a lower term than another log goes on with."""
    left = [one for one in life.disks.values() if one.cluster == CLUSTER and not one.gone and not one.no_log]
    known = max((disk.commit for disk in left), default=0)
    logs = [one for one in left if one.member not in life.forced and one.log]
    head = max(logs, key=lambda one: one.last, default=None)
    if head is None:
        return set()
    held = {one.number for one in head.log}
    return {
        one.number
        for disk in logs
        for at, one in enumerate(disk.log, 1)
        if at > known and one.term < head.last[0] and one.number not in held
    }


def _built(life: Life, source: Source) -> list[Entry]:
    pieces: Sequence[Piece] = source.pieces
    if not pieces and source.to_index > source.from_index:
        pieces = (Piece(member=source.member, first=source.from_index + 1, last=source.to_index, why=""),)
    return made_of(life, source.member if source.db else "", source.from_index, pieces)


def _electable(life: Life, first: Sequence[str]) -> list[Disk]:
    there = [life.disks[int(name[1:])] for name in first]
    need = 1 if len(first) == 1 else life.majority
    return [one for one in there if sum(other.last <= one.last for other in there) >= need]


def judged(seed: int) -> list[str]:
    """The lies of one seed."""
    life = drawn(seed)
    survey = survey_of(life)
    return [*lies(life, survey, decide(survey))]
