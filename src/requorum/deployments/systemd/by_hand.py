"""What a person would type for a systemd unit. Pure."""

from collections.abc import Mapping
from pathlib import Path
from shlex import quote as q

from requorum.deployments.config import MemberConfig
from requorum.hosts import files
from requorum.inventory.values import SystemdDeployment


def fence_at(deployment: SystemdDeployment) -> str:
    """The drop-in that keeps systemd from starting it."""
    return drop_in(deployment.unit)


def drop_in(unit: str) -> str:
    """The fence of any unit."""
    return f"/etc/systemd/system/{unit}.d/90-requorum-fence.conf"


def fence(deployment: SystemdDeployment, _: str) -> tuple[str, ...]:
    at, unit = q(fence_at(deployment)), q(deployment.unit)
    return (
        f"mkdir -p {q(fence_at(deployment).rsplit('/', 1)[0])}",
        f"printf '[Unit]\\nConditionPathExists=!%s\\n' {at} > {at}",
        f"systemctl daemon-reload; systemctl stop {unit}",
        f"systemctl start {unit}; systemctl is-active {unit}  # must say inactive",
    )


def lift(
    deployment: SystemdDeployment,
    run: str,
    changes: Mapping[str, str],
    for_now: Mapping[str, str],
    config: MemberConfig,
) -> tuple[str, ...]:
    """Where each setting stands: in the config file, in the env file, or in a flag of the unit."""
    if deployment.config:
        file = deployment.config
        lines = [f"ln {q(file)} {q(str(files.aside(Path(file), run)))}"]
        lines += [f"# in {file}: {key}: {value}" for key, value in changes.items()]
    else:
        where = deployment.env_files[-1] if deployment.env_files else f"a drop-in of {deployment.unit}"
        flags = {one.name: one.where for one in config.settings if one.by == "flag"}
        by_variable = {key: value for key, value in changes.items() if key not in flags}
        lines = (
            [f"cp -a {q(where)} {q(str(files.aside(Path(where), run)))}"]
            if by_variable and deployment.env_files
            else []
        )
        lines += [f"# in {where}: {_variable(key)}={value}" for key, value in by_variable.items()]
        lines += [f"# in {flags[key]}: --{key}={value}" for key, value in changes.items() if key in flags]
    lines += [f"# for the first start only: {_variable(key)}={value}" for key, value in for_now.items()]
    return (*lines, f"rm {q(fence_at(deployment))}; systemctl daemon-reload")


def start(deployment: SystemdDeployment) -> tuple[str, ...]:
    unit = q(deployment.unit)
    return (f"systemctl reset-failed {unit}; systemctl start --no-block {unit}",)


def bring(_: SystemdDeployment, folder: str, version: str) -> tuple[str, ...]:
    return (f"mkdir {q(folder)}", f"cp etcd etcdctl etcdutl {q(folder + '/')}  # version {version}")


def _variable(flag: str) -> str:
    return "ETCD_" + flag.upper().replace("-", "_")
