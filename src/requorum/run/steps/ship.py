"""Bring the snapshot to every member at once: the same bytes everywhere, on disk before anything goes on."""

from typing import Any

from requorum.errors import RequorumError
from requorum.hosts import files, transfer
from requorum.plan.values import PlanMember
from requorum.run.context import Context


def do(context: Context, _: PlanMember | None) -> Any:
    """Copy, fsync, compare the sha256; a file that is there and right is not sent again."""
    expected = sha256_of_source(context)
    at = context.plan.member(context.plan.source_on)
    source = context.work(at) / "source.db"
    size = context.host(at).call(files.size_of, str(source))
    wanted = []
    for member in context.plan.started:
        host, target = context.host(member), context.work(member) / "source.db"
        if member.name == at.name or (
            host.call(files.there, target) and host.call(files.sha256_of, target) == expected
        ):
            continue
        _room(context, member, size)
        wanted.append((host, str(target)))
    if wanted:
        transfer.copy(context.host(at), str(source), wanted, expected, context.moved)
    return {"sha256": expected, "sent": len(wanted), "bytes": size}


def sha256_of_source(context: Context) -> str:
    """What the workbench built, by the journal."""
    built = context.journal.result("build source", context.plan.source_on)
    if not isinstance(built, dict):
        raise RequorumError("the journal does not say what the workbench built")
    return str(built["sha256"])


def _room(context: Context, member: PlanMember, size: int) -> None:
    need = 2 * size + (64 << 20)
    folder = context.work(member)
    free = context.host(member).call(files.free_bytes, folder)
    if free < need:
        raise RequorumError(
            f"{member.name}: no room for the snapshot and the restored data: {need} bytes needed, {free} free in {folder}",
            hint="make room there, then resume",
        )
