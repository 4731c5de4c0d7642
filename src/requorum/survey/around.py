"""Look around a member's data dir: what lies in it and beside it that etcd would not read, and what is told of elsewhere.

Reads only, follows no link, and is bounded: a folder with a million files costs no more than one with some thousands. What
is left out is named (:class:`Unread`). Runs on the hosts.
"""

from __future__ import annotations

import datetime
import itertools
import json
import os
import re
import stat
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from requorum.etcdfiles import bbolt, datadir, messages, mvcc, ownfiles, v2keys, wal, walchain
from requorum.etcdfiles.faults import EtcdFileError, open_regular
from requorum.etcdfiles.protowire import WireError
from requorum.hosts import openfiles, processes
from requorum.hosts.bounds import within
from requorum.survey import logs, oldpaths, written
from requorum.survey.around_values import (
    CUT_OFF_LOG,
    DB,
    FOREIGN,
    RECEIVED_DB,
    TEMPORARY,
    Around,
    FoundFile,
    FoundFolder,
    FoundRun,
    HeldFile,
    Unread,
)
from requorum.survey.evidence import LogEvidence

MOST_ENTRIES = 5000
MOST_DEPTH = 6
MOST_DBS = 8
MOST_FOLDERS = 8
MOST_SHOWN = 100
MOST_LOG = 1 << 30
"""Bytes of another folder's log that are still read to tell how far it goes."""
BEGINNING = 8
"""Records at the beginning of a log among which is whose it is."""
SECONDS = 20.0
KEPT = ("lost+found", ".requorum")
_SOUNDS = re.compile(r"etcd|snap|backup|\.db$", re.IGNORECASE)
_ONE_WAY = ("", "finished", "rolling back", "rolled back")
"""States of a run, in the order in which they follow each other (:mod:`requorum.run.journal`)."""


