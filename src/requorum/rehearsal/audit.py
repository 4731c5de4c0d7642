"""The audit: every write that a client saw acknowledged, looked for on every member by itself.

An operation that was not answered may have happened or not; both are right. A write is lost when the member's history
lacks it at the revision that the client was told or, where the history was compacted, when the final state is older.
"""

import ssl
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from requorum.rehearsal.gateway import Gateway, NoAnswer, Stored
from requorum.rehearsal.load import DELETE, KEYS, PUT, Operation


@dataclass(frozen=True, slots=True, kw_only=True)
class Audit:
    """What was found. ``lost`` are acknowledged writes that some member lacks; ``wrong`` is anything that must never
    be: foreign values, members that differ, writes whose guard had failed."""

    acknowledged: int
    lost: tuple[Operation, ...]
    wrong: tuple[str, ...]
    with_history: bool
    surfaced: int


def audit(operations: Sequence[Operation], members: Mapping[str, str], context: ssl.SSLContext | None = None) -> Audit:
    """Read every member (name to client URL) by serializable reads, and compare."""
    acknowledged = [one for one in operations if one.acknowledged]
    lost: set[Operation] = set()
    wrong: list[str] = []
    states: dict[str, dict[str, Stored]] = {}
    with_history, surfaced = True, 0
    for name, url in members.items():
        gateway = Gateway(url, timeout=30, context=context)
        try:
            state = {kv.key: kv for kv in gateway.read_all() if kv.key.startswith(KEYS)}
            revision = gateway.revision()
            missing, bad, surfaced = _final_state(operations, state)
            lost |= missing
            wrong += [f"{name}: {text}" for text in bad]
            try:
                lost |= _history(acknowledged, gateway.history(1, revision)) if revision > 1 else set(acknowledged)
            except NoAnswer as err:
                if "compacted" not in str(err):
                    raise
                with_history = False
        finally:
            gateway.close()
        states[name] = state
    first = next(iter(states.values()), {})
    wrong += [f"{name} differs from {next(iter(states))}" for name, state in states.items() if state != first]
    return Audit(
        acknowledged=len(acknowledged),
        lost=tuple(sorted(lost, key=lambda one: one.revision)),
        wrong=tuple(wrong),
        with_history=with_history,
        surfaced=surfaced,
    )


def _final_state(operations: Sequence[Operation], state: Mapping[str, Stored]) -> tuple[set[Operation], list[str], int]:
    """The acknowledged writes that the final state lacks, what must never be, and how many unanswered writes are there."""
    told: dict[str, list[Operation]] = defaultdict(list)
    unanswered: dict[str, list[Operation]] = defaultdict(list)
    for one in operations:
        if one.acknowledged:
            told[one.key].append(one)
        elif one.revision == 0 and one.key:
            unanswered[one.key].append(one)
    lost: set[Operation] = set()
    wrong: list[str] = []
    surfaced = 0
    for key in told.keys() | unanswered.keys():
        acked = sorted(told[key], key=lambda one: one.revision)
        maybe = unanswered[key]
        found = state.get(key)
        if found is None:
            if not any(one.kind == DELETE for one in maybe):
                lost |= set(_after_last_delete(acked))
            continue
        match = next((one for one in acked if one.kind == PUT and one.revision == found.mod_revision), None)
        if match is not None:
            if (match.value, match.lease) != (found.value, found.lease):
                wrong.append(f"{key} at revision {found.mod_revision} is not what was written")
            lost |= {one for one in acked if one.revision > found.mod_revision}
        elif any(one.kind == PUT and one.value == found.value for one in maybe):
            surfaced += 1
            lost |= {one for one in acked if one.revision > found.mod_revision}
        else:
            wrong.append(f"{key} holds a value that nobody wrote at revision {found.mod_revision}")
    wrong += [f"{key} is there, but nobody wrote it" for key in state.keys() - told.keys() - unanswered.keys()]
    return lost, wrong, surfaced


def _after_last_delete(acked: Sequence[Operation]) -> list[Operation]:
    """The acknowledged puts of a key that is not there, but for those that were deleted again."""
    out: list[Operation] = []
    for one in acked:
        out = [] if one.kind == DELETE else [*out, one]
    return out


def _history(acknowledged: Iterable[Operation], events: Iterable[tuple[bool, Stored]]) -> set[Operation]:
    """The acknowledged writes that a member's history lacks."""
    seen = {(kv.mod_revision, kv.key): (deleted, kv) for deleted, kv in events}
    lost = set()
    for one in acknowledged:
        deleted, kv = seen.get((one.revision, one.key), (None, None))
        if kv is None or deleted != (one.kind == DELETE) or (one.kind == PUT and kv.value != one.value):
            lost.add(one)
    return lost
