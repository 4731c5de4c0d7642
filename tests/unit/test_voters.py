"""Configuration changes as etcd applies them: what it refuses changes nothing."""

import json

import pytest

from requorum.etcdfiles.messages import ADD_LEARNER_NODE, ADD_NODE, REMOVE_NODE, UPDATE_NODE, ConfChange
from requorum.survey.voters import Configuration


def change(kind: int, number: int, url: str = "", *, learner: bool = False, promote: bool = False) -> ConfChange:
    """A change with etcd's JSON of the member."""
    said = {"id": number, "peerURLs": [url] if url else [], "isLearner": learner, "isPromote": promote}
    return ConfChange(kind, number, json.dumps(said).encode())


@pytest.fixture
def two() -> Configuration:
    """Two voters and a learner."""
    found = Configuration()
    assert found.apply(change(ADD_NODE, 1, "http://a:2380"), named=True)
    assert found.apply(change(ADD_NODE, 2, "http://b:2380"), named=True)
    assert found.apply(change(ADD_LEARNER_NODE, 3, "http://c:2380", learner=True), named=True)
    return found


@pytest.mark.parametrize(
    "refused",
    [
        change(ADD_NODE, 4, "http://b:2380"),
        change(ADD_NODE, 2, "http://d:2380"),
        change(ADD_LEARNER_NODE, 4, "http://a:2380", learner=True),
        change(ADD_NODE, 2, promote=True),
        change(ADD_NODE, 9, promote=True),
        change(REMOVE_NODE, 9),
        change(UPDATE_NODE, 2, "http://a:2380"),
        change(UPDATE_NODE, 9, "http://z:2380"),
    ],
    ids=[
        "a URL that is there",
        "an id that is there",
        "a learner at a URL that is there",
        "a voter cannot be promoted",
        "nobody cannot be promoted",
        "nobody cannot be removed",
        "an update to another's URL",
        "an update of nobody",
    ],
)
def test_what_etcd_refuses_changes_nothing(two: Configuration, refused: ConfChange) -> None:
    """The entry stays in the log, and nobody votes differently."""
    assert not two.apply(refused, named=True)
    assert (two.voters, two.learners) == ({1, 2}, {3})
    assert two.urls[2] == ("http://b:2380",)


def test_a_removed_member_never_comes_back(two: Configuration) -> None:
    """Its id is refused for good, its URL is free again."""
    assert two.apply(change(REMOVE_NODE, 2), named=True)
    assert not two.apply(change(ADD_NODE, 2, "http://x:2380"), named=True)
    assert two.apply(change(ADD_NODE, 5, "http://b:2380"), named=True)
    assert two.voters == {1, 5}


def test_a_promotion(two: Configuration) -> None:
    """A learner becomes a voter, at the URL that it had."""
    assert two.apply(change(ADD_NODE, 3, promote=True), named=True)
    assert (two.voters, two.learners) == ({1, 2, 3}, set())
    assert two.urls[3] == ("http://c:2380",)


def test_a_new_address(two: Configuration) -> None:
    """An update changes the URL, and nobody's vote."""
    assert not two.apply(change(UPDATE_NODE, 2, "http://new:2380"), named=True)
    assert two.urls[2] == ("http://new:2380",)
    assert not two.apply(change(ADD_NODE, 6, "http://new:2380"), named=True)
