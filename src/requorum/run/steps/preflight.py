"""The last look before anything is moved: fence, room, file systems, and permissions."""

from dataclasses import dataclass
from pathlib import Path
from shlex import quote as q

from requorum.deployments import kinds
from requorum.errors import RequorumError
from requorum.hosts import files, trees
from requorum.hosts.connection import Connection
from requorum.procedures.values import Plan, PlanMember
from requorum.run.context import Context, still_fenced
from requorum.run.steptype import StepType

LEAST_FREE = 128 << 20
"""etcd preallocates a 64 MB WAL file and its next one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """``free`` bytes beside the data dir."""

    free: int


def by_hand(_: Plan, member: PlanMember) -> tuple[str, ...]:
    return (f"df {q(member.place.data_dir)}", "# owner, mode, free space, and that nothing runs on the files")


def do(context: Context, member: PlanMember) -> Fit:
    """Raises RequorumError with the first thing that would go wrong later."""
    still_fenced(context, member)
    host = context.host(member)
    data_dir, work = Path(member.place.data_dir), context.work(member)
    free = host.call(files.free_bytes, data_dir)
    if free < LEAST_FREE:
        raise RequorumError(
            f"{member.name}: only {free} bytes are free in {data_dir}, etcd needs {LEAST_FREE} to start",
            hint="make room there, then resume",
        )
    _movable(host, member, data_dir, work)
    if member.place.wal_apart:
        _movable(host, member, Path(member.place.wal_dir), context.wal_work(member))
    if fault := kinds.of(member.deployment).fault_of_start(host, member.deployment):
        raise RequorumError(f"{member.name} could not start: {fault}", hint="put that right, then resume")
    if member.role == "replace":
        _can_begin_empty(host, member)
    return Fit(free=free)


def _can_begin_empty(host: Connection, member: PlanMember) -> None:
    """An etcd that starts on an empty WAL dir makes DIR.tmp beside it and renames it: its user must be let."""
    parent = Path(member.place.wal_dir).parent
    if not member.deployment.supervised or not member.place.wal_apart:
        return
    if not host.call(files.may_write, parent, member.deployment.user):
        raise RequorumError(
            f"{member.name}: {member.deployment.user} may not write to {parent}, and etcd makes its WAL dir there",
            hint=f"let {member.deployment.user} write to {parent} for the first start (chown, chmod), then resume",
        )


def _movable(host: Connection, member: PlanMember, folder: Path, work: Path) -> None:
    fault = host.call(trees.fault_of_move, folder, work)
    if fault == "file system":
        raise RequorumError(
            f"{member.name}: {work} is on another file system than {folder}: nothing can be set aside by rename",
            hint="was something mounted meanwhile?",
        )
    if fault:
        raise RequorumError(
            f"{member.name}: {folder} may not be written by this user", hint="run as root, or as its owner"
        )


STEP = StepType(
    kind="preflight",
    does="looks at the fence, the room, the file systems and the permissions before anything is moved",
    by_hand=by_hand,
    do=do,
    result=Fit,
    again="until data is moved",
)
