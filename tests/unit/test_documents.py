"""What the documents say is what the program does."""

import re
import tomllib
from pathlib import Path

from requorum import errors

ROOT = Path(__file__).resolve().parents[2]


def test_exit_codes_are_in_the_readme() -> None:
    """The README's table of exit codes is the error classes' own."""
    rows = dict(re.findall(r"^\| (\d+) \| (.+) \|$", (ROOT / "README.md").read_text(), re.MULTILINE))
    assert {int(code): text for code, text in rows.items()} == errors.exit_codes()


def test_both_readmes_show_the_same_commands() -> None:
    """The Chinese README has every command and every exit code of the English one."""

    def facts(name: str) -> tuple[list[str], list[str]]:
        text = (ROOT / name).read_text()
        commands = [line.split("#")[0].strip() for line in re.findall(r"^\$ (.+)$", text, re.MULTILINE)]
        return commands, re.findall(r"^\| (\d+) \|", text, re.MULTILINE)

    assert facts("README.md") == facts("README.zh-CN.md")


def test_the_lock_file_pins_every_dependency() -> None:
    """Each package that pyproject.toml asks for is in requirements.lock, with its hashes, and no index is named."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wanted = [
        *project["project"]["dependencies"],
        *(one for group in project["dependency-groups"].values() for one in group),
    ]
    lock = (ROOT / "requirements.lock").read_text()
    pinned = set(re.findall(r"^([a-z0-9._-]+)==", lock, re.MULTILINE))
    assert {re.split(r"[<>=!~ ]", one)[0].lower().replace(".", "-") for one in wanted} <= pinned
    assert "://" not in lock
    assert lock.count("--hash=sha256:") >= len(pinned)
