"""etcd as a plain process: ``etcd --config-file CONFIG``, started by hand or by any supervisor.

The fence is the configuration file itself: it is set aside by rename, and a file that etcd refuses to start with takes
its place, naming the run. Whoever starts etcd with that file, after a reboot too, is refused before it touches the
data dir; :func:`prove_fence` tries. What runs with other flags altogether cannot be fenced, only seen: every step that
moves data looks for a process on the files first.
"""

import contextlib
import io
import os
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from requorum.deployments.config import MemberConfig
from requorum.errors import RequorumError
from requorum.hosts import files, processes, programs
from requorum.inventory.inventory import ProcessDeployment

FENCE_MARK = "# fenced by requorum run "
ORIGINAL_MARK = "# the member's own file: "
STOP_SECONDS = 20.0
FENCE_TRIAL_SECONDS = 10.0
DEFAULT_QUOTA = 2 << 30


def fenced_by(deployment: ProcessDeployment) -> str:
    """The run that fences this member; empty when none does."""
    first, _ = _fence_lines(deployment.config_file)
    return first


def _fence_lines(config: Path) -> tuple[str, str]:
    try:
        lines = files.read_file(config).decode().splitlines()
    except (OSError, UnicodeDecodeError):
        return "", ""
    if len(lines) < 2 or not lines[0].startswith(FENCE_MARK):
        return "", ""
    return lines[0].removeprefix(FENCE_MARK).split(":")[0].strip(), lines[1].removeprefix(ORIGINAL_MARK)


def set_aside_path(deployment: ProcessDeployment, run: str) -> Path:
    """Where a run keeps the member's own config file."""
    return deployment.config_file.with_name(f"{deployment.config_file.name}.requorum-{run}")


def own_config(deployment: ProcessDeployment) -> Path:
    """The member's own config file: the one set aside while a fence stands."""
    run, original = _fence_lines(deployment.config_file)
    if run:
        return Path(original)
    if not deployment.config_file.exists():
        # A run was killed between setting the file aside and putting the fence in its place.
        aside = sorted(deployment.config_file.parent.glob(f"{deployment.config_file.name}.requorum-*"))
        if aside:
            return max(aside, key=lambda one: one.stat().st_ctime_ns)
    return deployment.config_file


def read_config(deployment: ProcessDeployment) -> MemberConfig:
    """The member's configuration; raises RequorumError when the file cannot be read or lacks what is needed."""
    path = own_config(deployment)
    data = _load(path)
    name, data_dir = data.get("name", "default"), data.get("data-dir")
    if not isinstance(data_dir, str) or not data_dir or "\0" in data_dir:
        raise RequorumError(f"{path}: it names no data-dir", hint="add data-dir: /path/to/it")
    for url in [*_list(data.get("advertise-client-urls")), *_list(data.get("listen-client-urls"))]:
        _check_url(url, path)
    client = _first(data.get("advertise-client-urls")) or _first(data.get("listen-client-urls"))
    tls = data.get("client-transport-security") or {}
    if not isinstance(tls, dict):
        raise RequorumError(f"{path}: client-transport-security must be a mapping")
    wal_dir = data.get("wal-dir") or os.path.join(data_dir, "member", "wal")
    return MemberConfig(
        name=str(name),
        data_dir=data_dir,
        wal_dir=str(wal_dir),
        peer_urls=tuple(_list(data.get("initial-advertise-peer-urls", "http://localhost:2380"))),
        endpoint=client or "http://localhost:2379",
        initial_cluster=str(data.get("initial-cluster", "")),
        token=str(data.get("initial-cluster-token", "etcd-cluster")),
        state=str(data.get("initial-cluster-state", "new")),
        quota=_quota(data.get("quota-backend-bytes"), path),
        ca=str(tls.get("trusted-ca-file", "")),
        cert=str(tls.get("cert-file", "")),
        key=str(tls.get("key-file", "")),
    )


def _check_url(url: str, path: Path) -> None:
    try:
        good = bool(urlsplit(url).port or urlsplit(url).hostname)
    except ValueError:
        good = False
    if not good:
        raise RequorumError(f"{path}: {url!r} is no URL that a client could use")


def _quota(value: Any, path: Path) -> int:
    try:
        return int(value or 0) or DEFAULT_QUOTA
    except (TypeError, ValueError) as err:
        raise RequorumError(f"{path}: quota-backend-bytes is {value!r}, not a number") from err


def _load(path: Path) -> dict[str, Any]:
    try:
        data = YAML(typ="safe", pure=True).load(files.read_file(path).decode())
    except OSError as err:
        raise RequorumError(f"{path}: {err.strerror}") from err
    except (YAMLError, ValueError, RecursionError) as err:
        raise RequorumError(f"{path}: not YAML: {' '.join(str(err).split())}") from err
    if not isinstance(data, dict):
        raise RequorumError(f"{path}: it is no etcd config file")
    return data


def _list(value: object) -> list[str]:
    return [one.strip() for one in str(value).split(",") if one.strip()] if value else []


def _first(value: object) -> str:
    found = _list(value)
    return found[0] if found else ""


