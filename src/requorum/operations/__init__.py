"""Each command's whole course, readable from top to bottom in one module: values in, a report out. The public Python API.

Asking and telling are handed in (:class:`requorum.operations.operator.Operator`); no terminal is known here. What goes wrong
is a :class:`requorum.errors.RequorumError`, which says what happened where, what was changed, and what to do next::

    from requorum import operations

    with operations.hosts.opened(operations.hosts.Where(hosts="node1,node2,node3")) as world:
        judged = operations.survey.judged(operations.survey.survey_hosts(world, in_full=True))
        print(judged.verdict.kind, judged.verdict.summary)
        print(operations.plan.plan_recovery(world).plan.summary)
"""

import importlib
from types import ModuleType

MODULES = (
    "check",
    "evidence",
    "fence",
    "hosts",
    "operator",
    "plan",
    "rebuild",
    "recover",
    "replace",
    "rollback",
    "runs",
    "survey",
)


def __getattr__(name: str) -> ModuleType:
    """Import a module when it is first asked for: a first answer should not wait for what it does not need."""
    if name not in MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return importlib.import_module(f"{__name__}.{name}")


def __dir__() -> list[str]:
    return [*MODULES]
