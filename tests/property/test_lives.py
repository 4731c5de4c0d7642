"""Over clusters with a past, drawn in memory: what the verdict says is true of every disk and every client."""

import os

import pytest

from requorum.survey.evidence import Survey
from requorum.verdict.decide import decide

from .lives.judge import judged, lies
from .lives.past import drawn
from .lives.reported import survey_of

SEEDS = int(os.environ.get("REQUORUM_LIVES", "12000"))
"""A second for some five hundred. ``REQUORUM_LIVES=100000 ./dev test tests/property/test_lives.py`` looks harder."""
SHARES = 8


def lies_of(seed: int) -> list[str]:
    """What is said of a drawn cluster and not true."""
    return [f"seed {seed} ({', '.join(drawn(seed).told)}): {one}" for one in judged(seed)]


@pytest.mark.parametrize("share", range(SHARES))
def test_no_claim_is_false(share: int) -> None:
    """Of none of these clusters: neither of a start, nor of any source that the operator may choose."""
    told = [one for seed in range(share, SEEDS, SHARES) for one in lies_of(seed)]
    assert not told, "\n".join(told[:5])


def test_the_judge_sees_a_lie() -> None:
    """A verdict on the disks without the one that tells of the loss is not true of all of them."""
    found = 0
    for seed in range(400):
        life = drawn(seed)
        survey = survey_of(life)
        for at in range(len(survey.members)):
            less = Survey(
                cluster=survey.cluster,
                at=survey.at,
                verified=True,
                members=(*survey.members[:at], *survey.members[at + 1 :]),
                etcd_version=survey.etcd_version,
                etcdutl_can_bump=True,
                logs_compared=True,
            )
            found += bool([*lies(life, survey, decide(less))])
    assert found > 20


def test_a_plain_power_cut_is_never_doubted() -> None:
    """Nobody has done anything to the disks: they are started."""
    plain = 0
    for seed in range(4000):
        life = drawn(seed)
        if life.told or life.learner:
            continue
        plain += 1
        verdict = decide(survey_of(life))
        assert verdict.kind == "start as is", f"seed {seed}: {verdict.summary}"
    assert plain > 100
