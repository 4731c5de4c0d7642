"""systemd on a host: what its units are, the fence that keeps one from starting, starting and stopping.

The fence is a drop-in of its own with a condition that names the drop-in itself: while the file is there the unit does
not start, after a reboot neither. Masking is none: where the unit's own file lies in /etc/systemd/system, ``mask``
fails and ``mask --runtime`` has no effect (measured, systemd 252).
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from requorum.errors import RequorumError
from requorum.hosts import files, programs
from requorum.hosts.bounds import made_of_parts, within

FENCE = "90-requorum-fence.conf"
SETTINGS = "80-requorum.conf"
FIRST_START = "95-requorum-first-start.conf"
NO_JOURNAL = "its journal cannot be read"
MARK = "# fenced by requorum run "
BEFORE = "# before: "
STOP_SECONDS = 120.0
_PROPERTIES = (
    "Id,LoadState,ActiveState,SubState,UnitFileState,FragmentPath,DropInPaths,ExecStart,Environment,EnvironmentFiles,"
    "User,MainPID,ConditionResult,Result,WorkingDirectory,RootDirectory,RootImage,UnsetEnvironment,PassEnvironment,"
    "InvocationID,ExecStartEx"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """A unit in systemd's own words. ``fenced_by`` is the run whose fence it has, ``before`` what it was before that.

    ``argv`` are the words of its command line as far as they can be told apart by their spaces: systemd prints them without
    quotes. ``program`` is the file that it runs. Of ``env_files``, the ``optional`` ones may be missing.
    ``root`` is the folder or image that it takes for ``/``, ``invocation`` names its last start; ``expands``: variables are
    filled in.
    """

    name: str
    load: str
    active: str
    sub: str
    enabled: str
    fragment: str
    argv: tuple[str, ...]
    environment: tuple[tuple[str, str], ...]
    env_files: tuple[str, ...]
    user: str
    main_pid: int
    condition: bool
    result: str
    drop_ins: tuple[str, ...]
    fenced_by: str
    before: str
    optional: tuple[str, ...] = ()
    program: str = ""
    working_dir: str = ""
    root: str = ""
    unset: tuple[str, ...] = ()
    passed: tuple[str, ...] = ()
    invocation: str = ""
    expands: bool = True

    @property
    def there(self) -> bool:
        """Whether such a unit is installed."""
        return self.load == "loaded"

    @property
    def wanted(self) -> bool:
        """Whether it ran, or was to run at boot, before anybody fenced it."""
        was = self.before or f"{self.active} {self.enabled}"
        return bool({"active", "activating", "reloading", "enabled", "enabled-runtime"} & set(was.split()))


def folder_of(unit: str) -> Path:
    """Where a unit's persistent drop-ins lie."""
    return Path("/etc/systemd/system") / f"{unit}.d"


def _systemctl(*words: str, seconds: float = 30.0) -> str:
    return programs.run(["systemctl", *words], seconds=seconds, env={"LC_ALL": "C"}).out


@made_of_parts
def show(names: Sequence[str]) -> tuple[Unit, ...]:
    """Units by name, installed or not; raises RequorumError where there is no systemd that answers."""
    try:
        said = _systemctl("show", f"--property={_PROPERTIES}", "--", *names)
    except programs.ProgramError as err:
        raise RequorumError(f"systemd does not answer: {err}", hint="is this a host with systemd?") from err
    blocks = said.strip("\n").split("\n\n")
    if len(blocks) != len(names):
        raise RequorumError(f"systemctl show answered {len(blocks)} units for {len(names)} names")
    return tuple(_unit(name, block) for name, block in zip(names, blocks))


def _unit(name: str, block: str) -> Unit:
    found: dict[str, list[str]] = {}
    for line in block.splitlines():
        key, _, value = line.partition("=")
        found.setdefault(key, []).append(value)
    one = {key: values[-1] for key, values in found.items()}
    pairs = [word.partition("=") for value in found.get("Environment", []) for word in _split(value)]
    named = [_env_file(value) for value in found.get("EnvironmentFiles", []) if value.strip()]
    fenced_by, before = _fence(name)
    return Unit(
        name=name,
        load=one.get("LoadState", ""),
        active=one.get("ActiveState", ""),
        sub=one.get("SubState", ""),
        enabled=one.get("UnitFileState", ""),
        fragment=one.get("FragmentPath", ""),
        argv=_argv(one.get("ExecStart", "")),
        environment=tuple((key, value) for key, _, value in pairs),
        env_files=tuple(path for path, _ in named),
        optional=tuple(path for path, may_be_missing in named if may_be_missing),
        user=one.get("User", "") or "root",
        main_pid=int(one.get("MainPID", "0") or 0),
        condition=one.get("ConditionResult", "") == "yes",
        result=one.get("Result", ""),
        drop_ins=tuple(one.get("DropInPaths", "").split()),
        fenced_by=fenced_by,
        before=before,
        program=_program(one.get("ExecStart", "")),
        working_dir=one.get("WorkingDirectory", ""),
        root=one.get("RootDirectory", "") or one.get("RootImage", ""),
        unset=tuple(_split(one.get("UnsetEnvironment", ""))),
        passed=tuple(_split(one.get("PassEnvironment", ""))),
        invocation=one.get("InvocationID", ""),
        expands="no-env-expand" not in one.get("ExecStartEx", "").partition(" ; flags=")[2].partition(" ; ")[0],
    )


