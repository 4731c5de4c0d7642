"""Bring the snapshot to every member at once: the same bytes everywhere, on disk before anything goes on."""

from typing import Any
from urllib.parse import urlsplit

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
    wanted: list[tuple[PlanMember, str]] = []
    for member in context.plan.started:
        host, target = context.host(member), context.work(member) / "source.db"
        if member.name == at.name or (
            host.call(files.there, target) and host.call(files.sha256_of, target) == expected
        ):
            continue
        _room(context, member, size)
        wanted.append((member, str(target)))
    relayed = _straight(context, at, str(source), wanted, expected)
    if relayed:
        aims = [(context.host(member), target) for member, target in relayed]
        transfer.copy(context.host(at), str(source), aims, expected, context.moved)
    return {"sha256": expected, "sent": len(wanted), "relayed": len(relayed), "bytes": size}


def _straight(
    context: Context, at: PlanMember, source: str, wanted: list[tuple[PlanMember, str]], sha256: str
) -> list[tuple[PlanMember, str]]:
    """Send it from host to host where that goes; returns what is left to be relayed."""
    sender = _peer(context, at)
    peers = {member.name: _peer(context, member) for member, _ in wanted}
    able = [(peer, target) for member, target in wanted if (peer := peers[member.name]) is not None]
    if sender is None or not able:
        return wanted
    failed = transfer.straight(sender, source, able, sha256, context.moved)
    return [(member, target) for member, target in wanted if peers[member.name] is None or peers[member.name] in failed]


def _peer(context: Context, member: PlanMember) -> transfer.Peer | None:
    """A member's host under its peer address; None where that has no TLS, or the host is this machine."""
    host, parts = context.host(member), urlsplit(member.config.peer_urls[0] if member.config.peer_urls else "")
    if member.config.peer is None or not parts.hostname or host.local or host.bare:
        return None
    return transfer.Peer(host=host, address=parts.hostname, port=parts.port or 2380, tls=member.config.peer)


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
