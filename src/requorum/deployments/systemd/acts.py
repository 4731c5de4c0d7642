"""etcd as a systemd unit, as Kubespray installs it: an env file, flags in ExecStart, a config file, drop-ins.

The fence is a drop-in (:mod:`requorum.hosts.units`). What must change before the first start is changed where it is
said: in the env file that sets it, in the config file, or, for flags of ExecStart, in a drop-in of requorum's own.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from requorum.deployments import envfile, reach, settings
from requorum.deployments.config import MemberConfig
from requorum.deployments.systemd import unitsettings, unitwords
from requorum.deployments.systemd.unitsettings import Started
from requorum.errors import RequorumError
from requorum.hosts import files, processes, programs, units
from requorum.hosts.connection import Connection
from requorum.inventory.values import SystemdDeployment

FLAGS_SECONDS = 20.0
STARTS_AT_ONCE = False


def find(host: Connection, named: SystemdDeployment) -> SystemdDeployment | None:
    """The unit as systemd on that host knows it; None when it is not installed. Where it is not understood, ``odd`` says
    why."""
    (unit,) = host.call(units.show, [named.unit])
    return unitsettings.as_found(host, named, unit) if unit.there else None


def read_config(host: Connection, deployment: SystemdDeployment) -> MemberConfig:
    """The member's configuration; raises RequorumError when it cannot be read, is not understood or lacks what is needed."""
    return unitsettings.read_config(host, deployment)


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
    flags = settings.from_flags(unitsettings.understood(host, deployment).command.argv)
    lines = [f"{settings.variable_of(name)}={value}\n" for name, value in for_now.items() if name not in flags]
    host.call(units.release, [deployment.unit], "" if deployment.config else "".join(lines))


def forget(host: Connection, deployment: SystemdDeployment) -> None:
    """Forget the settings that were for the first start only."""
    host.call(units.forget, deployment.unit)


def _change(host: Connection, deployment: SystemdDeployment, run: str, changes: Mapping[str, str]) -> None:
    """Set flags where etcd gets them from: in ExecStart, in a variable that stands for several words there, or as variables
    of etcd's own."""
    started = unitsettings.understood(host, deployment)
    own = started.command
    flags = settings.from_flags(own.argv)
    by_flag = {name: value for name, value in changes.items() if name in flags}
    fixed = {
        settings.variable_of(name): value
        for name, value in changes.items()
        if name not in flags and settings.variable_of(name) in own.environment
    }
    by_variable = {
        variable: value
        for name, value in changes.items()
        if name not in flags and (variable := settings.variable_of(name)) not in fixed
    }
    in_words, by_flag = _by_words(deployment, started, by_flag)
    by_variable.update(in_words)
    lines = [f"# requorum run {run}", "[Service]"]
    if by_variable and (path := _env_file_with(host, deployment, set(by_variable))):
        host.call(files.keep_aside, path, run)
        text = host.call(files.read_file, files.aside(path, run)).decode()
        host.call(files.write_like, path, envfile.edited(text, by_variable).encode(), files.aside(path, run))
    elif by_variable:
        lines += [f"Environment={unitwords.quoted(f'{name}={value}')}" for name, value in by_variable.items()]
    if by_flag or fixed:
        plain = not own.wrapped and deployment.expands and set(by_flag) <= set(settings.from_flags(deployment.argv))
        words = (
            settings.with_flags(deployment.argv, by_flag)
            if plain
            else own.with_argv(settings.with_flags(own.argv, by_flag), fixed)
        )
        lines += ["ExecStart=", f"ExecStart={deployment.prefix}{unitwords.joined(words, literal=not plain)}"]
    if len(lines) > 2:
        host.call(files.keep_aside, settings_path(deployment), run)
        host.call(units.settle, deployment.unit, "\n".join(lines) + "\n")


def _by_words(
    deployment: SystemdDeployment, started: Started, changes: Mapping[str, str]
) -> tuple[dict[str, str], dict[str, str]]:
    """The new values of variables that are split into words and hold flags that change, and the changes that are left."""
    variables: dict[str, str] = {}
    left = dict(changes)
    for word in deployment.argv if deployment.expands and not started.command.wrapped else ():
        if not unitwords.is_alone(word) or started.places.get(word[1:]) is None:
            continue
        words = ["", *unitwords.expanded([word], started.variables)]
        here = {name: value for name, value in changes.items() if name in settings.from_flags(words)}
        if here:
            variables[word[1:]] = unitwords.joined_value(settings.with_flags(words, here)[1:])
            left = {name: value for name, value in left.items() if name not in here}
    return variables, left


def _env_file_with(host: Connection, deployment: SystemdDeployment, names: set[str]) -> Path | None:
    """The env file that sets these variables: the last one that sets any of them, else the last one that is there."""
    there = []
    for path in (Path(one.lstrip("-")) for one in reversed(deployment.env_files)):
        if units.is_for_now(path):
            continue
        try:
            there.append((path, envfile.parse(host.call(files.read_file, path).decode())))
        except OSError:
            continue
    return next((path for path, found in there if names & set(found)), there[0][0] if there else None)


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
    host.call(units.mark, deployment.unit)
    host.call(units.start, [deployment.unit], wait=False)


def fault_of_start(host: Connection, deployment: SystemdDeployment) -> str:
    """Why it could not start, as far as that can be told before anything is moved: its names, and its own flags."""
    return reach.fault(host, read_config(host, deployment)) or _fault_of_flags(host, deployment)


def _fault_of_flags(host: Connection, deployment: SystemdDeployment) -> str:
    """What etcd says against its flags. With ``--version`` before them it reads them all, prints its version and ends: it
    starts nothing, and looks at no variable and no file."""
    argv = unitsettings.understood(host, deployment).command.argv
    flags = [one for one in settings.flags_of(argv) if one.name != "version"]
    words = [word for one in flags for word in argv[one.at : one.at + one.count]]
    try:
        host.call(programs.run, [argv[0], "--version", *words], seconds=FLAGS_SECONDS, cwd="/")
    except programs.ProgramError as err:
        said = next((line for line in err.detail.splitlines() if line.strip()), "") or str(err)
        return f"{argv[0]} does not take its flags: {said[:300]} ({deployment.exec_at})"
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


def hindrance(_: Connection, __: SystemdDeployment) -> str:
    """What keeps a unit from running is in its journal."""
    return ""


def own_log(host: Connection, deployment: SystemdDeployment, lines: int) -> dict[str, str]:
    """The end of the unit's journal."""
    return {"etcd.log": host.call(units.log, deployment.unit, lines)}


def copy_out(_: Connection, __: SystemdDeployment, ___: Sequence[str], ____: Path) -> tuple[str, ...]:
    """It runs in no image."""
    return ()
