"""Words that several steps' lines in a runbook are made of."""

from collections.abc import Sequence
from pathlib import Path
from shlex import quote as q

from requorum.procedures.values import Plan, PlanMember, wal_work_of, work_of


def ctl(members: Sequence[PlanMember]) -> str:
    """etcdctl with these members' endpoints, and the certificates of the first."""
    endpoints = ",".join(one.config.endpoint for one in members)
    return " ".join([f"etcdctl --endpoints={endpoints}", *(tls_flags(members[0]) if members else [])])


def tls_flags(member: PlanMember) -> list[str]:
    """etcdctl's certificate flags for a member."""
    pairs = (("cacert", member.config.ca), ("cert", member.config.cert), ("key", member.config.key))
    return [f"--{name}={value}" for name, value in pairs if value]


def below(plan: Plan, member: PlanMember, name: str) -> str:
    """A file of this run beside a member's data dir, quoted."""
    return q(f"{work_of(member, plan.run)}/{name}")


def below_wal(plan: Plan, member: PlanMember, name: str) -> str:
    """The same beside its WAL dir."""
    return q(f"{wal_work_of(member, plan.run)}/{name}")


def in_data(member: PlanMember, name: str) -> str:
    """A file in a member's data dir, quoted."""
    return q(str(Path(member.place.data_dir) / name))
