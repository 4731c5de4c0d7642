"""Build the snapshot that every member is restored from, on the workbench, where the best source lies."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec

from requorum.errors import Refused, RequorumError
from requorum.etcdfiles import datadir
from requorum.hosts import files, transfer
from requorum.hosts.connection import Connection, Here
from requorum.procedures.values import PlanMember
from requorum.run.context import Context, still_fenced
from requorum.survey import merging
from requorum.workbench import audit, bench
from requorum.workbench.audit import Audit
from requorum.workbench.bench import Part
from requorum.workbench.recipes import recipe_of

ROOM = 3
"""The bench holds the copy that is opened, the snapshot that is saved from it, and a log."""
PIECES = "pieces"
"""Where other members' entries lie on the workbench's host, until the source is built."""


def do(context: Context, member: PlanMember) -> Any:
    """Replay, open, save, compare with the prediction, and with every db that counts; it is read in full while it is restored.

    Raises Refused when a db holds what the built one does not, unless the operator named the source in spite of that.
    """
    source, host = context.source, context.host(member)
    work = context.work(member)
    if source.member:
        still_fenced(context, context.plan.member(source.member))
    at = context.connections[source.host] if source.host else Here()
    elsewhere = at.name != host.name and not (at.local and host.local)
    need = (ROOM + elsewhere) * (at.call(files.size_of, source.db) if source.db else 0) + (64 << 20)
    free = host.call(files.free_bytes, work)
    if free < need:
        raise RequorumError(
            f"{member.name}: no room for the workbench: {need} bytes needed, {free} free in {work}",
            hint="make room there, then resume",
        )
    recipe, brought = recipe_of(source, _parts(context, member)), work / "brought.db"
    if elsewhere and source.db:
        digest = at.call(files.sha256_of, Path(source.db))
        transfer.copy(at, source.db, [(host, str(brought))], digest, context.moved)
        recipe = replace(recipe, db=str(brought))
    try:
        built = host.call(bench.build, recipe, work / "source.db", work / "bench", context.tools(member), in_full=False)
    finally:
        host.call(files.remove_made, brought)
        host.call(files.remove_made, work / PIECES)
    return {**msgspec.to_builtins(built), "audit": msgspec.to_builtins(_audited(context, host, work / "source.db"))}


def _audited(context: Context, host: Connection, built: Path) -> Audit:
    """Compare what was built with the dbs of the members that count (:mod:`requorum.workbench.audit`)."""
    decided, plan = context.journal.decision, context.plan
    names = decided.witnesses if decided is not None else ()
    others = [
        audit.Db(
            name=one.name, host=context.host(one), path=datadir.layout_of(one.place.data_dir, one.place.wal_dir).db
        )
        for one in plan.members
        if one.name in names
    ]
    found = audit.audit(audit.Db(name="source", host=host, path=str(built)), others)
    if found.differ and not plan.named:
        raise Refused(
            f"{context.source.id} was built, and does not hold what other disks hold: {'; '.join(found.differ)}",
            changed=f"etcd is fenced on {', '.join(one.name for one in plan.members)}; no member's data was changed",
            hint=f"keep every disk; requorum rollback {plan.run} lifts the fences; a source that you name yourself "
            f"(requorum plan --source ID) is taken in spite of what others hold",
        )
    return found


def _parts(context: Context, member: PlanMember) -> tuple[Part, ...]:
    """A merged log's pieces: those that lie on the workbench's host where they are, the others brought from theirs."""
    parts: list[Part] = []
    folder, host = context.work(member) / PIECES, context.host(member)
    host.call(files.remove_made, folder)
    for piece in context.source.pieces:
        owner = context.plan.member(piece.member)
        still_fenced(context, owner)
        there = context.host(owner)
        if there.name == host.name or (there.local and host.local):
            parts.append(Part(wal_dir=piece.wal_dir or owner.place.wal_dir, first=piece.first, last=piece.last))
            continue
        host.call(files.make_dir, folder)
        for some in merging.fetch([piece], lambda name: _log_of(context, name)):
            parts.append(host.call(bench.bring, folder / str(len(parts)), some))
    return tuple(parts)


def _log_of(context: Context, name: str) -> tuple[Connection, str]:
    owner = context.plan.member(name)
    return context.host(owner), owner.place.wal_dir
