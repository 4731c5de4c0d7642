"""The operator's word, on a real terminal."""

import re

import pytest

from . import clusters
from .clusters import Cluster
from .process import Requorum
from .terminal import Ask


def test_the_right_name(one: Cluster, on_terminal: Ask) -> None:
    """The survey, the verdict and the steps are shown; the cluster's name typed lets the recovery go on."""
    clusters.spoil_log(one.first)
    code, shown = on_terminal(one.confirm.encode() + b"\n", "recover", "-i", one.inventory)
    assert code == 0
    assert shown.index("verdict:") < shown.index("set the old data aside") < shown.index("Everything is checked")
    assert one.revision() > 100


@pytest.mark.parametrize(
    "answer",
    [b"\n", b"y\n", b"\x04", b"\x03"],
    ids=["enter", "y", "ctrl-d", "ctrl-c"],
)
def test_anything_else(requorum: Requorum, one: Cluster, on_terminal: Ask, answer: bytes) -> None:
    """The run stops with everything fenced and no data changed; it can be resumed, or rolled back."""
    clusters.spoil_log(one.first)
    before, configs = one.disks(), one.configs()
    code, shown = on_terminal(answer, "recover", "-i", one.inventory)
    run = requorum.run_name()
    assert code == 7
    assert re.search(f"hint: .*requorum resume {run}", " ".join(shown.split()))
    assert one.disks() == before
    assert one.first.config.read_text().startswith(f"# fenced by requorum run {run}")
    if answer == b"y\n":
        code, _ = on_terminal(one.confirm.encode() + b"\n", "resume", run)
        assert code == 0
        assert one.revision() > 100
        return
    code, shown = on_terminal(b"nothing\n", "rollback", run)
    assert code == 4
    code, shown = on_terminal(one.confirm.encode() + b"\n", "rollback", run)
    assert code == 0
    assert (one.disks(), one.configs()) == (before, configs)


def test_cleanup_wants_the_name_too(requorum: Requorum, one: Cluster, on_terminal: Ask) -> None:
    """What was set aside is removed for good only after the name was typed."""
    clusters.spoil_log(one.first)
    requorum("recover", "-i", one.inventory, *one.yes, code=0)
    run = requorum.run_name()
    old = one.root / "m1" / "data.requorum" / run / "old"
    for words in ((), ("--yes",), ("--yes", "--confirm", "solo")):
        requorum("cleanup", run, *words, code=4)
    assert old.exists()
    requorum("cleanup", run, *one.yes, code=0)
    assert not old.exists()
    assert one.revision() > 100
