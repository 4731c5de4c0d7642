"""What an etcd wrote in its own log since its last start: an entry that it knew to be committed, a revision that it had.

A disk that ends before either went back in time, or lost its tail, while etcd was down: no file of it tells that. Only the
last start counts: what was written before it may be of another life of the member (a restore, a rollback). Runs on the hosts.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from requorum.hosts import files, podlogs, units
from requorum.survey.around_values import Written

LINES = 5000
BYTES = 4 << 20
"""So much is read, from the end: a member at rest writes some lines in five minutes."""
_START = re.compile(r"newRaft ([0-9a-f]{1,16}) \[.*commit: (\d{1,18}), applied: \d+, lastindex: \d+, lastterm: \d+\]$")
_PLAIN = re.compile(
    r"^(?:\d\S* \d\S* )?I \| (?:etcdserver: (?:saved snapshot at index |start to snapshot \(applied: )(?P<index>\d{1,18})\b"
    r"|mvcc: finished scheduled compaction at (?P<revision>\d{1,18})\b)"
)
"""Of etcd 3.4, unless it logs as later versions do."""
_PLAIN_START = re.compile(r"^(?:raft\d\S* \d\S* )?INFO: (newRaft .*)")
_FIELDS = ("snapshot-index", "local-member-applied-index", "commit-index", "compact-revision")
_SAYS = re.compile("|".join((*_FIELDS, "newRaft")))
_SAID = (
    "finished scheduled compaction",
    "restarting local member",
    "saved snapshot",
    "saved snapshot to disk",
    "triggering snapshot",
)


def read(source: Sequence[str]) -> Written:
    """``source``: ("unit", its name), ("pod", its namespace, name and container) or ("file", the path of its log); nothing
    where there is none."""
    if not source:
        return Written()
    kind, *names = source
    if kind == "unit":
        journal = units.log(names[0], LINES)
        if journal.startswith(units.NO_JOURNAL):
            return Written(unread=journal)
        return told(journal.splitlines(), f"the journal of {names[0]}")
    path = podlogs.newest(*names) if kind == "pod" else Path(names[0])
    try:
        end = files.read_end(path, BYTES) if path is not None else b""
    except FileNotFoundError:
        end = b""
    except OSError as err:
        return Written(unread=f"{path} cannot be read: {err.strerror}")
    lines = end.decode(errors="replace").splitlines()
    return told([line.split(" ", 3)[-1] for line in lines] if kind == "pod" else lines, str(path))


def told(lines: Iterable[str], where: str) -> Written:
    """What the lines since the last start say; nothing where none of them is of a start."""
    index = revision = member = 0
    for line in lines:
        if line.startswith("{"):
            start, at, reached = _of_json(line) if _SAYS.search(line) else ("", 0, 0)
        else:
            start, at, reached = _of_plain(line)
        if found := _START.search(start):
            member, index, revision = int(found.group(1), 16), int(found.group(2)), 0
        index, revision = max(index, at), max(revision, reached)
    return Written(member_id=member, index=index, revision=revision, where=where) if member else Written()


def _of_json(line: str) -> tuple[str, int, int]:
    """(how raft began, index, revision): a client's words are in none of these fields."""
    try:
        said = json.loads(line)
    except (ValueError, RecursionError):
        return "", 0, 0
    message = said.get("msg")
    if not isinstance(message, str):
        return "", 0, 0
    if message.startswith("newRaft "):
        return message, 0, 0
    if message not in _SAID:
        return "", 0, 0
    numbers = [said.get(name) for name in _FIELDS]
    index, applied, commit, revision = [one if isinstance(one, int) and 0 < one < 1 << 63 else 0 for one in numbers]
    return "", max(index, applied, commit), revision


def _of_plain(line: str) -> tuple[str, int, int]:
    if found := _PLAIN_START.match(line):
        return found.group(1), 0, 0
    if found := _PLAIN.match(line):
        return "", int(found.group("index") or 0), int(found.group("revision") or 0)
    return "", 0, 0
