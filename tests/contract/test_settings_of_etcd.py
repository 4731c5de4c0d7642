"""What etcd itself says of its settings, in every version: which flags it knows, and what it refuses to start with."""

import subprocess
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from lab import etcds
from requorum.deployments import flagnames

pytestmark = [pytest.mark.etcd, pytest.mark.timeout(300)]
NEWEST = {"3.4": "3.4.23", "3.5": "3.5.30", "3.6": "3.6.16", "3.7": "3.7.3"}


def said(version: str, *words: str, cwd: Path, env: dict[str, str] | None = None) -> tuple[int, str]:
    """What etcd answers: its status, and the line that tells."""
    argv: Sequence[str | Path] = [etcds.folder_of(version) / "etcd", *words]
    done = subprocess.run(
        argv, check=False, capture_output=True, text=True, timeout=20, cwd=cwd, env={"PATH": "/bin", **(env or {})}
    )
    return done.returncode, done.stderr + done.stdout


@pytest.mark.parametrize("minor", flagnames.MINORS)
def test_which_flags_it_knows(minor: str, tmp_path: Path) -> None:
    """A flag of the table that is not defined there is one that the table does not give to this version, and the reverse;
    boolean ones are told by what they say to nonsense."""

    def ask(flag: str) -> tuple[str, bool, bool]:
        _, text = said(NEWEST[minor], f"--{flag}=\x01", "--version", cwd=tmp_path)
        return flag, "not defined" not in text, "invalid boolean" in text

    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(ask, sorted(flagnames.KNOWN)))
    assert [flag for flag, known, _ in answers if known is not (minor in flagnames.known_in(flag))] == []
    assert [flag for flag, known, alone in answers if known and alone is not (flag in flagnames.BOOLEANS)] == []
    assert not list(tmp_path.iterdir()), "it was never started"


@pytest.mark.parametrize("minor", ["3.6", "3.7"])
def test_which_gates_it_knows(minor: str, tmp_path: Path) -> None:
    """The same for feature gates."""
    gates = [gate for _, names in flagnames._GATES_IN for gate in names.split()]
    status = {gate: said(NEWEST[minor], f"--feature-gates={gate}=true", "--version", cwd=tmp_path)[0] for gate in gates}
    assert {gate for gate in gates if status[gate] == 0} == {g for g in gates if minor in flagnames.gate_known_in(g)}


@pytest.mark.parametrize("minor", flagnames.MINORS)
@pytest.mark.parametrize("value", ["m1", ""])
def test_a_variable_beside_its_flag(minor: str, value: str, tmp_path: Path) -> None:
    """It does not start, even where both say the same."""
    words = ("--name=m1", f"--data-dir={tmp_path}/d", "--listen-peer-urls=http://192.0.2.1:1")
    status, text = said(NEWEST[minor], *words, cwd=tmp_path, env={"ETCD_NAME": value})
    assert status
    assert "shadowed" in text
    assert not (tmp_path / "d").exists()


@pytest.mark.parametrize("minor", flagnames.MINORS)
def test_asked_for_its_version_it_reads_its_flags(minor: str, tmp_path: Path) -> None:
    """All of them, whatever they are, and starts nothing: with variables, and with a config file that is not there."""
    words = ("--version", "--name=m1", f"--data-dir={tmp_path}/d", "--config-file=/nowhere", "--force-new-cluster")
    assert said(NEWEST[minor], *words, cwd=tmp_path, env={"ETCD_NAME": "x"})[0] == 0
    status, text = said(NEWEST[minor], *words, "--no-such-flag", cwd=tmp_path)
    assert status
    assert "no-such-flag" in text.splitlines()[0]
    assert not list(tmp_path.iterdir())
