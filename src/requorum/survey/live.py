"""A running member is asked on its own host, with the certificates that lie there."""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from requorum.deployments.config import MemberConfig
from requorum.errors import RequorumError
from requorum.etcd import client
from requorum.etcd.binaries import Binaries
from requorum.hosts import net, programs
from requorum.hosts.connection import Connection
from requorum.hosts.everywhere import at_once
from requorum.survey.evidence import LiveEvidence, MemberEvidence, Peer, Unknown

HASH_SECONDS = 15.0
"""A member reads all its records for its hash; one that takes longer is not compared."""


def answers(connection: Connection, url: str) -> bool:
    """Whether something listens at a URL, as seen from a host."""
    return connection.call(net.answers, url)


def ask(connection: Connection, config: MemberConfig, found: Binaries) -> LiveEvidence | Unknown:
    """A running member's own status."""
    flags = client.client_flags(config.endpoint, config.ca, config.cert, config.key)
    try:
        answer = connection.call(client.ctl_json, found, flags, ["endpoint", "status"], net.ANSWER_SECONDS)
        status = answer[0]["Status"]
        header = status["header"]
        listed = _listed(connection, found, flags)
        return LiveEvidence(
            member_id=int(header["member_id"]),
            cluster_id=int(header["cluster_id"]),
            leader=int(status.get("leader", 0)),
            revision=int(header.get("revision", 0)),
            raft_index=int(status.get("raftIndex", 0)),
            raft_term=int(status.get("raftTerm", header.get("raft_term", 0))),
            version=str(status.get("version", "")),
            errors=tuple(str(one) for one in status.get("errors") or ()),
            learner=bool(status.get("isLearner", False)),
            members=listed,
            applied_index=int(status.get("raftAppliedIndex", 0)),
        )
    except programs.ProgramError as err:
        return Unknown(unknown=f"it runs, but does not answer: {_plain(err.detail) or err}")
    except (KeyError, IndexError, TypeError, ValueError) as err:
        return Unknown(unknown=f"it runs, but its answer cannot be read: {err!r}")


def _listed(connection: Connection, found: Binaries, flags: Sequence[str]) -> tuple[Peer, ...]:
    """The members that a running one knows of; none where it may not be asked (a learner)."""
    try:
        answer = connection.call(client.ctl_json, found, flags, ["member", "list"], net.ANSWER_SECONDS)
        return peers_of(answer)
    except programs.ProgramError:
        return ()


def peers_of(answer: Any) -> tuple[Peer, ...]:
    """etcdctl's list of members."""
    return tuple(
        Peer(
            id=int(one["ID"]),
            name=str(one.get("name", "")),
            peer_urls=tuple(one.get("peerURLs") or ()),
            client_urls=tuple(one.get("clientURLs") or ()),
            learner=bool(one.get("isLearner", False)),
        )
        for one in answer.get("members", [])
    )


def _plain(said: str) -> str:
    """The error in etcdctl's JSON log line, or its last line."""
    line = programs.last_line(said)
    try:
        return str(json.loads(line).get("error", line))
    except (ValueError, AttributeError):
        return line


def hashed(members: Sequence[MemberEvidence], at: Callable[[MemberEvidence], Connection]) -> list[MemberEvidence]:
    """The same members, those that serve with the hash of their records up to the lowest revision among them: two that serve
    with different data call themselves healthy all the same."""
    led = [one for one in members if isinstance(one.live, LiveEvidence) and one.live.leader and not one.live.learner]
    asked = [one for one in led if isinstance(one.config, MemberConfig) and isinstance(one.tools, Binaries)]
    if len(asked) < 2:
        return list(members)
    revision = min(one.live.revision for one in asked if isinstance(one.live, LiveEvidence))
    told = at_once(lambda one: _hash(at(one), one, revision), asked)
    hashes = dict(zip([one.name for one in asked], told, strict=True))
    return [
        replace(one, live=replace(one.live, hash=hashes[one.name]))
        if one.name in hashes and isinstance(one.live, LiveEvidence)
        else one
        for one in members
    ]


def _hash(connection: Connection, member: MemberEvidence, revision: int) -> str:
    config, found = member.config, member.tools
    assert isinstance(config, MemberConfig)
    assert isinstance(found, Binaries)
    flags = client.client_flags(config.endpoint, config.ca, config.cert, config.key)
    try:
        words = ["endpoint", "hashkv", "--rev", str(revision)]
        said = connection.call(client.ctl_json, found, flags, words, HASH_SECONDS)[0]["HashKV"]
        return f"{int(said['hash']):x} revision {revision}, compacted at {int(said.get('compact_revision', 0))}"
    except (RequorumError, programs.ProgramError, KeyError, IndexError, TypeError, ValueError):
        return ""
