"""Build the snapshot that every member is restored from, on the workbench, where the best source lies."""

from typing import Any

import msgspec

from requorum.errors import RequorumError
from requorum.hosts import files
from requorum.plan.values import PlanMember
from requorum.run.context import Context, still_fenced
from requorum.workbench import bench

ROOM = 3
"""The bench holds the copy that is opened, the snapshot that is saved from it, and a log."""


def do(context: Context, member: PlanMember) -> Any:
    """Replay, open, save, read in full, compare with the prediction."""
    source = context.source
    work = context.work(member)
    if source.member:
        still_fenced(member, context.plan.run)
    need = ROOM * files.size_of(source.db) + (64 << 20)
    free = files.free_bytes(work)
    if free < need:
        raise RequorumError(
            f"{member.name}: no room for the workbench: {need} bytes needed, {free} free in {work}",
            hint="make room there, then resume",
        )
    built = bench.build(bench.recipe_of(source), work / "source.db", work / "bench", context.tools)
    return msgspec.to_builtins(built)
