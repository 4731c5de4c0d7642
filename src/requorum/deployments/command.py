"""etcd's own command line within what a unit or a container runs: as it is, behind ``env``, or behind a shell.

What is not etcd itself is refused by name: a container engine's paths are not the host's, and what a script does cannot
be told by reading it. Nothing that is refused is ever run.
"""

import os
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from requorum.errors import RequorumError

ENGINES = (
    *("docker", "podman", "nerdctl", "crictl", "ctr", "rkt", "runc", "crun", "systemd-nspawn", "lxc-start", "lxc"),
    *("docker-compose", "podman-compose", "conmon", "machinectl", "apptainer", "singularity"),
)
SHELLS = ("sh", "bash", "dash", "ash", "zsh", "ksh", "busybox")
_ETCD = re.compile(r"etcd(?:[-_]?v?[0-9][0-9a-z._-]*)?")
_MEANT = re.compile(r"(?:^|[\s;&|({'\"`])(?:[\w./-]*/)?etcd(?:[-_]?v?[0-9][0-9a-z._-]*)?(?=$|[\s;&|)}'\"`\\])")
_ASSIGNED = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)=(.*)", re.DOTALL)
_SPECIAL = re.compile(r"[;&|<>()`$*?\[\]{}~!#\n]")
_CONTAINER_HINT = (
    "the paths in it are the container's, so nothing on this host can be trusted to be etcd's; give the data dirs as they "
    "lie on the hosts: requorum survey DIR DIR DIR, then requorum rebuild"
)
_PLAIN_HINT = "let it start etcd itself: ExecStart=/path/to/etcd with its flags, or an env file"


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """etcd's words, and what stands before them. ``environment`` are variables that only this command line sets;
    ``shell`` are the words up to a shell's script, of which etcd's are the whole."""

    argv: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    before: tuple[str, ...] = ()
    shell: tuple[str, ...] = ()
    execs: bool = False

    @property
    def wrapped(self) -> bool:
        """Whether something else than etcd stands first."""
        return bool(self.before or self.shell)

    def with_argv(self, argv: Sequence[str], changed: Mapping[str, str] | None = None) -> list[str]:
        """The whole command line, with other words for etcd, and other values of its own variables."""
        before = [
            f"{match.group(1)}={(changed or {})[match.group(1)]}"
            if (match := _ASSIGNED.fullmatch(word)) and match.group(1) in (changed or {})
            else word
            for word in self.before
        ]
        words = [*before, *argv]
        if not self.shell:
            return words
        lead = 1 if self.execs else 0
        assigned = sum(1 for word in before if _ASSIGNED.fullmatch(word) and word not in ("env",))
        script = shlex.join(words) if not assigned else _script(words)
        return [*self.shell, "exec " * lead + script]


def _script(words: Sequence[str]) -> str:
    """A simple command whose first words may assign variables."""
    out, leading = [], True
    for word in words:
        match = _ASSIGNED.fullmatch(word) if leading else None
        leading = leading and match is not None
        out.append(f"{match.group(1)}={shlex.quote(match.group(2))}" if match else shlex.quote(word))
    return " ".join(out)


def understood(words: Sequence[str], where: str) -> Command:
    """etcd's command line within another; raises RequorumError, naming what is there, where it is not understood."""
    if not words:
        raise RequorumError(f"{where}: it runs nothing", hint="is this etcd's unit?")
    program = os.path.basename(words[0])
    if program in SHELLS:
        return _of_shell(words, where)
    before, rest, environment = _without_env(list(words), where)
    if not rest:
        raise RequorumError(f"{where}: it runs nothing but {words[0]}", hint=_PLAIN_HINT)
    program = os.path.basename(rest[0])
    if program in SHELLS:
        raise RequorumError(f"{where}: a shell behind {words[0]} is not understood", hint=_PLAIN_HINT)
    _must_be_etcd(program, rest, where)
    return Command(argv=tuple(rest), environment=environment, before=tuple(before))


def refuse_container(words: Sequence[str], where: str) -> None:
    """Raise RequorumError where a container engine is run."""
    program = os.path.basename(words[0]) if words else ""
    if program in ENGINES:
        raise RequorumError(
            f"{where}: etcd runs in a container there ({program}), which requorum does not recover in place",
            hint=_CONTAINER_HINT,
        )


