"""What ``requorum survey`` answers, and what is kept beside a run's journal."""

from dataclasses import dataclass

from requorum.survey.evidence import Survey
from requorum.verdict.values import Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class SurveyAndVerdict:
    """What was seen, and what follows from it."""

    schema: str = "requorum/SurveyAndVerdict/v1"
    survey: Survey
    verdict: Verdict
