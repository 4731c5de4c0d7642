"""Who is who: a disk is its files, a member is its id, and each counts once.

A copied data dir, a cloned machine, restores with one set of ids, one disk that was named twice: all of them look like
members that agree.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from requorum.survey.evidence import DbEvidence, LogEvidence, MemberConfig, MemberEvidence, Peer, Survey
from requorum.verdict.values import Finding


@dataclass(frozen=True, slots=True, kw_only=True)
class Identities:
    """``twice`` are members whose disk is another one's as well, with whose; ``copies`` are those that hold the id of
    another member, and must never start, with the reason; ``spare`` are those of them that do not speak for their member
    either; ``moved`` are those that the cluster knows under other peer URLs
    than their configuration has, with the URLs that it knows."""

    twice: dict[str, str]
    copies: dict[str, str]
    spare: frozenset[str]
    moved: dict[str, tuple[str, ...]]
    findings: tuple[Finding, ...]


def member_id(member: MemberEvidence) -> int:
    """A member's id: from its log; else from the db, by its own peer URL or name; 0 when nothing tells."""
    if isinstance(member.log, LogEvidence) and member.log.member_id:
        return member.log.member_id
    if isinstance(member.db, DbEvidence):
        urls = set(member.config.peer_urls) if isinstance(member.config, MemberConfig) else set()
        for peer in member.db.peers:
            if urls & set(peer.peer_urls) or (isinstance(member.config, MemberConfig) and peer.name == member.name):
                return peer.id
    return 0


def identities(survey: Survey) -> Identities:
    """Tell the members of a survey apart."""
    findings: list[Finding] = []
    twice = _twice(survey.members, findings)
    left = [one for one in survey.members if one.name not in twice]
    known = recorded(left)
    copies, spare = _copies(left, known, findings)
    moved = {
        one.name: known[member_id(one)].peer_urls
        for one in left
        if isinstance(one.config, MemberConfig)
        and one.name not in copies
        and member_id(one) in known
        and known[member_id(one)].peer_urls
        and one.config.peer_urls
        and not {*one.config.peer_urls, *one.still_at} & set(known[member_id(one)].peer_urls)
    }
    for name, urls in moved.items():
        text = f"the cluster knows it at {', '.join(urls)}, its configuration says another peer URL"
        findings.append(Finding(level="warning", subject=name, text=text))
    return Identities(twice=twice, copies=copies, spare=spare, moved=moved, findings=tuple(findings))


def recorded(members: Iterable[MemberEvidence]) -> dict[int, Peer]:
    """Every member that logs and dbs name, as most of them have it; what a living member answers goes before."""
    told: dict[int, Counter[Peer]] = defaultdict(Counter)
    for one in members:
        if isinstance(one.log, LogEvidence):
            for peer in one.log.peers:
                told[peer.id][_plain(peer)] += 1
        if isinstance(one.db, DbEvidence) and not one.db.faults:
            for peer in one.db.peers:
                told[peer.id][_plain(peer)] += 1
    return {number: votes.most_common(1)[0][0] for number, votes in told.items()}


def _plain(peer: Peer) -> Peer:
    return Peer(id=peer.id, name=peer.name, peer_urls=tuple(sorted(peer.peer_urls)))


def _twice(members: Sequence[MemberEvidence], findings: list[Finding]) -> dict[str, str]:
    """Members whose files are another's: of those that share a disk it is the one's that its id is of; by name, that one's."""
    out: dict[str, str] = {}
    seen: dict[str, str] = {}
    known = recorded(members)
    for one in sorted(members, key=lambda one: not _at_home(one, known)):
        other = next((seen[file] for file in one.disk if file in seen), "")
        if other:
            out[one.name] = other
            text = f"the same files as {other}'s: one disk, which counts once"
            findings.append(Finding(level="danger", subject=one.name, text=text))
        for file in one.disk:
            seen.setdefault(file, one.name)
    return out


def _at_home(member: MemberEvidence, known: dict[int, Peer]) -> bool:
    """Whether a member is configured with a peer URL that the cluster knows for the id on its disk."""
    own = known.get(member.log.member_id) if isinstance(member.log, LogEvidence) else None
    return (
        isinstance(member.config, MemberConfig)
        and own is not None
        and bool({*member.config.peer_urls} & {*own.peer_urls})
    )


def _copies(
    members: Sequence[MemberEvidence], known: dict[int, Peer], findings: list[Finding]
) -> tuple[dict[str, str], frozenset[str]]:
    """Members whose disk has the id of another member, and those of them that do not speak for it: where nothing tells whose
    the id is, the one with the highest log does."""
    holders: dict[tuple[int, int], list[MemberEvidence]] = defaultdict(list)
    for one in members:
        if isinstance(one.log, LogEvidence) and one.log.member_id:
            holders[one.log.cluster_id, one.log.member_id].append(one)
    homes = {url: one.name for one in members if isinstance(one.config, MemberConfig) for url in one.config.peer_urls}
    out: dict[str, str] = {}
    spare: set[str] = set()
    for (_, number), group in holders.items():
        urls = known[number].peer_urls if number in known else ()
        home = next((homes[url] for url in urls if url in homes), "")
        names = ", ".join(one.name for one in group)
        for one in group:
            if isinstance(one.config, MemberConfig) and home and one.name != home:
                out[one.name] = f"its disk is {home}'s (member id {number:x}): copied, or cloned"
                spare.add(one.name)
            elif len(group) > 1 and one.name != home:
                out[one.name] = f"{names} have the disk of one member (id {number:x})"
        if not home:
            speaks = max(group, key=lambda one: one.log.last if isinstance(one.log, LogEvidence) else (0, 0))
            spare |= {one.name for one in group if one is not speaks}
        elif any(one.name == home for one in group):
            spare |= {one.name for one in group if one.name != home}
    for name, why in out.items():
        findings.append(
            Finding(level="danger", subject=name, text=f"{why}; it counts once, and must never start twice")
        )
    return out, frozenset(spare)
