"""What a plan promises less than the one that the operator agreed to. Pure.

Whatever is named here was not agreed to: it is asked about again, or, where nobody can be asked, refused.
"""

import re

from requorum.procedures.values import Plan
from requorum.verdict.words import loss_text

_RANK = {"start as is": 0, "rebuild": 1}
_NUMBERS = re.compile(r"[0-9]+")
_OWN = re.compile(r"\.(requorum|fenced)-[0-9]{8}-[0-9]{6}-[0-9a-z]+")
"""What a run's own fence adds to the name of a configuration file: the setting in it is the same."""


def weaker(agreed: Plan, now: Plan) -> tuple[str, ...]:
    """Each point in which ``now`` is less than what was ``agreed``; empty when it is as good in all of them."""
    return (
        *_kind(agreed, now),
        *_source(agreed, now),
        *_loss(agreed, now),
        *_proof(agreed, now),
        *_bump(agreed, now),
        *_members(agreed, now),
        *_warnings(agreed, now),
        *_dangers(agreed, now),
    )


def _kind(agreed: Plan, now: Plan) -> tuple[str, ...]:
    if _RANK.get(now.kind, 2) <= _RANK.get(agreed.kind, 2):
        return ()
    return (f"it was to be {agreed.kind!r}, and is {now.kind!r} now: {now.summary}",)


def _source(agreed: Plan, now: Plan) -> tuple[str, ...]:
    before, after = agreed.source, now.source
    if before is None or after is None:
        return ()
    if after.id != before.id:
        fewer = now.loss_at_most >= 0 and (now.loss_at_most < agreed.loss_at_most or agreed.loss_at_most < 0)
        return () if fewer else (f"the source {before.id} is not the one any more; it is {after.id} now",)
    if after.db != before.db:
        return (f"the source {after.id} is another file now: {after.db}, it was {before.db}",)
    out = []
    if after.to_index < before.to_index:
        out.append(f"the source {after.id} goes to entry {after.to_index} only, it went to {before.to_index}")
    if before.revision_exact and after.revision < before.revision:  # else it was a bound
        out.append(f"the source {after.id} comes to revision {after.revision} only, it was to be {before.revision}")
    if before.revision_exact and not after.revision_exact:
        out.append(f"the revision that {after.id} comes to is not known exactly any more")
    return tuple(out)


def _loss(agreed: Plan, now: Plan) -> tuple[str, ...]:
    known = now.loss_at_most >= 0
    if agreed.loss_at_most < 0 or (known and now.loss_at_most <= agreed.loss_at_most):
        return ()
    bound = f"at most {now.loss_at_most} writes lost" if known else "the loss cannot be known"
    said = loss_text(now.source.loss) if now.source else bound
    before = loss_text(agreed.source.loss) if agreed.source else "no write lost"
    return (f"more may be lost: {said}; it was: {before}",)


def _proof(agreed: Plan, now: Plan) -> tuple[str, ...]:
    before = agreed.unproven or (agreed.source.loss.unproven if agreed.source else "")
    return () if before or not now.unproven else (f"the proof that nothing else was lost is gone: {now.unproven}",)


def _bump(agreed: Plan, now: Plan) -> tuple[str, ...]:
    if agreed.bump or not now.bump:
        return ()
    return (f"the revision must be raised by {now.bump} now: clients must not be given one a second time",)


def _members(agreed: Plan, now: Plan) -> tuple[str, ...]:
    started = {one.name for one in agreed.started}
    out = [
        f"{one.name} would stay fenced now" + (f": {one.why}" if one.why else "")
        for one in now.members
        if one.role == "leave fenced" and one.name in started
    ]
    there = {one.name for one in now.members}
    return (*out, *(f"{name} would be no member any more" for name in sorted(started - there)))


def _warnings(agreed: Plan, now: Plan) -> tuple[str, ...]:
    """Warnings of a kind that was not there before. Those of a lost proof, and of members that stay fenced, are told by
    the fields that they come from."""
    before = {_kind_of(one) for one in agreed.warnings}
    own = ("that nothing else was lost is not proven", "stays fenced until it is replaced")
    return tuple(one for one in now.warnings if _kind_of(one) not in before and not any(words in one for words in own))


def _dangers(agreed: Plan, now: Plan) -> tuple[str, ...]:
    """Findings of danger of a kind that was not there before; a plan of an earlier version did not write them down. What is
    wrong with a disk that is not used, and was not to be, is no less than was agreed to."""
    if agreed.dangers is None:
        return ()
    before = {_kind_of(one) for one in agreed.dangers}
    fenced = {one.name for one in agreed.members if one.role == "leave fenced"}
    unused = {one.name for one in now.members if one.role == "leave fenced"} & fenced
    return tuple(
        f"danger: {one}"
        for one in now.dangers or ()
        if _kind_of(one) not in before and one.partition(": ")[0] not in unused
    )


def _kind_of(text: str) -> str:
    """A warning without what may change from one look to the next: its numbers, and the reason behind its second colon."""
    subject, _, rest = _OWN.sub("", text).partition(": ")
    return _NUMBERS.sub("#", f"{subject}: {rest.partition(': ')[0]}")