class _Look:
    """One look around, and what is left of its bounds."""

    def __init__(self, layout: datadir.Layout, others: Sequence[str]) -> None:
        self.layout = layout
        self.data_dir = os.path.realpath(layout.data_dir)
        self.others = {os.path.realpath(one) for one in others} | {self.data_dir}
        if os.path.realpath(layout.wal_dir) != os.path.join(self.data_dir, "member", "wal"):
            self.others.add(os.path.realpath(layout.wal_dir))
        self.files: list[FoundFile] = []
        self.folders: dict[str, FoundFolder] = {}
        self.strangers: set[str] = set()
        self.unread: list[Unread] = []
        self.left = MOST_ENTRIES
        self.deadline = time.monotonic() + SECONDS

    def skip(self, path: str, why: str) -> None:
        if len(self.unread) < MOST_SHOWN and path not in {one.path for one in self.unread}:
            self.unread.append(Unread(path=path, why=why))

    def entries(self, folder: str) -> Iterator[os.DirEntry[str]]:
        """What is in a folder, as far as the bounds go."""
        try:
            with os.scandir(folder) as found:
                listed = sorted(found, key=lambda one: one.name)
        except (FileNotFoundError, NotADirectoryError):
            return
        except OSError as err:
            self.skip(folder, err.strerror or str(err))
            return
        for one in listed:
            if self.left <= 0 or time.monotonic() > self.deadline:
                self.skip(folder, "too much lies there to look at all of it")
                return
            self.left -= 1
            yield one

    def add(self, entry: os.DirEntry[str], kind: str, *, inside: bool, name: str = "") -> None:
        try:
            info = entry.stat(follow_symlinks=False)
        except OSError:
            return
        if len(self.files) < MOST_SHOWN * 5:
            path = name or entry.path
            size = info.st_size if stat.S_ISREG(info.st_mode) else 0
            self.files.append(FoundFile(path=path, kind=kind, inside=inside, size=size, modified=_when(info)))

    def inside(self, folder: str, relative: str = "", depth: int = 0, *, foreign: bool = False) -> None:
        """The data dir; a foreign folder in it is shown as one, but dbs in it each."""
        for entry in self.entries(folder):
            path = f"{relative}{entry.name}"
            if (depth == 0 and entry.name in KEPT) or os.path.realpath(entry.path) in self.others - {self.data_dir}:
                continue
            if entry.is_dir(follow_symlinks=False):
                own = ownfiles.is_own_folder(path) and not foreign
                if not own and datadir.holds_member(entry.path):
                    self.folders[entry.path] = FoundFolder(path=entry.path, inside=True)
                    continue
                if not own and not foreign:
                    self.add(entry, FOREIGN, inside=True, name=f"{entry.path}/")
                if depth < MOST_DEPTH:
                    self.inside(entry.path, f"{path}/", depth + 1, foreign=foreign or not own)
                else:
                    self.skip(entry.path, "it lies too deep")
                continue
            self.file(entry, path, foreign=foreign)

    def file(self, entry: os.DirEntry[str], path: str, *, foreign: bool) -> None:
        if entry.is_symlink():
            if not (foreign or ownfiles.is_own(path) or ownfiles.is_own_folder(path)):
                self.add(entry, FOREIGN, inside=True)
            return
        if foreign or not ownfiles.is_own(path):
            kind = DB if self.is_db(entry) else FOREIGN
            if kind == DB or not foreign:
                self.add(entry, kind, inside=True)
            return
        self.own_file(entry)

    def own_file(self, entry: os.DirEntry[str]) -> None:
        """A file that etcd made: only those that it sets aside, or left half written, are shown."""
        if entry.name.endswith(".wal.broken"):
            self.add(entry, CUT_OFF_LOG, inside=True)
        elif entry.name.endswith(".snap.db"):
            self.add(entry, RECEIVED_DB, inside=True)
        elif entry.name.startswith(("db.tmp", "tmp")):
            self.add(entry, TEMPORARY, inside=True)

    def wal_apart(self) -> None:
        """A WAL dir that is not part of the data dir."""
        folder = os.path.realpath(self.layout.wal_dir)
        if folder == os.path.join(self.data_dir, "member", "wal"):
            return
        for entry in self.entries(folder):
            if entry.is_dir(follow_symlinks=False) or entry.name in KEPT:
                continue
            if ownfiles.is_own(entry.name, in_wal_dir=True):
                self.own_file(entry)
            else:
                self.add(entry, DB if self.is_db(entry) else FOREIGN, inside=True)

    def beside(self, *, empty: bool) -> None:
        """The folder that the data dir lies in: snapshots, and other folders that hold a member."""
        parent, own = os.path.split(self.data_dir)
        strangers: list[str] = []
        for entry in self.entries(parent):
            if os.path.realpath(entry.path) in self.others or entry.name == f"{own}.requorum" or entry.is_symlink():
                continue
            if not entry.is_dir(follow_symlinks=False):
                if self.is_db(entry, beside=True):
                    self.add(entry, DB, inside=False)
            elif empty or own in entry.name or entry.name in own:
                self.folder(entry.path)
            else:
                strangers.append(entry.path)
        if empty and parent != "/var/lib" and self.data_dir.startswith("/var/lib/"):
            for entry in self.entries("/var/lib"):
                if entry.name.startswith("etcd") and not self.data_dir.startswith(f"{entry.path}/"):
                    self.folder(entry.path)
        before = set(self.folders)
        for path in strangers:
            self.folder(path, deep=False)
        self.strangers = set(self.folders) - before

    def folder(self, path: str, named_in: str = "", *, deep: bool = True) -> None:
        """Another folder, if it holds a member: as a data dir, as the inside of one, or one folder further down."""
        within_it = [f"{path}/{one}" for one in _names(path) if one not in KEPT] if deep and os.path.isdir(path) else []
        for one in (path, *within_it):
            real = os.path.realpath(one)
            surveyed = {real, real.removesuffix("/member")} & self.others
            if surveyed or real.startswith(f"{self.data_dir}.requorum/") or real in self.folders:
                continue
            if datadir.holds_member(real) or datadir.holds_member(f"{real}/member"):
                self.folders[real] = FoundFolder(
                    path=real, named_in=named_in, inside=real.startswith(f"{self.data_dir}/")
                )
                return

    def is_db(self, entry: os.DirEntry[str], *, beside: bool = False) -> bool:
        """Whether a file begins as a bbolt file does. One ``beside`` the data dir is missed only if its name says so."""
        try:
            if not stat.S_ISREG(entry.stat(follow_symlinks=False).st_mode):
                return False
            with open(entry.path, "rb", opener=open_regular) as file:
                head = file.read(20)
        except OSError as err:
            if not beside or _SOUNDS.search(entry.name):
                self.skip(entry.path, err.strerror or str(err))
            return False
        return int.from_bytes(head[16:20], "little") == bbolt.MAGIC


