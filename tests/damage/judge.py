"""What was claimed, held against what clients were told and what is served afterwards.

It knows nothing of how requorum decides: it has claims, the client's own record, and records read from what was built or
is served. Three rules:

- called proven, a bound holds for every acknowledged write, unless disks forgot in a way that nothing shows: no majority
  of the logs is as the crash left it, no disk holds what is lost, and no commit index contradicts the logs;
- called unproven, a bound holds for what the disks still show;
- what is served is what was written, the same on every member.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from requorum.rehearsal.gateway import Gateway, NoAnswer, Stored
from requorum.rehearsal.load import DELETE, KEYS, PUT, Operation
from tests.damage import rawdisk
from tests.damage.said import Claim

Event = tuple[int, str, bool, str]
"""Revision, key, whether it is a deletion, value."""
FORK_KEYS = "/load/fork/"
"""How the keys begin that were written to one who had been forced to serve alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """What one member serves, or a snapshot holds. ``history`` is None where it was compacted."""

    where: str
    revision: int
    state: Mapping[str, tuple[int, str, int]]
    history: frozenset[Event] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """The truth of one case.

    ``lost``: acknowledged writes that some member lacks; ``altered``: its db has a record for it, but other bytes, and there
    is no other db to compare it with. ``shown``: values that lie whole on a disk that was given.
    ``wrong``: what was never written, or differs. ``forgotten``: disks may have lost their end in a way that nothing shows.
    ``fork_forgotten``: one that had been forced to serve alone did, so what only it was told can be gone without a trace.
    ``refuted``: why the disks contradict that each kept what it had fsynced (``doubtful``: an expert may at least ask).
    ``blind``: a value cannot be compared with any other. ``down``: why nothing could be read. ``leads``: a majority has a
    leader. ``usable``: which disks are as the crash left them.
    """

    lost: tuple[Operation, ...]
    altered: tuple[Operation, ...] = ()
    wrong: tuple[str, ...]
    revisions: Mapping[str, int]
    shown: frozenset[str] = frozenset()
    forgotten: bool = False
    fork_forgotten: bool = False
    refuted: str = ""
    doubtful: bool = False
    blind: bool = False
    down: str = ""
    leads: bool = True
    usable: str = ""

    @property
    def lost_and_shown(self) -> list[Operation]:
        """The lost writes that a disk still holds."""
        return [one for one in self.lost if one.kind == PUT and one.value in self.shown]

    def excused(self, at_most: int = 0) -> bool:
        """Whether nobody could have known that more than so many are lost."""
        shown = self.lost_and_shown
        unseen = [one for one in self.lost if one not in shown]
        of_it = self.fork_forgotten and all(one.key.startswith(FORK_KEYS) for one in unseen)
        return (self.forgotten or of_it) and not self.refuted and len(shown) <= at_most


@dataclass(frozen=True, slots=True, kw_only=True)
class Lie:
    """A claim that is false, and what shows it."""

    kind: str
    claim: str
    evidence: str


def from_url(where: str, url: str) -> Served:
    """Read a member by serializable reads; raises NoAnswer."""
    gateway = Gateway(url, timeout=20)
    try:
        state = {kv.key: _of(kv) for kv in gateway.read_all() if kv.key.startswith(KEYS)}
        revision = gateway.revision()
        history: frozenset[Event] | None = frozenset()
        try:
            if revision > 1:
                history = frozenset(
                    (kv.mod_revision, kv.key, deleted, "" if deleted else kv.value)
                    for deleted, kv in gateway.history(1, revision)
                )
        except NoAnswer as err:
            if "compacted" not in str(err) and "compact" not in str(err):
                raise
            history = None
        return Served(where=where, revision=revision, state=state, history=history)
    finally:
        gateway.close()


def _of(kv: Stored) -> tuple[int, str, int]:
    return kv.mod_revision, kv.value, kv.lease


def from_db(where: str, path: Path) -> Served:
    """Read a snapshot file; raises rawdisk.Unreadable."""
    kept = rawdisk.read_keys(path)
    meta = rawdisk.meta_values(path)
    state: dict[str, tuple[int, str, int]] = {}
    for one in kept:
        if one.deleted:
            state.pop(one.key, None)
        else:
            state[one.key] = (one.revision, one.value, one.lease)
    compacted = any(meta.get(name) for name in (b"scheduledCompactRev", b"finishedCompactRev"))
    marks = [int.from_bytes(value[:8], "big") for name, (_, value) in meta.items() if b"CompactRev" in name]
    return Served(
        where=where,
        revision=max([1, *marks, *(one.revision for one in kept)]),
        state={key: value for key, value in state.items() if key.startswith(KEYS)},
        history=None
        if compacted
        else frozenset((one.revision, one.key, one.deleted, "" if one.deleted else one.value) for one in kept),
    )


def altered(lost: Iterable[Operation], served: Sequence[Served]) -> tuple[Operation, ...]:
    """The lost writes for which there is a record, at the right revision and of the right key, with another value."""
    kept = {(revision, key) for at in served for revision, key, gone, _ in at.history or () if not gone}
    kept |= {(revision, key) for at in served for key, (revision, _, _) in at.state.items()}
    return tuple(one for one in lost if one.kind == PUT and (one.revision, one.key) in kept)


