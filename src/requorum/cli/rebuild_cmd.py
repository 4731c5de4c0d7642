"""``requorum rebuild``: copied data dirs in, a proper snapshot out."""

import os
import shutil
import tempfile
from pathlib import Path

import click

from requorum.cli import options, render, survey_cmd
from requorum.errors import NoSource, Refused, RequorumError, UsageError
from requorum.survey.evidence import Survey, Unknown
from requorum.verdict.decide import decide, loss_text
from requorum.verdict.values import Source, Verdict
from requorum.workbench import bench
from requorum.workbench.bench import Part
from requorum.workbench.recipes import recipe_of


@click.command()
@click.argument("dirs", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("-o", "--output", "target", required=True, type=click.Path(path_type=Path), help="The snapshot to write.")
@click.option(
    "--wal-dir", "wal_dirs", multiple=True, type=click.Path(path_type=Path), help="The WAL dir of the n-th DIR."
)
@click.option("--source", "source_id", default="", help="Rebuild from this source (by its name in the survey).")
@options.snapshots
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
    etcd_dir: Path | None,
    how: str,
) -> None:
    """Build the best snapshot that some copied data dirs hold: the db, and the log replayed onto it by a real etcd.

    The dirs are only read. The result restores with `etcdutl snapshot restore`, hash check included.
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
    for member in survey.members:
        if not isinstance(member.process, Unknown) and member.process.running:
            raise Refused(
                f"{member.data_dir}: a live process holds it (pid {', '.join(map(str, member.process.pids))})",
                hint="copy the data dir after etcd is stopped, or take a snapshot: etcdctl snapshot save",
            )
    verdict = decide(survey)
    if verdict.refusal:
        raise Refused(verdict.refusal)
    source = _choose(verdict, source_id)
    folder = Path(tempfile.mkdtemp(prefix=".requorum-", dir=target.parent))
    try:
        built = bench.build(
            recipe_of(source, _parts(source, survey)),
            target,
            folder / "bench",
            tools,
        )
    except OSError as err:
        raise RequorumError(f"{err.filename or target}: {err.strerror}", changed="nothing was written") from err
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    if how != "table":
        report = {"schema": "requorum/Rebuild/v1", "snapshot": built, "source": source, "proof": verdict.proof}
        render.data(report, how)
        return
    render.survey_and_verdict(survey, verdict)
    out = render.console()
    out.print(
        f"\n{target}: {render.size(built.size)}, revision {built.revision}, hash {built.hash}, sha256 {built.sha256}\n"
        f"from {source.id}: {loss_text(source.loss)}",
        soft_wrap=True,
    )
    if source.bump:
        out.print(f"restore it with --bump-revision {source.bump} --mark-compacted: its revision line is or may be cut")


def _parts(source: Source, survey: Survey) -> tuple[Part, ...]:
    wal_dirs = {one.name: one.wal_dir for one in survey.members}
    return tuple(Part(wal_dir=wal_dirs[one.member], first=one.first, last=one.last) for one in source.pieces)


def _choose(verdict: Verdict, source_id: str) -> Source:
    if not verdict.sources:
        if verdict.kind == "undecided":
            raise Refused(verdict.summary)
        raise NoSource(verdict.summary, hint="; ".join(one.text for one in verdict.findings))
    if verdict.kind == "undecided" and not source_id:
        known = "; ".join(one.id for one in verdict.sources)
        which = f"only you can tell which is right: --source ID ({known})" if verdict.tie else ""
        raise Refused(verdict.summary, hint=which or "leave out the dirs that do not belong here")
    for source in verdict.sources:
        if source_id in ("", source.id):
            return source
    raise UsageError(f"there is no source {source_id!r}", hint="; ".join(one.id for one in verdict.sources))
