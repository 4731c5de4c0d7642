"""etcdctl, asked for JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from requorum.etcd.binaries import Binaries
from requorum.hosts import bounds, programs


def client_flags(endpoint: str, ca: str, cert: str, key: str) -> list[str]:
    """etcdctl's flags for one endpoint."""
    flags = [f"--endpoints={endpoint}"]
    for name, value in (("cacert", ca), ("cert", cert), ("key", key)):
        if value:
            flags.append(f"--{name}={value}")
    return flags


@bounds.made_of_parts
def ctl_json(
    binaries: Binaries, flags: Sequence[str], words: Sequence[str], seconds: float, cwd: str | None = None
) -> Any:
    """Run etcdctl with JSON output; raises ProgramError, also for output that is no JSON."""
    argv = [
        binaries.etcdctl,
        *flags,
        f"--command-timeout={seconds:.0f}s",
        f"--dial-timeout={min(seconds, 3):.0f}s",
        "-w=json",
        *words,
    ]
    done = programs.run(argv, seconds=seconds + 5, env={"ETCDCTL_API": "3"}, cwd=cwd)
    try:
        return json.loads(done.out)
    except ValueError as err:
        raise programs.ProgramError(argv, "did not print JSON", done.out) from err
