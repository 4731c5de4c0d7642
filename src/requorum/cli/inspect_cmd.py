"""``requorum inspect``: any file of etcd's, explained offline."""

import itertools
from pathlib import Path
from typing import Any

import click
import msgspec

from requorum import errors
from requorum.cli import options, render
from requorum.errors import RequorumError
from requorum.etcdfiles import datadir, snapfile, wal
from requorum.etcdfiles.faults import EtcdFileError
from requorum.etcdfiles.wal import Log
from requorum.survey import disks, logs
from requorum.survey.evidence import Checked, DbEvidence, Fault, LogEvidence, Tail, Unknown

SHOWN = 10
"""So many damaged places are printed one by one; JSON has them all."""
MOST_LISTED = 10_000
"""So many unreadable indexes are listed one by one in JSON; it has them all as runs."""


@click.command()
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--verify", is_flag=True, help="Read everything: hash, counts, gaps, records, checksums.")
@options.output
def inspect(path: Path, verify: bool, output: str) -> int:
    """Explain a data dir, a db, a saved snapshot, a WAL (file or folder) or a .snap file. Reads only.

    Exits with 3 when damage was found.
    """
    try:
        kind = datadir.kind_of(str(path))
        found = _LOOK[kind](path, verify)
    except EtcdFileError as err:
        raise RequorumError(str(err)) from err
    damage = found.pop("damage")
    answer = {"schema": "requorum/Inspection/v1", "path": str(path), "kind": kind, **found, "damage": damage}
    if output in ("json", "yaml"):
        render.data(answer, output)
    else:
        _print(answer, verify=verify)
    return errors.DONE_WITH_WARNINGS if damage else errors.DONE


def _data_dir(path: Path, verify: bool) -> dict[str, Any]:
    inner = datadir.inner_of(str(path))
    layout = datadir.layout_of(str(path), inner=inner)
    db, log, tail = disks.read_member(layout.data_dir, layout.wal_dir, in_full=verify, inner=inner)
    damage = [*_faults(db), *(log.faults if isinstance(log, LogEvidence) else ())]
    for part in (db, log):
        if isinstance(part, Unknown):
            damage.append(Fault(path=str(path), offset=0, kind="unreadable", detail=part.unknown))
    process = disks.read_process([layout.data_dir])
    return {"db": db, "snapshot": _status(db), "log": log, "tail": tail, "process": process, "damage": damage}


def _db(path: Path, verify: bool) -> dict[str, Any]:
    db = disks.read_snapshot(str(path), "", in_full=verify).db
    if isinstance(db, Unknown):
        raise RequorumError(db.unknown)
    return {"db": db, "snapshot": _status(db), "damage": _faults(db)}


def _faults(db: DbEvidence | Unknown) -> list[Fault]:
    if isinstance(db, Unknown):
        return []
    gaps = db.checked.gaps if isinstance(db.checked, Checked) else ()
    lost = [
        Fault(path=db.path, offset=0, kind="gap", detail=f"no record of revisions {one.first} to {one.last} is left")
        for one in gaps
    ]
    return [*db.faults, *lost]


def _status(db: DbEvidence | Unknown) -> dict[str, Any] | None:
    """What ``etcdutl snapshot status -w json`` prints; ``liveKeys`` is what 3.6 calls totalKey."""
    if isinstance(db, Unknown) or isinstance(db.checked, Unknown):
        return None
    checked = db.checked
    return {
        "hash": int(checked.hash, 16),
        "revision": checked.revision,
        "totalKey": checked.total_keys,
        "liveKeys": checked.live_keys,
        "totalSize": checked.total_size,
    }


def _wal_dir(path: Path, _: bool) -> dict[str, Any]:
    return _log(wal.read_log(str(path)))


def _wal_file(path: Path, _: bool) -> dict[str, Any]:
    return _log(wal.read_segment(str(path)))


def _log(log: Log) -> dict[str, Any]:
    term, index = log.last
    return {
        "log": {
            "segments": [one.path for one in log.segments],
            "member_id": log.member_id,
            "cluster_id": log.cluster_id,
            "runs": [msgspec.to_builtins(one) for one in log.runs],
            "last_term": term,
            "last_index": index,
            "commit": log.hard_state.commit if log.hard_state else 0,
            "snapshots": [{"index": one.index, "term": one.term} for one in log.marks],
            "end": log.end,
            "unreadable": list(itertools.islice(log.unreadable, MOST_LISTED)),
            "unreadable_runs": [list(one) for one in log.unreadable.runs],
        },
        "damage": [logs.fault(one) for one in log.damage],
    }


def _snap(path: Path, _: bool) -> dict[str, Any]:
    found = snapfile.read_snap(str(path))
    conf = found.conf_state
    snap = {"index": found.index, "term": found.term, "voters": list(conf.voters), "learners": list(conf.learners)}
    return {"snap": snap, "damage": []}


