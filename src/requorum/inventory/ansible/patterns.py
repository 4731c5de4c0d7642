"""Host patterns of Ansible inventories: ``node[01:20:2]``, ``db-[a:f]:2222``, ``[2001:db8::1]:22``."""

import ipaddress
import re
import string
from collections.abc import Sequence

from requorum.inventory.ansible.values import Malformed

MOST_HOSTS = 20_000
"""More hosts than a pattern of any real inventory names; a typing error in a range must not eat the memory."""

_BRACKETED_PORT = re.compile(r"\[(.+)\]:([0-9]+)")
_PORT = re.compile(r"((?:[^:\[\]]|\[[^\]]*\])*):([0-9]+)")
_RANGE = re.compile(r"\[(?:[a-z]:[a-z]|[0-9]+:[0-9]+)(?::[0-9]+)?\]", re.IGNORECASE)
_HEX_RANGE = re.compile(r"\[[0-9a-f]+:[0-9a-f]+(?::[0-9]+)?\]", re.IGNORECASE)
_LABEL = re.compile(r"[^\W_]|\w[\w-]*[^\W_]")
_MAPPED_IPV4 = ("::", "0:0:0:0:0:")


def expand(pattern: str) -> tuple[list[str], int]:
    """The hosts that a pattern names, and the port behind it (0: none); raises Malformed.

    As in Ansible, only what looks like a host or an address has a port; anything else is a name as it stands.
    """
    hosts, port = _split_port(pattern)
    return (_expand_ranges(hosts) if "[" in hosts else [hosts]), port


def _split_port(pattern: str) -> tuple[str, int]:
    host, port = pattern, 0
    for form in (_BRACKETED_PORT, _PORT):
        if (match := form.fullmatch(host)) is not None:
            host, digits = match.groups()
            port = _number(digits, pattern)
    return (host, port) if _is_address(host) or _is_name(host) else (pattern, 0)


def _is_name(host: str) -> bool:
    return all(_LABEL.fullmatch(label) for label in _RANGE.sub("0", host).split("."))


def _is_address(host: str) -> bool:
    bare = _HEX_RANGE.sub("0", host)
    if ":" not in bare or "%" in bare or ("." in bare and not bare.startswith(_MAPPED_IPV4)):
        return False
    try:
        ipaddress.IPv6Address(bare)
    except ValueError:
        return False
    return True


def _number(digits: str, pattern: str) -> int:
    try:
        return int(digits)
    except ValueError as err:
        raise Malformed(f"the host pattern {pattern[:80]!r} has {digits[:20]!r} where a number must be") from err


def _expand_ranges(pattern: str) -> list[str]:
    names, done = [pattern], False
    while not done:
        done = True
        grown: list[str] = []
        for name in names:
            head, opened, rest = name.partition("[")
            if not opened:
                grown.append(name)
                continue
            done = False
            bounds, closed, tail = rest.partition("]")
            if not closed or "]" in head:
                raise Malformed(f"the host pattern {pattern[:80]!r} has a bracket without its other half")
            grown += [head + one + tail for one in _members(bounds, pattern)]
            if len(grown) > MOST_HOSTS:
                raise Malformed(f"the host pattern {pattern[:80]!r} names more than {MOST_HOSTS} hosts")
        names = grown
    return names


def _members(bounds: str, pattern: str) -> Sequence[str]:
    parts = bounds.split(":")
    if len(parts) not in (2, 3) or not parts[1]:
        raise Malformed(f"the host pattern {pattern[:80]!r}: a range is [begin:end] or [begin:end:step]")
    first, last = parts[0] or "0", parts[1]
    step = _number(parts[2], pattern) if len(parts) == 3 else 1
    if step < 1:
        raise Malformed(f"the host pattern {pattern[:80]!r}: the step of a range must be 1 or more")
    letters = string.ascii_letters
    if len(first) == len(last) == 1 and first in letters and last in letters:
        if letters.index(first) > letters.index(last):
            raise Malformed(f"the host pattern {pattern[:80]!r}: the range begins behind its end")
        return letters[letters.index(first) : letters.index(last) + 1 : step]
    width = len(first) if first.startswith("0") and len(first) > 1 else 0
    if width and width != len(last):
        raise Malformed(f"the host pattern {pattern[:80]!r}: begin and end of the range must have equal lengths")
    numbers = range(_number(first, pattern), _number(last, pattern) + 1, step)
    if len(numbers) > MOST_HOSTS:
        raise Malformed(f"the host pattern {pattern[:80]!r} names more than {MOST_HOSTS} hosts")
    return [str(number).zfill(width) for number in numbers]
