"""The table of rules: exactly one row for each combination of facts, and what the documents say of it."""

import itertools
import re
import typing
from pathlib import Path

import pytest

from requorum.verdict import values
from requorum.verdict.rules import ANY, RULES, Facts

from . import scripts

DECISIONS = Path(__file__).resolve().parents[2] / "docs" / "decisions.md"
EXAMPLES = re.findall(r"```evidence\n(.*?)```", DECISIONS.read_text(), re.DOTALL)
CHOICES = {name: typing.get_args(kind) for name, kind in typing.get_type_hints(Facts).items()}


def test_every_combination_of_facts_has_exactly_one_row() -> None:
    """No state is forgotten, and none is decided twice."""
    for words in itertools.product(*CHOICES.values()):
        facts = Facts(**dict(zip(CHOICES, words, strict=True)))
        assert len([one.letter for one in RULES if one.fits(facts)]) == 1, facts


def test_every_row_is_for_something() -> None:
    """A row names only values that its facts have, and no row can be left out."""
    for rule in RULES:
        for name, known in CHOICES.items():
            said = getattr(rule, name)
            assert said == ANY or set(said.split("|")) <= set(known), (rule.letter, name)
    assert [one.letter for one in RULES] == [chr(ord("A") + at) for at in range(len(RULES))]


def test_what_may_lose_nothing_is_never_decided_against_a_doubt() -> None:
    """A start as is, a replacement and "healthy" are for facts without any contradiction."""
    for words in itertools.product(*CHOICES.values()):
        facts = Facts(**dict(zip(CHOICES, words, strict=True)))
        (rule,) = (one for one in RULES if one.fits(facts))
        if rule.outcome in (values.HEALTHY, values.REPLACE_MEMBERS, values.START_AS_IS):
            assert facts.clusters == "one"
        if rule.outcome in (values.HEALTHY, values.REPLACE_MEMBERS):
            assert facts.conflict == "none"
        if rule.outcome == values.START_AS_IS:
            assert (facts.alive, facts.data, facts.start) == ("none", "same", "can")
            assert facts.histories != "open"


def test_the_documents_have_the_same_table() -> None:
    """Each row's letter, outcome and reason stand in docs/decisions.md."""
    text = DECISIONS.read_text()
    for rule in RULES:
        assert f"| {rule.letter} | {rule.outcome} | {rule.why} |" in text, rule.letter


@pytest.mark.parametrize("script", EXAMPLES, ids=range(1, len(EXAMPLES) + 1))
def test_the_examples_of_the_documents_hold(script: str) -> None:
    """Evidence and verdict side by side, as docs/decisions.md shows them."""
    scripts.play(script)


def test_there_are_examples_of_every_row() -> None:
    """A rule that nobody can see at work is not understood. M and N are for two computations that differ: test_audit.py."""
    shown = {scripts.parse(one).rule for one in EXAMPLES}
    assert shown == {one.letter for one in RULES} - {"M", "N"}
