"""etcd as a systemd unit, as Kubespray installs it: an env file, flags in ExecStart, a config file, drop-ins.

The fence is a drop-in (:mod:`requorum.hosts.units`). What must change before the first start is changed where it is
said: in the env file that sets it, in the config file, or, for flags of ExecStart, in a drop-in of requorum's own.
"""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from requorum.deployments import envfile, settings
from requorum.deployments.config import MemberConfig
from requorum.errors import RequorumError
from requorum.hosts import files, processes, units
from requorum.hosts.connection import Connection
from requorum.inventory.values import SystemdDeployment


def find(host: Connection, named: SystemdDeployment) -> SystemdDeployment | None:
    """The unit as systemd on that host knows it; None when it is not installed."""
    (unit,) = host.call(units.show, [named.unit])
    if not unit.there:
        return None
    environment = dict(unit.environment)
    flags = settings.from_flags(unit.argv, environment)
    return replace(
        named,
        argv=unit.argv,
        env_files=unit.env_files,
        environment=unit.environment,
        config=flags.get("config-file", "") or environment.get("ETCD_CONFIG_FILE", ""),
        user=unit.user,
        wanted=unit.wanted,
        fenced_by=unit.fenced_by,
    )


def _environment(host: Connection, deployment: SystemdDeployment) -> dict[str, str]:
    """The variables that the unit starts with: files count more than Environment=, later ones more than earlier ones."""
    found = dict(deployment.environment)
    for path in deployment.env_files:
        try:
            found.update(envfile.parse(host.call(files.read_file, Path(path.lstrip("-"))).decode()))
        except FileNotFoundError:
            continue
        except (OSError, UnicodeDecodeError) as err:
            raise RequorumError(f"{path}: {getattr(err, 'strerror', None) or err}") from err
    return found


def read_config(host: Connection, deployment: SystemdDeployment) -> MemberConfig:
    """The member's configuration; raises RequorumError when it cannot be read or lacks what is needed."""
    environment = _environment(host, deployment)
    flags = settings.from_flags(deployment.argv, environment)
    config = deployment.config or environment.get("ETCD_CONFIG_FILE", "")
    if config:
        try:
            raw = host.call(files.read_file, Path(config))
        except OSError as err:
            raise RequorumError(f"{config}: {err.strerror}") from err
        found, path = settings.from_yaml(raw, config), config
    else:
        found = {**settings.from_variables(environment), **flags}
        path = deployment.env_files[-1] if deployment.env_files else deployment.unit
    names = {"ca": "ETCDCTL_CACERT", "cert": "ETCDCTL_CERT", "key": "ETCDCTL_KEY"}
    client = {key: environment[name] for key, name in names.items() if environment.get(name)}
    return settings.member_config(found, path, client if len(client) == len(names) else None)


def fenced_by(host: Connection, deployment: SystemdDeployment) -> str:
    """The run that fences this member; empty when none does."""
    return host.call(units.fenced_by, deployment.unit)


def fence(host: Connection, deployment: SystemdDeployment, run: str) -> None:
    """Keep systemd from starting the unit, and stop it. A fence of another run is taken over."""
    host.call(units.fence, [deployment.unit], run)


def prove_fence(host: Connection, deployment: SystemdDeployment, _: Path, folders: Sequence[Path]) -> str:
    """Try to start the unit; raises RequorumError unless systemd refuses and nothing is on the files."""
    said = host.call(units.prove_fence, deployment.unit)
    running = host.call(processes.holders_of, list(folders))
    if running:
        raise RequorumError(
            f"the fence does not hold: {running[0].command!r} (pid {running[0].pid}) is on the member's files",
            hint=f"something else than {deployment.unit} starts etcd: stop that first",
        )
    return said


def lift(
    host: Connection, deployment: SystemdDeployment, run: str, changes: Mapping[str, str], for_now: Mapping[str, str]
) -> None:
    """Make the changes where the settings stand, and take the fence away; originals stay set aside for a rollback.

    Settings ``for_now`` hold until :func:`forget` or the next boot, where the unit is configured by variables.
    """
    if changes and deployment.config:
        path = Path(deployment.config)
        host.call(files.keep_aside, path, run)
        raw = settings.edited_yaml(host.call(files.read_file, files.aside(path, run)), changes)
        host.call(files.write_like, path, raw, files.aside(path, run))
    elif changes:
        _change(host, deployment, run, changes)
    flags = settings.from_flags(deployment.argv, {})
    lines = [f"{settings.variable_of(name)}={value}\n" for name, value in for_now.items() if name not in flags]
    host.call(units.release, [deployment.unit], "" if deployment.config else "".join(lines))