def _env_file(value: str) -> tuple[str, bool]:
    path, _, ignore = value.rpartition(" (ignore_errors=")
    return path or value, ignore.startswith("yes")


def _program(value: str) -> str:
    found = value.partition("path=")[2].partition(" ; ")[0].strip()
    return found if found.startswith("/") else ""


def _split(value: str) -> list[str]:
    """Assignments as systemctl prints them: a word that needs it in double quotes, with a backslash before what a shell
    would look at (shell_maybe_quote in escape.c)."""
    words: list[str] = []
    word, begun, quote, at = "", False, "", 0
    while at < len(value):
        char = value[at]
        if char == "\\" and quote != "'" and value[at + 1 : at + 2] in ("\\", '"', "$", "`"):
            word, begun, at = word + value[at + 1], True, at + 1
        elif quote and char == quote:
            quote = ""
        elif not quote and char in "\"'":
            quote, begun = char, True
        elif not quote and char.isspace():
            if begun:
                words.append(word)
            word, begun = "", False
        else:
            word, begun = word + char, True
        at += 1
    return [*words, word] if begun else words


def _argv(value: str) -> tuple[str, ...]:
    _, _, rest = value.partition("argv[]=")
    return tuple(rest.partition(" ; ignore_errors=")[0].split())


def _fence(unit: str) -> tuple[str, str]:
    try:
        lines = files.read_file(folder_of(unit) / FENCE).decode(errors="replace").splitlines()
    except OSError:
        return "", ""
    run = next((line[len(MARK) :].split(":")[0].strip() for line in lines if line.startswith(MARK)), "")
    return run, next((line[len(BEFORE) :].strip() for line in lines if line.startswith(BEFORE)), "")


@made_of_parts
def fenced_by(name: str) -> str:
    """The run whose fence a unit has; empty when none does. Only reads the file: systemd took it when it was written."""
    return _fence(name)[0]


def _reload() -> None:
    try:
        _systemctl("daemon-reload", seconds=60.0)
    except programs.ProgramError as err:
        raise RequorumError(f"systemd does not read its units again: {err}") from err


@made_of_parts
@within(STOP_SECONDS * 6)
def fence(names: Sequence[str], run: str) -> tuple[Unit, ...]:
    """Keep units from starting and stop them, in this order; done twice, it changes nothing. Returns them as they were.

    What is not installed is passed over.
    """
    found = [one for one in show(names) if one.there]
    unknown = False
    for one in found:
        if one.fenced_by != run:
            _write_fence(one, run)
        unknown = unknown or str(folder_of(one.name) / FENCE) not in one.drop_ins
    if unknown:  # also where somebody died between writing a fence and telling systemd
        _reload()
    for one in found:
        try:
            _systemctl("stop", one.name, seconds=STOP_SECONDS)
        except programs.ProgramError as err:
            raise RequorumError(f"{one.name} does not stop: {err}") from err
    return tuple(found)


def _write_fence(unit: Unit, run: str) -> None:
    path = folder_of(unit.name) / FENCE
    files.make_dir(path.parent, 0o755)
    text = (
        f"{MARK}{run}: it must not start now\n"
        f"{BEFORE}{unit.before or f'{unit.active} {unit.enabled}'}\n"
        f"# `requorum resume {run}` goes on, `requorum rollback {run}` puts everything back.\n"
        f"[Unit]\nConditionPathExists=!{path}\n"
    )
    files.write_durably(path, text.encode(), 0o644)


@made_of_parts
def prove_fence(name: str) -> str:
    """Try to start a fenced unit; raises RequorumError unless systemd refuses. Returns what it said."""
    with contextlib.suppress(programs.ProgramError):
        _systemctl("start", "--no-block", name)
        _systemctl("start", name, seconds=20.0)
    (unit,) = show([name])
    if unit.active in ("active", "activating", "reloading") or unit.main_pid:
        raise RequorumError(f"the fence of {name} does not hold: it is {unit.active} ({unit.sub})")
    return f"{name} is {unit.active}, its condition failed" if not unit.condition else f"{name} is {unit.active}"


@made_of_parts
def unfence(names: Sequence[str]) -> None:
    """Take the fences away; starts nothing."""
    if _without_fences(names):
        _reload()


