"""Manifests of static pods that must not run now: out of kubelet's folder, beside it.

kubelet runs whatever lies in its folder under a name without a leading dot, copies too. A manifest that a run fences is
renamed to ``manifests.requorum/NAME.fenced-RUN``; the original of one that a run has changed is kept as
``manifests.requorum/NAME.requorum-RUN``. Both are on the same file system, and outlast a reboot.
"""

from pathlib import Path

from requorum.errors import RequorumError
from requorum.hosts import files
from requorum.hosts.connection import Connection

_FENCED = ".fenced-"


def folder_of(manifests: Path) -> Path:
    """Where manifests of a folder are parked."""
    return manifests.with_name(f"{manifests.name}.requorum")


def fenced_path(manifest: Path, run: str) -> Path:
    """Where a run keeps a manifest while it must not run."""
    return folder_of(manifest.parent) / f"{manifest.name}{_FENCED}{run}"


def kept_path(manifest: Path, run: str) -> Path:
    """Where a run keeps the original of a manifest that it has changed."""
    return files.aside(folder_of(manifest.parent) / manifest.name, run)


def names(host: Connection, folder: Path) -> list[str]:
    """The names of all manifests of a folder: those that kubelet reads, and those that are fenced."""
    there = [name for name in host.call(files.names_in, folder) if not name.startswith(".")]
    parked = [name for name in host.call(files.names_in, folder_of(folder)) if not name.startswith(".")]
    return sorted({*there, *(name.rpartition(_FENCED)[0] for name in parked if _FENCED in name)})


def fenced_by(host: Connection, manifest: Path) -> str:
    """The run that keeps a manifest out of kubelet's folder; empty when it lies there, or nowhere."""
    return "" if host.call(files.there, manifest) else _run_of(host, manifest)


def _run_of(host: Connection, manifest: Path) -> str:
    begin = f"{manifest.name}{_FENCED}"
    found = [name for name in host.call(files.names_in, folder_of(manifest.parent)) if name.startswith(begin)]
    return found[-1][len(begin) :] if found else ""


def read(host: Connection, manifest: Path) -> bytes:
    """A manifest, wherever it lies now; raises OSError."""
    run = fenced_by(host, manifest)
    return host.call(files.read_file, fenced_path(manifest, run) if run else manifest)


def fence(host: Connection, manifest: Path, run: str) -> None:
    """Take a manifest out of kubelet's folder. Done twice, it changes nothing; a fence of another run is taken over.

    Raises RequorumError where somebody wrote it again after this run had fenced it.
    """
    target = fenced_path(manifest, run)
    if not host.call(files.there, manifest):
        by = _run_of(host, manifest)
        if by and by != run:
            host.call(files.rename_durably, fenced_path(manifest, by), target)
        return
    host.call(files.make_dir, target.parent)
    if host.call(files.there, kept_path(manifest, run)):
        host.call(files.remove_made, target)  # of a run that was killed while it gave the changed one back
    try:
        host.call(files.rename_durably, manifest, target)
    except FileExistsError as err:
        raise RequorumError(
            f"somebody wrote {manifest} again after it was fenced",
            hint=f"what it was is in {target}: remove the new one, and stop who writes it",
        ) from err


def release(host: Connection, manifest: Path, run: str) -> None:
    """Let kubelet have a manifest as it was, fenced by this run or changed by it; starts nothing that kubelet does not.

    Raises RequorumError where somebody wrote it while it was fenced.
    """
    kept, fenced = kept_path(manifest, run), fenced_path(manifest, run)
    there = host.call(files.there, manifest)
    if host.call(files.there, kept):
        if there:
            host.call(files.remove_made, fenced)
            host.call(files.replace_durably, kept, manifest)
        else:
            host.call(files.replace_durably, kept, fenced)
            host.call(files.rename_durably, fenced, manifest)
        host.call(files.remove_made, kept)  # a second name of the same file stays behind a rename
    elif host.call(files.there, fenced):
        if there:
            raise RequorumError(f"somebody wrote {manifest} while it was fenced", hint=f"what it was is in {fenced}")
        host.call(files.rename_durably, fenced, manifest)
    host.call(files.remove_if_empty, fenced.parent)


def hold(host: Connection, manifest: Path, run: str, holder: str) -> None:
    """As :func:`release`, but under another's fence: the original never passes through kubelet's folder."""
    if host.call(files.there, manifest):
        fence(host, manifest, run)
    kept, fenced, held = kept_path(manifest, run), fenced_path(manifest, run), fenced_path(manifest, holder)
    source = next((one for one in (kept, fenced) if host.call(files.there, one)), None)
    if source is None:
        return
    if not host.call(files.there, held):
        host.call(files.link_durably, source, held)
    host.call(files.remove_made, fenced)
    host.call(files.remove_made, kept)


def keep(host: Connection, manifest: Path, run: str) -> None:
    """Keep a fenced manifest as the original of one that a run has taken away."""
    fenced = fenced_path(manifest, run)
    if host.call(files.there, fenced):
        host.call(files.rename_durably, fenced, kept_path(manifest, run))


def replace(host: Connection, manifest: Path, run: str, raw: bytes) -> None:
    """Let kubelet have a fenced manifest with other bytes; its original is kept. Raises RequorumError where somebody wrote
    one meanwhile."""
    kept, fenced = kept_path(manifest, run), fenced_path(manifest, run)
    if not host.call(files.there, kept):
        if host.call(files.there, manifest):
            raise RequorumError(f"somebody wrote {manifest} while it was fenced", hint=f"what it was is in {fenced}")
        host.call(files.link_durably, fenced, kept)
    host.call(files.write_like, manifest, raw, kept)
    host.call(files.remove_made, fenced)


def forget(host: Connection, manifest: Path, run: str) -> None:
    """Remove what a run kept of a manifest that it has changed."""
    kept = kept_path(manifest, run)
    host.call(files.remove_made, kept)
    host.call(files.remove_if_empty, kept.parent)
