"""What an etcd unit starts, and with which settings: its words, its variables, and where each of them stands.

What is not understood is refused by name, with the file and the line; nothing of it is run.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from requorum.deployments import command, envfile, hazards, settings
from requorum.deployments.command import Command
from requorum.deployments.config import MemberConfig
from requorum.deployments.systemd import unitfile, unitwords
from requorum.errors import RequorumError
from requorum.hosts import files
from requorum.hosts.connection import Connection
from requorum.hosts.units import Unit
from requorum.inventory.values import SystemdDeployment

_SCRIPT_BYTES = 512


def as_found(host: Connection, named: SystemdDeployment, unit: Unit) -> SystemdDeployment:
    """The member that a unit runs."""
    lines = unitfile.lines_of(host, unit)
    found = replace(
        named,
        argv=unit.argv,
        env_files=unit.env_files,
        environment=unit.environment,
        user=unit.user,
        wanted=unit.wanted,
        fenced_by=unit.fenced_by,
        exec_at=f"ExecStart of {unit.name}",
        variables_at=tuple((name, where) for name, _ in unit.environment if (where := unitfile.where_set(lines, name))),
        working_dir=unit.working_dir.lstrip("!"),
        unset=unit.unset,
        optional=unit.optional,
        odd=_odd(unit),
    )
    try:
        own = unitfile.command(unit, lines)
        found = replace(found, argv=own.words, exec_at=own.where, prefix=own.prefix, expands=own.expands)
        started = understood(host, found)
    except RequorumError as err:
        return replace(found, odd=found.odd or f"{err.message}\n{err.hint}")
    config = settings.from_flags(started.command.argv).get("config-file") or started.variables.get(
        "ETCD_CONFIG_FILE", ""
    )
    return replace(
        found, etcd=started.command.argv[0], config=unitfile.within(found.working_dir, config) if config else ""
    )


def _odd(unit: Unit) -> str:
    """What of a unit changes where its paths lead, or what etcd is told, in a way that cannot be seen from outside."""
    if unit.root:
        return f"{unit.name} takes {unit.root} for its root: the paths in its settings are not the host's"
    passed = [one for one in unit.passed if one.startswith("ETCD_")]
    if passed:
        return f"{unit.name} takes {', '.join(passed)} from systemd's own environment, which is not looked at"
    return ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """What the unit starts: etcd's command line, and all variables that it gets, with where each stands."""

    command: Command
    variables: Mapping[str, str]
    places: Mapping[str, str]


def understood(host: Connection, deployment: SystemdDeployment) -> Started:
    """What a unit starts; raises RequorumError, with what is there, where that is not certain."""
    if deployment.odd:
        message, _, hint = deployment.odd.partition("\n")
        raise RequorumError(message, hint=hint or "set that directly in its unit or env file")
    command.refuse_container(deployment.argv, deployment.exec_at)
    variables, places = _environment(host, deployment)
    words = unitwords.expanded(deployment.argv, variables) if deployment.expands else list(deployment.argv)
    own = command.understood(words, deployment.exec_at)
    _must_be_program(host, own.argv[0], deployment)
    places.update(dict.fromkeys(own.environment, deployment.exec_at))
    return Started(command=own, variables={**variables, **own.environment}, places=places)


def _must_be_program(host: Connection, path: str, deployment: SystemdDeployment) -> None:
    """Raise RequorumError where the program is a script: what that does cannot be told by reading it."""
    if not path.startswith("/"):
        return
    try:
        begin = host.call(files.read_begin, Path(path), _SCRIPT_BYTES)
    except OSError:
        return
    if begin.startswith(b"#!"):
        first = begin.decode(errors="replace").splitlines()[0]
        text = begin.decode(errors="replace")
        engine = next((one for one in command.ENGINES if re.search(rf"(?<![\w-]){one}(?![\w-])", text)), "")
        more = f"; it calls {engine}: etcd seems to run in a container" if engine else ""
        raise RequorumError(
            f"{deployment.exec_at}: {path} is a script ({first}), not etcd itself{more}",
            hint="let the unit start etcd itself; of a container, give the data dirs: requorum survey DIR DIR DIR",
        )


