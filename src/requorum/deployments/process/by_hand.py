"""What a person would type for a plain process. Pure."""

from collections.abc import Mapping
from shlex import quote as q

from requorum.deployments.config import MemberConfig
from requorum.hosts import files
from requorum.inventory.values import ProcessDeployment


def fence_at(deployment: ProcessDeployment) -> str:
    """The file that keeps etcd from starting: in the place of its own."""
    return deployment.config


def fence(deployment: ProcessDeployment, run: str) -> tuple[str, ...]:
    config = deployment.config
    return (
        f"mv -n {q(config)} {q(str(files.aside(deployment.config_file, run)))}",
        f"echo fenced-by-requorum > {q(config)}",
        f"pkill -TERM -f -- {q(f'--config-file {config}')}",
        f"etcd --config-file {q(config)}  # must fail",
    )


def lift(
    deployment: ProcessDeployment, run: str, changes: Mapping[str, str], _: Mapping[str, str], __: MemberConfig
) -> tuple[str, ...]:
    config = deployment.config
    return (
        f"cp {q(str(files.aside(deployment.config_file, run)))} {q(config)}",
        *(f"# in {config}: {key}: {value}" for key, value in changes.items()),
    )


def start(deployment: ProcessDeployment) -> tuple[str, ...]:
    return (f"etcd --config-file {q(deployment.config)} >> {q(deployment.log)} 2>&1 &",)


def bring(_: ProcessDeployment, folder: str, version: str) -> tuple[str, ...]:
    return (f"mkdir {q(folder)}", f"cp etcd etcdctl etcdutl {q(folder + '/')}  # version {version}")
