"""Is this cluster well, and could it be recovered right now? Changes nothing."""

from collections.abc import Sequence
from dataclasses import dataclass

from requorum.errors import RequorumError
from requorum.operations import survey as surveys
from requorum.operations.hosts import World
from requorum.procedures.replace import serves
from requorum.proof import check as checks
from requorum.proof.check import Check
from requorum.proof.prove import Asked, Proof, compare
from requorum.survey.evidence import Binaries, MemberConfig, Survey


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """The report, and what the members answered; None where they could not be compared."""

    report: Check
    proof: Proof | None


def check(world: World, *, powered_off: Sequence[str] = (), seen_revision: int = 0) -> Checked:
    """The members' status and hashes, certificates, clocks, alarms, quota, versions, room for a recovery."""
    judged = surveys.judged(surveys.survey_hosts(world, (), powered_off, in_full=False), seen_revision)
    proof, fault = _compare(world, judged.survey)
    return Checked(report=checks.judge(judged.survey, judged.verdict, proof, fault), proof=proof)


def _compare(world: World, survey: Survey) -> tuple[Proof | None, str]:
    asked = [
        Asked(host=world.connections[one.host], tools=one.tools, config=one.config)
        for one in survey.members
        if serves(one) and isinstance(one.tools, Binaries) and isinstance(one.config, MemberConfig)
    ]
    if not asked:
        return None, ""
    try:
        return compare(asked, change=False), ""
    except RequorumError as err:
        return None, f"{err.message}; {err.hint}" if err.hint else err.message
