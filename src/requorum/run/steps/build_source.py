"""Build the snapshot that every member is restored from, on the workbench, where the best source lies."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec

from requorum.errors import RequorumError
from requorum.hosts import files, transfer
from requorum.hosts.connection import Connection, Here
from requorum.plan.values import PlanMember
from requorum.run.context import Context, still_fenced
from requorum.survey import merging
from requorum.workbench import bench
from requorum.workbench.bench import Part
from requorum.workbench.recipes import recipe_of

ROOM = 3
"""The bench holds the copy that is opened, the snapshot that is saved from it, and a log."""
PIECES = "pieces"
"""Where other members' entries lie on the workbench's host, until the source is built."""


def do(context: Context, member: PlanMember) -> Any:
    """Replay, open, save, compare with the prediction; it is read in full while it is restored."""
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
    return msgspec.to_builtins(built)


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
            parts.append(Part(wal_dir=owner.place.wal_dir, first=piece.first, last=piece.last))
            continue
        host.call(files.make_dir, folder)
        for some in merging.fetch([piece], lambda name: _log_of(context, name)):
            parts.append(host.call(bench.bring, folder / str(len(parts)), some))
    return tuple(parts)


def _log_of(context: Context, name: str) -> tuple[Connection, str]:
    owner = context.plan.member(name)
    return context.host(owner), owner.place.wal_dir