def _environment(host: Connection, deployment: SystemdDeployment) -> tuple[dict[str, str], dict[str, str]]:
    """The variables that the unit starts with, and where each stands: files count more than Environment=, later ones more
    than earlier ones, and UnsetEnvironment= more than both."""
    found = dict(deployment.environment)
    places = dict.fromkeys(found, f"Environment of {deployment.unit}")
    places.update({name: where for name, where in deployment.variables_at if name in found})
    for path in (one.lstrip("-") for one in deployment.env_files):
        if set(path) & set("*?["):
            raise RequorumError(
                f"{deployment.unit}: EnvironmentFile={path} names files by a pattern", hint="name each of them"
            )
        try:
            text = host.call(files.read_file, Path(path)).decode()
        except FileNotFoundError:
            continue
        except (OSError, UnicodeDecodeError) as err:
            raise RequorumError(f"{path}: {getattr(err, 'strerror', None) or err}") from err
        if at := envfile.doubtful_line(text):
            raise RequorumError(
                f"{path}:{at}: a comment that ends in a backslash: whether the next line counts depends on systemd's version",
                hint="take the backslash away",
            )
        found.update(envfile.parse(text))
        places.update({name: f"{path}:{number}" for name, number in envfile.lines(text).items()})
    for one in deployment.unset:
        name, equals, value = one.partition("=")
        if name in found and (not equals or found[name] == value):
            del found[name]
    return found, places


def read_config(host: Connection, deployment: SystemdDeployment) -> MemberConfig:
    """The member's configuration; raises RequorumError when it cannot be read, is not understood or lacks what is needed."""
    started = understood(host, deployment)
    argv, environment = started.command.argv, started.variables
    if stray := settings.stray_word(argv):
        raise RequorumError(
            f"{deployment.exec_at}: etcd does not start with {stray!r}, which is no flag and no flag's value",
            hint="a flag without a value is followed by another flag, or by nothing (--flag=true)",
        )
    flags = [hazards.by_flag(one, _place_of(deployment, started, one.name)) for one in settings.flags_of(argv)]
    by_variables = hazards.of_environment(environment, started.places, deployment.unit)
    config = settings.from_flags(argv).get("config-file") or environment.get("ETCD_CONFIG_FILE", "")
    if config:
        config = unitfile.within(deployment.working_dir, config)
        try:
            raw = host.call(files.read_file, Path(config))
        except OSError as err:
            raise RequorumError(f"{config}: {err.strerror}") from err
        found, path = settings.from_yaml(raw, config), config
        made = [replace(one, counts=False) for one in (*by_variables, *flags)]
        made += hazards.of_config_file(raw.decode(errors="replace"), config)
    else:
        found = {**settings.from_variables(environment), **settings.from_flags(argv)}
        path = deployment.env_files[-1] if deployment.env_files else deployment.unit
        made = [*by_variables, *flags]
    names_of = {"ca": "ETCDCTL_CACERT", "cert": "ETCDCTL_CERT", "key": "ETCDCTL_KEY"}
    client = {key: environment[name] for key, name in names_of.items() if environment.get(name)}
    found = settings.in_folder(found, deployment.working_dir or "/", path)
    return hazards.inspected(
        settings.member_config(found, path, client if len(client) == len(names_of) else None), made
    )


def _place_of(deployment: SystemdDeployment, started: Started, flag: str) -> str:
    """Where a flag stands: in ExecStart, or in the variable that is split into words there."""
    for word in reversed(deployment.argv):
        if deployment.expands and unitwords.is_alone(word):
            name = word[1:]
            if flag in settings.from_flags(["", *unitwords.expanded([word], started.variables)]):
                return f"{started.places.get(name) or deployment.unit} ({name})"
    return deployment.exec_at
