"""etcd's programs missing, of another version, or hanging."""

from pathlib import Path

import pytest

from .clusters import Cluster
from .process import Requorum

NAMES = ("etcd", "etcdctl", "etcdutl")


def _programs(folder: Path, **scripts: str) -> Path:
    """A folder of programs that are shell scripts."""
    folder.mkdir()
    for name, script in scripts.items():
        (folder / name).write_text(script)
        (folder / name).chmod(0o755)
    return folder


def _says(version: str) -> str:
    return f"#!/bin/sh\necho etcd Version: {version}\n"


def _as(etcd_dir: Path, name: str) -> str:
    return f'#!/bin/sh\nexec "{etcd_dir}/{name}" "$@"\n'


def test_one_is_missing(requorum: Requorum, one: Cluster, tmp_path: Path) -> None:
    """Each program that is missing is named, with what to do."""
    for left in range(3):
        folder = _programs(tmp_path / str(left), **{name: _says("3.5.30") for name in NAMES[:left]})
        ended = requorum("plan", "-i", one.inventory, "--etcd-dir", folder, code=1)
        assert f"{NAMES[left]} is not found" in ended.err
        assert ended.hint


def test_another_minor_version(requorum: Requorum, one: Cluster, tmp_path: Path) -> None:
    """Data of 3.5 is not recovered with 3.4 or 3.7; 3.6 may start on it, that is etcd's own upgrade."""
    before = one.disks()
    for version in ("3.4.35", "3.7.1"):
        folder = _programs(tmp_path / version, **dict.fromkeys(NAMES, _says(version)))
        ended = requorum("plan", "-i", one.inventory, "--etcd-dir", folder, code=4)
        assert "another minor version" in ended.err
        assert "of 3.5" in ended.hint
    folder = _programs(tmp_path / "3.6.1", **dict.fromkeys(NAMES, _says("3.6.1")))
    assert "own upgrade" in requorum("plan", "-i", one.inventory, "--etcd-dir", folder, code=0).out
    mixed = _programs(tmp_path / "mixed", **dict.fromkeys(NAMES, _says("3.5.30")) | {"etcdutl": _says("3.6.1")})
    assert "one minor version" in requorum("plan", "-i", one.inventory, "--etcd-dir", mixed, code=1).hint
    assert one.disks() == before


def test_rebuild_with_another_minor_version(requorum: Requorum, one: Cluster, tmp_path: Path) -> None:
    """``rebuild`` is held to the same rule as ``plan``."""
    folder = _programs(tmp_path / "programs", **dict.fromkeys(NAMES, _says("3.4.35")))
    requorum("rebuild", one.data, "-o", tmp_path / "out.db", "--etcd-dir", folder, code=4)
    assert not (tmp_path / "out.db").exists()


@pytest.mark.parametrize(
    "script", ["", "#!/bin/sh\nexit 3\n", "#!/bin/sh\nkill -9 $$\n", "#!/no/such/shell\n", "\x7fELF..."]
)
def test_no_program_at_all(requorum: Requorum, one: Cluster, tmp_path: Path, script: str) -> None:
    """A file that is no etcd is named."""
    folder = _programs(tmp_path / "programs", **dict.fromkeys(NAMES, script))
    assert str(folder / "etcd") in requorum("plan", "-i", one.inventory, "--etcd-dir", folder, code=1).err


def _sleeping(seconds: str) -> list[str]:
    """The processes that sleep for so long."""
    return [
        path.parent.name
        for path in Path("/proc").glob("[0-9]*/cmdline")
        if path.exists() and path.read_bytes() == f"sleep\0{seconds}\0".encode()
    ]


def test_programs_that_hang(requorum: Requorum, one: Cluster, tmp_path: Path) -> None:
    """A program that does not end is ended, with what it had started: before the run with 1, at the fence with 7."""
    dumb = _programs(tmp_path / "dumb", **dict.fromkeys(NAMES, "#!/bin/sh\nsleep 61.23\n"))
    slow = _programs(
        tmp_path / "slow",
        etcd='#!/bin/sh\n[ "$1" = --version ] && echo etcd Version: 3.5.30 || sleep 61.24\n',
        etcdctl=_as(one.etcd_dir, "etcdctl"),
        etcdutl=_as(one.etcd_dir, "etcdutl"),
    )
    before, configs = one.disks(), one.configs()
    planning = requorum.start("plan", "-i", one.inventory, "--etcd-dir", dumb)
    fencing = requorum.start("recover", "-i", one.inventory, "--etcd-dir", slow, *one.yes)
    ended = requorum.end(planning, code=1, seconds=30)
    assert "did not end within 10 s" in ended.err
    assert "did not end within 10 s" in requorum.end(fencing, code=7, seconds=30).err
    assert one.disks() == before
    requorum("rollback", requorum.run_name(), *one.yes, code=0)
    assert one.configs() == configs
    assert not _sleeping("61.23") + _sleeping("61.24"), "what the hanging program had started still runs"
