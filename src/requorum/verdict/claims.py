"""What a db claims, held against what can be checked.

bbolt has no page checksums: index, term, revision, members of a db are claims. Each is held against the log beside it,
against its own records, and against the other members. What contradicts is named, and counts for nothing.
"""

import re
from collections import Counter
from collections.abc import Callable, Collection, Hashable, Sequence
from dataclasses import dataclass

from requorum.survey.evidence import (
    MOST_COMPACTIONS,
    Comparison,
    DbEvidence,
    Footing,
    LogEvidence,
    MemberEvidence,
    Tail,
    Unknown,
)
from requorum.verdict.values import Finding


@dataclass(frozen=True, slots=True, kw_only=True)
class Claims:
    """``refuted`` dbs count for nothing, and are a source of last resort at best; ``unfit`` ones hold good records, but must
    not be started: each with the reason. ``altered`` are those of the unfit in which some record is another than was written:
    what is built on them may be wrong in more than that. ``elsewhere`` are those of the refuted whose records are all in the db
    of a member that counts, too: nothing is lost with them."""

    refuted: dict[str, str]
    unfit: dict[str, str]
    altered: dict[str, str]
    elsewhere: frozenset[str] = frozenset()

    @property
    def contradicted(self) -> frozenset[str]:
        """The members of whose dbs something contradicts."""
        return frozenset((*self.refuted, *self.unfit))

    def findings(self) -> tuple[Finding, ...]:
        """What there is to say of them."""
        return tuple(
            Finding(level="danger", subject=name, text=f"its db contradicts what is checked: {why}")
            for name, why in {**self.unfit, **self.refuted}.items()
        )


def check(members: Sequence[MemberEvidence], compared: Sequence[Comparison] = ()) -> Claims:
    """Hold the dbs of members that count against their logs, their records and each other."""
    refuted: dict[str, str] = {}
    unfit: dict[str, str] = {}
    altered: dict[str, str] = {}
    for one in members:
        db = one.db
        if not isinstance(db, DbEvidence):
            continue
        footing = db.footing if isinstance(db.footing, Footing) else None
        if footing is not None and footing.kind == "refuted":
            refuted[one.name] = f"this log did not make it ({footing.why})"
        elif footing is not None and footing.kind == "altered":
            altered[one.name] = unfit[one.name] = f"the log says that it was altered ({footing.why})"
        elif footing is not None and footing.kind == "moved":
            where = "behind" if db.consistent_index < footing.index else "ahead of"
            unfit[one.name] = (
                f"its index {db.consistent_index} is {where} its data, which goes up to entry {footing.index} ({footing.why})"
            )
        elif footing is not None and footing.kind == "unclear":
            unfit[one.name] = (
                f"its index {db.consistent_index} is not where its data ends: that is at entry {footing.index} or a later one "
                f"that wrote the same ({footing.why})"
            )
        elif not (footing is not None and footing.kind in ("records", "start")):
            why = _beyond_all(one, members)
            if why:
                refuted[one.name] = why
        why = restored_beside(one.log, [other.log for other in members if other is not one])
        if why:
            refuted[one.name] = why
        why = _compacted(one, members)
        if why:
            refuted[one.name] = why
        why = _term(one) or _storage(db)
        if why:
            unfit.setdefault(one.name, why)
    sound = [one for one in members if isinstance(one.db, DbEvidence) and one.db.sound and one.name not in refuted]
    for name, why in (*_outvoted(sound), *_compacted_otherwise(sound)):
        unfit.setdefault(name, why)
    return Claims(
        refuted=refuted,
        unfit={name: why for name, why in unfit.items() if name not in refuted},
        altered={name: why for name, why in altered.items() if name not in refuted},
        elsewhere=frozenset(
            one.name
            for one in members
            if one.name in refuted
            and isinstance(one.db, DbEvidence)
            and _elsewhere(one.name, one.db, compared, {other.name for other in members} - {*refuted, *altered})
        ),
    )


def _elsewhere(name: str, db: DbEvidence, compared: Sequence[Comparison], others: Collection[str]) -> bool:
    """Whether one of ``others`` had the same records when it was at this db's revision."""
    for one in compared:
        values = {stand.member: stand.value for stand in one.stands}
        if name in values and one.records_up_to == db.revision:
            return any(values.get(other) == values[name] for other in others)
    return False


def restored_beside(log: LogEvidence | Unknown, others: Sequence[LogEvidence | Unknown]) -> str:
    """Why a disk was restored from a snapshot beside others that go on: with the cluster's own token the ids are the same,
    and so are the members' entries, but the others' logs say what the store held behind those: nothing."""
    if not isinstance(log, LogEvidence) or not log.restored_at:
        return ""
    if any(
        isinstance(other, LogEvidence) and other.restored_at == 0 and other.cluster_id == log.cluster_id
        for other in others
    ):
        return (
            f"it was restored from a snapshot at entry {log.restored_at}, where other members' logs begin with nothing"
        )
    return ""


def _beyond_all(one: MemberEvidence, members: Sequence[MemberEvidence]) -> str:
    """An index that no log reaches, of a db that holds no more than others: nothing corroborates it."""
    assert isinstance(one.db, DbEvidence)
    logs = [other.log for other in members if isinstance(other.log, LogEvidence)]
    ends = [max([log.last_index, log.commit, *(run.last for run in log.unreadable)]) for log in logs]
    if not ends or one.db.consistent_index <= max(ends):
        return ""
    others = [
        other.db.revision
        for other in members
        if isinstance(other.db, DbEvidence) and other is not one and other.db.consistent_index <= max(ends)
    ]
    others += [
        other.tail.revision
        for other in members
        if isinstance(other.tail, Tail) and other is not one and other.tail.to_index <= max(ends)
    ]
    if not others or one.db.revision > max(others):
        return ""
    return (
        f"its index {one.db.consistent_index} lies beyond every log (they end at {max(ends)}), and its revision "
        f"{one.db.revision} does not"
    )


