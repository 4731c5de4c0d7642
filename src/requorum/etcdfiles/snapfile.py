"""etcd's ``.snap`` files: where raft's log was cut, and who voted then (server/etcdserver/api/snap/snapshotter.go).

``%016x-%016x.snap`` is named after (term, index) and holds snappb.Snapshot {1 crc, 2 data}; the data is a
raftpb.Snapshot {1 data, 2 metadata {1 conf_state, 2 index, 3 term}}. Its data is the v2 store as JSON, whose nodes hold
the members (api/membership/store.go): /0/members/ID/raftAttributes and /0/members/ID/attributes.
"""

import json
import os
import re
from dataclasses import dataclass
from typing import Any, List, Tuple

from requorum.etcdfiles import messages, protowire
from requorum.etcdfiles.checksum import crc32c
from requorum.etcdfiles.faults import Damage, EtcdFileError, open_regular
from requorum.etcdfiles.messages import ConfState
from requorum.etcdfiles.mvcc import MemberRecord
from requorum.etcdfiles.protowire import WireError

SNAP_NAME = re.compile(r"^([0-9a-f]{16})-([0-9a-f]{16})\.snap$")
MAX_SIZE = 64 << 20


@dataclass(frozen=True)
class SnapFile:
    """One readable .snap. ``members`` is empty where it names none in a form that is known."""

    path: str
    index: int
    term: int
    conf_state: ConfState
    members: Tuple[MemberRecord, ...] = ()


def read_snap(path: str) -> SnapFile:
    """Read and check one file; raises EtcdFileError with the reason when it is not whole."""
    try:
        with open(path, "rb", opener=open_regular) as file:
            raw = file.read(MAX_SIZE + 1)
    except OSError as err:
        raise EtcdFileError(path, err.strerror or str(err)) from err
    if not raw:
        raise EtcdFileError(path, "the file is empty")
    if len(raw) > MAX_SIZE:
        raise EtcdFileError(path, "too large to be a .snap file")
    try:
        crc, data = 0, memoryview(b"")
        for number, _, value in protowire.fields(raw):
            if number == 1:
                crc = messages.as_int(value)
            elif number == 2:
                data = messages.as_view(value)
        if not data or crc32c(data) != crc:
            raise EtcdFileError(path, "its checksum is wrong")
        index = term = 0
        conf = ConfState()
        store = b""
        for number, _, value in protowire.fields(data):
            if number == 1:
                store = bytes(messages.as_view(value))
            if number != 2:
                continue
            for inner, _, one in protowire.fields(messages.as_view(value)):
                if inner == 1:
                    conf = messages.decode_conf_state(messages.as_view(one))
                elif inner == 2:
                    index = messages.as_int(one)
                elif inner == 3:
                    term = messages.as_int(one)
    except WireError as err:
        raise EtcdFileError(path, f"not a .snap file: {err}") from err
    if not index:
        raise EtcdFileError(path, "it names no index")
    return SnapFile(path, index, term, conf, _members(store))


def _members(store: bytes) -> Tuple[MemberRecord, ...]:
    """The members that a v2 store holds."""
    found = []
    try:
        nodes = _children(_children(_children(json.loads(store or b"{}")["Root"])["0"])["members"])
        for name, node in nodes.items():
            said: Any = {}
            for attribute in ("attributes", "raftAttributes"):
                said.update(json.loads(_children(node).get(attribute, {}).get("Value") or "{}"))
            number, urls = int(name, 16), tuple(str(one) for one in said.get("peerURLs") or ())
            clients = tuple(str(one) for one in said.get("clientURLs") or ())
            found.append(MemberRecord(number, str(said.get("name", "")), urls, clients, said.get("isLearner") is True))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return ()
    return tuple(found)


def _children(node: Any) -> Any:
    return node["Children"] or {}


def read_snaps(snap_dir: str) -> Tuple[Tuple[SnapFile, ...], Tuple[Damage, ...]]:
    """All .snap files of a folder, newest first, and what is wrong with those that cannot be used."""
    try:
        names = sorted((name for name in os.listdir(snap_dir) if SNAP_NAME.match(name)), reverse=True)
    except OSError as err:
        raise EtcdFileError(snap_dir, err.strerror or str(err)) from err
    found: List[SnapFile] = []
    damage: List[Damage] = []
    for name in names:
        try:
            found.append(read_snap(os.path.join(snap_dir, name)))
        except EtcdFileError as err:
            damage.append(Damage(err.path, 0, "snap", err.why))
    return tuple(sorted(found, key=lambda one: one.index, reverse=True)), tuple(damage)
