"""What is printed: JSON and YAML for programs, tables that fit 80 columns for people."""

import io
import sys
from typing import Any

import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text
from ruamel.yaml import YAML

from requorum.proof.prove import Proof
from requorum.survey.evidence import DbEvidence, LiveEvidence, LogEvidence, MemberEvidence, Survey, Tail, Unknown
from requorum.verdict.findings import not_seen
from requorum.verdict.values import Verdict
from requorum.verdict.words import loss_text

_COLOURS = {"healthy": "green", "start as is": "green", "rebuild": "yellow", "replace members": "yellow"}


def console(*, err: bool = False) -> Console:
    """A console for answers (standard output) or for progress (standard error)."""
    stream = sys.stderr if err else sys.stdout
    width = None if stream.isatty() else 120
    return Console(file=stream, highlight=False, width=width, emoji=False, markup=False)


def data(value: Any, how: str) -> None:
    """Print a value as JSON or YAML; ids stay numbers, as etcd's own JSON has them."""
    if how == "json":
        sys.stdout.write(msgspec.json.format(msgspec.json.encode(value), indent=2).decode() + "\n")
        return
    out = io.StringIO()
    yaml = YAML()
    yaml.default_flow_style = False
    yaml.dump(msgspec.to_builtins(value), out)
    sys.stdout.write(out.getvalue())


def table(*columns: str, gap: int = 2) -> Table:
    """An empty table in the house's style; a column that starts with ``>`` is right-aligned."""
    made = Table(box=None, pad_edge=False, header_style="bold", padding=(0, gap, 0, 0))
    for name in columns:
        made.add_column(name.lstrip(">"), justify="right" if name.startswith(">") else "left", overflow="fold")
    return made


def survey_and_verdict(survey: Survey, verdict: Verdict, *, wide: bool = False) -> None:
    """The survey's table, what was found, the verdict, its proof, and the sources."""
    out = console()
    if survey.members:
        out.print(_members(survey, wide=wide))
    for snapshot in survey.snapshots:
        what = snapshot.db.unknown if isinstance(snapshot.db, Unknown) else f"revision {snapshot.db.revision}"
        where = f"{snapshot.host}:{snapshot.path} (found)" if snapshot.found and snapshot.host else snapshot.path
        out.print(f"snapshot {where}: {what}")
    if verdict.findings:
        out.print()
        for finding in verdict.findings:
            style = {"danger": "bold red", "warning": "yellow", "info": ""}[finding.level]
            out.print(Text.assemble((f"{finding.level}: ", style), f"{finding.subject}: {finding.text}"))
    out.print()
    probable = " (probable: --verify reads everything)" if verdict.probable else ""
    out.print(Text.assemble("verdict: ", (verdict.kind, f"bold {_COLOURS.get(verdict.kind, 'red')}"), probable))
    lines = Table.grid(padding=(0, 1, 0, 1))
    lines.add_row("", verdict.summary)
    if verdict.refusal:
        lines.add_row("", Text.assemble(("refused: ", "bold red"), verdict.refusal))
    for line in verdict.proof:
        lines.add_row("-", line)
    out.print(lines)
    if verdict.sources and verdict.kind not in ("healthy", "replace members"):
        out.print()
        out.print(_sources(verdict))


def _members(survey: Survey, *, wide: bool) -> Table:
    columns = ["member", "state", ">log term/index", ">db revision", ">replayed to", "files"]
    made = table(*columns, *(("data dir", "member id") if wide else ()))
    for member in survey.members:
        made.add_row(*_member_row(survey, member), *(_wide(member) if wide else ()))
    return made


def _wide(member: MemberEvidence) -> tuple[str, str]:
    own = f"{member.log.member_id:x}" if isinstance(member.log, LogEvidence) else "?"
    return member.data_dir, own


def _member_row(survey: Survey, member: MemberEvidence) -> list[str]:
    running = not isinstance(member.process, Unknown) and member.process.running
    running = running or isinstance(member.live, LiveEvidence)
    log = f"{member.log.last_term}/{member.log.last_index}" if isinstance(member.log, LogEvidence) else "-"
    db = str(member.db.revision) if isinstance(member.db, DbEvidence) else "-"
    replayed = "-"
    if isinstance(member.tail, Tail):
        replayed = str(member.tail.revision) if not member.tail.doubts else f"<= {member.tail.revision}"
    return [
        member.name,
        "running" if running else "not seen" if not_seen(survey, member) else "stopped",
        log,
        db,
        replayed,
        _files(member),
    ]


def _files(member: MemberEvidence) -> str:
    words = []
    for name, part in (("log", member.log), ("db", member.db)):
        if isinstance(part, Unknown):
            words.append(f"no {name}")
        elif part.faults:
            words.append(f"{name} damaged")
        elif isinstance(part, DbEvidence) and not part.sound:
            words.append("db lacks revisions")
    return ", ".join(words) or "sound"


def _sources(verdict: Verdict) -> Table:
    made = table("", "source", ">revision", "loss")
    for at, source in enumerate(verdict.sources, 1):
        about = "" if source.revision_exact else "<= "
        made.add_row(str(at), source.id, f"{about}{source.revision}", loss_text(source.loss))
    return made


def rows(found: Proof, *, wide: bool = False) -> None:
    """The table that an etcd user knows."""
    more = ("endpoint", ">revision", "learner") if wide else ()
    made = table("member", "id", "version", ">db size", "leader", ">term", ">index", ">applied", "errors", *more)
    for row in found.rows:
        cells = [row.member, row.id, row.version, size(row.db_size), str(row.leader).lower()]
        cells += [str(row.term), str(row.index), str(row.applied), "; ".join(row.errors)]
        made.add_row(*cells, *((row.endpoint, str(row.revision), str(row.learner).lower()) if wide else ()))
    console().print(made)


def proof(found: Proof, *, wide: bool = False) -> None:
    """The table, and what goes for all members."""
    out = console()
    rows(found, wide=wide)
    out.print(f"every member is at revision {found.revision} with hash {found.hash}; cluster id {found.cluster_id}")
    for warning in found.warnings:
        out.print(Text.assemble(("warning: ", "yellow"), warning))
    for note in found.notes:
        out.print(f"note: {note}", soft_wrap=True)


def size(count: int) -> str:
    """Bytes, for people."""
    value = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000 or unit == "GB":
            return f"{value:.0f} {unit}" if unit == "B" or value >= 10 else f"{value:.1f} {unit}"
        value /= 1000
    raise AssertionError
