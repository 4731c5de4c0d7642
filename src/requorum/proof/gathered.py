"""Whether members that answer are one cluster: different ids, everybody in everybody's list, one leader that all know. Pure.

Three nodes that were each restored from one snapshot without their own flags are three clusters of one with the same ids,
the same revision and the same hash: every comparison of their data says that all is well.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from requorum.deployments.config import MemberConfig
from requorum.errors import RequorumError
from requorum.survey.evidence import Peer

Lists = Sequence[tuple[Peer, ...] | None]
"""Each member's list of members, in the members' order; None where it could not be asked."""


class Named(Protocol):
    """A member that is asked."""

    @property
    def name(self) -> str:
        """Its name."""

    @property
    def config(self) -> MemberConfig:
        """Its configuration."""


def different(members: Sequence[Named], statuses: Sequence[Mapping[str, Any]]) -> None:
    """Raises RequorumError unless there are as many member ids as members, all of one cluster."""
    clusters = {f"{int(one['header']['cluster_id']):x}" for one in statuses}
    if len(clusters) > 1:
        raise RequorumError(f"the members formed different clusters: {', '.join(sorted(clusters))}")
    ids = [int(one["header"]["member_id"]) for one in statuses]
    twice = [number for number, count in Counter(ids).items() if count > 1]
    if twice:
        whose = ", ".join(one.name for one, number in zip(members, ids, strict=True) if number == twice[0])
        raise RequorumError(
            f"{whose} answer with one member id ({twice[0]:x}): they are not members of one cluster",
            hint="each is a cluster of its own, or one data dir was copied; no write to one of them reaches the others: stop "
            "all but one, keep every disk",
        )


def one_cluster(members: Sequence[Named], statuses: Sequence[Mapping[str, Any]], lists: Lists) -> None:
    """Raises RequorumError with the first thing that shows that they are not one cluster."""
    different(members, statuses)
    ids = [int(one["header"]["member_id"]) for one in statuses]
    for member, listed in zip(members, lists, strict=True):
        missing = [] if listed is None else _missing(members, ids, listed)
        if missing:
            raise RequorumError(
                f"{', '.join(missing)} is not in {member.name}'s list of members: they are not one cluster",
                hint="no write to one of them reaches the others; keep every disk",
            )
    led = {int(one.get("leader", 0)) for one in statuses}
    known = {peer.id for listed in lists for peer in listed or ()}
    if len(led) > 1 or 0 in led or (known and not led <= known):
        raise RequorumError(
            "the members do not agree on a leader: "
            + ", ".join(
                f"{one.name} {int(said.get('leader', 0)):x}" for one, said in zip(members, statuses, strict=True)
            )
        )


def _missing(members: Sequence[Named], ids: Sequence[int], listed: Sequence[Peer]) -> list[str]:
    there = {peer.id for peer in listed}
    return [one.name for one, number in zip(members, ids, strict=True) if number not in there]


def absent(statuses: Sequence[Mapping[str, Any]], lists: Lists) -> tuple[str, ...]:
    """What the cluster lists and nobody answered for, as a warning."""
    ids = {int(one["header"]["member_id"]) for one in statuses}
    silent = sorted({peer.name or f"{peer.id:x}" for listed in lists for peer in listed or () if peer.id not in ids})
    return (f"members that do not serve: {', '.join(silent)}",) if silent else ()


def elsewhere(members: Sequence[Named], statuses: Sequence[Mapping[str, Any]], lists: Lists) -> tuple[str, ...]:
    """The members that their cluster knows under other peer URLs than their configuration has: warnings.

    The others go on calling them where the list says, so they hear of nothing but what they ask for themselves, and a disk
    that is restored or started later goes by the old address.
    """
    listed = next((one for one in lists if one), ())
    peers = {peer.id: peer for peer in listed}
    out = []
    for member, status in zip(members, statuses, strict=True):
        number = int(status["header"]["member_id"])
        peer, wanted = peers.get(number), member.config.peer_urls
        if peer is None or not wanted or _plain(peer.peer_urls) == _plain(wanted):
            continue
        out.append(
            f"the cluster knows {member.name} under the peer URL {', '.join(peer.peer_urls)}, and its configuration says "
            f"{', '.join(wanted)}: etcdctl member update {number:x} --peer-urls={','.join(wanted)}"
        )
    return tuple(out)


def _plain(urls: Sequence[str]) -> set[str]:
    return {url.rstrip("/").lower() for url in urls}
