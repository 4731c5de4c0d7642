"""Bring etcd's programs to a host that lacks them, or has another minor version: from the operator, or another host."""

from pathlib import Path
from typing import Any

from requorum.errors import RequorumError
from requorum.hosts import files, transfer
from requorum.hosts.connection import Connection, Here
from requorum.hosts.tools import Tools
from requorum.plan.values import PlanMember
from requorum.run.context import Context


def do(context: Context, member: PlanMember) -> Any:
    """Into this run's folder there; nothing is installed."""
    donor, theirs = _donor(context)
    host = context.host(member)
    folder = Path(member.tools.folder)
    host.call(files.make_dir, folder)
    for source in (theirs.etcd, theirs.etcdctl, theirs.etcdutl):
        target = folder / Path(source).name
        digest = donor.call(files.sha256_of, Path(source))
        transfer.copy(donor, source, [(host, str(target))], digest, context.moved)
        host.call(files.make_executable, target)
    return {"from": donor.name, "version": theirs.version}


def _donor(context: Context) -> tuple[Connection, Tools]:
    if context.programs is not None:
        return Here(), context.programs
    for member in context.plan.members:
        if not member.bring_tools:
            return context.host(member), member.tools
    raise RequorumError(
        "no host has etcd's programs of the right version", hint="name a folder that has them: --etcd-dir DIR"
    )
