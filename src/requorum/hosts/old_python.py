"""Values on an old Python: before 3.10 a dataclass knows neither ``slots`` nor ``kw_only``.

Imported before anything else on a host. Slots are left out there; keyword-only fields may then stand in any order, so
those without a default get one that nobody uses: every value is built with all its fields.
"""

from __future__ import annotations

import dataclasses
import sys
from typing import Any

_plain = dataclasses.dataclass


def _dataclass(cls: Any = None, *, slots: bool = False, kw_only: bool = False, **options: Any) -> Any:
    def make(cls: Any) -> Any:
        if kw_only:
            for name in vars(cls).get("__annotations__", {}):
                if name not in vars(cls):
                    setattr(cls, name, None)
        return _plain(cls, **options)

    return make if cls is None else make(cls)


if sys.version_info < (3, 10):
    dataclasses.dataclass = _dataclass
