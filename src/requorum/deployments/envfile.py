"""Files of systemd's ``EnvironmentFile=``: read as systemd reads them, changed line by line, all else left as it is.

The syntax is that of systemd.exec(5): ``NAME=value`` per line; comments start with ``#`` or ``;``; quotes as in a shell;
a backslash at the end of a line continues it; nothing is expanded.
"""

import itertools
import re
from collections.abc import Iterator, Mapping

from requorum.errors import RequorumError

_ASSIGNMENT = re.compile(r"\s*([A-Za-z_][A-Za-z0-9_]*)\s*=(.*)", re.DOTALL)
_LINE = re.compile(r"[^\n]*\n|[^\n]+")
_PLAIN = re.compile(r"[A-Za-z0-9_@%+=:,./-]*")


def _statements(text: str) -> Iterator[str]:
    """The file in pieces that belong together, line ends included: joined again they are the file."""
    held, quote = "", ""
    for line in _LINE.findall(text):
        if not held and (line.lstrip()[:1] in ("#", ";") or "=" not in line):
            yield line
            continue
        quote, goes_on = _open_end(line if held else line.partition("=")[2], quote)
        held += line
        if not goes_on:
            yield held
            held, quote = "", ""
    if held:
        yield held


def _open_end(value: str, quote: str) -> tuple[str, bool]:
    """Which quote a value's line ends in, and whether the value goes on in the next one."""
    body = value.rstrip("\r\n")
    at = 0
    while at < len(body):
        char = body[at]
        if char == "\\" and quote != "'":
            if at + 1 == len(body):
                return quote, True
            at += 1
        elif quote:
            quote = "" if char == quote else quote
        elif char in "\"'":
            quote = char
        at += 1
    return quote, bool(quote)


def _value(raw: str) -> str:
    out, quote, at = "", "", 0
    raw = raw.strip()
    while at < len(raw):
        char = raw[at]
        if char == "\\" and quote != "'" and at + 1 < len(raw):
            at += 1
            if raw[at] != "\n":
                out += raw[at] if not quote or raw[at] in '"\\`$' else "\\" + raw[at]
        elif quote and char == quote:
            quote = ""
        elif not quote and char in "\"'":
            quote = char
        else:
            out += char
        at += 1
    return out if quote or raw[-1:] in ("'", '"') else out.rstrip()


def parse(text: str) -> dict[str, str]:
    """The variables; of one that is set twice, the last."""
    found = {}
    for statement in _statements(text):
        match = None if statement.lstrip()[:1] in ("#", ";") else _ASSIGNMENT.match(statement)
        if match:
            found[match.group(1)] = _value(match.group(2))
    return found


def lines(text: str) -> dict[str, int]:
    """The number of the line on which each variable is set; of one that is set twice, the last."""
    found, number = {}, 1
    for statement in _statements(text):
        match = None if statement.lstrip()[:1] in ("#", ";") else _ASSIGNMENT.match(statement)
        if match:
            found[match.group(1)] = number + statement[: match.start(1)].count("\n")
        number += statement.count("\n")
    return found


def doubtful_line(text: str) -> int:
    """The line of a comment that ends in a backslash with an assignment behind it: systemd before 254 takes that for a part
    of the comment, later ones do not. 0 where there is none."""
    rows = text.splitlines()
    for number, (row, following) in enumerate(itertools.pairwise(rows), 1):
        if row.lstrip()[:1] in ("#", ";") and row.endswith("\\") and _ASSIGNMENT.match(following):
            return number
    return 0


def edited(text: str, changes: Mapping[str, str]) -> str:
    """The file with some variables set: each where it stood last, a new one at the end. All else is kept to the byte.

    Raises RequorumError where a new one could not be told from the value before it: a quote or a line left open.
    """
    pieces = list(_statements(text))
    for name, value in changes.items():
        line = f"{name}={_quoted(value)}\n"
        places = [
            at
            for at, piece in enumerate(pieces)
            if (match := _ASSIGNMENT.match(piece)) and match.group(1) == name and piece.lstrip()[:1] not in ("#", ";")
        ]
        if places:
            pieces[places[-1]] = line
            continue
        if pieces and _is_open(pieces[-1]):
            raise RequorumError("the env file ends in a value that is not closed", hint="close its quote")
        if pieces and not pieces[-1].endswith("\n"):
            pieces[-1] += "\n"
        pieces.append(line)
    return "".join(pieces)


def _is_open(piece: str) -> bool:
    quote, goes_on = "", False
    if piece.lstrip()[:1] in ("#", ";") or "=" not in piece:
        return False
    for line in _LINE.findall(piece.partition("=")[2]):
        quote, goes_on = _open_end(line, quote)
    return goes_on


def _quoted(value: str) -> str:
    if _PLAIN.fullmatch(value):
        return value
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("$", "\\$").replace("`", "\\`")
    return f'"{escaped}"'
