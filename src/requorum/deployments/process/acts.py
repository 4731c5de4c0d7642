"""etcd as a plain process: ``etcd --config-file CONFIG``, started by hand or by any supervisor.

The fence is the configuration file itself: it is set aside by rename, and a file that etcd refuses to start with takes
its place, naming the run. Whoever starts etcd with that file, after a reboot too, is refused before it touches the
data dir; :func:`prove_fence` tries. What runs with other flags altogether cannot be fenced, only seen: every step that
moves data looks for a process on the files first.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from requorum.deployments import hazards, reach, settings
from requorum.deployments.config import MemberConfig
from requorum.errors import RequorumError
from requorum.hosts import files, processes, programs
from requorum.hosts.connection import Connection
from requorum.inventory.values import ProcessDeployment

FENCE_MARK = "# fenced by requorum run "
ORIGINAL_MARK = "# the member's own file: "
FENCE_TRIAL_SECONDS = 10.0
LOG_BYTES = 65536
OWN_LOG_BYTES = 1 << 20
STARTS_AT_ONCE = False


def find(host: Connection, named: ProcessDeployment) -> ProcessDeployment:
    """A process is where the inventory says."""
    return replace(named, fenced_by=fenced_by(host, named))


def fenced_by(host: Connection, deployment: ProcessDeployment) -> str:
    """The run that fences this member; empty when none does."""
    return _fence_lines(host, deployment.config_file)[0]


def _fence_lines(host: Connection, config: Path) -> tuple[str, str]:
    try:
        lines = host.call(files.read_file, config).decode().splitlines()
    except (OSError, UnicodeDecodeError):
        return "", ""
    if len(lines) < 2 or not lines[0].startswith(FENCE_MARK):
        return "", ""
    return lines[0].removeprefix(FENCE_MARK).split(":")[0].strip(), lines[1].removeprefix(ORIGINAL_MARK)


def set_aside_path(deployment: ProcessDeployment, run: str) -> Path:
    """Where a run keeps the member's own config file."""
    return files.aside(deployment.config_file, run)


def own_config(host: Connection, deployment: ProcessDeployment) -> Path:
    """The member's own config file: the one set aside while a fence stands."""
    run, original = _fence_lines(host, deployment.config_file)
    if run:
        return Path(original)
    # A run may have been killed between setting the file aside and putting the fence in its place.
    return host.call(files.newest_aside, deployment.config_file)


def read_config(host: Connection, deployment: ProcessDeployment) -> MemberConfig:
    """The member's configuration; raises RequorumError when the file cannot be read or lacks what is needed."""
    path = own_config(host, deployment)
    try:
        raw = host.call(files.read_file, path)
    except OSError as err:
        raise RequorumError(f"{path}: {err.strerror}") from err
    found = settings.from_yaml(raw, str(path))
    if found.get("data-dir"):  # a supervisor may start it anywhere
        found = settings.in_folder(found, "", str(path))
    config = settings.member_config(found, str(path))
    return hazards.inspected(config, hazards.of_config_file(raw.decode(errors="replace"), str(path)))


def fence(host: Connection, deployment: ProcessDeployment, run: str) -> None:
    """Make etcd refuse to start with its config file. Done twice, it changes nothing the second time.

    A fence of another run is taken over: the file that it keeps stays the member's own.
    """
    by, original = _fence_lines(host, deployment.config_file)
    if by == run:
        return
    aside = set_aside_path(deployment, run)
    if by:
        host.call(files.rename_durably, Path(original), aside)
    elif not host.call(files.there, aside):
        host.call(files.rename_durably, deployment.config_file, aside)
    text = (
        f"{FENCE_MARK}{run}: etcd must not start here now\n"
        f"{ORIGINAL_MARK}{aside}\n"
        f"# `requorum resume {run}` goes on, `requorum rollback {run}` puts everything back.\n"
        f"fenced-by-requorum\n"
    )
    host.call(files.write_durably, deployment.config_file, text.encode(), 0o644)


def prove_fence(host: Connection, deployment: ProcessDeployment, etcd: Path, folders: Sequence[Path]) -> str:
    """Try to start etcd as its supervisor would; raises RequorumError unless it refuses and touches nothing.

    Returns what etcd said.
    """
    try:
        host.call(programs.run, [etcd, "--config-file", deployment.config_file], seconds=FENCE_TRIAL_SECONDS, cwd="/")
    except programs.ExitedNonZero as err:
        said = programs.last_line(err.detail)
    except programs.ProgramError as err:
        raise RequorumError(f"the fence of {deployment.config_file} could not be proven: {err}") from err
    else:
        raise RequorumError(f"the fence of {deployment.config_file} does not hold: etcd ended without an error")
    running = host.call(processes.holders_of, list(folders))
    if running:
        raise RequorumError(
            f"the fence does not hold: {running[0].command!r} (pid {running[0].pid}) is on the member's files",
            hint="something starts etcd with other flags than its config file: stop that first",
        )
    return said


