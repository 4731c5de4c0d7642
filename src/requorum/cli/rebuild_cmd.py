"""``requorum rebuild``: copied data dirs in, a proper snapshot out."""

import os
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

import click

from requorum import errors
from requorum.cli import options, render, survey_cmd
from requorum.errors import Refused, RequorumError, UsageError
from requorum.hosts.connection import Here
from requorum.plan import gates
from requorum.plan.make import seen_warning, unproven_warning
from requorum.run.steps.look_again import witnesses
from requorum.survey.evidence import DbEvidence, Survey, Unknown
from requorum.verdict import around, values
from requorum.verdict.decide import decide
from requorum.verdict.values import Source, Verdict
from requorum.verdict.words import loss_text
from requorum.workbench import audit, bench
from requorum.workbench.audit import Audit
from requorum.workbench.bench import Built, Part
from requorum.workbench.recipes import recipe_of


@click.command()
@click.argument("dirs", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("-o", "--output", "target", required=True, type=click.Path(path_type=Path), help="The snapshot to write.")
@click.option(
    "--wal-dir", "wal_dirs", multiple=True, type=click.Path(path_type=Path), help="The WAL dir of the n-th DIR."
)
@click.option("--source", "source_id", default="", help="Rebuild from this source (by its name in the survey).")
@options.snapshots
@options.seen_revision
@options.etcd_dir
@click.option(
    "--format", "how", type=click.Choice(["table", "json", "yaml"]), default="table", help="How it is reported."
)
def rebuild(
    dirs: tuple[Path, ...],
    target: Path,
    wal_dirs: tuple[Path, ...],
    source_id: str,
    snapshots: tuple[str, ...],
    seen_revision: int,
    etcd_dir: Path | None,
    how: str,
) -> int:
    """Build the best snapshot that some copied data dirs hold: the db, and the log replayed onto it by a real etcd.

    The dirs are only read. The result restores with `etcdutl snapshot restore`, hash check included. Exits with 3 where nobody
    can know whether more was lost than is said, and where the source that you name is not the best.
    """
    target = target.absolute()
    if target.exists():
        raise UsageError(f"{target} exists already", hint="requorum overwrites nothing: choose another name")
    if not target.parent.is_dir():
        raise UsageError(f"{target.parent} is no folder")
    real = Path(os.path.realpath(target))
    for folder in (*dirs, *wal_dirs):
        if Path(os.path.realpath(folder)) in real.parents:
            raise UsageError(f"{target} lies inside {folder}, which is only read", hint="write it somewhere else")
    tools = options.find_tools(etcd_dir, None)
    survey = survey_cmd.look_at_dirs(dirs, snapshots, wal_dirs, in_full=True, found=tools)
    survey = survey_cmd.with_seen(survey, seen_revision)
    for member in survey.members:
        if not isinstance(member.process, Unknown) and member.process.running:
            raise Refused(
                f"{member.data_dir}: a live process holds it (pid {', '.join(map(str, member.process.pids))})",
                hint="copy the data dir after etcd is stopped, or take a snapshot: etcdctl snapshot save",
            )
    verdict = decide(survey)
    if verdict.refusal or verdict.rebuild_refusal:
        raise Refused(
            verdict.refusal or verdict.rebuild_refusal,
            hint=verdict.refusal_hint if verdict.refusal else verdict.rebuild_hint,
        )
    why, hint = around.v2_refusal(survey)
    if why and not source_id:
        raise Refused(why, hint=hint)
    source = _choose(survey, verdict, source_id)
    folder = Path(tempfile.mkdtemp(prefix=".requorum-", dir=target.parent))
    try:
        made = bench.build(recipe_of(source, _parts(source, survey)), folder / target.name, folder / "bench", tools)
        found = _audited(survey, verdict, folder / target.name)
        if found.differ and not source_id:
            raise Refused(
                f"{source.id} was built, and does not hold what other disks hold: {'; '.join(found.differ)}",
                changed="nothing was written",
                hint=f"keep every disk; a source that you name yourself is taken in spite of that: --source {source.id!r}",
            )
        os.replace(folder / target.name, target)
    except OSError as err:
        raise RequorumError(f"{err.filename or target}: {err.strerror}", changed="nothing was written") from err
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    built = replace(made, path=str(target))
    warnings = _warnings(survey, verdict, source, found, named=bool(source_id))
    if how != "table":
        report = {
            "schema": "requorum/Rebuild/v1",
            "snapshot": built,
            "source": source,
            "proof": verdict.proof,
            "warnings": warnings,
            "audit": found,
        }
        render.data(report, how)
    else:
        _print(survey, verdict, source, built, found, warnings)
    return errors.DONE_WITH_WARNINGS if warnings else errors.DONE


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


def _print(
    survey: Survey, verdict: Verdict, source: Source, built: Built, found: Audit, warnings: tuple[str, ...]
) -> None:
    render.survey_and_verdict(survey, verdict)
    out = render.console()
    out.print(
        f"\n{built.path}: {render.size(built.size)}, revision {built.revision}, hash {built.hash}, sha256 {built.sha256}\n"
        f"from {source.id}: {loss_text(source.loss)}",
        soft_wrap=True,
    )
    if found.agree:
        out.print(f"it holds every record of the dbs of {', '.join(found.agree)}, up to the lower revision of the two")
    if source.bump:
        out.print(f"restore it with --bump-revision {source.bump} --mark-compacted: its revision line is or may be cut")
    for one in warnings:
        out.print(f"warning: {one}", soft_wrap=True)


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
