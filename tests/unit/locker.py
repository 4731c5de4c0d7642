"""A process of its own that takes a lock: ``python locker.py MEMBER.json RUN take|take-over [hold]``.

It prints "held", or the error's class and message. With ``hold`` it then waits for lines on its standard input:
``check`` and ``release`` are done and answered, an end ends it.
"""

import sys
from collections.abc import Callable
from pathlib import Path

import msgspec

from requorum.errors import RequorumError
from requorum.plan.values import PlanMember
from requorum.run import lock


def said(action: Callable[[], None]) -> str:
    """What came of an action."""
    try:
        action()
    except RequorumError as err:
        return f"{type(err).__name__}: {err}"
    return "held"


if __name__ == "__main__":
    member = msgspec.json.decode(Path(sys.argv[1]).read_bytes(), type=PlanMember)
    run, how = sys.argv[2], sys.argv[3]
    print(said(lambda: lock.take(member, run, 1, take_over=how == "take-over")), flush=True)
    if sys.argv[4:] == ["hold"]:
        for line in sys.stdin:
            action = {"check": lock.check, "release": lock.release}[line.strip()]
            print(said(lambda action=action: action(member, run)), flush=True)  # type: ignore[misc]
