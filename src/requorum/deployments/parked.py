"""Manifests of static pods that must not run now: out of kubelet's folder, beside it.

kubelet runs whatever lies in its folder under a name without a leading dot, copies too. A manifest that a run fences is
renamed to ``manifests.requorum/NAME.fenced-RUN``; the original of one that a run has changed is kept as
``manifests.requorum/NAME.requorum-RUN``. Both are on the same file system, and outlast a reboot.
"""

from pathlib import Path

from requorum.errors import RequorumError
from requorum.hosts import files
from requorum.hosts.connection import Connection

_FENCED, _KEPT = ".fenced-", ".requorum-"


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
    """The names of all manifests of a folder: those that kubelet reads, and those that are fenced. Where there are none,
    those of originals: somebody was killed between two steps."""
    there = [name for name in host.call(files.names_in, folder) if not name.startswith(".")]
    parked = [name for name in host.call(files.names_in, folder_of(folder)) if not name.startswith(".")]
    fenced = [name.rpartition(_FENCED)[0] for name in parked if _FENCED in name]
    kept = [name.rpartition(_KEPT)[0] for name in parked if _KEPT in name]
    return sorted({*there, *fenced} or set(kept))


def fenced_by(host: Connection, manifest: Path) -> str:
    """The run that keeps a manifest out of kubelet's folder; empty when it lies there, or nowhere."""
    return "" if host.call(files.there, manifest) else _parked(host, manifest)[0]


def _parked(host: Connection, manifest: Path) -> tuple[str, Path]:
    """The run that keeps a manifest, and where: fenced, or (by one that was killed between two steps) as the original."""
    begin, folder = f"{manifest.name}{_FENCED}", folder_of(manifest.parent)
    for name in reversed(host.call(files.names_in, folder)):
        if name.startswith(begin):
            return name[len(begin) :], folder / name
    kept = host.call(files.newest_aside, folder / manifest.name)
    return (kept.name.rpartition(_KEPT)[2], kept) if _KEPT in kept.name else ("", manifest)


def read(host: Connection, manifest: Path) -> bytes:
    """A manifest, wherever it lies now; raises OSError."""
    at = manifest if host.call(files.there, manifest) else _parked(host, manifest)[1]
    return host.call(files.read_file, at)


def fence(host: Connection, manifest: Path, run: str) -> None:
    """Take a manifest out of kubelet's folder. Done twice, it changes nothing; a fence of another run is taken over."""
    target = fenced_path(manifest, run)
    if not host.call(files.there, manifest):
        by, at = _parked(host, manifest)
        if by and by != run:
            host.call(files.rename_durably, at, target)
        return
    host.call(files.make_dir, target.parent)
    try:
        host.call(files.rename_durably, manifest, target)
    except FileExistsError as err:
        raise RequorumError(
            f"somebody wrote {manifest} again after it was fenced",
            hint=f"what it was is in {target}: remove the new one, and stop who writes it",
        ) from err


def release(host: Connection, manifest: Path, run: str) -> None:
    """Let kubelet have a manifest as it was, fenced by this run or changed by it; starts nothing that kubelet does not."""
    kept, fenced = kept_path(manifest, run), fenced_path(manifest, run)
    source = next((one for one in (kept, fenced) if host.call(files.there, one)), None)
    if source is None:
        return
    if source == kept:
        host.call(files.remove_made, manifest)
    elif host.call(files.there, manifest):
        raise RequorumError(f"somebody wrote {manifest} while it was fenced", hint=f"what it was is in {fenced}")
    host.call(files.rename_durably, source, manifest)
    host.call(files.remove_made, fenced)
    host.call(files.remove_if_empty, fenced.parent)


def keep(host: Connection, manifest: Path, run: str) -> None:
    """Keep a fenced manifest as the original of one that a run has taken away."""
    fenced = fenced_path(manifest, run)
    if host.call(files.there, fenced):
        host.call(files.rename_durably, fenced, kept_path(manifest, run))


def replace(host: Connection, manifest: Path, run: str, raw: bytes) -> None:
    """Let kubelet have a fenced manifest with other bytes; its original is kept."""
    kept = kept_path(manifest, run)
    if not host.call(files.there, kept):
        keep(host, manifest, run)
    host.call(files.write_like, manifest, raw, kept)
    host.call(files.remove_made, fenced_path(manifest, run))


def forget(host: Connection, manifest: Path, run: str) -> None:
    """Remove what a run kept of a manifest that it has changed."""
    kept = kept_path(manifest, run)
    host.call(files.remove_made, kept)
    host.call(files.remove_if_empty, kept.parent)