def forget(host: Connection, deployment: SystemdDeployment) -> None:
    """Forget the settings that were for the first start only."""
    host.call(units.forget, deployment.unit)


def _change(host: Connection, deployment: SystemdDeployment, run: str, changes: Mapping[str, str]) -> None:
    flags = settings.from_flags(deployment.argv, {})
    by_flag = {name: value for name, value in changes.items() if name in flags}
    by_variable = {settings.variable_of(name): value for name, value in changes.items() if name not in flags}
    lines = [f"# requorum run {run}", "[Service]"]
    if by_variable and deployment.env_files:
        path = _env_file_with(host, deployment, set(by_variable))
        host.call(files.keep_aside, path, run)
        text = host.call(files.read_file, files.aside(path, run)).decode()
        host.call(files.write_like, path, envfile.edited(text, by_variable).encode(), files.aside(path, run))
    elif by_variable:
        lines += [f"Environment={shlex.quote(f'{name}={value}')}" for name, value in by_variable.items()]
    if by_flag:
        lines += ["ExecStart=", "ExecStart=" + shlex.join(settings.with_flags(deployment.argv, by_flag))]
    if len(lines) > 2:
        host.call(files.keep_aside, settings_path(deployment), run)
        host.call(units.settle, deployment.unit, "\n".join(lines) + "\n")


def _env_file_with(host: Connection, deployment: SystemdDeployment, names: set[str]) -> Path:
    """The env file that sets these variables: the last one that sets any of them, else the last one."""
    paths = [Path(one.lstrip("-")) for one in deployment.env_files]
    for path in reversed(paths):
        try:
            if names & set(envfile.parse(host.call(files.read_file, path).decode())):
                return path
        except OSError:
            continue
    return paths[-1]


def settings_path(deployment: SystemdDeployment) -> Path:
    """The drop-in with settings of requorum's own."""
    return units.folder_of(deployment.unit) / units.SETTINGS


def _changed(deployment: SystemdDeployment) -> list[Path]:
    """Every file that a run may have changed."""
    named = [*deployment.env_files, *([deployment.config] if deployment.config else [])]
    return [Path(one.lstrip("-")) for one in named]


def put_back(host: Connection, deployment: SystemdDeployment, run: str, holder: str = "") -> None:
    """Put the configuration back exactly as it was, and take the fence away, or give it to a ``holder``; starts nothing."""
    forget(host, deployment)
    for path in _changed(deployment):
        host.call(files.put_back, path, run)
    drop_in = settings_path(deployment)
    if host.call(files.there, files.aside(drop_in, run)):
        host.call(files.put_back, drop_in, run)
    elif host.call(files.there, drop_in) and f"run {run}" in host.call(files.read_file, drop_in).decode():
        host.call(units.settle, deployment.unit, "")
    if holder:
        fence(host, deployment, holder)
    else:
        host.call(units.unfence, [deployment.unit])


def stop(host: Connection, deployment: SystemdDeployment, folders: Sequence[Path]) -> tuple[int, ...]:
    """Stop the unit, and any other etcd on these files. Returns the pids of those."""
    host.call(units.stop, deployment.unit)
    return host.call(processes.stop_holders, list(folders))


def start(host: Connection, deployment: SystemdDeployment, _: Path) -> None:
    """Start the unit; a Type=notify one is up with its quorum, so nothing is waited for."""
    host.call(units.start, [deployment.unit], wait=False)


def fault_of_start(_: Connection, __: SystemdDeployment) -> str:
    """Nothing that could be told before a unit is started."""
    return ""


def dead(host: Connection, deployment: SystemdDeployment, _: Sequence[Path]) -> str:
    """Why a member that was started does not run any more; empty while it does."""
    (unit,) = host.call(units.show, [deployment.unit])
    if unit.main_pid:
        return ""
    return f"{deployment.unit} is {unit.active} ({unit.sub}): {host.call(units.last_words, deployment.unit)}"


def remove_set_aside(host: Connection, deployment: SystemdDeployment, run: str) -> None:
    """Remove what a run kept of the configuration."""
    for path in [*_changed(deployment), settings_path(deployment)]:
        host.call(files.remove_made, files.aside(path, run))
