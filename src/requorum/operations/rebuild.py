"""Copied data dirs in, a proper snapshot out."""

import os
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from requorum.errors import Refused, RequorumError, UsageError
from requorum.hosts.connection import Here
from requorum.operations import survey as surveys
from requorum.operations.hosts import find_programs
from requorum.procedures import gates
from requorum.procedures.make import seen_warning, unproven_warning
from requorum.reports.rebuild import Rebuild, Rebuilt
from requorum.run.steps.look_again import witnesses
from requorum.survey.evidence import DbEvidence, Survey, Unknown
from requorum.verdict import around, values
from requorum.verdict.values import Source, Verdict
from requorum.workbench import audit, bench
from requorum.workbench.audit import Audit
from requorum.workbench.bench import Part
from requorum.workbench.recipes import recipe_of


def rebuild(
    dirs: Sequence[Path],
    target: Path,
    etcd_dir: Path | None = None,
    *,
    wal_dirs: Sequence[Path] = (),
    source: str = "",
    snapshots: Sequence[str] = (),
    seen_revision: int = 0,
) -> Rebuilt:
    """Build the best snapshot that some copied data dirs hold: the db, and the log replayed onto it by a real etcd.

    The dirs are only read; ``target`` is a new file; etcd's programs are those of ``etcd_dir``, else of the PATH. ``source``
    names what to build, as the survey calls it. Raises Refused where nothing is to be built, and where what was built does not
    hold what other disks hold, unless it was named.
    """
    target = target.absolute()
    _gate_target(target, (*dirs, *wal_dirs))
    programs = find_programs(etcd_dir, None)
    judged = surveys.judged(
        surveys.survey_dirs(dirs, snapshots, wal_dirs, in_full=True, programs=programs), seen_revision
    )
    survey, verdict = judged.survey, judged.verdict
    _gate_dead(survey)
    _gate_verdict(survey, verdict, named=bool(source))
    chosen = _choose(survey, verdict, source)
    folder = Path(tempfile.mkdtemp(prefix=".requorum-", dir=target.parent))
    try:
        made = bench.build(recipe_of(chosen, _parts(chosen, survey)), folder / target.name, folder / "bench", programs)
        audited = _audited(survey, verdict, folder / target.name)
        if audited.differ and not source:
            raise Refused(
                f"{chosen.id} was built, and does not hold what other disks hold: {'; '.join(audited.differ)}",
                changed="nothing was written",
                hint=f"keep every disk; a source that you name yourself is taken in spite of that: --source {chosen.id!r}",
            )
        os.replace(folder / target.name, target)
    except OSError as err:
        raise RequorumError(f"{err.filename or target}: {err.strerror}", changed="nothing was written") from err
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    report = Rebuild(
        snapshot=replace(made, path=str(target)),
        source=chosen,
        proof=verdict.proof,
        warnings=_warnings(survey, verdict, chosen, audited, named=bool(source)),
        audit=audited,
    )
    return Rebuilt(judged=judged, report=report)


def _gate_target(target: Path, read: Sequence[Path]) -> None:
    """Refuse to overwrite anything, and to write into what is only read."""
    if target.exists():
        raise UsageError(f"{target} exists already", hint="requorum overwrites nothing: choose another name")
    if not target.parent.is_dir():
        raise UsageError(f"{target.parent} is no folder")
    real = Path(os.path.realpath(target))
    for folder in read:
        if Path(os.path.realpath(folder)) in real.parents:
            raise UsageError(f"{target} lies inside {folder}, which is only read", hint="write it somewhere else")


def _gate_dead(survey: Survey) -> None:
    for member in survey.members:
        if not isinstance(member.process, Unknown) and member.process.running:
            raise Refused(
                f"{member.data_dir}: a live process holds it (pid {', '.join(map(str, member.process.pids))})",
                hint="copy the data dir after etcd is stopped, or take a snapshot: etcdctl snapshot save",
            )


def _gate_verdict(survey: Survey, verdict: Verdict, *, named: bool) -> None:
    if verdict.refusal or verdict.rebuild_refusal:
        raise Refused(
            verdict.refusal or verdict.rebuild_refusal,
            hint=verdict.refusal_hint if verdict.refusal else verdict.rebuild_hint,
        )
    why, hint = around.v2_refusal(survey)
    if why and not named:
        raise Refused(why, hint=hint)


def _audited(survey: Survey, verdict: Verdict, built: Path) -> Audit:
    """Compare what was built with every db that counts."""
    names = witnesses(verdict)
    others = [
        audit.Db(name=one.name, host=Here(), path=one.db.path)
        for one in survey.members
        if one.name in names and isinstance(one.db, DbEvidence)
    ]
    return audit.audit(audit.Db(name="source", host=Here(), path=str(built)), others)


def _warnings(survey: Survey, verdict: Verdict, source: Source, found: Audit, *, named: bool) -> tuple[str, ...]:
    """What makes it end with exit 3: as a recovery from this source would."""
    out = list(gates.chosen_against(verdict, source)) if named else []
    why = source.loss.unproven
    if not source.loss.known and not why:
        why = source.loss.why[0] if source.loss.why else "the loss cannot be known"
    out += unproven_warning(why)
    if source.revision < survey.seen_revision:
        out.append(seen_warning(survey.seen_revision, source.revision))
    if keys := around.v2_keys(survey):
        out.append(f"not in it: {keys}")
    return (*out, *(f"not in it: {one}" for one in found.differ))


def _parts(source: Source, survey: Survey) -> tuple[Part, ...]:
    wal_dirs = {one.name: one.wal_dir for one in survey.members}
    return tuple(
        Part(wal_dir=one.wal_dir or wal_dirs[one.member], first=one.first, last=one.last) for one in source.pieces
    )


def _choose(survey: Survey, verdict: Verdict, source_id: str) -> Source:
    """The source that is built; what the disks leave undecided is decided by naming it."""
    if verdict.kind == values.UNDECIDED and not source_id:
        raise Refused(verdict.summary, hint=gates.how_to_decide(verdict))
    return gates.choose(survey, verdict, source_id)
