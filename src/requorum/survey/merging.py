"""Put the logs of several members together: ask for what is missing where the base lies, and simulate the replay there.

Which entries are taken from whose log is decided in :mod:`requorum.survey.merged`. Entries hold what was written, so
they go from member to member only, through this process's memory: nothing is written anywhere.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence

from requorum.errors import RequorumError
from requorum.etcdfiles.faults import EtcdFileError
from requorum.hosts.connection import Connection
from requorum.survey import disks, logs, merged
from requorum.survey.evidence import (
    Checked,
    DbEvidence,
    Fork,
    LogEvidence,
    MemberEvidence,
    MergedLog,
    Piece,
    Run,
    Tail,
    Unknown,
)
from requorum.survey.merged import Route
from requorum.survey.runs import count, minus, union, within

AT_ONCE = 8 << 20
"""So many bytes of entries are asked for in one call."""
MOST = 256 << 20
"""Bytes: more than that is not carried from host to host for a prediction; then the loss is a bound."""

Where = Callable[[str], tuple[Connection, str]]
"""The host of a member, by the member's name, and its WAL dir there."""


def merge(
    members: Sequence[MemberEvidence],
    at: Callable[[MemberEvidence], Connection],
    *,
    in_full: bool,
    without: Sequence[str] = (),
    forks: Sequence[Fork] = (),
) -> tuple[MergedLog, ...]:
    """The logs that are worth putting together; exact where every file was read in full, a bound otherwise. The dbs of
    members ``without`` are not built on."""
    found = []

    def where(name: str) -> tuple[Connection, str]:
        member = _named(members, name)
        return at(member), member.log.wal_dir if isinstance(member.log, LogEvidence) else member.wal_dir

    for route in merged.routes(members, without, forks):
        tail = _exact(route, members, where) if in_full else None
        found.append(
            MergedLog(
                follows=route.follows,
                base=route.base.name if route.base else "",
                pieces=route.pieces,
                tail=tail or _bound(route, members),
            )
        )
    return tuple(found)


def fetch(pieces: Iterable[Piece], where: Where) -> Iterator[tuple[bytes, ...]]:
    """The entries of some pieces, encoded, a few megabytes at a time. Raises RequorumError when one cannot be had."""
    for piece in pieces:
        host, wal_dir = where(piece.member)
        wal_dir = piece.wal_dir or wal_dir
        first = piece.first
        while first <= piece.last:
            try:
                some = host.call(logs.entries, wal_dir, first, piece.last, AT_ONCE)
            except (EtcdFileError, OSError) as err:
                raise RequorumError(f"{piece.member}: its log cannot be read any more: {err}") from err
            if not some:
                raise RequorumError(f"{piece.member}: entry {first} of {wal_dir} cannot be read any more")
            yield some
            first += len(some)


def _named(members: Sequence[MemberEvidence], name: str) -> MemberEvidence:
    return next(one for one in members if one.name == name)


def _exact(route: Route, members: Sequence[MemberEvidence], where: Where) -> Tail | None:
    """A simulated replay where the base lies; None where that cannot be done."""
    base = route.base or _named(members, route.follows)
    if route.base is not None and not (isinstance(base.db, DbEvidence) and isinstance(base.db.checked, Checked)):
        return None
    host, wal_dir = where(base.name)
    if host.bare:
        return None
    own = tuple((one.first, one.last) for one in route.pieces if one.member == base.name)
    db = base.db.path if route.base is not None and isinstance(base.db, DbEvidence) else ""
    try:
        elsewhere = [one for one in route.pieces if one.member != base.name]
        brought: list[bytes] = []
        size = 0
        for some in fetch(elsewhere, where):
            brought += some
            size += sum(map(len, some))
            if size > MOST:
                return None
        tail = host.call(disks.replay, db, wal_dir, own, tuple(brought), route.from_index)
    except RequorumError:
        return None
    return None if isinstance(tail, Unknown) or tail.to_index != route.to_index else tail


def _bound(route: Route, members: Sequence[MemberEvidence]) -> Tail:
    """Every entry that may be a write is counted as one."""
    writes = union()
    for piece in route.pieces:
        log = _named(members, piece.member).log
        assert isinstance(log, LogEvidence)
        told = within(log.possible_writes, piece.first, piece.last)
        untold = within([Run(first=piece.first, last=piece.last)], piece.first, min(piece.last, log.classified_above))
        writes = union(writes, told, minus(untold, told))
    base = route.base.db if route.base is not None else None
    return Tail(
        from_index=route.from_index,
        to_index=route.to_index,
        to_term=route.to_term,
        revision=(base.revision if isinstance(base, DbEvidence) else 1) + count(writes),
        writes=writes,
        doubts=("counted without reading the whole db: guards, deletes and leases may make it less",),
    )
