"""What every step is given: the plan, the journal, the hosts, and a way to ask the operator."""

from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path

from requorum.deployments import kinds
from requorum.deployments.config import MemberConfig
from requorum.errors import RequorumError
from requorum.etcd.binaries import Binaries
from requorum.hosts import processes, trees
from requorum.hosts.connection import Connection, Connections
from requorum.procedures.values import Plan, PlanMember, Step, wal_work_of, work_of
from requorum.proof.prove import Asked
from requorum.run.journal import Journal
from requorum.verdict.values import Source

KEPT = ("lost+found", ".requorum")
"""What stays in a dir that is a mount root when all else is set aside."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """One run in progress.

    ``ask`` shows a text, and returns whether the operator confirmed with the cluster's name. ``fresh``: this process
    began the run. ``data_moved``: a process before this one has moved data, or started a member. ``yes``: nobody is asked, so
    nothing is done but what was agreed to before. ``programs`` are etcd's programs on this machine: members here run with them,
    and hosts that lack etcd's programs are brought them.
    """

    journal: Journal
    connections: Connections
    ask: Callable[[str], bool]
    programs: Binaries | None = None
    take_over: bool = False
    fresh: bool = False
    data_moved: bool = False
    yes: bool = False
    epoch: int = 1
    saving: "list[Future[None]]" = field(default_factory=list)
    interrupted: Callable[[], bool] = lambda: False
    caught_up: Callable[[str, int, int], None] = lambda _who, _applied, _of: None
    moved: Callable[[str, int, int], None] = lambda _who, _done, _of: None

    @property
    def plan(self) -> Plan:
        """The plan that is carried out: once the fenced disks were read again, what was decided then."""
        return self.journal.plan

    @property
    def source(self) -> Source:
        """The source, as it was when the fenced disks were read again: its log may have grown since the plan."""
        if self.plan.source is None:
            raise RequorumError("this plan has no source")
        return self.plan.source

    @property
    def least_revision(self) -> int:
        """Where the cluster must stand at the end."""
        return self.plan.least_revision

    def steps(self) -> list[Step]:
        """Every step of the plan."""
        return [step for phase in self.plan.phases for step in phase.steps]

    def begun(self) -> list[Step]:
        """Every step of the plan that began."""
        return [step for step in self.steps() if step.id in self.journal.begun]

    def host(self, member: PlanMember) -> Connection:
        """The host that a member is on."""
        return self.connections[member.host]

    def tools(self, member: PlanMember) -> Binaries:
        """etcd's programs on a member's host; those that the operator named are for members on this machine."""
        here = not member.deployment.supervised and self.host(member).local
        return self.programs if here and self.programs else member.tools

    def asked(self) -> list[Asked]:
        """The members that run in the end, and how each is asked: on its own host, with its own certificates."""
        return [Asked(host=self.host(one), tools=self.tools(one), config=one.config) for one in self.plan.started]

    def dead(self, config: MemberConfig) -> str:
        """Why a member that was started does not run any more; empty while it does."""
        member = self.plan.member(config.name)
        return kinds.of(member.deployment).dead(self.host(member), member.deployment, folders_of(member))

    def work(self, member: PlanMember) -> Path:
        """This run's folder on the file system of a member's data dir."""
        return Path(work_of(member, self.plan.run))

    def wal_work(self, member: PlanMember) -> Path:
        """This run's folder on the file system of a member's WAL dir."""
        return Path(wal_work_of(member, self.plan.run))


def folders_of(member: PlanMember) -> list[Path]:
    """The dirs that a member's etcd writes to."""
    return [Path(member.place.data_dir), Path(member.place.wal_dir)]


def nothing_runs(context: Context, member: PlanMember) -> None:
    """Raise RequorumError when a process is on a member's files."""
    running = context.host(member).call(processes.holders_of, folders_of(member))
    if running:
        one = running[0]
        raise RequorumError(
            f"{member.name}: {one.command!r} (pid {one.pid}) is on the member's files",
            hint="something starts etcd past the fence: find out what, stop it, and type the command again",
        )


def still_fenced(context: Context, member: PlanMember) -> None:
    """Raise RequorumError unless this run's fence stands and nothing runs on the files."""
    by = kinds.of(member.deployment).fenced_by(context.host(member), member.deployment)
    if by != context.plan.run:
        raise RequorumError(
            f"{member.name}: the fence is gone ({kinds.by_hand(member.deployment).fence_at(member.deployment)} was replaced)",
            hint="somebody, or a configuration tool, wrote the file back: stop that, then resume",
        )
    nothing_runs(context, member)


def move_children(host: Connection, member: PlanMember, source: Path, target: Path) -> int:
    """Move everything in a folder to another on the same file system; what was moved before stays moved. A WAL dir
    inside the data dir stays: it is moved by itself."""
    return host.call(trees.move_children, source, target, KEPT, stays_of(member))


def stays_of(member: PlanMember) -> str:
    """The WAL dir where it lies inside the data dir and is not part of it: a mount, or a place of its own."""
    return member.place.wal_dir if member.place.wal_inside else ""


def move_what_etcd_wrote(context: Context, member: PlanMember) -> None:
    """Set aside what was put into a member's dirs by the run, and what its etcd has written there since."""
    host = context.host(member)
    if member.place.wal_apart and host.call(trees.children, Path(member.place.wal_dir), KEPT):
        move_children(host, member, Path(member.place.wal_dir), context.wal_work(member) / "rolled-back-wal")
    move_children(host, member, Path(member.place.data_dir), context.work(member) / "rolled-back")
