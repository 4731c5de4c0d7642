"""A running member is asked on its own host, with the certificates that lie there."""

import json
from collections.abc import Sequence
from typing import Any

from requorum.deployments.config import MemberConfig
from requorum.hosts import net, programs, tools
from requorum.hosts.connection import Connection
from requorum.hosts.tools import Tools
from requorum.survey.evidence import LiveEvidence, Peer, Unknown


def answers(connection: Connection, url: str) -> bool:
    """Whether something listens at a URL, as seen from a host."""
    return connection.call(net.answers, url)


def ask(connection: Connection, config: MemberConfig, found: Tools) -> LiveEvidence | Unknown:
    """A running member's own status."""
    flags = tools.client_flags(config.endpoint, config.ca, config.cert, config.key)
    try:
        answer = connection.call(tools.ctl_json, found, flags, ["endpoint", "status"], net.ANSWER_SECONDS)
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
        )
    except programs.ProgramError as err:
        return Unknown(unknown=f"it runs, but does not answer: {_plain(err.detail) or err}")
    except (KeyError, IndexError, TypeError, ValueError) as err:
        return Unknown(unknown=f"it runs, but its answer cannot be read: {err!r}")


def _listed(connection: Connection, found: Tools, flags: Sequence[str]) -> tuple[Peer, ...]:
    """The members that a running one knows of; none where it may not be asked (a learner)."""
    try:
        answer = connection.call(tools.ctl_json, found, flags, ["member", "list"], net.ANSWER_SECONDS)
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
