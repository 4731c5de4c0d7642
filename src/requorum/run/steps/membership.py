"""Change the members of a cluster that lives: one at a time, each change looked for before it is made."""

import time
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
CATCH_UP_SECONDS = 3600.0


def remove(context: Context, _: PlanMember | None) -> Any:
    """Remove the broken member by its id."""
    wanted = context.plan.replaces
    if any(one.id == wanted for one in listed(context)):
        _ctl(context, "member", "remove", f"{wanted:x}")
    return {"removed": f"{wanted:x}"}


def add(context: Context, _: PlanMember | None) -> Any:
    """Add the new member as a learner; one that an earlier try added stays."""
    new = context.plan.replaced
    found = _new(context)
    if found is None:
        urls = ",".join(new.config.peer_urls)
        _ctl(context, "member", "add", new.config.name, "--learner", f"--peer-urls={urls}")
        found = _new(context)
    if found is None:
        raise RequorumError(f"{new.name} was added, but no member lists it")
    return {"id": f"{found.id:x}"}


def promote(context: Context, _: PlanMember | None) -> Any:
    """Let it vote once it has caught up with the leader; etcd refuses before."""
    new = context.plan.replaced
    deadline = time.monotonic() + CATCH_UP_SECONDS
    grace = time.monotonic() + 5
    began = time.monotonic()
    said = ""
    while True:
        found = _new(context)
        if found is None:
            raise RequorumError(f"{new.name} is no member any more: somebody removed it", hint="resume adds it again")
        if not found.learner:
            return {"id": f"{found.id:x}", "seconds": round(time.monotonic() - began, 1)}
        try:
            _ctl(context, "member", "promote", f"{found.id:x}")
            continue
        except RequorumError as err:
            said = err.message
        if time.monotonic() > grace and (why := context.dead(new.config)):
            raise RequorumError(f"{new.name} does not run: {why}", hint="look at its log, then resume")
        if time.monotonic() > deadline:
            raise RequorumError(f"{new.name} has not caught up after {CATCH_UP_SECONDS:.0f} s: {said}")
        _tell(context)
        time.sleep(0.2)


def undo_add(context: Context, _: PlanMember | None) -> None:
    """Remove the learner that was added: the others were a healthy cluster without it."""
    found = _new(context)
    if found is not None and found.learner:
        _ctl(context, "member", "remove", f"{found.id:x}")


def votes(context: Context) -> bool:
    """Whether the new member has been promoted."""
    found = _new(context)
    return found is not None and not found.learner


def listed(context: Context, speakers: Sequence[PlanMember] = ()) -> tuple[Peer, ...]:
    """The members of now."""
    return peers_of(ctl(context, speakers or _keeping(context), "member", "list"))


def _new(context: Context) -> Peer | None:
    """The new member, by its peer URLs: it has no name before its first start."""
    urls = set(context.plan.replaced.config.peer_urls)
    return next((one for one in listed(context) if urls & set(one.peer_urls) and one.id != context.plan.replaces), None)


def _tell(context: Context) -> None:
    """Show how far it has come."""
    new = context.plan.replaced
    applied = []
    for one in (new, context.plan.speaker):
        flags = client.client_flags(one.config.endpoint, one.config.ca, one.config.cert, one.config.key)
        try:
            answer = context.host(one).call(client.ctl_json, context.tools(one), flags, ["endpoint", "status"], 3)
            applied.append(int(answer[0]["Status"].get("raftAppliedIndex", 0)))
        except (programs.ProgramError, KeyError, IndexError, TypeError, ValueError):
            return
    context.caught_up(new.name, *applied)


def _keeping(context: Context) -> list[PlanMember]:
    return [one for one in context.plan.members if one.role == "keep"]


def _ctl(context: Context, *words: str) -> Any:
    return ctl(context, _keeping(context), *words)


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
