"""``requorum rebuild``: copied data dirs in, a proper snapshot out."""

from pathlib import Path

import click

from requorum import errors
from requorum.cli import options, render
from requorum.operations import rebuild as operation
from requorum.reports.rebuild import Rebuilt
from requorum.verdict.words import loss_text


@click.command()
@click.argument("dirs", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("-o", "--output", "target", required=True, type=click.Path(path_type=Path), help="The snapshot to write.")
@click.option(
    "--wal-dir", "wal_dirs", multiple=True, type=click.Path(path_type=Path), help="The WAL dir of the n-th DIR."
)
@click.option("--source", default="", help="Rebuild from this source (by its name in the survey).")
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
    source: str,
    snapshots: tuple[str, ...],
    seen_revision: int,
    etcd_dir: Path | None,
    how: str,
) -> int:
    """Build the best snapshot that some copied data dirs hold: the db, and the log replayed onto it by a real etcd.

    The dirs are only read. The result restores with `etcdutl snapshot restore`, hash check included. Exits with 3 where nobody
    can know whether more was lost than is said, and where the source that you name is not the best.
    """
    rebuilt = operation.rebuild(
        dirs,
        target,
        etcd_dir,
        wal_dirs=wal_dirs,
        source=source,
        snapshots=snapshots,
        seen_revision=seen_revision,
    )
    if how != "table":
        render.data(rebuilt.report, how)
    else:
        _print(rebuilt)
    return errors.DONE_WITH_WARNINGS if rebuilt.report.warnings else errors.DONE


def _print(done: Rebuilt) -> None:
    """What was seen, what was built of it, and what is not in it."""
    render.survey_and_verdict(done.judged.survey, done.judged.verdict)
    out, source, built = render.console(), done.report.source, done.report.snapshot
    out.print(
        f"\n{built.path}: {render.size(built.size)}, revision {built.revision}, hash {built.hash}, sha256 {built.sha256}\n"
        f"from {source.id}: {loss_text(source.loss)}",
        soft_wrap=True,
    )
    if done.report.audit.agree:
        names = ", ".join(done.report.audit.agree)
        out.print(f"it holds every record of the dbs of {names}, up to the lower revision of the two")
    if source.bump:
        out.print(f"restore it with --bump-revision {source.bump} --mark-compacted: its revision line is or may be cut")
    for one in done.report.warnings:
        out.print(f"warning: {one}", soft_wrap=True)
