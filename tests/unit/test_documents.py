"""What the developers' documents name is there."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", ["CONTRIBUTING.md", "docs/architecture.md", "STYLE.md"])
def test_every_path_leads_somewhere(name: str) -> None:
    """Files, folders, and links; a name in capitals stands for one that is to be written."""
    document = ROOT / name
    text = document.read_text()
    named = {
        path for path in re.findall(r"`((?:src|tests|docs|lab)/[\w./]+)`", text) if not re.search("[A-Z]{2}", path)
    }
    linked = {target for target in re.findall(r"\]\(([^)#]+)", text) if "://" not in target}
    missing = [path for path in named if not (ROOT / path).exists()]
    missing += [target for target in linked if not (document.parent / target).exists()]
    assert not missing


def test_every_room_has_its_station() -> None:
    """A folder under src/requorum that the architecture does not mention is one that nobody finds."""
    text = (ROOT / "docs/architecture.md").read_text()
    rooms = {path.parent.name for path in (ROOT / "src/requorum").glob("*/__init__.py")}
    assert rooms
    assert not [room for room in sorted(rooms) if f"src/requorum/{room}/" not in text]


def test_every_operation_is_a_module_and_every_command_is_told_how_to_be_added() -> None:
    """The lists that a new command must be added to name what is there, and nothing else."""
    from requorum import operations
    from requorum.cli.main import COMMANDS

    modules = {path.stem for path in (ROOT / "src/requorum/operations").glob("*.py")} - {"__init__"}
    assert set(operations.MODULES) == modules == set(dir(operations))
    commands = {path.stem for path in (ROOT / "src/requorum/cli").glob("*_cmd.py")}
    assert {module.rpartition(".")[2] for module, _ in COMMANDS.values()} == commands
    contract = (ROOT / "pyproject.toml").read_text().partition("a command calls its operation")[2].partition("]]")[0]
    assert set(re.findall(r"requorum\.cli\.(\w+)", contract)) == commands


@pytest.mark.parametrize("name", ["README", "docs/howto-kubespray", "docs/howto-kubeadm"])
def test_both_languages_say_the_same(name: str) -> None:
    """The same commands in the same order, the same sections, rows and steps, and every word that is to be typed."""
    english, chinese = ((ROOT / f"{name}{end}").read_text() for end in (".md", ".zh-CN.md"))

    def commands(text: str) -> list[str]:
        return [
            line.partition("  #")[0].partition(" #")[0].rstrip() for line in text.splitlines() if line.startswith("$ ")
        ]

    assert commands(english) == commands(chinese)
    for mark in ("#", "|", "- ", "1. ", "5. ", "```"):
        counts = [sum(line.startswith(mark) for line in text.splitlines()) for text in (english, chinese)]
        assert counts[0] == counts[1], mark
    typed = [set(re.findall(r"`(--[a-z-]+|requorum [a-z]+)", text)) for text in (english, chinese)]
    assert typed[0] == typed[1]


@pytest.mark.parametrize("path", sorted(str(path.relative_to(ROOT)) for path in (ROOT / "docs").glob("howto-*.md")))
def test_links_within_and_between_documents(path: str) -> None:
    """A heading that a link leads to is there, as GitHub names it."""

    def anchors(text: str) -> set[str]:
        heads = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
        return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}

    text = (ROOT / path).read_text()
    for target, anchor in re.findall(r"\]\(([^)#:]*)#([^)]+)\)", text):
        aim = (ROOT / path).parent / target if target else ROOT / path
        assert anchor in anchors(aim.read_text()), (target, anchor)
