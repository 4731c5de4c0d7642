"""The members of a cluster that lives: who they are, and how one is changed. One at a time, each change looked for before it
is made."""

from collections.abc import Sequence
from typing import Any

from requorum.errors import RequorumError
from requorum.etcd import client
from requorum.hosts import programs
from requorum.procedures.values import PlanMember
from requorum.run.context import Context
from requorum.survey.evidence import Peer
from requorum.survey.live import peers_of

CALL_SECONDS = 10.0


def votes(context: Context) -> bool:
    """Whether the new member has been promoted."""
    found = new_member(context)
    return found is not None and not found.learner


def listed(context: Context, speakers: Sequence[PlanMember] = ()) -> tuple[Peer, ...]:
    """The members of now."""
    return peers_of(ctl(context, speakers or keeping(context), "member", "list"))


def new_member(context: Context) -> Peer | None:
    """The new member, by its peer URLs: it has no name before its first start."""
    urls = set(context.plan.replaced.config.peer_urls)
    return next((one for one in listed(context) if urls & set(one.peer_urls) and one.id != context.plan.replaces), None)


def keeping(context: Context) -> list[PlanMember]:
    """The members that run on."""
    return [one for one in context.plan.members if one.role == "keep"]


def change(context: Context, *words: str) -> Any:
    """etcdctl against the members that run on."""
    return ctl(context, keeping(context), *words)


def ctl(context: Context, speakers: Sequence[PlanMember], *words: str) -> Any:
    """Ask members that run, one after the other, until one answers."""
    failed = ""
    for member in speakers:
        config = member.config
        flags = client.client_flags(config.endpoint, config.ca, config.cert, config.key)
        try:
            return context.host(member).call(client.ctl_json, context.tools(member), flags, list(words), CALL_SECONDS)
        except programs.ProgramError as err:
            failed = programs.last_line(err.detail) or str(err)
            if "in sync with leader" in failed or "not a learner" in failed:
                break
    raise RequorumError(f"etcdctl {' '.join(words)}: {failed}")
