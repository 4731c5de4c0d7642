"""The templates that Kubespray inventories are full of, as far as they are plain references to variables."""

import re

from requorum.inventory.ansible.values import AnsibleHost

MOST_NESTED = 12
_PLACE = re.compile(r"\{\{(.*?)\}\}", re.DOTALL)
_NAME = re.compile(r"[A-Za-z_]\w*", re.ASCII)
_DEFAULT = re.compile(
    r"\|\s*(?:default|d)\(\s*(?:'([^'\\]*)'|\"([^\"\\]*)\"|(-?\d+)|([A-Za-z_]\w*))\s*(?:,\s*(true|True)\s*)?\)",
    re.ASCII,
)


class _UnknownError(Exception):
    """Only Ansible could say."""


def resolve(value: object, host: AnsibleHost) -> str | None:
    """What a value comes to on a host, as text; None where only Ansible could say.

    Evaluated are ``{{ name }}`` and ``{{ name | default(…) }}`` with a literal or a name as the default, alone or amid
    other text. A variable that is not set, a list, a mapping, an encrypted value: None.
    """
    try:
        return _text(value, host, 0)
    except _UnknownError:
        return None


def _text(value: object, host: AnsibleHost, depth: int) -> str:
    if isinstance(value, bool | int | float):
        return str(value)
    if not isinstance(value, str) or depth > MOST_NESTED:
        raise _UnknownError
    if "{%" in value or "{#" in value:
        raise _UnknownError
    rest = _PLACE.sub("", value)
    if "{{" in rest or "}}" in rest:
        raise _UnknownError
    return _PLACE.sub(lambda match: _reference(match[1].strip(" -\t\n"), host, depth), value)


def _reference(inside: str, host: AnsibleHost, depth: int) -> str:
    match = _NAME.match(inside)
    if match is None:
        raise _UnknownError
    name, rest = match[0], inside[match.end() :].strip()
    value = _variable(name, host)
    while rest:
        default = _DEFAULT.match(rest)
        if default is None:
            raise _UnknownError
        single, double, number, other, when_empty = default.groups()
        if value is None or (when_empty and value in ("", False, 0)):
            value = (
                _variable(other, host) if other else next(one for one in (single, double, number) if one is not None)
            )
        rest = rest[default.end() :].strip()
    if value is None:
        raise _UnknownError
    return _text(value, host, depth + 1)


def _variable(name: str, host: AnsibleHost) -> object:
    """A variable's value, None for one that is not set."""
    if name == "inventory_hostname":
        return host.name
    if name == "inventory_hostname_short":
        return host.name.split(".")[0]
    if name in ("true", "false", "none", "True", "False", "None"):
        raise _UnknownError
    value = host.variables.get(name)
    if name in host.variables and value is None:
        raise _UnknownError  # null: defined, and empty only to some filters
    return value