@within(120.0)
def look(
    data_dir: str,
    wal_dir: str,
    inner: str = "member",
    *,
    configs: Sequence[str] = (),
    units: bool = False,
    others: Sequence[str] = (),
    pids: Sequence[int] = (),
    member_id: int = 0,
    log_of: Sequence[str] = (),
) -> Around:
    """Look around one member. ``configs`` are its files of configuration; with ``units`` the host's own units and manifests
    count as such, too. ``others`` are folders that are surveyed anyhow; ``pids`` are the processes that run on it.

    A folder beside its own that has neither a name like it, nor its ``member_id``, nor its peer URLs is somebody else's."""
    layout = datadir.layout_of(data_dir, wal_dir, inner)
    found = _Look(layout, others)
    if inner == "member":
        found.inside(found.data_dir)
        found.wal_apart()
        for path, file in oldpaths.named(configs, units).items():
            found.folder(path, file)
        empty = not os.path.exists(layout.db) and not _names(layout.wal_dir)
        found.beside(empty=empty)
    else:
        for folder in (layout.snap_dir, layout.wal_dir):
            for entry in found.entries(folder):
                found.own_file(entry)
    keys = v2keys.read(layout.snap_dir, layout.wal_dir)
    if keys.unread:
        found.skip(layout.wal_dir, f"looked through for v2 keys in part only: {keys.unread}")
    return Around(
        files=tuple(_with_facts(found)),
        folders=tuple(_folders(found, member_id, _urls_of(layout.db, member_id))),
        runs=tuple(_runs(found)),
        held=_held(layout, pids),
        v2_keys=keys.count,
        v2_some=keys.some,
        unread=tuple(found.unread),
        written=written.read(log_of),
    )


def _names(folder: str) -> list[str]:
    try:
        return sorted(os.listdir(folder))[:MOST_ENTRIES]
    except OSError:
        return []


def _when(info: os.stat_result) -> str:
    written = datetime.datetime.fromtimestamp(info.st_mtime, datetime.timezone.utc)
    return written.strftime("%Y-%m-%d %H:%M:%S UTC")


def _facts_of(path: str) -> dict[str, Any]:
    """What a db says of itself, as fields of what was found; ``note`` where it cannot be read."""
    try:
        facts = mvcc.read_facts(path)
    except EtcdFileError as err:
        return {"note": err.why}
    return {
        "revision": facts.revision,
        "consistent_index": facts.consistent_index,
        "ids": tuple(one.id for one in facts.members),
        "urls": tuple(url for one in facts.members for url in one.peer_urls),
        "note": facts.damage[0].detail if facts.damage else "",
    }


def _with_facts(found: _Look) -> Iterator[FoundFile]:
    """The files, the newest dbs among them with what they hold."""
    dbs = sorted((one for one in found.files if one.kind in (DB, RECEIVED_DB)), key=lambda one: one.modified)
    newest = {one.path for one in dbs[-MOST_DBS:]}
    for one in found.files:
        if one.path not in newest:
            if one.kind in (DB, RECEIVED_DB):
                found.skip(one.path, f"only the {MOST_DBS} newest dbs are looked at")
            yield one
            continue
        fields = {"path": one.path, "kind": one.kind, "inside": one.inside, "size": one.size, "modified": one.modified}
        yield FoundFile(**fields, **_facts_of(one.path))  # type: ignore[arg-type]


def _folders(found: _Look, member_id: int, urls: set[str]) -> Iterator[FoundFolder]:
    """The folders with what they hold, those of others left out: of another member, and of one with none of these peer URLs."""
    for at, folder in enumerate(found.folders.values()):
        if at >= MOST_FOLDERS:
            if folder.path not in found.strangers:
                found.skip(folder.path, f"only {MOST_FOLDERS} folders are looked into")
            continue
        if folder.path in found.strangers and not _is_kin(folder.path, member_id, urls):
            continue
        yield _told(folder, found)


def _is_kin(path: str, member_id: int, urls: set[str]) -> bool:
    """Whether a folder is this member's, by its id, or by its peer URLs: the data of before a restore."""
    whose = _whose(path)
    db = datadir.layout_of(path, None, "" if datadir.holds_member(path) else "member").db
    return (whose == member_id and whose > 0) or bool(urls & _urls_of(db, whose))


