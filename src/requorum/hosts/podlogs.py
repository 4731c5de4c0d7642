"""What a static pod said last, and what kubelet says of it, as files and the journal on a host tell."""

from __future__ import annotations

import calendar
import contextlib
import re
import time
from pathlib import Path

from requorum.hosts import files, units

LOGS = Path("/var/log/pods")
_LINES = 400
_STAMP = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.\d+)?(Z|[+-]\d\d:\d\d) ")
_TAKEN = re.compile(r"is reserved for \\?\"(\w+)")
KILLS = 2
"""A pod may be ended once while it waits for the others; so often its probe is wrong, or it never becomes healthy."""
_BYTES = 65536


def age_of(path: str) -> float:
    """How long ago a file was written, in seconds; a great age where it is not there."""
    return max(time.time() - _written(Path(path)), 0.0)


def _written(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return float("-inf")


def newest(namespace: str, pod: str, container: str) -> Path | None:
    """The newest log of a container, whichever of its pods (a changed manifest is another one) wrote it."""
    found = LOGS.glob(f"{namespace}_{pod}_*/{container}/*.log")
    return max(found, key=lambda one: (_written(one), len(one.name), one.name), default=None)


def last_words(namespace: str, pod: str, container: str, seconds: float) -> str:
    """Why a container died within the last seconds, in its own words; empty when its log tells of no such end."""
    path = newest(namespace, pod, container)
    if path is None or age_of(str(path)) > seconds:
        return ""
    try:
        said = end_of(path, time.time() - seconds)
    except OSError:
        return ""
    lines = _failures(said)
    return f"{lines[-1][:400]} ({path})" if lines else ""


def end_of(path: Path, since: float = 0.0) -> str:
    """The end of a log, as far as it was written ``since`` then (seconds since 1970), without the time and the stream that
    the runtime writes before each line."""
    lines = files.read_end(path, _BYTES).decode(errors="replace").splitlines()
    return "\n".join(line.split(" ", 3)[-1] for line in lines if _time_of(line) >= since)


def _time_of(line: str) -> float:
    """When the runtime took a line, in whole seconds rounded up; infinity where it does not say (the file's own time has
    to do)."""
    match = _STAMP.match(line)
    if match is None:
        return float("inf")
    stamp, zone = match.group(1), match.group(2)
    try:
        at = calendar.timegm(time.strptime(stamp, "%Y-%m-%dT%H:%M:%S"))
    except ValueError:
        return float("inf")
    if zone != "Z":
        ahead = int(zone[1:3]) * 3600 + int(zone[4:6]) * 60
        at -= -ahead if zone[0] == "-" else ahead
    return at + 1.0


def complaint(unit: str, pod: str, seconds: float) -> str:
    """The last error in kubelet's journal of the last seconds that names a pod; empty when there is none but that its
    container fails again and again: why it does is in its own log."""
    said = [line for line in units.log(unit, _LINES, seconds).splitlines() if pod in line and "rror" in line]
    said = [line for line in said if "CrashLoopBackOff" not in line]
    if not said:
        return ""
    taken = _TAKEN.search(said[-1])
    if taken:
        return (
            f"kubelet cannot run {pod}: a sandbox that is left over has the name it wants (crictl rmp --force "
            f"{taken.group(1)} removes it)"
        )
    return f"kubelet cannot run {pod}: {said[-1].rpartition(' desc = ')[2][:500]}"


def killed(namespace: str, pod: str, container: str, seconds: float) -> str:
    """Whether a container was ended from outside again and again in the last seconds: started anew, although its log tells
    of no failure. kubelet says nothing of a probe in its journal unless it is asked to say more (``-v 2``); each restart has
    a log of its own, by number.
    """
    path = newest(namespace, pod, container)
    if path is None or not path.stem.isdigit() or int(path.stem) < KILLS:
        return ""
    before = path.with_name(f"{int(path.stem) - 1}.log")
    if age_of(str(before)) > seconds:
        return ""  # whatever was ended, it was before
    for one in (path, before):
        with contextlib.suppress(OSError):
            if _failures(end_of(one)):
                return ""
    return (
        f"kubelet has started {pod} anew {int(path.stem)} times, although etcd's log tells of no failure: its liveness or "
        f"startup probe fails (what it asks is in the manifest), or it has too little memory"
    )


def _failures(said: str) -> list[str]:
    return [line for line in said.splitlines() if '"level":"fatal"' in line or "panic:" in line]
