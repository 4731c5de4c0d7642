"""Bring etcd's programs to a host that lacks them, or has another minor version: from the operator, or another host."""

from dataclasses import dataclass
from pathlib import Path

from requorum.deployments import kinds
from requorum.errors import RequorumError
from requorum.etcd import binaries, versions
from requorum.etcd.binaries import Binaries
from requorum.hosts import files, programs, transfer
from requorum.hosts.connection import Connection, Here
from requorum.procedures.values import Plan, PlanMember, work_of
from requorum.run.context import Context
from requorum.run.steptype import StepType

LINK_SECONDS = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Brought:
    """Where they came from: a host, or an image."""

    origin: str = ""
    version: str


def by_hand(plan: Plan, member: PlanMember) -> tuple[str, ...]:
    return kinds.by_hand(member.deployment).bring(
        member.deployment, f"{work_of(member, plan.run)}/tools", plan.etcd_version
    )


def do(context: Context, member: PlanMember) -> Brought:
    """Into this run's folder there; nothing is installed."""
    host = context.host(member)
    folder = Path(member.tools.folder)
    host.call(files.make_dir, folder)
    if context.programs is None and member.deployment.image:
        return _out_of_image(context, member)
    donor, theirs = _donor(context)
    for source in (theirs.etcd, theirs.etcdctl, theirs.etcdutl):
        target = folder / Path(source).name
        digest = donor.call(files.sha256_of, Path(source))
        transfer.copy(donor, source, [(host, str(target))], digest, context.moved)
        host.call(files.make_executable, target)
    return Brought(origin=donor.name, version=theirs.version)


def _out_of_image(context: Context, member: PlanMember) -> Brought:
    """The member's own: of its version to the letter. An image of 3.5 may have no etcdutl: there etcdctl restores as well. It
    gets a second name, not a copy: a killed run would leave half of one."""
    host, folder = context.host(member), Path(member.tools.folder)
    image = member.deployment.image
    found = kinds.of(member.deployment).copy_out(host, member.deployment, ("etcd", "etcdctl", "etcdutl"), folder)
    if "etcdutl" not in found and "etcdctl" in found:
        if versions.numbers(context.plan.etcd_version) >= versions.NO_RESTORE_IN_CTL:
            raise RequorumError(
                f"image {image} has no etcdutl, and etcdctl of this version restores nothing",
                hint=f"bring etcd's programs of version {context.plan.etcd_version} along: --etcd-dir DIR",
            )
        host.call(programs.run, ["ln", "-f", folder / "etcdctl", folder / "etcdutl"], seconds=LINK_SECONDS)
    version = host.call(binaries.find, [folder]).version
    if version.rpartition(".")[0] != context.plan.etcd_version.rpartition(".")[0]:
        raise RequorumError(f"{image} holds etcd {version}, planned was {context.plan.etcd_version}")
    return Brought(origin=image, version=version)


def _donor(context: Context) -> tuple[Connection, Binaries]:
    if context.programs is not None:
        return Here(), context.programs
    for member in context.plan.members:
        if not member.bring_tools:
            return context.host(member), member.tools
    raise RequorumError(
        "no host has etcd's programs of the right version", hint="name a folder that has them: --etcd-dir DIR"
    )


STEP = StepType(
    kind="bring tools",
    does="brings etcd's programs of the right version to a host that lacks them, into the run's own folder",
    by_hand=by_hand,
    do=do,
    result=Brought,
)
