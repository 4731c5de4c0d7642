"""As soon as the proof has passed: a snapshot of what was proven, before anything else writes."""

from typing import Any

from requorum.errors import RequorumError
from requorum.hosts import files, programs, tools
from requorum.plan.values import PlanMember
from requorum.run.context import Context

SAVE_SECONDS = 1800.0


def do(context: Context, _: PlanMember | None) -> Any:
    """Saved by a member that runs, on its host, in this run's folder there."""
    member = context.plan.speaker
    host, config = context.host(member), member.config
    path = context.work(member) / f"{'before' if context.plan.kind == 'replace member' else 'proven'}.db"
    flags = tools.client_flags(config.endpoint, config.ca, config.cert, config.key)
    try:
        argv = [context.tools(member).etcdctl, *flags, "snapshot", "save", str(path)]
        host.call(programs.run, argv, seconds=SAVE_SECONDS, env={"ETCDCTL_API": "3"})
    except programs.ProgramError as err:
        raise RequorumError(f"{member.name}: a snapshot could not be saved: {err}") from err
    return {"host": member.host, "path": str(path), "size": host.call(files.size_of, str(path))}
