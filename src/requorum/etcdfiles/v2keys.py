"""Keys of the v2 API, which live in the v2 store alone: in the newest ``.snap``, and in the log behind it. No db holds them.

The store has members and the cluster's version under ``/0``, users' keys under ``/1`` (etcdserver's StoreClusterPrefix and
StoreKeysPrefix). A raw v2 request in the log is etcdserverpb.Request: 2 method, 3 path, 5 dir. etcd 3.6 has no v2 any more.
"""

import json
import os
from dataclasses import dataclass
from typing import Any, List, Set, Tuple

from requorum.etcdfiles import messages, protowire, requests, snapfile, wal
from requorum.etcdfiles.faults import EtcdFileError, next_data, open_regular
from requorum.etcdfiles.messages import Entry
from requorum.etcdfiles.protowire import WireError

PREFIX = "/1"
_NEEDLES = tuple(b"\x12" + bytes([len(one)]) + one + b"\x1a" for one in (b"PUT", b"POST", b"DELETE"))
_BLOCK = 4 << 20
_ZEROES = bytes(_BLOCK)
_OVERLAP = 64


@dataclass(frozen=True)
class V2Keys:
    """How many keys there are, as far as a .snap and a log tell, and the first of them. ``unread`` says what was not read."""

    count: int
    some: Tuple[str, ...]
    unread: str = ""


def read(snap_dir: str, wal_dir: str) -> V2Keys:
    """The v2 keys of one member. Cheap where there are none: the log is only searched for what such a request begins with."""
    try:
        snaps, _ = snapfile.read_snaps(snap_dir)
    except EtcdFileError:
        snaps = ()
    found: Set[str] = set()
    after, unread = 0, ""
    if snaps:
        after = snaps[0].index
        try:
            found = _in_store(_store(snaps[0].path))
        except (EtcdFileError, WireError, ValueError, RecursionError) as err:
            unread = str(err)
    try:
        if os.path.isdir(wal_dir) and _mentioned(wal_dir, after):
            log = wal.read_log(wal_dir, from_index=after, keep_after=after)
            for index in sorted(log.entries):
                _apply(log.entries[index], found)
    except (EtcdFileError, OSError) as err:
        unread = unread or str(err)
    return V2Keys(len(found), tuple(sorted(found)[:3]), unread)


def _store(path: str) -> bytes:
    """The v2 store in a .snap whose checksum was found right."""
    with open(path, "rb", opener=open_regular) as file:
        raw = file.read(snapfile.MAX_SIZE + 1)
    for number, _, value in protowire.fields(raw):
        if number == 2:
            for inner, _, one in protowire.fields(messages.as_view(value)):
                if inner == 1:
                    return bytes(messages.as_view(one))
    return b""


def _in_store(raw: bytes) -> Set[str]:
    """The paths of all keys that a store holds; folders are none."""
    said: Any = json.loads(raw or b"{}")
    out: Set[str] = set()
    root = said.get("Root") if isinstance(said, dict) else None
    top = (root.get("Children") or {}).get(PREFIX[1:]) if isinstance(root, dict) else None
    left: List[Tuple[str, Any]] = [("", top)]
    while left:
        path, node = left.pop()
        children = node.get("Children") if isinstance(node, dict) else {}
        if isinstance(children, dict):
            left += [(f"{path}/{name}", one) for name, one in children.items()]
        else:
            out.add(path or "/")
    return out


def _mentioned(wal_dir: str, after: int) -> bool:
    """Whether the files that hold entries behind an index have bytes like those of a v2 request for a key."""
    segments = wal.segments_of(wal_dir)
    following = [one.first_index for one in segments[1:]] + [1 << 62]
    return any(_names_key(one.path) for one, end in zip(segments, following) if end > after)


def _names_key(path: str) -> bool:
    with open(path, "rb", buffering=0, opener=open_regular) as file:
        kept, at = b"", 0
        while True:
            data = next_data(file.fileno(), at)  # a log is allocated ahead
            block = b"" if data is None else os.pread(file.fileno(), _BLOCK, data)
            if data is None or not block:
                return False
            kept = kept if data == at else b""
            at = data + len(block)
            if block == _ZEROES[: len(block)]:
                kept = b""
                continue
            raw = kept + block
            for needle in _NEEDLES:
                place = raw.find(needle)
                while place >= 0:
                    if PREFIX.encode() + b"/" in raw[place + len(needle) : place + len(needle) + 6]:
                        return True
                    place = raw.find(needle, place + 1)
            kept = raw[-_OVERLAP:]


def _apply(entry: Entry, keys: Set[str]) -> None:
    """What one entry does to the keys; guards are not looked at, and nothing expires."""
    try:
        request = requests.request_of(entry)
        if not (isinstance(request, requests.Other) and request.what == "v2 request"):
            return
        method = path = ""
        folder = False
        for number, _, value in protowire.fields(entry.data):
            if number == 2:
                method = bytes(messages.as_view(value)).decode("ascii", "replace")
            elif number == 3:
                path = bytes(messages.as_view(value)).decode("utf-8", "replace")
            elif number == 5:
                folder = bool(messages.as_int(value))
    except WireError:
        return
    if not path.startswith(f"{PREFIX}/"):
        return
    path = os.path.normpath(path[len(PREFIX) :])
    if method == "DELETE":
        keys -= {one for one in keys if one == path or one.startswith(f"{path}/")}
    elif method == "POST":
        keys.add(f"{path}/{entry.index:020}")
    elif method == "PUT" and not folder:
        keys.add(path)
