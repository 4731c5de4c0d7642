"""Turn a source into a proper snapshot, in a throwaway etcd.

The db is restored as a cluster of one under a random token, so the copy has a cluster id and a member id that nobody
else knows, and no peer to talk to. A member's own log is then written anew behind it: each entry above the db's index
follows under the next index of the new log, committed in full by one hard state. Entries that speak of members become
empty ones (they change no key, and the members they name do not exist here). A real etcd applies them, and its snapshot
is taken at once, at the revision that was predicted.

It listens on sockets in a private folder, not on ports: no other etcd can answer in its place, and nobody else on the
host can read there what is a cluster's whole state.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from requorum.errors import RequorumError
from requorum.etcd import client
from requorum.etcd.binaries import Binaries
from requorum.etcdfiles import bbolt, emptydb, messages, mvcc, requests, verify, wal, walwrite
from requorum.etcdfiles.digests import Digests, digests_of
from requorum.etcdfiles.faults import BadBlocks, EtcdFileError, read_past
from requorum.etcdfiles.messages import Entry, HardState, SnapshotMark
from requorum.etcdfiles.protowire import WireError
from requorum.hosts import files, programs
from requorum.hosts.bounds import within

START_SECONDS = 120.0
STOP_SECONDS = 30.0
RESTORE_SECONDS = 1800.0
STARTS = 5
HEEDED = "shutting down"
"""What etcd writes first when it heeds a signal; the words of 3.4's plain log and of the structured one."""
LEAST_QUOTA = 8 << 30
_TERM = 1
_BLOCK = 4 << 20
_CLIENT, _PEER = "localhost:1", "localhost:2"
"""Sockets in the folder that etcd and etcdctl run in: a whole path can be too long for one."""
BENCH = "requorum-workbench"
"""The name of the throwaway member: it stays in the snapshot's members, which every restore replaces."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Entries ``first`` to ``last``, both included, of the log in a folder."""

    wal_dir: str
    first: int
    last: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """What to build: a db (an empty one where none is named), and the entries to replay onto it, in order.

    ``revision`` must come out, exactly when ``exact``, at most so otherwise.
    """

    db: str
    parts: tuple[Part, ...]
    revision: int
    exact: bool
    saved_snapshot: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """The snapshot that came out; hash and count are empty and 0 while it was not read in full."""

    path: str
    sha256: str
    revision: int
    hash: str
    size: int
    total_keys: int


@within(3600.0)
def build(recipe: Recipe, target: Path, bench: Path, found: Binaries, *, in_full: bool = True) -> Built:
    """Build ``target`` from a recipe in the folder ``bench``, which is made and removed again.

    Raises RequorumError when the source cannot be opened, or is not what was predicted; then there is no ``target``.
    Without ``in_full`` it is left to the caller to :func:`read` it.
    """
    files.remove_made(bench)
    files.make_dir(bench)
    part = target.with_name(f".{target.name}.part")
    files.remove_made(part)
    try:
        data_dir = _restore(recipe, bench, found)
        last = _append_log(recipe, data_dir)
        _apply(last, data_dir, bench, found)
        os.replace(data_dir / "member" / "snap" / "db", part)
        built = _check(recipe, part, target, in_full=in_full)
        os.chmod(part, 0o600)
        os.replace(part, target)
        _sync(target)
        return built
    finally:
        files.remove_made(bench)
        files.remove_made(part)


def _sync(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())
    files.fsync_dir(path.parent)


def _restore(recipe: Recipe, bench: Path, found: Binaries) -> Path:
    """Restore the db as a cluster of one with an identity of its own."""
    peer, db = "http://127.0.0.1:1", recipe.db
    if not db:
        db = str(bench / "empty.db")
        Path(db).write_bytes(emptydb.content())
    flags: list[str | Path] = [
        *("--data-dir", bench / "data", "--name", BENCH),
        *("--initial-cluster", f"{BENCH}={peer}", "--initial-advertise-peer-urls", peer),
        *("--initial-cluster-token", f"requorum-bench-{secrets.token_hex(16)}"),
    ]
    if not recipe.saved_snapshot:
        flags.append("--skip-hash-check")
    copy = bench / "copy.db"
    try:
        try:
            programs.run([found.etcdutl, "snapshot", "restore", db, *flags], seconds=RESTORE_SECONDS, cwd=str(bench))
        except programs.ProgramError:
            if recipe.saved_snapshot or not _copied_past_bad_sectors(db, copy):
                raise
            files.remove_made(bench / "data")
            programs.run([found.etcdutl, "snapshot", "restore", copy, *flags], seconds=RESTORE_SECONDS, cwd=str(bench))
    except programs.ProgramError as err:
        raise RequorumError(
            f"{db} cannot be restored: {err}", hint="another source may still do: requorum plan --source ID"
        ) from err
    finally:
        files.remove_made(copy)
    return bench / "data"


