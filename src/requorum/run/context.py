"""What every step is given: the plan, the journal, etcd's programs, and a way to ask the operator."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from requorum.deployments import process
from requorum.deployments.config import MemberConfig
from requorum.errors import RequorumError
from requorum.hosts import files, processes
from requorum.hosts.tools import Tools
from requorum.plan.values import Plan, PlanMember, wal_work_of, work_of
from requorum.run.journal import Journal
from requorum.verdict.values import Source

KEPT = ("lost+found", ".requorum")
"""What stays in a dir that is a mount root when all else is set aside."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """One run in progress.

    ``ask`` shows a text, and returns whether the operator confirmed with the cluster's name. ``fresh``: this process
    began the run.
    """

    journal: Journal
    tools: Tools
    ask: Callable[[str], bool]
    take_over: bool = False
    fresh: bool = False
    epoch: int = 1
    warnings: list[str] = field(default_factory=list)

    @property
    def plan(self) -> Plan:
        """The plan that is carried out."""
        return self.journal.plan

    @property
    def source(self) -> Source:
        """The source, as it was when the fenced disks were read again: its log may have grown since the plan."""
        seen = self.journal.result("look again", "")
        if isinstance(seen, dict) and seen.get("source"):
            return msgspec.convert(seen["source"], Source)
        if self.plan.source is None:
            raise RequorumError("this plan has no source")
        return self.plan.source

    @property
    def least_revision(self) -> int:
        """Where the cluster must stand at the end."""
        seen = self.journal.result("look again", "")
        return int(seen["least_revision"]) if isinstance(seen, dict) else self.plan.least_revision

    def dead(self, config: MemberConfig) -> str:
        """Why a member that was started does not run any more; empty while it does."""
        member = self.plan.member(config.name)
        if processes.holders_of(folders_of(member)):
            return ""
        return process.last_words(member.deployment)

    def work(self, member: PlanMember) -> Path:
        """This run's folder on the file system of a member's data dir."""
        return Path(work_of(member, self.plan.run))

    def wal_work(self, member: PlanMember) -> Path:
        """This run's folder on the file system of a member's WAL dir."""
        return Path(wal_work_of(member, self.plan.run))


def folders_of(member: PlanMember) -> list[Path]:
    """The dirs that a member's etcd writes to."""
    return [Path(member.place.data_dir), Path(member.place.wal_dir)]


def nothing_runs(member: PlanMember) -> None:
    """Raise RequorumError when a process is on a member's files."""
    running = processes.holders_of(folders_of(member))
    if running:
        one = running[0]
        raise RequorumError(
            f"{member.name}: {one.command!r} (pid {one.pid}) is on the member's files",
            hint="something starts etcd past the fence: find out what, stop it, and type the command again",
        )


def still_fenced(member: PlanMember, run: str) -> None:
    """Raise RequorumError unless this run's fence stands and nothing runs on the files."""
    by = process.fenced_by(member.deployment)
    if by != run:
        raise RequorumError(
            f"{member.name}: the fence is gone ({member.deployment.config} was replaced)",
            hint="somebody, or a configuration tool, wrote the file back: stop that, then resume",
        )
    nothing_runs(member)


def children(folder: Path) -> list[Path]:
    """What is in a dir, but for what must stay there."""
    if not folder.is_dir():
        return []
    return sorted(one for one in folder.iterdir() if one.name not in KEPT)


def move_children(source: Path, target: Path) -> int:
    """Move everything in a folder to another on the same file system; what was moved before stays moved."""
    found = children(source)
    if found:
        files.make_dir(target)
    for one in found:
        files.rename_durably(one, target / one.name)
    return len(found)
