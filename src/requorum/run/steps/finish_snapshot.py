"""Wait until the snapshot that was begun is whole."""

from dataclasses import dataclass

from requorum.hosts import files
from requorum.procedures.values import Plan
from requorum.run.context import Context
from requorum.run.steps import save_snapshot
from requorum.run.steptype import StepType


@dataclass(frozen=True, slots=True, kw_only=True)
class Saved:
    """A snapshot file on a host; ``size`` in bytes."""

    host: str
    path: str
    size: int


def by_hand(_: Plan, __: None) -> tuple[str, ...]:
    return ("# the snapshot command has ended with status 0",)


def do(context: Context, _: None) -> Saved:
    """Wait for its end. A run that goes on in another process looks whether it is there, and takes one if it is not."""
    path, host = save_snapshot.path_of(context), context.host(context.plan.speaker)
    if context.saving:
        context.saving.pop().result()
    elif not host.call(files.there, path):
        save_snapshot.save(context, path)
    return Saved(host=context.plan.speaker.host, path=str(path), size=host.call(files.size_of, str(path)))


STEP = StepType(
    kind="finish snapshot",
    does="waits until the snapshot that was begun is whole",
    by_hand=by_hand,
    do=do,
    result=Saved,
)
