"""Values on their way to a host and back, as JSON that names every type it is not sure of.

Never pickle: what a host answers must not be able to run anything here. A dataclass is only built when this package
defines it. Runs on the hosts too: Python 3.8, standard library only.
"""

from __future__ import annotations

import base64
import dataclasses
import importlib
import os
from pathlib import Path
from typing import Any

from requorum.errors import RequorumError
from requorum.etcdfiles.faults import EtcdFileError
from requorum.hosts import programs


class WireFault(Exception):
    """What arrived is no value of ours."""


def encode(value: Any) -> Any:
    """A value as JSON can carry it. Raises TypeError for one that cannot travel."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, (list, tuple)):
        return {"list" if isinstance(value, list) else "tuple": [encode(one) for one in value]}
    if isinstance(value, (set, frozenset)):
        return {"set": [encode(one) for one in value]}
    if isinstance(value, dict):
        return {"dict": [[encode(key), encode(one)] for key, one in value.items()]}
    if isinstance(value, (bytes, bytearray, memoryview)):
        return {"bytes": base64.b64encode(value).decode()}
    if isinstance(value, os.PathLike):
        return {"path": os.fspath(value)}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        kind = type(value)
        fields = {one.name: encode(getattr(value, one.name)) for one in dataclasses.fields(value)}
        return {"class": f"{kind.__module__}:{kind.__qualname__}", "fields": fields}
    raise TypeError(f"a {type(value).__name__} cannot be sent to a host")


def decode(data: Any) -> Any:
    """The value out of what :func:`encode` made; raises WireFault for anything else."""
    if not isinstance(data, dict):
        if isinstance(data, list):
            raise WireFault("a bare list")
        return data
    try:
        return _decode(data)
    except (KeyError, ValueError, TypeError, AttributeError, ImportError) as err:
        raise WireFault(str(err)) from err


def _decode(data: dict[str, Any]) -> Any:
    if "class" in data:
        return _class_named(data["class"])(**{name: decode(value) for name, value in data["fields"].items()})
    (kind, content), *more = data.items()
    if more:
        raise WireFault("too many keys")
    if kind == "dict":
        return {decode(key): decode(value) for key, value in content}
    if kind == "bytes":
        return base64.b64decode(content, validate=True)
    if kind == "path":
        return Path(content)
    made = [decode(one) for one in content]
    return {"list": list, "tuple": tuple, "set": set}[kind](made)


def _class_named(name: str) -> Any:
    module, _, qualname = name.partition(":")
    if not module.startswith("requorum."):
        raise WireFault(f"{name} is none of ours")
    found = getattr(importlib.import_module(module), qualname)
    if not (isinstance(found, type) and dataclasses.is_dataclass(found) and found.__module__ == module):
        raise WireFault(f"{name} is no value")
    return found


def encode_error(err: BaseException) -> dict[str, Any]:
    """What went wrong on a host, so that :func:`raise_error` raises the same here."""
    if isinstance(err, OSError):
        return {"os": [err.errno, err.strerror, _text(err.filename), _text(err.filename2)]}
    if isinstance(err, EtcdFileError):
        return {"file": [err.path, err.why]}
    if isinstance(err, programs.ProgramError):
        return {"program": [type(err).__name__, list(err.argv), err.what, err.detail]}
    if isinstance(err, RequorumError):
        return {"ours": [err.message, err.hint, err.changed]}
    return {"other": f"{type(err).__name__}: {err}"}


def _text(name: Any) -> str | None:
    return None if name is None else os.fsdecode(name) if isinstance(name, (bytes, os.PathLike)) else str(name)


def raise_error(data: Any) -> None:
    """Raise what :func:`encode_error` was given; anything that is not understood is a WireFault."""
    kind: str = ""
    said: Any = None
    if isinstance(data, dict) and data:
        kind, said = next(iter(data.items()))
    if kind == "os":
        number, text, name, other = said
        raise OSError(number, text, name, None, other) if number is not None else OSError(text or name)
    if kind == "file":
        raise EtcdFileError(*said)
    if kind == "program":
        name, argv, what, detail = said
        found = getattr(programs, str(name), programs.ProgramError)
        raise (found if issubclass(found, programs.ProgramError) else programs.ProgramError)(argv, what, detail)
    if kind == "ours":
        message, hint, changed = said
        raise RequorumError(message, hint=hint, changed=changed)
    raise WireFault(f"on the host: {said}")
