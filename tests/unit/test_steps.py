"""Every kind of step is known everywhere, and nothing answers for one that is not."""

from types import SimpleNamespace
from typing import get_args

import pytest

from requorum.procedures import make, replace, runbook
from requorum.procedures.values import StepKind
from requorum.run import execute, journal, rollback

KINDS = set(get_args(StepKind))


def test_each_kind_is_carried_out_and_written_out_by_hand() -> None:
    """By one function each: of a member, of a host, or of all at once."""
    assert set(execute.DO) == KINDS
    tables = (runbook.OF_A_MEMBER, runbook.OF_A_HOST, runbook.OF_ALL)
    assert sum(len(table) for table in tables) == len(KINDS)
    assert set().union(*tables) == KINDS


def test_each_kind_has_a_place_in_some_procedure() -> None:
    """In no procedure twice under one title."""
    outlines = (make.START, make.REBUILD, replace.REPLACE)
    assert {kind for outline in outlines for _, kind, _ in outline} == KINDS
    for outline in outlines:
        titles = [title for title, _, _ in outline]
        assert len(set(titles)) == len(titles)


def test_an_unknown_kind_has_no_commands() -> None:
    """It used to be answered with the command that removes a lock."""
    with pytest.raises(KeyError):
        runbook.commands(None, "unheard of", None)  # type: ignore[arg-type]


def test_what_is_said_of_kinds_names_kinds() -> None:
    """Those that are done again, need no lock, move data, and are taken back."""
    assert KINDS.issuperset({*execute.CHECKS, *execute.UNLOCKED, *journal.MOVES_DATA})


@pytest.mark.parametrize("kind", ["start as is", "rebuild", "replace member"])
def test_what_moves_data_is_taken_back(kind: str) -> None:
    """In each procedure: whatever moved data, or let etcd write, and the fence; a start is taken back with its configuration."""
    source = object() if kind == "rebuild" else None
    undone = {step for _, step, _ in rollback._undoing(SimpleNamespace(kind=kind, source=source))}  # type: ignore[arg-type]
    outline = {"start as is": make.START, "rebuild": make.REBUILD, "replace member": replace.REPLACE}[kind]
    moves = {step for _, step, _ in outline if step in journal.MOVES_DATA} - {"start"}
    assert undone >= moves | {"fence"}
    assert undone <= {step for _, step, _ in outline}