def _must_be_etcd(program: str, words: Sequence[str], where: str) -> None:
    refuse_container(words, where)
    engine = next((os.path.basename(one) for one in words if os.path.basename(one) in ENGINES), "")
    if not _ETCD.fullmatch(program):
        more = f", and names {engine}: does etcd run in a container?" if engine else ""
        raise RequorumError(f"{where}: it runs {words[0]}, which is not etcd itself{more}", hint=_PLAIN_HINT)
    if len(words) > 1 and words[1] in ("gateway", "grpc-proxy"):
        raise RequorumError(f"{where}: etcd {words[1]} is no member of a cluster", hint="leave this host out")


def _without_env(words: list[str], where: str) -> tuple[list[str], list[str], dict[str, str]]:
    """``env`` with its assignments, what it runs, and those assignments."""
    if os.path.basename(words[0]) != "env":
        return [], words, {}
    at, environment = 1, {}
    while at < len(words) and (match := _ASSIGNED.fullmatch(words[at])):
        environment[match.group(1)] = match.group(2)
        at += 1
    if at < len(words) and words[at].startswith("-"):
        raise RequorumError(f"{where}: {words[0]} {words[at]} is not understood", hint=_PLAIN_HINT)
    return words[:at], words[at:], environment


def _of_shell(words: Sequence[str], where: str) -> Command:
    """A shell that does nothing but start etcd, with words that stand for themselves."""
    at = 1
    if os.path.basename(words[0]) == "busybox":
        at = 2
    named = False
    while at < len(words) and re.fullmatch(r"-[ceux]+", words[at]):
        named = named or "c" in words[at]
        at += 1
    if not named or at >= len(words):
        raise RequorumError(f"{where}: what {' '.join(words[:3])} does is not understood", hint=_PLAIN_HINT)
    if at + 1 < len(words):
        # $0 and further words of a script: it may use them
        raise RequorumError(f"{where}: words behind the script of {words[0]} are not understood", hint=_PLAIN_HINT)
    script = words[at] if "'" in words[at] else words[at].replace("\\\n", " ")
    shown = " ".join(script.split())[:120]
    first = script.split()[0] if script.split() else ""
    engine = next((one for one in re.findall(r"[\w./-]+", script) if os.path.basename(one) in ENGINES), "")
    if engine:
        refuse_container([engine], where)
    try:
        parts = shlex.split(script.strip(), posix=True)
    except ValueError as err:
        raise RequorumError(f"{where}: the script of {words[0]} is not understood: {err}", hint=_PLAIN_HINT) from err
    if _SPECIAL.search(_unquoted(script.strip())) or re.search(r"\\[$`]", script):
        raise RequorumError(
            f"{where}: etcd runs behind {words[0]}, and its script is more than a plain command: {shown}",
            hint=_PLAIN_HINT,
        )
    execs = first == "exec"
    rest = parts[1:] if execs else parts
    count, environment = 0, {}
    while count < len(rest) and (match := _ASSIGNED.fullmatch(rest[count])):
        environment[match.group(1)] = match.group(2)
        count += 1
    if execs and count:
        raise RequorumError(f"{where}: the script of {words[0]} is not understood: {shown}", hint=_PLAIN_HINT)
    before, own, more = _without_env(rest[count:], where) if rest[count:] else ([], [], {})
    if not own:
        raise RequorumError(f"{where}: the script of {words[0]} starts nothing: {shown}", hint=_PLAIN_HINT)
    _must_be_etcd(os.path.basename(own[0]), own, where)
    return Command(
        argv=tuple(own),
        environment={**environment, **more},
        before=(*rest[:count], *before),
        shell=tuple(words[:at]),
        execs=execs,
    )


def _unquoted(script: str) -> str:
    """What of a script a shell would look at twice: all but what stands in single quotes, or behind a backslash; in double
    quotes only dollars and backquotes count."""
    out, quote, at = "", "", 0
    while at < len(script):
        char = script[at]
        if char == "\\" and quote != "'":
            at += 2
            continue
        if quote and char == quote:
            quote = ""
        elif not quote and char in "'\"":
            quote = char
        elif not quote or (quote == '"' and char in "$`"):
            out += char
        at += 1
    return out


def means_etcd(words: Sequence[str]) -> bool:
    """Whether a command line starts etcd, in whatever way: by its program, or by a word of a shell's script."""
    if not words:
        return False
    if _ETCD.fullmatch(os.path.basename(words[0])):
        return True
    program = os.path.basename(words[0])
    if program == "env":
        return any(_ETCD.fullmatch(os.path.basename(one)) for one in words[1:])
    return program in SHELLS and any(_MEANT.search(one) for one in words[1:])
