"""Which of etcd's programs are at hand for a member: on its host, in its container, or in its image only."""

import os
from collections.abc import Sequence
from pathlib import Path

from requorum.deployments.config import Deployment, MemberConfig
from requorum.errors import RequorumError, Unreachable
from requorum.etcd import binaries, versions
from requorum.etcd.binaries import Binaries
from requorum.hosts import containers, processes, programs
from requorum.hosts.connection import Connection
from requorum.survey.evidence import DbEvidence, MemberEvidence, Unknown


def find(connection: Connection, deployment: Deployment, config: MemberConfig) -> Binaries | Unknown:
    """etcd's programs on a host: beside the etcd that its unit runs, then on the usual path; of one that runs in a container,
    those in there, where the host has none."""
    own = [deployment.programs_in] if deployment.programs_in else []
    try:
        found = connection.call(binaries.find, [*own, *programs.PATH.split(":")])
        if deployment.image and not _fits(found, deployment):
            raise RequorumError(f"etcd in {found.folder} is {found.version}, the pod's is {deployment.version}")
        return found
    except Unreachable:
        raise
    except RequorumError as err:
        if deployment.image:
            return _tools_in_container(connection, deployment, config, err.message)
        return Unknown(unknown=err.message)


def _fits(found: Binaries, deployment: Deployment) -> bool:
    return deployment.version.rpartition(".")[0] in ("", found.minor)


def _tools_in_container(
    connection: Connection, deployment: Deployment, config: MemberConfig, why: str
) -> Binaries | Unknown:
    """They are run from where the host sees the container's files: nothing is copied for a survey. Only of what holds the
    member's own files: any other container may call what it likes etcd."""
    for one in connection.call(processes.holders_of, [Path(config.data_dir), Path(config.wal_dir)]):
        if os.path.basename(one.command.split(" ")[0]) != "etcd":
            continue
        inside = [f"/proc/{one.pid}/root{place}" for place in containers.IN_IMAGE]
        try:
            found = connection.call(binaries.find, inside, of_image=True)
        except RequorumError as err:
            why = err.message
            continue
        if _fits(found, deployment):
            return found
    return Unknown(unknown=f"{why}; they are taken out of the image {deployment.image}")


def version_of_images(members: Sequence[MemberEvidence]) -> str:
    """etcd's version by the images that it runs in, by what their dbs were last written with where no tag tells; empty where
    there are none."""
    inside = [one for one in members if not isinstance(one.deployment, Unknown) and one.deployment.image]
    named = [one.deployment.version for one in inside if not isinstance(one.deployment, Unknown)]
    written = [one.db.cluster_version for one in inside if isinstance(one.db, DbEvidence)]
    known = [one for one in named if one] or [one for one in written if one and not one.startswith("3.0.")]
    return max(known, key=versions.numbers, default="")


def default_tool_folders(named: Path | None) -> list[str]:
    """Where to look for etcd's programs: the folder that was named, else the PATH."""
    return [str(named)] if named else os.environ.get("PATH", programs.PATH).split(":")
