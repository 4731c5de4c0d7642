"""Words of a unit's command line as systemd reads them: quotes, escapes, variables; and written so that it reads the same.

The rules are systemd's own (extract-word.c, env-util.c; systemd.service(5), "Command lines"): quotes may begin anywhere in
a word, a backslash counts within either kind of quotes, a word that is ``$NAME`` alone stands for any number of words,
``${NAME}`` within a word for its value as it is, and ``$NAME`` within a word for nothing but itself.
"""

import re
from collections.abc import Mapping, Sequence

_SPACE = " \t\n\r"
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_BRACED = re.compile(r"\$(?:\{([A-Za-z_][A-Za-z0-9_]*)\}|\$)")
_PLAIN = re.compile(r"[A-Za-z0-9_@+=:,./{}\[\]-]+")
_ESCAPES = dict(zip("abfnrtvs\\\"'", "\a\b\f\n\r\t\v \\\"'", strict=True))
_DIGITS = {"x": (2, 16), "u": (4, 16), "U": (8, 16)}


def split(text: str, *, escapes: bool) -> list[str]:
    """A text in words, without their quotes. With ``escapes``, as a line of a unit's file: C's escapes are read, and a
    quote that is not closed raises ValueError; without, as the value of a variable, in which neither is so."""
    words: list[str] = []
    at = 0
    while True:
        while at < len(text) and text[at] in _SPACE:
            at += 1
        if at >= len(text):
            return words
        word, at = _word(text, at, escapes)
        words.append(word)


def _word(text: str, at: int, escapes: bool) -> tuple[str, int]:
    out, quote = "", ""
    while at < len(text):
        char = text[at]
        if char == "\\":
            if at + 1 >= len(text):
                if escapes:
                    raise ValueError("a backslash at the end")
                return out, at + 1
            piece, at = _escaped(text, at + 1) if escapes else (text[at + 1], at + 2)
            out += piece
            continue
        if quote and char == quote:
            quote = ""
        elif not quote and char in "'\"":
            quote = char
        elif not quote and char in _SPACE:
            break
        else:
            out += char
        at += 1
    if quote and escapes:
        raise ValueError("a quote that is not closed")
    return out, at


def _escaped(text: str, at: int) -> tuple[str, int]:
    """What stands behind a backslash, and where it ends; raises ValueError for what systemd does not know."""
    char = text[at]
    if char in _ESCAPES:
        return _ESCAPES[char], at + 1
    count, base = _DIGITS.get(char, (3, 8))
    begin = at + 1 if char in _DIGITS else at
    digits = text[begin : begin + count]
    if len(digits) != count:
        raise ValueError(f"\\{char} is cut short")
    return chr(int(digits, base)), begin + count


def filled(word: str, environment: Mapping[str, str]) -> str:
    """A word in which ``${NAME}`` stands for its value (nothing, where there is none) and ``$$`` for a dollar."""
    return _BRACED.sub(lambda match: environment.get(match.group(1), "") if match.group(1) else "$", word)


def is_alone(word: str) -> bool:
    """Whether a word is a variable that stands for any number of words."""
    return word.startswith("$") and word[1:2] not in ("{", "$")


def expanded(words: Sequence[str], environment: Mapping[str, str]) -> list[str]:
    """A command line as the program gets it."""
    found: list[str] = []
    for word in words:
        if is_alone(word):
            name = word[1:]
            found += split(environment.get(name, "") if _NAME.fullmatch(name) else "", escapes=False)
        else:
            found.append(filled(word, environment))
    return found


def quoted(word: str, *, literal: bool = True) -> str:
    """A word as a unit's file may have it; with ``literal`` its dollars stand for themselves."""
    text = word.replace("$", "$$") if literal else word
    if _PLAIN.fullmatch(text.replace("$", "")) or (text and not text.strip("$")):
        return text
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("%", "%%")
    return f'"{escaped}"'


def joined(words: Sequence[str], *, literal: bool = True) -> str:
    """A command line as a unit's file may have it."""
    return " ".join(quoted(word, literal=literal) for word in words)


def joined_value(words: Sequence[str]) -> str:
    """Words as the value of a variable that stands for them."""
    return " ".join(
        word if _PLAIN.fullmatch(word) else '"' + word.replace("\\", "\\\\").replace('"', '\\"') + '"' for word in words
    )
