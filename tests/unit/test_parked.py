"""Manifests out of kubelet's folder and back: killed between any two changes, the original is never lost, never run twice,
and whoever goes on finishes."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from requorum.deployments import parked
from requorum.errors import RequorumError
from requorum.hosts import files
from requorum.hosts.connection import Connection, Here

ORIGINAL, CHANGED, FOREIGN = b"original", b"changed", b"foreign"
CHANGES = {
    files.rename_durably,
    files.replace_durably,
    files.link_durably,
    files.write_like,
    files.remove_made,
    files.remove_if_empty,
    files.make_dir,
}
Step = Callable[[Connection, Path], None]


class Killed(Exception):
    """The process died."""


class Mortal(Here):
    """This machine, on which a process dies before its change number ``at``."""

    def __init__(self, at: int) -> None:
        super().__init__()
        self.left = at

    def call(self, function: Any, *args: Any, **kwargs: Any) -> Any:
        """Call it, or die."""
        if function in CHANGES:
            if self.left == 0:
                raise Killed
            self.left -= 1
        return function(*args, **kwargs)


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    """etcd's manifest in kubelet's folder, beside another one."""
    folder = tmp_path / "manifests"
    folder.mkdir()
    (folder / "kube-apiserver.yaml").write_bytes(b"other")
    (folder / "etcd.yaml").write_bytes(ORIGINAL)
    return folder / "etcd.yaml"


def fence(host: Connection, manifest: Path) -> None:
    """Fenced by run A."""
    parked.fence(host, manifest, "A")


def lift(host: Connection, manifest: Path) -> None:
    """Changed by run A."""
    parked.replace(host, manifest, "A", CHANGED)


def take_over(host: Connection, manifest: Path) -> None:
    """Fenced by hand, and then by run A."""
    parked.fence(host, manifest, "fence-X")
    parked.fence(host, manifest, "A")


def release(host: Connection, manifest: Path) -> None:
    """Rolled back."""
    parked.release(host, manifest, "A")


def hold(host: Connection, manifest: Path) -> None:
    """Rolled back to a fence of before."""
    parked.hold(host, manifest, "A", "fence-X")


WAYS: dict[str, tuple[tuple[Step, ...], bytes | None]] = {
    "fenced": ((fence,), None),
    "taken over": ((take_over,), None),
    "changed": ((fence, lift), CHANGED),
    "fenced and released": ((fence, release), ORIGINAL),
    "changed and released": ((fence, lift, fence, release), ORIGINAL),
    "changed and released at once": ((fence, lift, release), ORIGINAL),
    "changed and held": ((fence, lift, hold), None),
    "changed twice": ((fence, lift, fence, lift), CHANGED),
}


def somewhere(manifest: Path) -> set[bytes]:
    """All that lies in kubelet's folder and beside it."""
    found = [*manifest.parent.iterdir()]
    beside = parked.folder_of(manifest.parent)
    found += beside.iterdir() if beside.exists() else ()
    return {path.read_bytes() for path in found}


@pytest.mark.parametrize("name", WAYS)
def test_killed_between_any_two_changes(manifest: Path, name: str) -> None:
    """It dies before each change, is done again from the step that it died in, and ends as if it had never died."""
    steps, end = WAYS[name]
    deaths = at = 0
    while True:
        for path in [*manifest.parent.iterdir()]:
            path.unlink()
        beside = parked.folder_of(manifest.parent)
        for path in [*beside.iterdir()] if beside.exists() else []:
            path.unlink()
        manifest.with_name("kube-apiserver.yaml").write_bytes(b"other")
        manifest.write_bytes(ORIGINAL)
        mortal, died = Mortal(at), False
        for step in steps:
            try:
                step(mortal, manifest)
            except Killed:
                died = True
                deaths += 1
                assert ORIGINAL in somewhere(manifest), f"lost before change {at}"
                assert "etcd.yaml" in parked.names(Here(), manifest.parent), f"not found before change {at}"
                assert parked.read(Here(), manifest) in (ORIGINAL, CHANGED)
                if step is not release:
                    assert (
                        not (manifest.exists() and manifest.read_bytes() == ORIGINAL)
                        or parked.fenced_by(Here(), manifest) == ""
                    )
                mortal = Mortal(-1)
                step(mortal, manifest)
        assert (manifest.read_bytes() if manifest.exists() else None) == end, f"died before change {at}"
        assert ORIGINAL in somewhere(manifest)
        if not died:
            break
        at += 1
    assert deaths >= len(steps)


def test_an_original_that_is_kept_is_no_fence(manifest: Path) -> None:
    """Run A is finished, and the operator has moved all manifests away: nothing of A comes back to life."""
    here = Here()
    fence(here, manifest)
    lift(here, manifest)
    assert parked.fenced_by(here, manifest) == ""
    manifest.unlink()
    assert parked.fenced_by(here, manifest) == ""
    assert parked.names(here, manifest.parent) == ["kube-apiserver.yaml"]


def test_what_somebody_writes_meanwhile_is_not_overwritten(manifest: Path) -> None:
    """A configuration tool writes the manifest while it is fenced: everybody says so, and leaves it as it is."""
    here = Here()
    fence(here, manifest)
    manifest.write_bytes(FOREIGN)
    for step in (lift, release, fence):
        with pytest.raises(RequorumError, match="somebody wrote"):
            step(here, manifest)
    assert manifest.read_bytes() == FOREIGN
    assert ORIGINAL in somewhere(manifest)


def test_nothing_passes_through_kubelets_folder(manifest: Path) -> None:
    """Held for another, the original is never where kubelet reads."""
    seen: list[bytes] = []

    class Watching(Here):
        def call(self, function: Any, *args: Any, **kwargs: Any) -> Any:
            result = function(*args, **kwargs)
            seen.extend([manifest.read_bytes()] if manifest.exists() else [])
            return result

    here = Watching()
    fence(here, manifest)
    lift(here, manifest)
    fence(here, manifest)
    seen.clear()
    hold(here, manifest)
    assert seen == []
    assert parked.fenced_by(here, manifest) == "fence-X"
    assert parked.read(here, manifest) == ORIGINAL