_LOOK = {
    "data dir": _data_dir,
    "member dir": _data_dir,
    "db": _db,
    "wal dir": _wal_dir,
    "wal": _wal_file,
    "snap": _snap,
}


def _print(answer: dict[str, Any], *, verify: bool) -> None:
    out = render.console()
    rows = render.table("", "")
    rows.show_header = False
    for name, value in _rows(answer):
        rows.add_row(name, value)
    out.print(f"{answer['path']}: {_title(answer)}", style="bold")
    out.print(rows)
    for fault in answer["damage"][:SHOWN]:
        where = f" (entry {fault.index})" if fault.index else ""
        out.print(f"damage: {Path(fault.path).name} at byte {fault.offset}{where}: {fault.detail}", style="yellow")
    if len(answer["damage"]) > SHOWN:
        out.print(f"damage: {len(answer['damage']) - SHOWN} more places (-o json lists all)", style="yellow")
    if not answer["damage"]:
        whole = verify or "db" not in answer
        out.print("no damage found" + ("" if whole else " in the pages read; --verify reads all"), style="green")


def _title(answer: dict[str, Any]) -> str:
    db = answer.get("db")
    if answer["kind"] == "db" and isinstance(db, DbEvidence):
        return "saved snapshot (sha256 at its end)" if db.saved_snapshot else "db (no sha256 at its end)"
    kind = str(answer["kind"])
    return {"wal": "WAL file", "wal dir": "WAL", "snap": ".snap file"}.get(kind, kind)


def _rows(answer: dict[str, Any]) -> list[tuple[str, str]]:
    rows: list[tuple[str, str]] = []
    db, log, tail, snap = (answer.get(name) for name in ("db", "log", "tail", "snap"))
    if isinstance(db, DbEvidence):
        rows += _db_rows(db)
    elif isinstance(db, Unknown):
        rows.append(("db", db.unknown))
    if isinstance(log, Unknown):
        rows.append(("log", log.unknown))
    elif log is not None:
        rows += _log_rows(msgspec.to_builtins(log))
    if isinstance(tail, Tail):
        exact = "exactly" if not tail.doubts else "at most"
        rows.append(
            (
                "log beyond the db",
                f"entries {tail.from_index + 1} to {tail.to_index}, {exact} to revision {tail.revision}"
                if tail.to_index > tail.from_index
                else "nothing",
            )
        )
    if snap is not None:
        rows.append(("index, term", f"{snap['index']}, {snap['term']}"))
        rows.append(("voters", ", ".join(f"{one:x}" for one in snap["voters"]) or "none"))
        if snap["learners"]:
            rows.append(("learners", ", ".join(f"{one:x}" for one in snap["learners"])))
    process = answer.get("process")
    if process is not None and process.running:
        rows.append(
            (
                "in use by",
                "; ".join(
                    f"{command} (pid {pid})" for pid, command in zip(process.pids, process.commands, strict=True)
                ),
            )
        )
    return rows


def _db_rows(db: DbEvidence) -> list[tuple[str, str]]:
    rows = [
        ("revision", f"{db.revision} (compacted up to {db.compact_revision})"),
        ("consistent index, term", f"{db.consistent_index}, {db.term}"),
        ("size", f"{render.size(db.total_size)} ({db.file_size} bytes in the file)"),
        ("cluster version", db.cluster_version or "not set"),
        (
            "members",
            ", ".join(f"{one.name or '?'} ({one.id:x}{', learner' if one.learner else ''})" for one in db.peers)
            or "none",
        ),
    ]
    if db.removed:
        rows.append(("removed members", ", ".join(f"{one:x}" for one in db.removed)))
    if db.alarms:
        rows.append(("alarms", ", ".join(db.alarms)))
    if db.auth_enabled:
        rows.append(("users and roles", "in force"))
    if isinstance(db.checked, Checked):
        rows.append(("hash", db.checked.hash))
        rows.append(("keys", f"{db.checked.live_keys} live, {db.checked.total_keys} records in all buckets"))
    return rows


def _log_rows(log: dict[str, Any]) -> list[tuple[str, str]]:
    rows = [
        ("member, cluster", f"{log['member_id']:x}, {log['cluster_id']:x}"),
        ("last term, index", f"{log['last_term']}, {log['last_index']} (commit on disk {log['commit']})"),
        (
            "entries",
            ", ".join(f"{run['first']}-{run['last']} (term {run['term']})" for run in log["runs"][-SHOWN:]) or "none",
        ),
        ("end", log["end"]),
    ]
    for reason in log.get("refusals", ()):
        rows.append(("etcd must not start", reason))
    return rows