def _copied_past_bad_sectors(db: str, copy: Path) -> bool:
    """Copy a db whose bad sectors lie where its tree has nothing: etcdutl reads such pages, too, and gives up. ``False`` where
    that is not what is wrong with it."""
    bad = BadBlocks()
    try:
        if verify.verify_db(db).damage:
            return False
        with open(db, "rb") as source, copy.open("wb") as out:
            at, size = 0, os.fstat(source.fileno()).st_size
            while at < size and (block := read_past(source.fileno(), min(_BLOCK, size - at), at, bad)):
                out.write(block)
                at += len(block)
    except (OSError, EtcdFileError):
        return False
    return bool(bad.starts)


def _append_log(recipe: Recipe, data_dir: Path) -> int:
    """Write the log anew with the entries to replay; returns its last index."""
    wal_dir = data_dir / "member" / "wal"
    try:
        fresh = wal.read_log(str(wal_dir))
    except EtcdFileError as err:
        raise RequorumError(f"the workbench's own log cannot be read: {err}") from err
    first = fresh.last[1]
    if not recipe.parts:
        return first
    entries = [*(fresh.entries[index] for index in sorted(fresh.entries))]
    entries += [_neutral(one, first + at) for at, one in enumerate(_wanted(recipe.parts), 1)]
    last = entries[-1].index
    files.remove_made(wal_dir)
    walwrite.write_wal(
        str(wal_dir),
        member_id=fresh.member_id,
        cluster_id=fresh.cluster_id,
        marks=[SnapshotMark(0, 0, None), *(mark for mark in fresh.marks if mark.index)],
        entries=entries,
        state=HardState(_TERM, fresh.member_id, last),
    )
    return last


def _wanted(parts: tuple[Part, ...]) -> Iterator[Entry]:
    """The entries of all parts in order, each log read once; raises RequorumError where one cannot be read any more."""
    read: dict[str, wal.Log] = {}
    for part in parts:
        if part.wal_dir not in read:
            first = min(one.first for one in parts if one.wal_dir == part.wal_dir)
            try:
                read[part.wal_dir] = wal.read_log(part.wal_dir, from_index=first, keep_after=first - 1)
            except EtcdFileError as err:
                raise RequorumError(str(err)) from err
        log = read[part.wal_dir]
        for index in range(part.first, part.last + 1):
            if index not in log.entries:
                raise RequorumError(f"entry {index} of {part.wal_dir} cannot be read any more")
            yield log.entries[index]


def bring(folder: Path, entries: tuple[bytes, ...]) -> Part:
    """Write entries of another host's log, encoded, into a folder made for them."""
    files.remove_made(folder)
    try:
        decoded = [messages.decode_entry(raw) for raw in entries]
    except WireError as err:
        raise RequorumError(f"an entry that was brought cannot be read: {err}") from err
    walwrite.write_wal(
        str(folder), member_id=0, cluster_id=0, marks=[], entries=decoded, state=HardState(_TERM, 0, decoded[-1].index)
    )
    return Part(wal_dir=str(folder), first=decoded[0].index, last=decoded[-1].index)


def _neutral(entry: Entry, index: int) -> Entry:
    """An entry under a new index; one that speaks of members becomes empty."""
    try:
        request = requests.request_of(entry)
    except WireError:
        request = requests.Other("unreadable", False)
    empty = isinstance(request, requests.Other) and request.membership
    return Entry(messages.ENTRY_NORMAL, _TERM, index, b"" if empty else entry.data)


def _sockets() -> tempfile.TemporaryDirectory[str]:
    """A folder for the sockets: not every filesystem that can hold a db can hold one."""
    return tempfile.TemporaryDirectory(prefix="requorum-")


@contextlib.contextmanager
def _etcd(data_dir: Path, bench: Path, sockets: str, found: Binaries) -> Iterator[subprocess.Popen[bytes]]:
    """A throwaway etcd; killed at the end if it still runs, its log kept on the bench until then."""
    quota = max(LEAST_QUOTA, 2 * (data_dir / "member" / "snap" / "db").stat().st_size)
    argv: list[str | Path] = [
        *(found.etcd, "--name", BENCH, "--data-dir", data_dir, "--quota-backend-bytes", str(quota)),
        *("--listen-client-urls", f"unix://{_CLIENT}", "--advertise-client-urls", f"unix://{_CLIENT}"),
        *("--listen-peer-urls", f"unix://{_PEER}", "--initial-advertise-peer-urls", "http://127.0.0.1:1"),
        *("--initial-cluster", f"{BENCH}=http://127.0.0.1:1", "--initial-cluster-state", "existing"),
        *("--heartbeat-interval", "50", "--election-timeout", "250", "--unsafe-no-fsync"),
    ]
    with (bench / "etcd.log").open("wb") as log:
        process = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env={"PATH": programs.PATH},
            cwd=sockets,
            start_new_session=True,
            preexec_fn=programs.die_with_parent,
        )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def _apply(last: int, data_dir: Path, bench: Path, found: Binaries) -> None:
    """Let etcd apply every entry and close its db.

    etcd answers a moment before it begins to heed SIGTERM: one that comes in that moment kills it, and what it had applied is not
    committed in its db. Its log still has all of it, so etcd is started again then.
    """
    for _ in range(STARTS):
        with _sockets() as sockets, _etcd(data_dir, bench, sockets, found) as process:
            _wait_applied(last, found, bench, sockets)
            _end(process)
        if HEEDED in (bench / "etcd.log").read_text(errors="replace"):
            return
    raise RequorumError(f"the throwaway etcd was ended {STARTS} times before it could close its db", hint="try again")


