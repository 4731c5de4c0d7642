"""Move the restored data into a member's dirs: first the data, then the log."""

from dataclasses import dataclass
from pathlib import Path
from shlex import quote as q

from requorum.errors import RequorumError
from requorum.hosts import files
from requorum.procedures.values import Plan, PlanMember
from requorum.run.by_hand import below, below_wal
from requorum.run.context import Context, move_children, move_what_etcd_wrote, still_fenced
from requorum.run.steps.restore_beside import own
from requorum.run.steptype import StepType


@dataclass(frozen=True, slots=True, kw_only=True)
class MovedIn:
    """Where the data is now."""

    data_dir: str


def by_hand(plan: Plan, member: PlanMember) -> tuple[str, ...]:
    owner, new = f"chown -R --reference={q(member.place.data_dir)}", below(plan, member, "new/member")
    lines = [f"{owner} {new}", f"mv {new} {q(member.place.data_dir + '/')}"]
    if member.place.wal_apart:
        new_wal = below_wal(plan, member, "new-wal")
        lines += [f"{owner} {new_wal}", f"mv {new_wal}/* {q(member.place.wal_dir + '/')}"]
    return tuple(lines)


def do(context: Context, member: PlanMember) -> MovedIn:
    """By rename; what was moved before an interruption stays."""
    still_fenced(context, member)
    host, data_dir = context.host(member), Path(member.place.data_dir)
    if host.call(files.there, context.work(member) / "new"):
        own(context, member)  # the dir may have been given to another user since it was restored
    move_children(host, member, context.work(member) / "new", data_dir)
    if member.place.wal_apart:
        wal_dir = Path(member.place.wal_dir)
        host.call(files.make_dir, wal_dir)
        move_children(host, member, context.wal_work(member) / "new-wal", wal_dir)
    if not host.call(files.there, data_dir / "member" / "snap" / "db"):
        raise RequorumError(f"{member.name}: {data_dir} holds no restored db")
    return MovedIn(data_dir=str(data_dir))


def undo(context: Context, member: PlanMember) -> None:
    """Set what was moved in (and what etcd wrote since) aside too."""
    move_what_etcd_wrote(context, member)


STEP = StepType(
    kind="move in",
    does="moves the restored data into a member's dirs, by rename",
    by_hand=by_hand,
    do=do,
    result=MovedIn,
    undo=undo,
    undoing="set the restored data aside",
    moves_data=True,
)
