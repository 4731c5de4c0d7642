"""Build the snapshot that every member is restored from, on the workbench, where the best source lies."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec

from requorum.errors import RequorumError
from requorum.hosts import files, transfer
from requorum.hosts.connection import Here
from requorum.plan.values import PlanMember
from requorum.run.context import Context, still_fenced
from requorum.workbench import bench
from requorum.workbench.recipes import recipe_of

ROOM = 3
"""The bench holds the copy that is opened, the snapshot that is saved from it, and a log."""


def do(context: Context, member: PlanMember) -> Any:
    """Replay, open, save, compare with the prediction; it is read in full while it is restored."""
    source, host = context.source, context.host(member)
    work = context.work(member)
    if source.member:
        still_fenced(context, context.plan.member(source.member))
    at = context.connections[source.host] if source.host else Here()
    elsewhere = at.name != host.name and not (at.local and host.local)
    need = (ROOM + elsewhere) * at.call(files.size_of, source.db) + (64 << 20)
    free = host.call(files.free_bytes, work)
    if free < need:
        raise RequorumError(
            f"{member.name}: no room for the workbench: {need} bytes needed, {free} free in {work}",
            hint="make room there, then resume",
        )
    recipe, brought = recipe_of(source), work / "brought.db"
    if elsewhere:
        digest = at.call(files.sha256_of, Path(source.db))
        transfer.copy(at, source.db, [(host, str(brought))], digest, context.moved)
        recipe = replace(recipe, db=str(brought))
    built = host.call(bench.build, recipe, work / "source.db", work / "bench", context.tools(member), in_full=False)
    host.call(files.remove_made, brought)
    return msgspec.to_builtins(built)