def lift(
    host: Connection, deployment: ProcessDeployment, run: str, changes: Mapping[str, str], _: Mapping[str, str]
) -> None:
    """Replace the fence by the member's own configuration with some values changed: the copy is edited, comments stay.

    The original stays set aside for a rollback.
    """
    aside = set_aside_path(deployment, run)
    raw = settings.edited_yaml(host.call(files.read_file, aside), changes)
    _mark_log(host, deployment)
    host.call(files.write_like, deployment.config_file, raw, aside)


def forget(_: Connection, __: ProcessDeployment) -> None:
    """A process has no settings that are for its first start only."""


def put_back(host: Connection, deployment: ProcessDeployment, run: str, holder: str = "") -> None:
    """Put the member's own config file back exactly as it was, by rename; under the fence of a ``holder``, where one is
    named."""
    host.call(files.remove_made, files.part_of(deployment.config_file))
    host.call(files.put_back, deployment.config_file, run)
    _unmark_log(host, deployment)
    if holder:
        fence(host, deployment, holder)


def stop(host: Connection, _: ProcessDeployment, folders: Sequence[Path]) -> tuple[int, ...]:
    """Stop every etcd that has these files open and wait for its end. Returns the pids."""
    return host.call(processes.stop_holders, list(folders))


def start(host: Connection, deployment: ProcessDeployment, etcd: Path) -> None:
    """Start etcd, detached from this process, its output appended to its log file."""
    argv = [str(etcd), "--config-file", deployment.config]
    _mark_log(host, deployment)
    host.call(processes.start_detached, argv, deployment.log_file)


def fault_of_start(host: Connection, deployment: ProcessDeployment) -> str:
    """Why it could not start, as far as that can be told before anything is moved."""
    return reach.fault(host, read_config(host, deployment))


def _mark_of(deployment: ProcessDeployment) -> Path:
    return deployment.config_file.with_name(f".{deployment.config_file.name}.requorum-log")


def _mark_log(host: Connection, deployment: ProcessDeployment) -> None:
    """Write down how long the log is before a start: what stands in it by then is of starts before."""
    size = host.call(files.size_if_there, deployment.log_file)
    host.call(files.write_durably, _mark_of(deployment), f"{size}\n".encode(), 0o644)


def _unmark_log(host: Connection, deployment: ProcessDeployment) -> None:
    """Remove the mark, and what a process that was killed had written of it."""
    mark = _mark_of(deployment)
    for one in (mark, files.part_of(mark)):
        host.call(files.remove_made, one)


def _since_start(host: Connection, deployment: ProcessDeployment) -> int:
    """How many bytes were written to the log since it was marked; all, where it never was or has been begun anew."""
    size = host.call(files.size_if_there, deployment.log_file)
    try:
        before = int(host.call(files.read_file, _mark_of(deployment)))
    except (OSError, ValueError):
        return size
    return size - before if size >= before else size


def dead(host: Connection, deployment: ProcessDeployment, folders: Sequence[Path]) -> str:
    """Why a member that was started does not run any more, in its words since this start; empty while it does."""
    if host.call(processes.holders_of, list(folders)):
        return ""
    try:
        whole = host.call(files.read_end, deployment.log_file, LOG_BYTES)
    except OSError as err:
        return f"its log {deployment.log} cannot be read: {err.strerror}"
    new = _since_start(host, deployment)
    said = whole[-new:].decode(errors="replace") if new else ""
    if not said.strip():
        return f"it has written nothing to its log since it was started ({deployment.log})"
    lines = [line for line in said.splitlines() if '"level":"fatal"' in line or "panic" in line]
    return f"{lines[-1][:400] if lines else programs.last_line(said)} ({deployment.log})"


def remove_set_aside(host: Connection, deployment: ProcessDeployment, run: str) -> None:
    """Remove what a run kept of the configuration."""
    host.call(files.remove_made, set_aside_path(deployment, run))
    _unmark_log(host, deployment)


def hindrance(_: Connection, __: ProcessDeployment) -> str:
    """Nothing is known to keep a plain process from being started."""
    return ""


def own_log(host: Connection, deployment: ProcessDeployment, _: int) -> dict[str, str]:
    """The end of what its etcd wrote."""
    if not host.call(files.there, deployment.log_file):
        return {}
    return {"etcd.log": host.call(files.read_end, deployment.log_file, OWN_LOG_BYTES).decode(errors="replace")}


def copy_out(_: Connection, __: ProcessDeployment, ___: Sequence[str], ____: Path) -> tuple[str, ...]:
    """It runs in no image."""
    return ()
