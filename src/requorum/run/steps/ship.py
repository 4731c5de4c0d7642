"""Bring the restored db to every other member at once: the same bytes everywhere, on disk before anything goes on."""

from dataclasses import dataclass
from shlex import quote as q
from urllib.parse import urlsplit

from requorum.errors import RequorumError
from requorum.hosts import files, transfer
from requorum.hosts.everywhere import at_once
from requorum.procedures.values import Plan, PlanMember, work_of
from requorum.run.context import Context
from requorum.run.steps import restore_beside
from requorum.run.steps.restore_beside import Restored, own, restored_db
from requorum.run.steptype import StepType


@dataclass(frozen=True, slots=True, kw_only=True)
class Shipped:
    """The db's ``sha256`` and ``bytes``, to how many members it was ``sent``, and to how many of them through this machine."""

    sha256: str
    sent: int
    relayed: int
    bytes: int


def by_hand(plan: Plan, _: None) -> tuple[str, ...]:
    source = plan.member(plan.source_on)
    others = [one for one in plan.started if one.name != source.name]
    db = "new/member/snap/db"
    path = f"{work_of(source, plan.run)}/{db}"
    return (
        *(f"scp -3 {q(f'{source.host}:{path}')} {q(f'{one.host}:{work_of(one, plan.run)}/{db}')}" for one in others),
        "# sha256sum must be the same everywhere",
    )


def do(context: Context, _: None) -> Shipped:
    """Copy, fsync, compare the sha256; a file that is there and right is not sent again."""
    at = context.plan.member(context.plan.source_on)
    expected = _restored(context, at).sha256
    _same_beginning(context, at)
    source = restored_db(context, at)
    size = context.host(at).call(files.size_of, str(source))
    wanted: list[tuple[PlanMember, str]] = []
    for member in context.plan.started:
        host, target = context.host(member), restored_db(context, member)
        if member.name == at.name or (
            host.call(files.there, target) and host.call(files.sha256_of, target) == expected
        ):
            continue
        wanted.append((member, str(target)))
    relayed = _straight(context, at, str(source), wanted, expected)
    if relayed:
        aims = [(context.host(member), target) for member, target in relayed]
        transfer.copy(context.host(at), str(source), aims, expected, context.moved)
    others = [member for member in context.plan.started if member.name != at.name]
    at_once(lambda member: own(context, member), others)
    return Shipped(sha256=expected, sent=len(wanted), relayed=len(relayed), bytes=size)


def _restored(context: Context, member: PlanMember) -> Restored:
    found = restore_beside.STEP.of(context.journal, member.name)
    if found is None:
        raise RequorumError(f"the journal does not say what was restored on {member.name}")
    return found


def _same_beginning(context: Context, at: PlanMember) -> None:
    """The members' logs must begin where the db that they are brought ends: at the term and index of the source's host.

    The bytes of a ``.snap`` are no measure: 3.6 writes its members in any order (measured).
    """
    wanted = _restored(context, at).snap
    for member in context.plan.started:
        found = _restored(context, member).snap
        if found != wanted:
            raise RequorumError(
                f"{member.name}: etcdutl wrote {found} beside the db, but {wanted} on {at.name}",
                hint="are their etcdutl of one version?",
            )


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


STEP = StepType(
    kind="ship",
    does="brings the restored db to every other member at once: the same bytes everywhere, on disk",
    by_hand=by_hand,
    do=do,
    result=Shipped,
)
