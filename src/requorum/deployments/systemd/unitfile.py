"""The files of a unit, its own and its drop-ins: in which file and line a setting stands, and its words with their quotes.

``systemctl show`` prints a command line without quotes; where its file has any, only the file tells the words apart.
"""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from requorum.deployments.command import SHELLS
from requorum.deployments.systemd import unitwords
from requorum.errors import RequorumError
from requorum.hosts import files
from requorum.hosts.connection import Connection
from requorum.hosts.units import Unit

_PREFIXES = "@-:+!|"
_SECTION = re.compile(r"\[(\w+)\]")
_SPECIFIER = re.compile(r"%(.)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One assignment in the section [Service], continued lines joined. ``where`` is ``FILE:LINE``."""

    key: str
    value: str
    where: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """A unit's ExecStart: its words before variables are filled in, with the program's whole path. ``prefix`` are the marks
    before it, but for those that only tell how it is read; ``expands`` is false where no variable is filled in."""

    words: tuple[str, ...]
    where: str
    prefix: str = ""
    expands: bool = True


def lines_of(host: Connection, unit: Unit) -> tuple[Line, ...]:
    """What the files of a unit say in [Service], in the order in which it counts; nothing of a file that cannot be read."""
    found: list[Line] = []
    for path in (unit.fragment, *unit.drop_ins):
        try:
            text = host.call(files.read_file, Path(path)).decode(errors="replace") if path else ""
        except OSError:
            continue
        found += assignments(text, path)
    return tuple(found)


def assignments(text: str, path: str) -> list[Line]:
    """The assignments of one file in [Service]."""
    found: list[Line] = []
    section, held, begun = "", "", 0
    for number, raw in enumerate(text.splitlines(), 1):
        line = raw.strip()
        if line[:1] in ("#", ";") or (not line and not held):
            continue  # also between two lines of one value
        begun = begun or number
        if line.endswith("\\"):
            held += line[:-1] + " "
            continue
        whole, where = (held + line).strip(), f"{path}:{begun}"
        held, begun = "", 0
        if match := _SECTION.fullmatch(whole):
            section = match.group(1)
        elif section == "Service" and "=" in whole:
            key, _, value = whole.partition("=")
            found.append(Line(key=key.strip(), value=value.strip(), where=where))
    return found


def where_set(lines: Sequence[Line], variable: str) -> str:
    """Where Environment= sets a variable last; empty where no file tells."""
    found = ""
    for line in lines:
        if line.key != "Environment":
            continue
        if not line.value:
            found = ""
        try:
            words = unitwords.split(line.value, escapes=True)
        except ValueError:
            continue
        if any(word.partition("=")[0] == variable for word in words):
            found = line.where
    return found


def command(unit: Unit, lines: Sequence[Line]) -> Command:
    """The unit's command line, word by word; raises RequorumError where systemd's words cannot be told apart."""
    begun = [line for line in lines if line.key == "ExecStart"]
    begun = begun[max((at + 1 for at, line in enumerate(begun) if not line.value), default=0) :]
    shown = list(unit.argv)
    if shown and unit.program:
        shown[0] = unit.program
    if not begun or not shown:
        words = _with_script(shown)
        return Command(words=tuple(words), where=f"ExecStart of {unit.name}", expands=unit.expands)
    raw = begun[-1].value
    line = raw.lstrip(_PREFIXES)
    marks = raw[: len(raw) - len(line)]
    made = Command(
        words=tuple(shown),
        where=begun[-1].where,
        prefix="".join(mark for mark in marks if mark not in "@:"),
        expands=unit.expands and ":" not in marks,
    )
    words = _words(line, unit)
    own = words[1:] if "@" in marks else words
    if own and " ".join(" ".join(own[1:]).split()) == " ".join(unit.argv[1:]):
        return Command(words=(shown[0], *own[1:]), where=made.where, prefix=made.prefix, expands=made.expands)
    if not set(line) & set("'\"\\"):
        return made  # without quotes nothing can be told apart wrongly
    raise RequorumError(
        f"{made.where}: it cannot be told for certain which words systemd makes of {raw!r}",
        hint="systemctl daemon-reload, where the file was changed since; or write it without quotes and specifiers",
    )


def _with_script(shown: list[str]) -> list[str]:
    """A shell's command line whose file cannot be read: what is printed behind ``-c`` is its script, whose first word alone
    would be none."""
    if not shown or os.path.basename(shown[0]) not in SHELLS:
        return shown
    at = next((at for at, word in enumerate(shown) if re.fullmatch(r"-[a-z]*c[a-z]*", word)), 0)
    return [*shown[: at + 1], " ".join(shown[at + 1 :])] if at else shown


def _words(line: str, unit: Unit) -> list[str]:
    """The words of a line with its specifiers filled in; none where that is not understood."""
    stem = unit.name.rpartition(".")[0]
    prefix, _, instance = stem.partition("@")
    known = {
        "%": "%",
        "n": unit.name,
        "N": stem,
        "p": prefix,
        "i": instance,
        "t": "/run",
        "S": "/var/lib",
        "C": "/var/cache",
        "L": "/var/log",
        "E": "/etc",
    }
    try:
        words = unitwords.split(line, escapes=True)
        return [_SPECIFIER.sub(lambda match: known[match.group(1)], word) for word in words]
    except (ValueError, KeyError):
        return []


def within(folder: str, path: str) -> str:
    """A path as a unit with this working directory knows it."""
    return os.path.normpath(os.path.join(folder or "/", path))
