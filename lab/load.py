"""Writers against the lab's endpoints over TLS, and the audit of what they were told, on the operator's side.

The writers and the audit are the rehearsal's own; here they get client certificates, keys of their own per run, and a
file: JSON lines, one per request, in the order in which the answers came.
"""

import dataclasses
import functools
import json
import os
import secrets
import signal
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from types import FrameType
from typing import Any, TextIO

from lab import network
from lab.lab import Lab
from lab.programs import LabError
from requorum.rehearsal import audit as auditor
from requorum.rehearsal.audit import Audit
from requorum.rehearsal.gateway import NoAnswer
from requorum.rehearsal.load import Load, Operation

TICK_SECONDS = 0.1
AUDIT_SECONDS = 300
ROOT = Path(__file__).resolve().parent.parent


def context_of(lab: Lab) -> ssl.SSLContext:
    """TLS with the lab's authority and node1's admin certificate."""
    context = ssl.create_default_context(cafile=str(lab.pki / "ca.pem"))
    context.load_cert_chain(lab.pki / "admin-node1.pem", lab.pki / "admin-node1-key.pem")
    return context


def write(lab: Lab, out: Path, *, count: int, seconds: float, seed: int, patience: int) -> int:
    """Write for some seconds, or until SIGTERM, or until no writer gets an answer; returns how many were acknowledged.

    ``out`` grows while it runs, and is whole and on the disk when this returns. Killed before, it lacks the last
    tenth of a second.
    """
    asked = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, functools.partial(_stop, asked))
    load = Load(
        list(lab.endpoints.values()),
        writers=count,
        seed=seed,
        prefix=f"{secrets.token_hex(4)}-",
        patience=patience,
        context=context_of(lab),
    )
    deadline = time.monotonic() + seconds
    written = 0
    with out.open("a") as file:
        load.start()
        while time.monotonic() < deadline and not asked.wait(TICK_SECONDS) and _writing(load):
            written += _append(file, load.operations[written:])
        load.stop()
        _append(file, load.operations[written:])
        os.fsync(file.fileno())
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # all is written; Python's end would put the default back
    return load.acknowledged


def read(paths: Iterable[Path]) -> list[Operation]:
    """The operations of some files; raises LabError for a line that is none."""
    found = []
    for path in paths:
        for number, line in enumerate(path.read_text().splitlines(), 1):
            try:
                found.append(Operation(**json.loads(line)))
            except (ValueError, TypeError) as err:
                raise LabError(f"{path}:{number} is no operation") from err
    return found


def audit(lab: Lab, operations: Iterable[Operation], hosts: Iterable[str] = ()) -> Audit:
    """Look for every acknowledged write on every member by itself; with ``hosts`` on the members there alone."""
    wanted = list(hosts) or list(lab.endpoints)
    try:
        return auditor.audit(list(operations), {one: lab.endpoints[one] for one in wanted}, context_of(lab))
    except NoAnswer as err:
        raise LabError(f"a member does not answer: {err}", "bring the whole cluster up first") from err


def document(found: Audit) -> str:
    """An audit as JSON."""
    return json.dumps(dataclasses.asdict(found), indent=1)


def start(
    lab: Lab, out: Path, *, count: int = 8, seconds: float = 120, seed: int = 1, patience: int = 3
) -> "subprocess.Popen[bytes]":
    """Start the writers as a child process on the operator's side; :func:`stop` it."""
    words = ["--name", lab.name, "--seconds", str(seconds), "--writers", str(count), "--seed", str(seed)]
    words += ["--patience", str(patience)]
    return subprocess.Popen(_command(lab, "load", *words, "--out", str(out)), cwd=ROOT, stdin=subprocess.DEVNULL)


def wait_for(out: Path, acknowledged: int, seconds: float) -> None:
    """Wait until so many writes were acknowledged; raises LabError."""
    deadline = time.monotonic() + seconds
    while (count := sum(one.acknowledged for one in _whole_lines(out))) < acknowledged:
        if time.monotonic() > deadline:
            raise LabError(f"only {count} of {acknowledged} writes were acknowledged in {seconds:.0f} s")
        time.sleep(TICK_SECONDS)


def stop(child: "subprocess.Popen[bytes]") -> None:
    """End the writers, with everything that they were told in their file; raises LabError when they failed."""
    child.terminate()
    try:
        code = child.wait(60)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait(10)
        raise LabError("the writers do not stop") from None
    if code != 0:
        raise LabError(f"the writers ended with exit code {code}")


def audited(lab: Lab, *files: Path, hosts: Iterable[str] = ()) -> dict[str, Any]:
    """The audit of these files, by a child process on the operator's side; raises LabError when it cannot read."""
    words = [word for one in files for word in ("--operations", str(one))]
    words += [word for one in hosts for word in ("--host", one)]
    done = subprocess.run(
        _command(lab, "audit", "--name", lab.name, *words, "-o", "json"),
        cwd=ROOT,
        check=False,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=AUDIT_SECONDS,
    )
    if not done.stdout.strip():
        raise LabError(f"the audit failed: {done.stderr.strip()}")
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def _command(lab: Lab, *words: str) -> list[str]:
    return network.enter(lab.name, [sys.executable, "-m", "lab", *words])


def _whole_lines(out: Path) -> list[Operation]:
    text = out.read_text() if out.exists() else ""
    return [Operation(**json.loads(line)) for line in text[: text.rfind("\n") + 1].splitlines()]


def _append(file: TextIO, operations: list[Operation]) -> int:
    file.writelines(json.dumps(dataclasses.asdict(one)) + "\n" for one in operations)
    file.flush()
    return len(operations)


def _stop(asked: threading.Event, _number: int, _frame: FrameType | None) -> None:
    asked.set()


def _writing(load: Load) -> bool:
    return any(one.is_alive() for one in load._threads)
