"""Members of one cluster, each broken in another way, as hypothesis draws it: judged, recovered and audited on real etcd."""

import tempfile
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from lab import etcds
from requorum.rehearsal import damage
from tests.damage import cases

EXAMPLES = 12
"""For each version: more than 60 in all."""
ONE = st.sampled_from([*damage.ALL]).map(lambda name: (name,))
TWO = st.tuples(st.sampled_from([*damage.LOG]), st.sampled_from([*damage.DB]))


@pytest.mark.rotates(of=3)
@pytest.mark.parametrize("version", etcds.VERSIONS)
def test_three_members(killed: Callable[[str, str], cases.Killed], version: str) -> None:
    """Nothing is lost while a majority of logs is whole; otherwise no more than was said."""
    cluster = killed(version, "three")

    @settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[*HealthCheck])
    @given(first=ONE | TWO, second=ONE | TWO, third=ONE | TWO, seed=st.integers(0, 1 << 16))
    def hold(first: tuple[str, ...], second: tuple[str, ...], third: tuple[str, ...], seed: int) -> None:
        with tempfile.TemporaryDirectory(prefix="requorum-damage-") as work:
            wanted = {"m1": first, "m2": second, "m3": third}
            try:
                ended = cases.play(cluster, wanted, Random(seed), Path(work))
            except damage.Missed:
                assume(False)
            assert not ended.wrong, (wanted, seed)

    hold()


def test_a_value_that_differs_is_outvoted(killed: Callable[[str, str], cases.Killed], tmp_path: Path) -> None:
    """Two members of three hold the same: the third is named, and nothing is built on its db."""
    ended = cases.play(killed(etcds.NEWEST, "three"), {"m2": ["value flipped"]}, Random(1), tmp_path)
    assert not ended.wrong
    assert any(one.subject == "m2" and "outvoted" in one.text for one in ended.verdict.findings)


def test_a_tie_is_settled_by_the_log(killed: Callable[[str, str], cases.Killed], tmp_path: Path) -> None:
    """Of two that differ, the one whose log made what it holds is right."""
    wanted = {"m1": ["disk gone"], "m2": ["value flipped"]}
    ended = cases.play(killed(etcds.NEWEST, "three"), wanted, Random(1), tmp_path)
    assert not ended.wrong
    assert ended.verdict.kind == "rebuild"
    assert ended.verdict.sources[0].member == "m3"


def test_a_tie_is_the_operators_call(killed: Callable[[str, str], cases.Killed], tmp_path: Path) -> None:
    """Of two that differ nobody can tell which is right, once their logs are gone."""
    wanted = {"m1": ["disk gone"], "m2": ["value flipped", "all WAL gone"], "m3": ["all WAL gone"]}
    ended = cases.play(killed(etcds.NEWEST, "three"), wanted, Random(1), tmp_path)
    assert not ended.wrong
    assert ended.verdict.kind == "undecided"
    assert ended.verdict.tie
    assert ended.verdict.differences
