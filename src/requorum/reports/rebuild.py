"""What ``requorum rebuild`` answers."""

from dataclasses import dataclass

from requorum.reports.survey import SurveyAndVerdict
from requorum.verdict.values import Source
from requorum.workbench.audit import Audit
from requorum.workbench.bench import Built


@dataclass(frozen=True, slots=True, kw_only=True)
class Rebuild:
    """A snapshot that was built, what it was built from, and what makes its loss uncertain."""

    schema: str = "requorum/Rebuild/v1"
    snapshot: Built
    source: Source
    proof: tuple[str, ...]
    warnings: tuple[str, ...]
    audit: Audit


@dataclass(frozen=True, slots=True, kw_only=True)
class Rebuilt:
    """The report, and what it was judged by."""

    judged: SurveyAndVerdict
    report: Rebuild
