"""What ``requorum plan`` answers for people; for programs it is the plan alone."""

from dataclasses import dataclass

from requorum.procedures.values import Plan
from requorum.survey.evidence import Survey
from requorum.verdict.values import Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """A plan with the survey and the verdict that it was made from."""

    survey: Survey
    verdict: Verdict
    plan: Plan