def compare(operations: Sequence[Operation], served: Sequence[Served]) -> tuple[tuple[Operation, ...], tuple[str, ...]]:
    """The acknowledged writes that some member lacks, and what must never be."""
    told: dict[str, list[Operation]] = defaultdict(list)
    maybe: dict[str, list[Operation]] = defaultdict(list)
    for one in operations:
        if one.acknowledged:
            told[one.key].append(one)
        elif one.revision == 0 and one.key:
            maybe[one.key].append(one)
    lost: set[Operation] = set()
    wrong: list[str] = []
    for at in served:
        lost |= _lacks(told, maybe, at)
        wrong += [f"{at.where}: {text}" for text in _strange(told, maybe, at)]
    first = served[0] if served else None
    for at in served[1:]:
        assert first is not None
        if at.state != first.state:
            keys = [key for key in {*at.state, *first.state} if at.state.get(key) != first.state.get(key)]
            wrong.append(f"{at.where} differs from {first.where} in {len(keys)} keys")
    return tuple(sorted(lost, key=lambda one: one.revision)), tuple(wrong)


def _lacks(told: Mapping[str, list[Operation]], maybe: Mapping[str, list[Operation]], at: Served) -> set[Operation]:
    lost: set[Operation] = set()
    for key, some in told.items():
        acked = sorted(some, key=lambda one: one.revision)
        found = at.state.get(key)
        if found is not None:
            lost |= {one for one in acked if one.revision > found[0]}
        elif not any(one.kind == DELETE for one in maybe.get(key, ())):
            for one in acked:
                lost = lost - set(acked) if one.kind == DELETE else lost | {one}
    if at.history is not None:
        for some in told.values():
            lost |= {one for one in some if (one.revision, one.key, one.kind == DELETE, one.value) not in at.history}
    return lost


def _strange(told: Mapping[str, list[Operation]], maybe: Mapping[str, list[Operation]], at: Served) -> Iterable[str]:
    for key, (revision, value, lease) in at.state.items():
        written = [one for one in told.get(key, ()) if one.kind == PUT and one.value == value]
        possible = [one for one in maybe.get(key, ()) if one.kind == PUT and one.value == value]
        if not written and not possible:
            yield f"{key} holds a value that nobody wrote, at revision {revision}"
        elif written and not possible and all(one.revision != revision for one in written):
            yield f"{key} stands at revision {revision}; the client was told {written[0].revision}"
        elif all(one.lease != lease for one in [*written, *possible]):
            yield f"{key} at revision {revision} has another lease"


def _some(lost: Sequence[Operation]) -> str:
    one = lost[0]
    return f"{len(lost)} acknowledged writes lost, the first: {one.kind} {one.key} at {one.revision}"


def hold(claim: Claim, found: Found) -> Lie | None:
    """A claim against the truth; None when it holds."""

    def lie(kind: str, evidence: str) -> Lie:
        return Lie(kind=kind, claim=f"{claim.by}: {claim.text}", evidence=evidence)

    shown = found.lost_and_shown
    if claim.kind == "loss" and claim.at_most >= 0:
        if found.down:
            return None  # nothing is served that it could be held against
        if known := [one for one in found.altered if one.value in found.shown]:
            return lie("altered", f"{_some(known)}: its db holds other bytes, a log that is given the right ones")
        if claim.proven and len(found.lost) > claim.at_most and not found.excused(claim.at_most):
            return lie("loss", f"{_some(found.lost)}; {claim.at_most} were said" + _why(found))
        if not claim.proven and len(shown) > claim.at_most:
            return lie("loss shown", f"{_some(shown)}, which a disk still holds whole; {claim.at_most} were said")
        if claim.proven and found.refuted:
            return lie("proof", f"called proven, but {found.refuted}")
    if claim.kind in ("healthy", "replace") and not found.down:
        if found.wrong:
            return lie(claim.kind, "; ".join(found.wrong[:3]))
        if found.lost and not found.excused():
            return lie(claim.kind, _some(found.lost) + " on what serves" + _why(found))
    if claim.kind in ("healthy", "replace") and found.down:
        return lie(claim.kind, found.down)
    if claim.kind == "start":
        if found.down:
            return lie("start", found.down)
        if found.wrong and not found.blind:
            return lie("wrong data", "; ".join(found.wrong[:3]))
    if claim.kind == "least revision" and not found.down:
        low = {name: at for name, at in found.revisions.items() if at < claim.number}
        if low:
            return lie("revision", f"at least {claim.number} was said; {low}")
    if claim.kind == "exact revision":
        other = {name: at for name, at in found.revisions.items() if at != claim.number}
        if other:
            return lie("revision", f"{claim.number} was said; {other}")
        if found.wrong and not found.blind:
            return lie("wrong data", "; ".join(found.wrong[:3]))
    if claim.kind == "nothing" and found.usable:
        return lie("nothing", found.usable)
    if claim.kind == "no quorum" and found.leads and not found.down:
        return lie("no quorum", "a majority answers, and has a leader")
    return None


def _why(found: Found) -> str:
    if found.lost_and_shown:
        return f" ({len(found.lost_and_shown)} of them lie whole on a disk)"
    return f" ({found.refuted})" if found.refuted else ""
