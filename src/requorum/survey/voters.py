"""Who votes from which entry on, by the configuration changes of a log as etcd applies them.

raft commits every change that is proposed; etcd looks at it when it applies it, and turns the ones that it refuses into
nothing (api/membership/cluster.go, ValidateConfigurationChange): a member that is there already or was removed before, a
peer URL that another member has, a removal or an update of nobody, a promotion of what is no learner.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from requorum.etcdfiles import messages
from requorum.etcdfiles.messages import ConfChange, ConfState
from requorum.etcdfiles.mvcc import DbFacts, MemberRecord
from requorum.etcdfiles.protowire import WireError
from requorum.etcdfiles.snapfile import SnapFile
from requorum.etcdfiles.wal import Log
from requorum.survey.evidence import Peer, VoterSet


@dataclass
class Configuration:
    """The members in force; peer URLs as far as they are known."""

    voters: set[int] = field(default_factory=set)
    learners: set[int] = field(default_factory=set)
    urls: dict[int, tuple[str, ...]] = field(default_factory=dict)
    names: dict[int, str] = field(default_factory=dict)
    removed: set[int] = field(default_factory=set)

    def apply(self, change: ConfChange, *, named: bool) -> bool:
        """Apply one change; says whether it changed who votes or learns. ``named``: it carries etcd's JSON of the member,
        by which etcd decides whether it refuses it."""
        said = _said(change)
        if named and self.refuses(change, said):
            return False
        before = (set(self.voters), set(self.learners))
        number = change.node_id
        if change.type in (messages.ADD_NODE, messages.ADD_LEARNER_NODE):
            self.voters.discard(number)
            self.learners.discard(number)
            (self.voters if change.type == messages.ADD_NODE else self.learners).add(number)
        elif change.type == messages.REMOVE_NODE:
            self.voters.discard(number)
            self.learners.discard(number)
            self.removed.add(number)
            self.urls.pop(number, None)
        if change.type != messages.REMOVE_NODE and said.get("peerURLs"):
            self.urls[number] = tuple(str(one) for one in said["peerURLs"])
        if said.get("name"):
            self.names[number] = str(said["name"])
        return before != (self.voters, self.learners)

    def refuses(self, change: ConfChange, said: dict[str, Any]) -> bool:
        """Whether etcd does not carry a change out."""
        number, there = change.node_id, self.voters | self.learners
        if number in self.removed:
            return True
        if change.type in (messages.ADD_NODE, messages.ADD_LEARNER_NODE):
            if said.get("isPromote"):
                return number not in self.learners
            return number in there or self.taken(number, said)
        if change.type == messages.REMOVE_NODE:
            return number not in there
        return change.type == messages.UPDATE_NODE and (number not in there or self.taken(number, said))

    def taken(self, number: int, said: dict[str, Any]) -> bool:
        """Whether another member has one of the peer URLs."""
        wanted = {str(one) for one in said.get("peerURLs") or ()}
        return any(wanted & set(self.urls.get(one, ())) for one in (self.voters | self.learners) - {number})

    def at(self, index: int) -> VoterSet:
        """The configuration as evidence, in force from an entry on."""
        return VoterSet(index=index, voters=tuple(sorted(self.voters)), learners=tuple(sorted(self.learners)))


def _said(change: ConfChange) -> dict[str, Any]:
    """etcd's JSON of the member that a change is about."""
    try:
        said = json.loads(change.context or b"{}")
    except (ValueError, RecursionError):
        return {}
    if not isinstance(said, dict):
        return {}
    urls = said.get("peerURLs")
    return {**said, "peerURLs": urls if isinstance(urls, list) else []}


def voter_sets(
    log: Log, start: SnapFile | None, facts: DbFacts | None
) -> tuple[tuple[VoterSet, ...], tuple[Peer, ...]]:
    """Every configuration in force from where a log is read on, and the members that it names with their last known URLs.

    A change counts from the entry that makes it. Without any configuration to begin with there are none.
    """
    state, index = _first(log, start)
    if not state.voters and log.runs and log.runs[0].first > 1:
        # Neither a .snap nor a mark tells: the db's own list does, up to the entry that it has applied.
        if facts is None or not facts.members:
            return (), ()
        index = facts.consistent_index
        state = _of_records(facts.members)
    for one in (*(start.members if start else ()), *(facts.members if facts else ())):
        state.urls.setdefault(one.id, one.peer_urls)
        state.names.setdefault(one.id, one.name)
    if not state.voters:
        state.urls, state.names = {}, {}  # from the first entry on: the log itself tells them, in their order
    out = [state.at(index)] if state.voters else []
    for entry in log.conf_changes:
        if entry.index <= index:
            continue
        try:
            changes = messages.decode_conf_change(entry)
        except WireError:
            continue
        named = entry.type == messages.ENTRY_CONF_CHANGE
        changed = False
        for change in changes:
            carried = bool(change.context) or change.type == messages.REMOVE_NODE
            changed |= state.apply(change, named=named and carried)
        if changed:
            out.append(state.at(entry.index))
    named_by_start = {one.id: one.name for one in (start.members if start else ())}
    peers = tuple(
        Peer(
            id=number,
            name=state.names.get(number) or named_by_start.get(number, ""),
            peer_urls=urls,
            learner=number in state.learners,
        )
        for number, urls in state.urls.items()
    )
    return tuple(out), peers


def _first(log: Log, start: SnapFile | None) -> tuple[Configuration, int]:
    """The configuration that the log is read from, and its index."""
    state: ConfState = ConfState()
    index = 0
    if start is not None:
        state, index = start.conf_state, start.index
    else:
        first = log.runs[0].first if log.runs else 0
        for mark in log.marks:
            if mark.conf_state is not None and mark.index >= index and (mark.index < first or not log.runs):
                state, index = mark.conf_state, mark.index
    return Configuration(voters=set(state.voters), learners=set(state.learners)), index


def _of_records(members: tuple[MemberRecord, ...]) -> Configuration:
    return Configuration(
        voters={one.id for one in members if not one.learner},
        learners={one.id for one in members if one.learner},
    )


def founders(log: Log) -> tuple[int, ...]:
    """The members that a log's first entries add: those that the cluster was bootstrapped, or restored, with."""
    out: list[int] = []
    for expected, entry in enumerate(log.conf_changes, 1):
        if entry.index != expected:
            break
        try:
            out += [one.node_id for one in messages.decode_conf_change(entry) if one.type == messages.ADD_NODE]
        except WireError:
            break
    return tuple(out)
