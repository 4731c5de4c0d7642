"""A member on a host that has no Python: its log is fetched and read here, of its db only the few pages that tell what it is.
The log is compared with others' as any; the records of the db are compared with nothing.

What is fetched lies in a folder of mode 0700 on this machine, and is removed as soon as it is read. The db stays where it
is: ``etcdutl snapshot status`` reads it in full there, once nothing runs on it.
"""

import dataclasses
import json
import os
import shutil
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from requorum.errors import RequorumError
from requorum.etcdfiles import bbolt, datadir, mvcc, wal
from requorum.etcdfiles.datadir import Layout
from requorum.etcdfiles.faults import EtcdFileError
from requorum.hosts import files, programs, shell
from requorum.hosts.shell import Shell
from requorum.survey import disks, logs
from requorum.survey.evidence import Checked, DbEvidence, LogEvidence, Place, SnapshotEvidence, Tail, Unknown

PAGES = 100
"""At most so often pages of a db are fetched to learn what it is; it takes five to twenty."""
FIRST_PAGE = 16384
TOGETHER = 4
"""So many pages are fetched at a time: one may span several."""
STATUS_SECONDS = 1800.0
LOGS = ("*.wal", "*.wal.broken*")
"""A log's segments, and what they were before etcd repaired them by cutting."""


def read_member(
    host: Shell,
    data_dir: str,
    wal_dir: str,
    *,
    in_full: bool,
    inner: str = "member",
    key: bytes = b"",
    live: bool = False,
) -> tuple[DbEvidence | Unknown, LogEvidence | Unknown, Tail | Unknown]:
    """As :func:`requorum.survey.disks.read_member`, but for the tail: its replay is not simulated."""
    there = datadir.layout_of(data_dir, wal_dir, inner)
    work = Path(tempfile.mkdtemp(prefix="requorum-read-"))
    try:
        here = datadir.layout_of(str(work / "data"), str(work / "wal"))
        os.makedirs(here.snap_dir)
        os.makedirs(here.wal_dir)
        why = _fetch_logs(host, there, here)
        db = _db(host, there.db, Path(here.db), in_full=in_full)
        _, log, _ = disks.read_member(here.data_dir, here.wal_dir, in_full=False, key=key, live=live)
        if why:
            log = Unknown(unknown=why)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    if isinstance(log, LogEvidence):
        read = log.wal_dir
        log = _renamed(log, {here.wal_dir: there.wal_dir, here.snap_dir: there.snap_dir})
        disks.hashes_moved(read, _name(host, log.wal_dir))
    return db, log, Unknown(unknown="there is no Python on its host to replay the log with")


def _fetch_logs(host: Shell, there: Layout, here: Layout) -> str:
    """The WAL and the .snap files; returns why they cannot be had."""
    return _fetch_files(host, there.wal_dir, here.wal_dir, *LOGS) or _fetch_files(
        host, there.snap_dir, here.snap_dir, "*.snap", "*.snap"
    )


def _name(host: Shell, wal_dir: str) -> str:
    """What a log on a host is called where logs of this machine go by their folder."""
    return f"{host.name}:{wal_dir}"


def sums(host: Shell, wal_dir: str, ranges: tuple[tuple[int, int], ...]) -> tuple[int | None, ...]:
    """As :func:`requorum.survey.disks.sums`, of what was fetched."""
    return disks.sums(_name(host, wal_dir), ranges)


def _fetch_files(host: Shell, source: str, target: str, pattern: str, other: str) -> str:
    """The files of a folder whose names fit one of two patterns; returns why they cannot be had."""
    script = (
        'cd "$1" || exit 44; exec find . -maxdepth 1 \\( -name "$2" -o -name "$3" \\) -type f -print0 | '
        "tar --null -T - -S -cf -"
    )
    status, raw, said = host.sh(script, source, pattern, other, seconds=600)
    if status:
        return f"{source}: {said.splitlines()[-1] if said else 'it cannot be read'}"
    _unpack(raw, target)
    return ""


def _unpack(raw: bytes, target: str) -> None:
    import io

    with tarfile.open(fileobj=io.BytesIO(raw)) as packed:
        packed.extractall(target, filter="data")


