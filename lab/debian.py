"""Packages of a Debian release, fetched and unpacked beside a build: nothing of the machine's own is touched."""

from collections.abc import Sequence
from pathlib import Path

from lab.programs import run
from lab.rootfs import BUILD_SECONDS, debian_address


def unpack(work: Path, release: str, packages: Sequence[str], into: Path) -> None:
    """Fetch packages into ``work``, and unpack them into a folder."""
    words = _apt(work, release)
    run([*_in(work), *words, "download", *packages], seconds=BUILD_SECONDS)
    for package in work.glob("*.deb"):
        run(["dpkg", "-x", package, into], seconds=BUILD_SECONDS)
        package.unlink()


def source(work: Path, release: str, package: str) -> Path:
    """Fetch a source package into ``work``; returns its original archive."""
    run([*_in(work), *_apt(work, release), "source", "--download-only", package], seconds=BUILD_SECONDS)
    (archive,) = work.glob("*.orig.tar.*")
    return archive


def _in(work: Path) -> list[str | Path]:
    return ["sh", "-c", 'cd "$1"; shift; exec "$@"', "sh", work]


def _apt(work: Path, release: str) -> list[str | Path]:
    """apt-get with package lists of that release alone, read once."""
    lists, sources, address = work / f"lists-{release}", work / f"{release}.list", debian_address()
    own = [f"Dir::Etc::SourceList={sources}", "Dir::Etc::SourceParts=/dev/null", f"Dir::State::lists={lists}"]
    words: list[str | Path] = ["apt-get", "-qq"]
    words += [word for one in (*own, "APT::Sandbox::User=root") for word in ("-o", one)]
    if not sources.exists():
        (lists / "partial").mkdir(parents=True)
        sources.write_text("".join(f"{kind} {address} {release} main\n" for kind in ("deb", "deb-src")))
        run([*words, "update"], seconds=BUILD_SECONDS)
    return words