def _without_fences(names: Sequence[str]) -> bool:
    """Remove the files of the fences; returns whether there were any."""
    changed = False
    for name in names:
        path = folder_of(name) / FENCE
        if files.there(path):
            files.remove_made(path)
            changed = True
        files.remove_if_empty(path.parent)
    return changed


def _first_start(name: str) -> tuple[Path, Path]:
    return Path("/run/systemd/system") / f"{name}.d" / FIRST_START, Path("/run") / f"requorum-{name}.env"


def is_for_now(path: Path) -> bool:
    """Whether an env file is of :func:`release`: it is gone after the next boot."""
    return path.parent == Path("/run") and path.name.startswith("requorum-")


@made_of_parts
def release(names: Sequence[str], for_now: str = "") -> None:
    """Take the fences away; starts nothing. ``for_now`` are variables that count more than any env file, until
    :func:`forget` or the next boot."""
    for name in names if for_now else ():
        drop_in, env = _first_start(name)
        files.write_durably(env, for_now.encode(), 0o644)
        files.make_dir(drop_in.parent, 0o755)
        files.write_durably(drop_in, f"[Service]\nEnvironmentFile=-{env}\n".encode(), 0o644)
    if _without_fences(names) or for_now:
        _reload()


@made_of_parts
def forget(name: str) -> None:
    """Forget what :func:`release` set for now."""
    drop_in, env = _first_start(name)
    if files.there(_before(name)):
        files.remove_made(_before(name))
    if files.there(drop_in):
        files.remove_made(drop_in)
        files.remove_if_empty(drop_in.parent)
        files.remove_made(env)
        _reload()


@made_of_parts
def settle(name: str, text: str) -> None:
    """Write the drop-in with settings of ours (none when ``text`` is empty)."""
    path = folder_of(name) / SETTINGS
    if text:
        files.make_dir(path.parent, 0o755)
        files.write_durably(path, text.encode(), 0o644)
    else:
        files.remove_made(path)
        files.remove_if_empty(path.parent)
    _reload()


@made_of_parts
@within(STOP_SECONDS)
def start(names: Sequence[str], *, wait: bool) -> None:
    """Start units in this order. Without ``wait`` nothing is waited for: a Type=notify etcd is up with its quorum."""
    if names:
        with contextlib.suppress(programs.ProgramError):
            _systemctl("reset-failed", *names)
    for name in names:
        words = ["start", name] if wait else ["start", "--no-block", name]
        try:
            _systemctl(*words, seconds=STOP_SECONDS / 2)
        except programs.ProgramError as err:
            raise RequorumError(f"{name} could not be started: {err}", hint=f"journalctl -u {name}") from err


@made_of_parts
@within(STOP_SECONDS + 10)
def stop(name: str) -> None:
    """Stop one unit."""
    try:
        _systemctl("stop", name, seconds=STOP_SECONDS)
    except programs.ProgramError as err:
        raise RequorumError(f"{name} does not stop: {err}") from err


@made_of_parts
def log(name: str, lines: int, seconds: float = 0.0, invocation: str = "") -> str:
    """The last lines that a unit wrote to the journal, or why they cannot be read: of the last seconds, or of one start of
    it, where that is said."""
    since = [f"--since=-{seconds:.0f}s"] if seconds else []
    match = f"_SYSTEMD_INVOCATION_ID={invocation}" if invocation else f"_SYSTEMD_UNIT={name}"
    argv = ["journalctl", match, "-n", str(lines), "-o", "cat", "--no-pager", *since]
    try:
        return programs.run(argv, seconds=30.0).out
    except programs.ProgramError as err:
        return f"{NO_JOURNAL}: {err}"


def _before(name: str) -> Path:
    return Path("/run") / f"requorum-{name}.before"


def _mark_of(name: str) -> str:
    try:
        return files.read_file(_before(name)).decode(errors="replace").strip()
    except OSError:
        return ""


@made_of_parts
def mark(name: str) -> None:
    """Write down, until the next boot, which start of a unit was its last: whatever that one said is not of the next."""
    (unit,) = show([name])
    files.write_durably(_before(name), f"{unit.invocation}\n".encode(), 0o644)


@made_of_parts
def last_words(name: str) -> str:
    """The last thing that a unit wrote to the journal since it was started last, the reason of its death before others:
    never a reason of a start before."""
    (unit,) = show([name])
    if not unit.invocation:
        return f"it has not been started since this host booted (journalctl -u {name} tells of before)"
    if unit.invocation == _mark_of(name):
        return f"systemd has not begun to start it (systemctl status {name} says why)"
    said = log(name, 200, invocation=unit.invocation)
    lines = [line for line in said.splitlines() if '"level":"fatal"' in line or "panic" in line]
    return lines[-1][:400] if lines else programs.last_line(said)
