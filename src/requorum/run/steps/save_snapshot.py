"""As soon as the proof has passed: a snapshot of what was proven.

What it holds is settled when it begins: etcd sends what one read transaction sees. So the rest may come back while it is
still being written.
"""

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from requorum.errors import RequorumError
from requorum.etcd import client
from requorum.hosts import files, programs
from requorum.procedures.values import Plan
from requorum.run.by_hand import below, ctl
from requorum.run.context import Context
from requorum.run.steptype import StepType

SAVE_SECONDS = 1800.0
BEGIN_SECONDS = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Begun:
    """Where the snapshot will be."""

    path: str


def by_hand(plan: Plan, _: None) -> tuple[str, ...]:
    return (f"{ctl((plan.speaker,))} snapshot save {below(plan, plan.speaker, name_of(plan))} &",)


def name_of(plan: Plan) -> str:
    """The file of the snapshot that a run takes: of what it proved, or before it changed anything."""
    return "before.db" if plan.kind == "replace member" else "proven.db"


def do(context: Context, _: None) -> Begun:
    """Begin it, on the host of a member that runs, in this run's folder there; returns once bytes arrive."""
    path, host = path_of(context), context.host(context.plan.speaker)
    if host.call(files.there, path):
        return Begun(path=str(path))
    pool = ThreadPoolExecutor(max_workers=1)
    saving = pool.submit(save, context, path)
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
    return Begun(path=str(path))


def _begun(context: Context, path: Path) -> bool:
    host = context.host(context.plan.speaker)
    return host.call(files.size_if_there, path.with_name(f"{path.name}.part")) > 0 or host.call(files.there, path)


def path_of(context: Context) -> Path:
    return context.work(context.plan.speaker) / name_of(context.plan)


def save(context: Context, path: Path) -> None:
    """etcdctl writes ``PATH.part``, fsyncs it and renames it."""
    member = context.plan.speaker
    host, config = context.host(member), member.config
    flags = client.client_flags(config.endpoint, config.ca, config.cert, config.key)
    argv = [context.tools(member).etcdctl, *flags, "snapshot", "save", str(path)]
    try:
        host.call(programs.run, argv, seconds=SAVE_SECONDS, env={"ETCDCTL_API": "3"})
    except programs.ProgramError as err:
        raise RequorumError(f"{member.name}: a snapshot could not be saved: {err}") from err


STEP = StepType(
    kind="save snapshot",
    does="begins to save a snapshot on the host of a member that runs; what it holds is settled then",
    by_hand=by_hand,
    do=do,
    result=Begun,
)
