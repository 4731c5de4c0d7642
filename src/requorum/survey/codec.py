"""Surveys (and what is made of them) out of JSON, on another machine perhaps.

msgspec writes every value, but reads no union of two dataclasses; ours are all "something, or why it is unknown", and
an :class:`~requorum.survey.evidence.Unknown` is known by its only key.
"""

import dataclasses
import types
import typing
from typing import Any, TypeVar

import msgspec

from requorum.errors import UsageError
from requorum.survey.evidence import Unknown

T = TypeVar("T")


def _of_kind(data: Any, among: "list[Any]") -> Any:
    """Which of several dataclasses a value is of: the one whose ``kind`` it says."""
    for one in among:
        kind = typing.get_type_hints(one).get("kind")
        if isinstance(data, dict) and data.get("kind") in typing.get_args(kind):
            return one
    raise TypeError("a value of no known kind")


def decode(raw: bytes, kind: type[T]) -> T:
    """A value of a dataclass type from JSON; raises UsageError when it is none."""
    try:
        value = _build(msgspec.json.decode(raw), kind)
    except (msgspec.DecodeError, TypeError, ValueError, RecursionError) as err:
        raise UsageError(f"not a {kind.__name__}: {err}") from err
    assert isinstance(value, kind)
    return value


def _build(data: Any, kind: Any) -> Any:
    origin, args = typing.get_origin(kind), typing.get_args(kind)
    if origin in (types.UnionType, typing.Union):
        if Unknown in args and isinstance(data, dict) and set(data) == {"unknown"}:
            return _build(data, Unknown)
        if data is None and type(None) in args:
            return None
        others = [one for one in args if one not in (Unknown, type(None))]
        return _build(data, others[0] if len(others) == 1 else _of_kind(data, others))
    if origin is tuple and isinstance(data, list):
        return tuple(_build(one, args[0]) for one in data)
    if isinstance(kind, type) and dataclasses.is_dataclass(kind):
        if not isinstance(data, dict):
            raise TypeError(f"expected an object for {kind.__name__}")
        hints = typing.get_type_hints(kind)
        known = {one.name for one in dataclasses.fields(kind)}
        return kind(**{name: _build(value, hints[name]) for name, value in data.items() if name in known})
    return msgspec.convert(data, kind)
