"""From a survey to a verdict."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from requorum.survey.evidence import (
    DbEvidence,
    LiveEvidence,
    Survey,
    Unknown,
)
from requorum.verdict import around, hazards, values, versions
from requorum.verdict.audit import audit_source, audit_start, missed
from requorum.verdict.basis import basis
from requorum.verdict.findings import member_findings, not_seen
from requorum.verdict.living import IN_FLIGHT, Living, living
from requorum.verdict.membership import Electorate, electorates
from requorum.verdict.newest import Newest, newest_of
from requorum.verdict.rules import Facts, rule_for
from requorum.verdict.sources import counting, last_resort, loss_order, of_another_life, ranked
from requorum.verdict.startasis import start_as_is
from requorum.verdict.unproven import supported
from requorum.verdict.values import Basis, Finding, Loss, Source, StartAsIs, Verdict
from requorum.verdict.words import cluster_name, loss_text, read_proof, source_proof, start_proof, start_summary

_HOLDS_MORE = ("ahead of every disk", "was served")
"""What is found where something else holds more than the disks of this cluster: they are not started as if they were all."""
PARTED_EARLY = 32
"""Entries: histories that parted so early have hardly more than their bootstrap in common."""
_STRAYS = (
    "the only disks that hold data do not count as this cluster's (the findings say why): only you can tell whether to go on "
    "from one of them"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Case:
    """The cluster along one of the histories that its logs tell, and what can be made of it."""

    cluster: Electorate
    newest: Newest
    sources: tuple[Source, ...]
    findings: tuple[Finding, ...]

    @property
    def loss(self) -> tuple[bool, int, bool, bool]:
        """What its best source loses, for comparing."""
        return loss_order(self.sources[0].loss) if self.sources else (True, 1 << 62, True, True)

    @property
    def nothing_aside(self) -> bool:
        """Whether no other history holds a write that this one lacks."""
        return not any(one.writes for one in self.newest.aside)


def decide(survey: Survey) -> Verdict:
    """The verdict on a survey, by the table of rules. Pure: the same survey gives the same verdict."""
    cases = [_case(survey, one) for one in electorates(survey)]
    case, histories = _chosen(survey, cases)
    cluster = case.cluster
    alive = _beside(living(survey, cluster), survey, case)
    start, why_not_start = start_as_is(survey, cluster, case.newest)
    ahead = [one for one in case.findings if any(words in one.text for words in _HOLDS_MORE)]
    if start is not None and ahead:
        start, why_not_start = None, f"{ahead[0].subject}: {ahead[0].text}"
    asked = _another_life(survey, case)
    lives = _two_lives(survey, case)
    altered = _altered_ahead(case) if start is None else ""
    bare = _nothing_left(case, cases)
    if asked or lives or altered or bare:
        histories = "open"
    strays = () if alive.led else _strays(survey, cases)
    several = (bool(cluster.ambiguous) and not cluster.tie) or (bool(strays) and not any(one.sources for one in cases))
    undecided = several or bool(cluster.tie) or histories == "open"
    sources = _all_sources(cases, cluster.ambiguous or bare) if undecided and len(cases) > 1 else case.sources or strays
    if (several or cluster.tie) and len(cases) == 1 and cluster.ambiguous:
        sources = _all_sources(cases, cluster.ambiguous)
    if histories == "open" or several:
        listed = {one.member for one in sources if one.db}
        sources += tuple(one for one in strays if one.member not in listed)
    doubt = audit_start(survey, start) if start else audit_source(survey, sources[0]) if sources else ""
    rule = rule_for(
        Facts(
            clusters="several" if several else "one",
            alive=alive.alive,
            conflict=alive.conflict,
            data="tie" if cluster.tie else "same",
            histories=histories,
            start="can" if start is not None else "cannot",
            sources="some" if sources else "none",
            audit="disagrees" if doubt else "agrees",
            read="not all" if _unread(survey) or around.hidden(survey) else "all",
        )
    )
    if doubt and rule.outcome == values.UNDECIDED:
        listed = {one.member for one in sources if one.db}
        more = missed(survey, sources[0]) if start is None else 0
        sources = (*(_as_audited(one, more) for one in sources), *(one for one in strays if one.member not in listed))
    found = basis(case.newest, cluster)
    if rule.outcome != values.START_AS_IS:
        start = None
    why = _refusals(survey, cluster, rule.outcome)
    summary, proof = _told(rule.letter, survey, case, cases, alive, start, sources, why_not_start, found, doubt)
    return Verdict(
        kind=rule.outcome,
        cluster=cluster_name(survey.cluster, cluster.cluster_id),
        cluster_id=cluster.cluster_id,
        probable=not survey.verified,
        summary=summary,
        proof=proof,
        findings=(*cluster.findings, *case.findings, *_living_findings(alive), *member_findings(survey, cluster)),
        start=start,
        sources=sources,
        unsurveyed=cluster.unsurveyed,
        refusal=why[0],
        refusal_hint=why[1],
        rebuild_refusal=why[2],
        rebuild_hint=why[3],
        basis=found,
        differences=cluster.differences,
        tie=cluster.tie,
        rule=rule.letter,
    )


def _case(survey: Survey, cluster: Electorate) -> _Case:
    together = counting(survey, cluster)
    newest = newest_of(cluster, together, survey.forks, survey.members, survey.compared)
    sources, findings = ranked(survey, cluster, together, newest)
    aside = tuple(
        Finding(
            level="danger",
            subject=" and ".join(one.names),
            text=f"tells another history than {cluster.head.name if cluster.head else 'the others'} from entry {one.fork} on, "
            f"with at most {one.writes} writes in it (a member started with --force-new-cluster? a cluster made anew?)",
        )
        for one in newest.aside
        if set(one.names) & {rival.name for rival in cluster.rivals}
    )
    return _Case(cluster=cluster, newest=newest, sources=sources, findings=(*findings, *aside))


def _chosen(survey: Survey, cases: Sequence[_Case]) -> tuple[_Case, Literal["one", "decided", "open"]]:
    """The history to go on with, and whether there was anything to choose.

    One that loses nothing that another holds is chosen; else one that a majority of those holds who voted before the
    histories parted, if they parted late (a member was forced to be a cluster of its own) or it also loses least (a majority
    that was made anew parted at the very beginning). Anything else is the operator's to decide.
    """
    ids = {one.cluster.cluster_id for one in cases}
    if len(cases) == 1 or len(ids) > 1:
        return cases[0], "one"
    best = min(cases, key=lambda one: (not one.nothing_aside, one.loss))
    if best.nothing_aside:
        return best, "decided"
    least = min(one.loss for one in cases)
    for one in cases:
        if not supported(one.cluster, survey.forks):
            continue
        early = any(aside.fork <= PARTED_EARLY for aside in one.newest.aside)
        if one.loss[:2] <= least[:2] or (not early and not one.newest.unproven):
            return one, "decided"
    return best, "open"


def _beside(alive: Living, survey: Survey, case: _Case) -> Living:
    """What lives, held against snapshots and dbs that lie about: one that is ahead of it means that it went back in time."""
    if alive.alive == "none" or alive.conflict != "none":
        return alive
    served = max(one.live.revision for one in alive.led if isinstance(one.live, LiveEvidence))
    for one in case.findings:
        revision = next(
            (
                each.db.revision
                for each in survey.snapshots
                if each.path == one.subject and isinstance(each.db, DbEvidence)
            ),
            0,
        )
        if _HOLDS_MORE[0] in one.text and revision > served + IN_FLIGHT:
            names = " and ".join(each.name for each in alive.led)
            text = (
                f"{one.subject} holds revision {revision}, and {names}, which serve, come to {served} only (if they were "
                f"restored from something older on purpose, move that file away)"
            )
            return replace(alive, conflict="false quorum", text=text)
    return alive


def _another_life(survey: Survey, case: _Case) -> str:
    """A snapshot that was given although it is of another life of this cluster, and ahead of its disks: they may have been
    made anew by mistake."""
    given = {one.name for one in survey.snapshots if not one.found}
    return next((one.id for one in case.sources if one.last_resort and one.id in given), "")


def _nothing_left(case: _Case, cases: Sequence[_Case]) -> str:
    """That the history which goes furthest cannot be rebuilt, although another one of these disks can; empty where it can."""
    if case.sources or not any(one.sources for one in cases):
        return ""
    who = case.cluster.head.name if case.cluster.head else "that"
    return f"the history that {who} tells goes furthest, and no db is left to rebuild it from"


def _all_sources(cases: Sequence[_Case], why: str) -> tuple[Source, ...]:
    """The sources of every history or cluster, each once, none of them called the right one."""
    out: dict[str, Source] = {}
    for case in cases:
        for one in case.sources:
            loss = one.loss
            if why:
                loss = Loss(at_most=-1, exact=False, why=(why,), unproven=why)
            out.setdefault(one.id, replace(one, loss=loss))
    return tuple(sorted(out.values(), key=lambda one: (loss_order(one.loss), -one.revision, one.id)))


def _two_lives(survey: Survey, case: _Case) -> tuple[str, ...]:
    """Members whose dbs are of another life than the logs, where nothing proves that the logs hold all that was acknowledged:
    each of the two holds what the other lacks. A quick reading cannot tell that from a damaged record."""
    lives = of_another_life(case.cluster)
    others = [one for one in case.sources if not one.last_resort and not (one.db and one.member in lives)]
    return tuple(lives) if survey.verified and others and not any(one.loss.known for one in others) else ()


def _altered_ahead(case: _Case) -> str:
    """What is lost, in words, if nothing is built on a db in which some record was altered, although it goes further than all
    that can be rebuilt without it: one wrong value against many lost ones."""
    best = next((one for one in case.sources if one.loss.known), None)
    for one in case.sources:
        why = case.cluster.claims.altered.get(one.member, "") if one.db and one.last_resort else ""
        if why and best is not None and best.loss.at_most > 0 and one.revision > best.revision:
            return (
                f"{one.member}'s db: {why}, and leads to revision {one.revision}; what can be rebuilt without it ends at "
                f"{best.revision} ({best.id})"
            )
    return ""


def _as_audited(source: Source, more: int) -> Source:
    """A source with the writes that only the second computation of the loss has found."""
    if not more or not source.loss.known:
        return source
    why = f"computed a second time: {more} writes more, which other disks hold"
    return replace(
        source, loss=replace(source.loss, at_most=source.loss.at_most + more, exact=False, why=(*source.loss.why, why))
    )


def _strays(survey: Survey, cases: Sequence[_Case]) -> tuple[Source, ...]:
    """The dbs of disks that do not count, for when it is the operator's to decide: a removed member's, an impostor's, a copy's.
    Where there is no source at all, every db that can be read."""
    counted = {one.name for case in cases if case.sources for one in case.cluster.counted}
    why = "its disk does not count as one of this cluster's"
    found = [
        last_resort(one, why)
        for one in survey.members
        if isinstance(one.db, DbEvidence) and one.db.sound and one.name not in counted
    ]
    return tuple(sorted(found, key=lambda one: (-one.revision, one.id)))


def _unread(survey: Survey) -> list[str]:
    """What could not be read, and why: no disk is called empty that nobody could look at."""
    return [
        f"{one.name}'s db: {one.db.unknown}"
        for one in survey.members
        if isinstance(one.db, Unknown) and not_seen(survey, one)
    ]


def _told(
    letter: str,
    survey: Survey,
    case: _Case,
    cases: Sequence[_Case],
    alive: Living,
    start: StartAsIs | None,
    sources: Sequence[Source],
    why_not_start: str,
    found: Basis | None,
    doubt: str,
) -> tuple[str, tuple[str, ...]]:
    """The verdict in words, and the proof, for each row of the table."""
    cluster = case.cluster
    led = ", ".join(one.name for one in alive.led)
    if letter in ("A", "G"):
        return cluster.ambiguous or _STRAYS, ()
    if letter in ("B", "C"):
        what = "a false quorum" if letter == "B" else "not healthy"
        return f"{what}: {alive.text}; decide which to keep, then type requorum fence, and recover", ()
    if letter == "D":
        return f"all {len(alive.led)} members serve and have a leader", ()
    if letter == "E":
        missing = [one for one in survey.members if one not in alive.led]
        unseen = [one.name for one in missing if not_seen(survey, one)]
        ill = [one.name for one in missing if one.name not in unseen]
        voters = len(cluster.voters) or len(survey.members)
        words = [f"{len(alive.led)} of {voters} members serve and have a leader"]
        words += [f"replace {', '.join(ill)} (never restore one)"] if ill else []
        words += [f"{', '.join(unseen)} could not be looked at: nothing is said of it"] if unseen else []
        return "; ".join(words), ()
    if letter == "F":
        return (
            f"{led} answers with a leader, and what lives is not stopped by itself: requorum fence, if it must be",
            (),
        )
    if letter == "H" and (asked := _another_life(survey, case)):
        return (
            f"{asked} is of another life of this cluster, and ahead of its disks: only you can tell which to keep",
            (),
        )
    if letter == "H" and (lives := _two_lives(survey, case)):
        return (
            f"{' and '.join(lives)}: the db is of another life than the logs, and each holds what the other lacks: only you "
            f"can tell which to keep"
        ), read_proof(found)
    if letter == "H" and (altered := _altered_ahead(case)):
        return f"{altered}: only you can tell which to keep", read_proof(found)
    if letter == "H" and (bare := _nothing_left(case, cases)):
        return f"{bare}; what others hold may lack what it holds: only you can tell which to keep", ()
    if letter == "H":
        return (
            "the logs tell several histories under one name, and each holds what the others lack: "
            "only you can tell which to keep"
        ), read_proof(found)
    if letter in ("M", "N"):
        return f"the loss was computed twice, and the two do not agree: {doubt}; only you can tell what to keep", ()
    if start is not None:
        aside = [around.renamed(one) for one in survey.members if one.name in start.members and around.renamed(one)]
        first = f"; first rename {', '.join(aside)} to member" if aside else ""
        return start_summary(start, found) + first, (*read_proof(found), *start_proof(start, found))
    if letter == "K":
        return around.NOTHING, ()
    if letter == "L":
        unread = f"nothing that was read can be used, but not everything could be read: {'; '.join(_unread(survey))}"
        return unread if _unread(survey) else around.hidden(survey), ()
    best = sources[0]
    return f"rebuild from {best.id}: {loss_text(best.loss)}", (
        f"not started as is: {why_not_start}",
        *read_proof(found),
        *source_proof(best),
    )


def _living_findings(alive: Living) -> list[Finding]:
    if alive.conflict == "none":
        return []
    return [Finding(level="danger", subject="cluster", text=alive.text)]


def _refusal(cluster: Electorate) -> str:
    """Why nothing may be rebuilt or started by requorum, whatever the sources."""
    with_users = [
        one.name
        for one in cluster.counted
        if isinstance(one.db, DbEvidence) and one.db.auth_enabled and one.name not in cluster.claims.contradicted
    ]
    if with_users:
        return (
            f"users and roles are in force in this etcd ({', '.join(with_users)}): requorum cannot prove a recovery "
            f"without a root password, and does not ask for one"
        )
    return ""


def _refusals(survey: Survey, cluster: Electorate, kind: str) -> tuple[str, str, str, str]:
    """Why nothing may be done and what to change, then the same for a rebuild alone; what lives is left alone anyway."""
    if kind in (values.HEALTHY, values.REPLACE_MEMBERS):
        return "", "", "", ""
    told = [one for one in cluster.counted if one.name not in cluster.claims.contradicted]
    rebuild = versions.refusal(survey, told, as_is=False)
    programs = versions.refusal(survey, told, as_is=True) if kind == values.START_AS_IS else rebuild
    if always := _refusal(cluster) or around.refusal(survey):
        return always, "", *rebuild
    setting = hazards.refusal(survey, survey.members)
    return (*(setting if setting[0] else programs), *rebuild)