def _wait_applied(last: int, found: Binaries, bench: Path, sockets: str) -> None:
    """Wait until every entry is applied."""
    deadline = time.monotonic() + START_SECONDS
    said: object = ""
    while time.monotonic() < deadline:
        if not Path(sockets, _CLIENT).exists():  # etcdctl would wait a second before its second try
            said = "it does not listen yet"
            _fail_if_fatal(bench)
            time.sleep(0.01)
            continue
        try:
            answers = client.ctl_json(found, [f"--endpoints=unix://{_CLIENT}"], ["endpoint", "status"], 5, cwd=sockets)
            status = answers[0]["Status"]
            if int(status.get("raftAppliedIndex", 0)) >= last and status.get("leader"):
                return
            said = f"entry {status.get('raftAppliedIndex', 0)} of {last} is applied"
        except programs.ProgramError as err:
            said = err
        except (KeyError, IndexError, TypeError, ValueError) as err:
            said = f"an answer that cannot be read: {err!r}"
        _fail_if_fatal(bench)
        time.sleep(0.03)
    raise RequorumError(f"the throwaway etcd did not get ready within {START_SECONDS:.0f} s: {said}")


def _fail_if_fatal(bench: Path) -> None:
    log = (bench / "etcd.log").read_text(errors="replace")
    if "panic:" in log or '"level":"fatal"' in log or '"level":"panic"' in log:
        raise RequorumError(
            f"the throwaway etcd does not start from this source: {_reason(log)}",
            hint="another source may still do: requorum plan --source ID",
        )


def _reason(log: str) -> str:
    for line in log.splitlines():
        if "panic:" in line or '"level":"fatal"' in line or '"level":"panic"' in line:
            return line.strip()[:400]
    return programs.last_line(log)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Let etcd close its db: what it had applied is committed in it then."""
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        raise RequorumError(f"the throwaway etcd does not end within {STOP_SECONDS:.0f} s") from None


def _sealed(path: Path) -> str:
    """Make a db file a snapshot as ``etcdctl snapshot save`` writes one: no more than its pages, and their sha256 behind.

    Returns the sha256 of the whole file.
    """
    with bbolt.Bolt(str(path)) as bolt:
        size = bolt.meta.size
    digest = hashlib.sha256()
    with path.open("r+b", buffering=0) as file:
        file.truncate(size)
        while block := file.read(_BLOCK):
            digest.update(block)
        whole = digest.copy()
        file.write(digest.digest())
        whole.update(digest.digest())
        os.fsync(file.fileno())
    return whole.hexdigest()


@within(1800.0)
def read(path: Path) -> tuple[str, int]:
    """Read a snapshot of the workbench in full; its hash, and the items of all its buckets. Raises RequorumError when
    anything is wrong with it."""
    try:
        verified = verify.verify_db(str(path), trailer=False)
    except EtcdFileError as err:
        raise RequorumError(f"the workbench's snapshot cannot be read: {err}") from err
    if not verified.sound:
        what = verified.damage[0].detail if verified.damage else f"revisions {verified.gaps[:1]} are missing"
        raise RequorumError(f"the workbench's snapshot is not sound: {what}")
    return f"{verified.hash:x}", verified.total_keys


@within(1800.0)
def digests(db: str, key: str, marks: tuple[int, ...]) -> Digests:
    """What the records of a db come to at some revisions (:mod:`requorum.etcdfiles.digests`); raises RequorumError."""
    try:
        return digests_of(db, key, marks)
    except EtcdFileError as err:
        raise RequorumError(str(err)) from err


def _check(recipe: Recipe, part: Path, target: Path, *, in_full: bool) -> Built:
    """Seal the db, read it in full, and compare its revision with the prediction."""
    try:
        with ThreadPoolExecutor(max_workers=1) as pool:
            sealing = pool.submit(_sealed, part)
            digest, total_keys = read(part) if in_full else ("", 0)
            sha256 = sealing.result()
        revision = mvcc.read_facts(str(part)).revision
    except EtcdFileError as err:
        raise RequorumError(f"the workbench's snapshot cannot be read: {err}") from err
    if revision != recipe.revision and (recipe.exact or revision > recipe.revision):
        how = "" if recipe.exact else "at most "
        raise RequorumError(
            f"the source came to revision {revision} in a real etcd, but {how}{recipe.revision} was predicted",
            hint="something about these files is not understood: keep them, and try another source (--source ID)",
        )
    return Built(
        path=str(target),
        sha256=sha256,
        revision=revision,
        hash=digest,
        size=part.stat().st_size,
        total_keys=total_keys,
    )
