"""As soon as the proof has passed: a snapshot of what was proven.

What it holds is settled when it begins: etcd sends what one read transaction sees. So the rest may come back while it is
still being written.
"""

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from requorum.errors import RequorumError
from requorum.etcd import client
from requorum.hosts import files, programs
from requorum.procedures import runbook
from requorum.procedures.values import PlanMember
from requorum.run.context import Context

SAVE_SECONDS = 1800.0
BEGIN_SECONDS = 60.0


def begin(context: Context, _: PlanMember | None) -> Any:
    """Begin it, on the host of a member that runs, in this run's folder there; returns once bytes arrive."""
    path, host = _path(context), context.host(context.plan.speaker)
    if host.call(files.there, path):
        return {"path": str(path)}
    pool = ThreadPoolExecutor(max_workers=1)
    saving = pool.submit(_save, context, path)
    pool.shutdown(wait=False)
    context.saving.append(saving)
    deadline = time.monotonic() + BEGIN_SECONDS
    while not saving.done() and not _begun(context, path):
        if time.monotonic() > deadline:
            why = [said for one in context.plan.started if (said := context.dead(one.config))]
            raise RequorumError(
                f"{context.plan.speaker.name} has sent nothing of a snapshot in {BEGIN_SECONDS:.0f} s"
                + "".join(f"; {said}" for said in why)
            )
        time.sleep(0.02)
    if saving.done():
        saving.result()
    return {"path": str(path)}


def _begun(context: Context, path: Path) -> bool:
    host = context.host(context.plan.speaker)
    return host.call(files.size_if_there, path.with_name(f"{path.name}.part")) > 0 or host.call(files.there, path)


def finish(context: Context, _: PlanMember | None) -> Any:
    """Wait for its end. A run that goes on in another process looks whether it is there, and takes one if it is not."""
    path, host = _path(context), context.host(context.plan.speaker)
    if context.saving:
        context.saving.pop().result()
    elif not host.call(files.there, path):
        _save(context, path)
    return {"host": context.plan.speaker.host, "path": str(path), "size": host.call(files.size_of, str(path))}


def _path(context: Context) -> Path:
    return context.work(context.plan.speaker) / runbook.snapshot_name(context.plan)


def _save(context: Context, path: Path) -> None:
    """etcdctl writes ``PATH.part``, fsyncs it and renames it."""
    member = context.plan.speaker
    host, config = context.host(member), member.config
    flags = client.client_flags(config.endpoint, config.ca, config.cert, config.key)
    argv = [context.tools(member).etcdctl, *flags, "snapshot", "save", str(path)]
    try:
        host.call(programs.run, argv, seconds=SAVE_SECONDS, env={"ETCDCTL_API": "3"})
    except programs.ProgramError as err:
        raise RequorumError(f"{member.name}: a snapshot could not be saved: {err}") from err