def fence(deployment: ProcessDeployment, run: str) -> None:
    """Make etcd refuse to start with its config file. Done twice, it changes nothing the second time."""
    if fenced_by(deployment) == run:
        return
    aside = set_aside_path(deployment, run)
    if not os.path.lexists(aside):
        files.rename_durably(deployment.config_file, aside)
    text = (
        f"{FENCE_MARK}{run}: etcd must not start here now\n"
        f"{ORIGINAL_MARK}{aside}\n"
        f"# `requorum resume {run}` goes on, `requorum rollback {run}` puts everything back.\n"
        f"fenced-by-requorum\n"
    )
    files.write_durably(deployment.config_file, text.encode(), 0o644)


def prove_fence(deployment: ProcessDeployment, etcd: Path, folders: Sequence[Path]) -> str:
    """Try to start etcd as its supervisor would; raises RequorumError unless it refuses and touches nothing.

    Returns what etcd said.
    """
    try:
        programs.run([etcd, "--config-file", deployment.config_file], seconds=FENCE_TRIAL_SECONDS, cwd="/")
    except programs.ExitedNonZero as err:
        said = programs.last_line(err.detail)
    except programs.ProgramError as err:
        raise RequorumError(f"the fence of {deployment.config_file} could not be proven: {err}") from err
    else:
        raise RequorumError(f"the fence of {deployment.config_file} does not hold: etcd ended without an error")
    running = processes.holders_of(list(folders))
    if running:
        raise RequorumError(
            f"the fence does not hold: {running[0].command!r} (pid {running[0].pid}) is on the member's files",
            hint="something starts etcd with other flags than its config file: stop that first",
        )
    return said


def lift(deployment: ProcessDeployment, run: str, changes: dict[str, str]) -> None:
    """Replace the fence by the member's own configuration with some values changed: the copy is edited, comments stay.

    The original stays set aside for a rollback.
    """
    aside = set_aside_path(deployment, run)
    yaml = YAML()
    yaml.preserve_quotes = True
    yaml.width = 100000
    data = yaml.load(aside.read_text())
    data.update(changes)
    out = io.StringIO()
    yaml.dump(data, out)
    info = aside.stat()
    files.write_durably(deployment.config_file, out.getvalue().encode(), info.st_mode & 0o7777)
    files.own_like(deployment.config_file, info)


def put_back(deployment: ProcessDeployment, run: str) -> None:
    """Put the member's own config file back exactly as it was, by rename."""
    aside = set_aside_path(deployment, run)
    files.remove_made(files.part_of(deployment.config_file))
    if not os.path.lexists(aside):
        return
    with contextlib.suppress(FileNotFoundError):
        deployment.config_file.unlink()
    files.rename_durably(aside, deployment.config_file)


def stop(folders: Sequence[Path]) -> tuple[int, ...]:
    """Stop every etcd that has these files open and wait for its end: SIGTERM, then SIGKILL. Returns the pids.

    Raises RequorumError when what holds them is no etcd, cannot be seen, or does not end.
    """
    stopped: list[int] = []
    deadline = time.monotonic() + STOP_SECONDS
    signalled: dict[int, float] = {}
    while True:
        running = processes.holders_of(list(folders))
        if not running:
            return tuple(stopped)
        for one in running:
            program = os.path.basename(one.command.split(" ")[0])
            if one.pid == 0 or "etcd" not in program:
                raise RequorumError(
                    f"{one.command!r} (pid {one.pid or 'unknown'}) has the member's files open, and it is no etcd",
                    hint="find out what it is and stop it, then type the command again",
                )
            since = signalled.setdefault(one.pid, time.monotonic())
            if since + STOP_SECONDS / 2 < time.monotonic():
                _signal(one.pid, signal.SIGKILL)
            elif one.pid not in stopped:
                stopped.append(one.pid)
                _signal(one.pid, signal.SIGTERM)
        if time.monotonic() > deadline:
            raise RequorumError(f"etcd (pid {running[0].pid}) does not end within {STOP_SECONDS:.0f} s")
        time.sleep(0.05)


def _signal(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return
    except OSError as err:
        raise RequorumError(f"etcd (pid {pid}) cannot be stopped: {err.strerror}", hint="run as its user") from err


def last_words(deployment: ProcessDeployment) -> str:
    """The last thing that etcd wrote to its log."""
    try:
        raw = files.read_file(deployment.log_file)[-65536:]
    except OSError as err:
        return f"its log {deployment.log} cannot be read: {err.strerror}"
    lines = [line for line in raw.decode(errors="replace").splitlines() if '"level":"fatal"' in line or "panic" in line]
    return f"{lines[-1][:400] if lines else programs.last_line(raw.decode(errors='replace'))} ({deployment.log})"


@contextlib.contextmanager
def _as_failure() -> Iterator[None]:
    """A start that goes wrong stops the run at its barrier; it is no bug."""
    try:
        yield
    except (subprocess.SubprocessError, ValueError) as err:
        raise RequorumError(f"etcd could not be started: {err}") from err


def start(deployment: ProcessDeployment, etcd: Path) -> int:
    """Start etcd, detached from this process, its output appended to its log file. Returns its pid."""
    with deployment.log_file.open("ab") as log, _as_failure():
        # A child that outlives us must not be ours to reap: it is started through a shell that ends at once.
        done = subprocess.run(
            ["/bin/sh", "-c", '"$@" >&2 & echo $!', "sh", str(etcd), "--config-file", str(deployment.config_file)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            env={"PATH": programs.PATH},
            cwd="/",
            start_new_session=True,
            check=True,
            timeout=10,
        )
        return int(done.stdout)