def _urls_of(db: str, member_id: int) -> set[str]:
    """The peer URLs of a member, as a db knows them."""
    try:
        return {url for one in mvcc.read_facts(db).members if one.id == member_id for url in one.peer_urls}
    except EtcdFileError:
        return set()


def _whose(path: str) -> int:
    """The member whose log lies in a folder, by what its first file begins with; 0 where that does not tell."""
    inner = "" if datadir.holds_member(path) else "member"
    try:
        for record in itertools.islice(wal.records_of(datadir.layout_of(path, None, inner).wal_dir), BEGINNING):
            if record.type == walchain.METADATA and record.sound:
                return messages.decode_wal_metadata(record.data)[0]
    except (EtcdFileError, OSError, WireError):
        pass
    return 0


def _told(folder: FoundFolder, found: _Look) -> FoundFolder:
    """A folder with what its db and its log say."""
    inner = "" if datadir.holds_member(folder.path) else "member"
    layout = datadir.layout_of(folder.path, None, inner)
    fields: dict[str, Any] = {"path": folder.path, "inside": folder.inside, "named_in": folder.named_in}
    facts = None
    if os.path.exists(layout.db):
        fields.update(db=layout.db, modified=_when(os.stat(layout.db)), **_facts_of(layout.db))
        try:
            facts = mvcc.read_facts(layout.db)
        except EtcdFileError:
            facts = None
    try:
        size = sum(os.stat(one.path).st_size for one in wal.segments_of(layout.wal_dir))
        if size > MOST_LOG or time.monotonic() > found.deadline:
            found.skip(layout.wal_dir, "its log is too large to be read in passing")
            return FoundFolder(**fields)
        _, log = logs.read(layout, facts, in_full=False)
    except (EtcdFileError, OSError) as err:
        fields["note"] = fields.get("note") or str(err)
        return FoundFolder(**fields)
    if isinstance(log, LogEvidence):
        fields.update(
            cluster_id=log.cluster_id, member_id=log.member_id, last_term=log.last_term, last_index=log.last_index
        )
    else:
        fields["note"] = fields.get("note") or log.unknown
    return FoundFolder(**fields)


def _runs(found: _Look) -> Iterator[FoundRun]:
    """What runs of requorum's own keep beside the data dir."""
    for work in (f"{found.data_dir}.requorum", f"{found.data_dir}/.requorum"):
        for entry in found.entries(work):
            plan = f"{entry.path}/plan.json"
            if not os.path.isfile(plan):
                continue
            said = _json(plan)
            if said is None:
                found.skip(plan, "it is no plan of a run")
                continue
            state, begun = _state(f"{entry.path}/journal.jsonl")
            holds = [
                one
                for one in ("old", "old-wal", "copy", "copy-wal", "rolled-back", "rolled-back-wal")
                if _names(f"{entry.path}/{one}")
            ]
            yield FoundRun(
                run=entry.name,
                path=entry.path,
                cluster=str(said.get("cluster", "")),
                state=state or ("stopped or running" if begun else "not begun"),
                holds=tuple(holds),
            )


def _json(path: str) -> dict[str, Any] | None:
    try:
        with open(path, "rb", opener=open_regular) as file:
            said = json.loads(file.read(64 << 20))
    except (OSError, ValueError, RecursionError):
        return None
    return said if isinstance(said, dict) else None


def _state(journal: str) -> tuple[str, bool]:
    """A run's state by its journal here, and whether a step of it began."""
    state, begun = "", False
    try:
        with open(journal, "rb", opener=open_regular) as file:
            for line in file:
                try:
                    said = json.loads(line)
                except (ValueError, RecursionError):
                    continue
                event = said.get("event") if isinstance(said, dict) else ""
                begun = begun or event == "begin"
                if event in _ONE_WAY:
                    state = max(state, event, key=_ONE_WAY.index)
    except OSError:
        pass
    return state, begun


def _held(layout: datadir.Layout, pids: Sequence[int]) -> tuple[HeldFile, ...]:
    """What the processes hold under no name in the data dir."""
    if not any(pids):
        return ()
    inodes = processes.inodes_of([Path(layout.data_dir), Path(layout.wal_dir)])
    return tuple(
        HeldFile(pid=pid, fd=one.fd, path=one.path, deleted=one.deleted)
        for pid in pids
        if pid
        for one in openfiles.out_of_place(pid, inodes)
    )