def _compacted(one: MemberEvidence, members: Sequence[MemberEvidence]) -> str:
    """A compaction that its records do not bear out: etcd would open the store at that revision."""
    assert isinstance(one.db, DbEvidence)
    db = one.db
    if db.revision == db.last_revision or (db.last_revision < 2 and db.revision < 2):
        return ""
    if any(isinstance(other.log, LogEvidence) and db.revision in other.log.compactions for other in members):
        return ""
    if any(
        isinstance(other.db, DbEvidence) and other is not one and other.db.compact_revision == db.compact_revision
        for other in members
    ):
        return ""
    return f"it says that it was compacted at revision {db.revision}, and its last record is of revision {db.last_revision}"


def _term(one: MemberEvidence) -> str:
    """A term that the log's entry at its index does not have: etcd would not save its index any more."""
    assert isinstance(one.db, DbEvidence)
    if not one.db.term or not isinstance(one.log, LogEvidence):
        return ""
    index = one.db.consistent_index
    term = next((run.term for run in one.log.runs if run.first <= index <= run.last), 0)
    if term and term != one.db.term:
        return f"it says that entry {index} is of term {one.db.term}, the log says {term}"
    if not term and one.db.term > one.log.last_term > 0:
        return f"it is of term {one.db.term}, the log ends in term {one.log.last_term}"
    return ""


def _storage(db: DbEvidence) -> str:
    """Why a db's storage version cannot be what an etcd wrote; empty where it can. etcd 3.6 and later do not start on another
    major version, or on one that they do not know. It is the cluster's version, or the one before while that is being raised.
    etcd's source: storage/schema/migration.go and monitor.go."""
    if not db.storage_version:
        return ""
    stored, cluster = (re.fullmatch(r"3\.(\d{1,3})\.\d{1,3}", one) for one in (db.storage_version, db.cluster_version))
    if stored and (not cluster or 0 <= int(cluster[1]) - int(stored[1]) <= 1):
        return ""
    return f"its storage version {db.storage_version!r} is none that goes with the cluster's, {db.cluster_version or 'unknown'}"


def _compacted_otherwise(members: Sequence[MemberEvidence]) -> list[tuple[str, str]]:
    """Dbs that say they were compacted at a revision that no other db and no log names, while two others agree on one, and no
    entry in between can have made the difference. etcd would go on compacting at that revision."""
    dbs = {one.name: one.db for one in members if isinstance(one.db, DbEvidence)}
    logs = [one.log for one in members if isinstance(one.log, LogEvidence)]
    told = {revision for log in logs for revision in log.compactions}
    votes = Counter(db.compact_revision for db in dbs.values())
    out = []
    for name, db in dbs.items():
        if votes[db.compact_revision] > 1 or db.compact_revision in told:
            continue
        others = [other for other in dbs.values() if votes[other.compact_revision] > 1]
        if any(_cannot_be(db, other, told, logs) for other in others):
            revision = others[0].compact_revision
            out.append(
                (name, f"it says that it was compacted at revision {db.compact_revision}, others were at {revision}")
            )
    return out


def _cannot_be(db: DbEvidence, other: DbEvidence, told: Collection[int], logs: Sequence[LogEvidence]) -> bool:
    """Whether no entry between two dbs can have compacted the one and not the other: a store is only compacted further up, and
    where a log tells of all these entries, it tells of their compactions."""
    first, last = sorted((db.consistent_index, other.consistent_index))
    lower, higher = (db, other) if db.consistent_index <= other.consistent_index else (other, db)
    if lower.compact_revision > higher.compact_revision:
        return True
    known = any(
        log.classified_above <= first and log.last_index >= last and len(log.compactions) < MOST_COMPACTIONS
        for log in logs
    )
    return known and higher.compact_revision not in told


_Facts = Callable[[DbEvidence], Hashable]
_SHARED: tuple[tuple[str, _Facts], ...] = (
    ("storage version", lambda db: db.storage_version),
    ("cluster version", lambda db: db.cluster_version),
    ("users and roles", lambda db: db.auth_enabled),
    ("members", lambda db: frozenset((peer.id, peer.name, peer.peer_urls, peer.learner) for peer in db.peers)),
    ("configuration", lambda db: (frozenset(db.configuration[0]), frozenset(db.configuration[1]))),
)
"""What the dbs of one cluster have in common, unless an entry that changes it lies between them."""


def _outvoted(members: Sequence[MemberEvidence]) -> list[tuple[str, str]]:
    """Dbs that say something else of the cluster than a majority of at least three."""
    dbs = {one.name: one.db for one in members if isinstance(one.db, DbEvidence)}
    if len(dbs) < 3 or _changed_between(members):
        return []
    out = []
    for what, fact in _SHARED:
        votes = Counter(fact(db) for db in dbs.values())
        value, most = votes.most_common(1)[0]
        if len(votes) > 1 and 2 * most > len(dbs):
            out += [
                (name, f"its {what} is another than that of most members")
                for name, db in dbs.items()
                if fact(db) != value
            ]
    return out


def _changed_between(members: Sequence[MemberEvidence]) -> bool:
    """Whether an entry between the members' indexes may have changed what they have in common."""
    indexes = [one.db.consistent_index for one in members if isinstance(one.db, DbEvidence)]
    changes = [index for one in members if isinstance(one.log, LogEvidence) for index in one.log.shared_changes]
    return any(min(indexes) < index <= max(indexes) for index in changes)
