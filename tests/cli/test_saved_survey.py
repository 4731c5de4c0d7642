"""A survey that was saved on one machine is judged on another."""

import json
from pathlib import Path

import pytest

from .clusters import Cluster
from .process import Requorum


def test_a_saved_survey_gives_the_same_verdict(requorum: Requorum, one: Cluster, tmp_path: Path) -> None:
    """What was found travels as JSON, and the verdict on it is the same to the letter."""
    answer = requorum("survey", "--verify", one.data, "-o", "json", code=0).out
    saved = tmp_path / "survey.json"
    saved.write_text(answer)
    again = requorum("survey", "--from", saved, "-o", "json", code=0).out
    assert json.loads(again) == json.loads(answer)


@pytest.mark.parametrize("text", ["", "{", "[]", "1", '{"survey": 3}', '{"schema": "requorum/Survey/v1"}', "[" * 5000])
def test_what_is_no_survey(requorum: Requorum, tmp_path: Path, text: str) -> None:
    """Anything else is wrong usage."""
    saved = tmp_path / "survey.json"
    saved.write_text(text)
    assert "not a" in requorum("survey", "--from", saved, code=2).err.lower()