def _db(host: Shell, path: str, here: Path, *, in_full: bool) -> DbEvidence | Unknown:
    """What a db is: its pages are fetched as they are asked for, into a file that is otherwise empty."""
    try:
        size = host.call(files.size_of, path)
    except OSError as err:
        return Unknown(unknown=f"{path}: {err.strerror}")
    with here.open("wb") as file:
        file.truncate(size)
    fetched: set[int] = set()
    _fetch(host, path, here, 0, 2 * FIRST_PAGE)
    for _ in range(PAGES):
        try:
            with bbolt.Bolt(str(here)) as bolt:
                page = bolt.meta.page_size
            facts = mvcc.read_facts(str(here))
        except EtcdFileError as err:
            return Unknown(unknown=str(err).replace(str(here), path))
        wanted = {one.offset // page for one in facts.damage} - fetched
        if not wanted:
            break
        for number in wanted:
            _fetch(host, path, here, number * page, TOGETHER * page)
        fetched |= wanted
    found = disks.db_evidence(facts, None, facts.consistent_index)
    faults = tuple(dataclasses.replace(one, path=path) for one in found.faults)
    found = dataclasses.replace(found, path=path, faults=faults)
    return _checked(host, found) if in_full else found


def _fetch(host: Shell, path: str, here: Path, offset: int, size: int) -> None:
    status, raw, _ = host.sh('tail -c "+$2" -- "$1" | head -c "$3"', path, offset + 1, size)
    if status == 0 and raw:
        with here.open("r+b") as file:
            file.seek(offset)
            file.write(raw)


def _checked(host: Shell, found: DbEvidence) -> DbEvidence:
    """The full reading by ``etcdutl snapshot status``: page structure, hash, counts."""
    try:
        status = _status(host, found.path)
    except (RequorumError, programs.ProgramError, ValueError, KeyError) as err:
        return dataclasses.replace(found, checked=Unknown(unknown=f"etcdutl could not read it: {err}"))
    checked = Checked(
        hash=f"{int(status['hash']):x}",
        revision=int(status["revision"]),
        total_keys=int(status["totalKey"]),
        live_keys=0,
        total_size=int(status["totalSize"]),
        trailer=False,
        gaps=(),
    )
    return dataclasses.replace(found, checked=checked)


def _status(host: Shell, path: str) -> Any:
    etcdutl = host.call(programs.which, "etcdutl", programs.PATH.split(":"))
    if etcdutl is None:
        raise RequorumError("there is no etcdutl")
    argv = [str(etcdutl), "snapshot", "status", path, "-w", "json"]
    return json.loads(host.call(programs.run, argv, seconds=STATUS_SECONDS).out)


def _renamed(log: LogEvidence, names: dict[str, str]) -> LogEvidence:
    """Evidence with the paths of the host in place of those here."""

    def real(path: str) -> str:
        for here, there in names.items():
            path = path.replace(here, there)
        return path

    faults = tuple(dataclasses.replace(one, path=real(one.path)) for one in log.faults)
    cut = dataclasses.replace(log.cut_off, path=real(log.cut_off.path)) if log.cut_off is not None else None
    return dataclasses.replace(log, wal_dir=real(log.wal_dir), faults=faults, cut_off=cut)


def read_place(host: Shell, layout: Layout) -> Place | Unknown:
    """Where the files lie; a mount or a WAL dir inside the data dir is refused there."""
    script = (
        'd=$(readlink -m -- "$1"); w=$(readlink -m -- "$2"); echo "$d"; echo "$w"; '
        'mountpoint -q "$d" && echo yes || echo no; mountpoint -q "$w" && echo yes || echo no; '
        'du -sB1 "$d" 2>/dev/null | cut -f1; cut -d" " -f2 /proc/self/mounts | grep "^$d/." | head -n 1'
    )
    try:
        lines = host.do(script, layout.data_dir, layout.wal_dir).splitlines()
        data_dir, wal_dir, root, wal_root, used, *inner = lines
        free = host.call(files.free_bytes, Path(data_dir))
        wal_free = host.call(files.free_bytes, Path(wal_dir))
    except (OSError, ValueError) as err:
        return Unknown(unknown=f"{layout.data_dir}: {err}")
    apart = wal_dir != f"{data_dir}/member/wal"
    if inner or (apart and wal_dir.startswith(f"{data_dir}/")):
        return Unknown(
            unknown=f"{(inner or [wal_dir])[0]} lies inside the data dir, and there is no Python to move around it"
        )
    beside = f"{data_dir}/.requorum" if root == "yes" else f"{data_dir}.requorum"
    wal_beside = f"{wal_dir}/.requorum" if wal_root == "yes" else f"{wal_dir}.requorum"
    return Place(
        data_dir=data_dir,
        wal_dir=wal_dir,
        work=beside,
        wal_work=wal_beside if apart else beside,
        wal_apart=apart,
        used=int(used or 0),
        free=free,
        wal_free=wal_free,
    )


def read_snapshot(host: Shell, path: str, name: str, *, in_full: bool) -> SnapshotEvidence:
    """A snapshot file on such a host."""
    work = Path(tempfile.mkdtemp(prefix="requorum-read-"))
    try:
        return SnapshotEvidence(path=path, host=name, db=_db(host, path, work / "db", in_full=in_full))
    finally:
        shutil.rmtree(work, ignore_errors=True)


def entries(host: Shell, wal_dir: str, first: int, last: int, at_most: int) -> tuple[bytes, ...]:
    """As :func:`requorum.survey.logs.entries`, but all at once: the log is fetched for it."""
    work = Path(tempfile.mkdtemp(prefix="requorum-read-"))
    folder, name = os.path.split(wal_dir) if wal.is_broken_copy(wal_dir) else (wal_dir, "")
    try:
        why = _fetch_files(host, folder, str(work), *LOGS)
        if why:
            raise EtcdFileError(wal_dir, why)
        return logs.entries(str(work / name), first, last, 1 << 62)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def register() -> None:
    """Tell the plain shell how a survey is done over it."""
    ours: dict[Callable[..., Any], Callable[..., Any]] = {
        disks.read_member: read_member,
        disks.read_place: read_place,
        disks.read_snapshot: read_snapshot,
        mvcc.read_facts: _facts,
        logs.entries: entries,
        disks.sums: sums,
    }
    shell.THERE.update(ours)


def _facts(host: Shell, path: str) -> mvcc.DbFacts:
    raise EtcdFileError(path, "there is no Python on its host to read it with")
