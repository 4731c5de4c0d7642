"""What a static pod said last, and what kubelet says of it, as files and the journal on a host tell."""

from __future__ import annotations

import time
from pathlib import Path

from requorum.hosts import units

LOGS = Path("/var/log/pods")
_LINES = 400
_BYTES = 65536


def age_of(path: str) -> float:
    """How long ago a file was written, in seconds; a great age where it is not there."""
    try:
        return max(time.time() - Path(path).stat().st_mtime, 0.0)
    except OSError:
        return float("inf")


def newest(namespace: str, pod: str, container: str) -> Path | None:
    """The newest log of a container, whichever of its pods (a changed manifest is another one) wrote it."""
    found = list(LOGS.glob(f"{namespace}_{pod}_*/{container}/*.log"))
    return max(found, key=lambda one: one.stat().st_mtime, default=None)


def last_words(namespace: str, pod: str, container: str, seconds: float) -> str:
    """Why a container died within the last seconds, in its own words; empty when its log tells of no such end."""
    path = newest(namespace, pod, container)
    if path is None or time.time() - path.stat().st_mtime > seconds:
        return ""
    lines = [line for line in end_of(path).splitlines() if '"level":"fatal"' in line or "panic:" in line]
    return f"{lines[-1][:400]} ({path})" if lines else ""


def end_of(path: Path) -> str:
    """The end of a log, without the time and the stream that the runtime writes before each line."""
    with path.open("rb") as file:
        file.seek(max(file.seek(0, 2) - _BYTES, 0))
        lines = file.read().decode(errors="replace").splitlines()
    return "\n".join(line.split(" ", 3)[-1] for line in lines)


def complaint(unit: str, pod: str) -> str:
    """The last error in kubelet's journal that names a pod; empty when there is none."""
    said = [line for line in units.log(unit, _LINES).splitlines() if pod in line and "rror" in line]
    return f"kubelet cannot run {pod}: {said[-1][:600]}" if said else ""
