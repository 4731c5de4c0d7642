"""What a plan is made of: frozen, versioned, serialisable. A step is its kind and its member; all else is the plan's."""

from dataclasses import dataclass
from typing import Literal

from requorum.survey.evidence import HERE, Address, Binaries, ControlPod, Deployment, MemberConfig, Place, Service
from requorum.verdict.values import Source

StepKind = Literal[
    "lock",
    "bring tools",
    "stop services",
    "fence",
    "look again",
    "copy aside",
    "build source",
    "restore beside",
    "ship",
    "preflight",
    "the operator's word",
    "set aside",
    "move in",
    "configure",
    "start",
    "wait for a leader",
    "prove",
    "save snapshot",
    "finish snapshot",
    "start services",
    "remove member",
    "add learner",
    "promote",
    "unlock",
]


PlanKind = Literal["start as is", "rebuild", "replace member"]


BY_HAND = "fence-"
"""How the name of a fence begins that belongs to no run: ``requorum fence --lift`` takes it away."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanHost:
    """A host in the plan, how it is reached, and what is stopped there, in the order in which it is: the control plane's
    static pods, and units."""

    name: str
    roles: tuple[str, ...] = ("etcd",)
    address: Address = HERE
    services: tuple[Service, ...] = ()
    pods: tuple[ControlPod, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanMember:
    """One member in the plan. ``role``: restored from the source, started as it is, left fenced, running on, or replaced.

    ``tools`` are etcd's programs on its host; ``bring_tools``: they are not there yet, and are brought along. ``moved``: the
    cluster knows it at other peer URLs, and is told those that it has now if it does not join without that.
    """

    name: str
    host: str
    role: Literal["restore", "start", "leave fenced", "keep", "replace"]
    why: str
    config: MemberConfig
    deployment: Deployment
    place: Place
    was_running: bool
    tools: Binaries
    bring_tools: bool = False
    moved: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step: of a member, of a host (``host``), or of the cluster where both are empty. ``commands`` are what a person would
    type there, in a plan that is shown or saved."""

    id: str
    kind: StepKind
    member: str
    commands: tuple[str, ...] = ()
    host: str = ""

    @property
    def who(self) -> str:
        """Whom it is about."""
        return self.member or self.host


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    """Steps that run at the same time; none of the next phase begins before all of these are done."""

    title: str
    steps: tuple[Step, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Everything a run needs to know. ``run`` names it; ``token`` is the fresh cluster token of a rebuild.

    ``least_revision`` is where the cluster must stand at the end; ``warnings`` make a finished run end with exit 3.
    A replacement removes the member with the id ``replaces`` (0: it is none any more) and starts the new one with
    ``joins`` as its initial cluster. ``source_on`` is the member on whose host the source is built, ``first`` are the
    members that a start as is begins with.

    ``named``: the operator named the source, so a disagreement with other disks is known. ``unproven`` says why there may
    have been acknowledged writes that no disk shows; empty when there were none. ``dangers`` are the survey's findings of
    danger when the plan was made; None in a plan of a version that did not write them down. ``seen_revision`` is one that
    the operator knows to have been served.
    """

    schema: Literal["requorum/Plan/v1"] = "requorum/Plan/v1"
    run: str
    made: str
    cluster: str
    cluster_id: int
    kind: PlanKind
    summary: str
    proof: tuple[str, ...]
    tools: str
    etcd_version: str
    members: tuple[PlanMember, ...]
    source: Source | None
    source_on: str
    snapshots: tuple[str, ...]
    token: str
    bump: int
    least_revision: int
    loss_at_most: int
    powered_off: tuple[str, ...]
    first: tuple[str, ...] = ()
    phases: tuple[Phase, ...]
    warnings: tuple[str, ...]
    hosts: tuple[PlanHost, ...] = ()
    replaces: int = 0
    joins: str = ""
    named: bool = False
    unproven: str = ""
    dangers: tuple[str, ...] | None = None
    seen_revision: int = 0

    @property
    def replaced(self) -> PlanMember:
        """The member that is replaced."""
        return next(one for one in self.members if one.role == "replace")

    @property
    def speaker(self) -> PlanMember:
        """The member that is asked about the cluster as a whole: one that runs on, else the first that is started."""
        return next((one for one in self.members if one.role == "keep"), self.started[0])

    def host(self, name: str) -> PlanHost:
        """A host by name."""
        return next((one for one in self.hosts if one.name == name), PlanHost(name=name))

    def member(self, name: str) -> PlanMember:
        """A member by name."""
        return next(one for one in self.members if one.name == name)

    @property
    def started(self) -> tuple[PlanMember, ...]:
        """The members that run in the end."""
        return tuple(one for one in self.members if one.role != "leave fenced")

    @property
    def initial_cluster(self) -> str:
        """``name=url`` of every started member, as etcd's flag wants it."""
        if self.joins:
            return self.joins
        return ",".join(f"{one.config.name}={url}" for one in self.started for url in one.config.peer_urls)


def target_of(plan: Plan, step: Step) -> PlanMember | PlanHost | None:
    """The member or the host that a step is about; None for the cluster."""
    if step.host:
        return plan.host(step.host)
    return plan.member(step.member) if step.member else None


def work_of(member: PlanMember, run: str) -> str:
    """The folder, on the data dir's file system, that holds what a run keeps for a member."""
    return f"{member.place.work}/{run}"


def wal_work_of(member: PlanMember, run: str) -> str:
    """The same on the WAL dir's file system."""
    return f"{member.place.wal_work}/{run}"
