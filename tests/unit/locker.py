"""A process of its own that takes a lock: ``python locker.py MEMBER.json RUN take|take-over [hold]``.

It prints "held", or the error's class and message. With ``hold`` it then waits for lines on its standard input:
``check`` and ``release`` are done and answered, an end ends it.
"""

import sys
from collections.abc import Callable
from pathlib import Path

from requorum.errors import RequorumError
from requorum.hosts.connection import Here
from requorum.procedures.values import PlanMember
from requorum.run import lock
from requorum.survey import codec

HERE = Here()


def said(action: Callable[[], None]) -> str:
    """What came of an action."""
    try:
        action()
    except RequorumError as err:
        return f"{type(err).__name__}: {err}"
    return "held"


if __name__ == "__main__":
    member = codec.decode(Path(sys.argv[1]).read_bytes(), PlanMember)
    run, how = sys.argv[2], sys.argv[3]
    print(said(lambda: lock.take(HERE, member, run, 1, take_over=how == "take-over")), flush=True)
    if sys.argv[4:] == ["hold"]:
        for line in sys.stdin:
            action = {"check": lock.check, "release": lock.release}[line.strip()]
            print(said(lambda action=action: action(HERE, member, run)), flush=True)  # type: ignore[misc]
