"""Everything that a post-mortem needs of a run, in one file, and nothing secret."""

import io
import re
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from requorum.deployments import kinds
from requorum.errors import RequorumError, UsageError
from requorum.hosts import files, units
from requorum.hosts.connection import Connections
from requorum.hosts.everywhere import at_once
from requorum.operations import recover
from requorum.operations.hosts import Where
from requorum.procedures.values import Plan, PlanMember, work_of
from requorum.survey import gather, live

LINES = 5000
LOG_BYTES = 1 << 20
_STRING = r'"(?:[^"\\\n]|\\.)*"?'  # the last line may be cut
_OF_REQUESTS = (
    (re.compile(rf'("(?:request|response|key|range_begin|range_end|detail)":){_STRING}'), r'\1"(left out)"'),
    (re.compile(rf'("steps":)\[(?:{_STRING},?)*\]?'), r'\1["(left out)"]'),
    (re.compile(rf"\b((?:request|result) ){_STRING}"), r'\1"(left out)"'),  # 3.4's plain text
    (re.compile(r'(\btrace\[\d+\][^{"\n]*)\{.*', re.IGNORECASE), r"\1(left out)"),
    (re.compile(r'(/registry/)[^\s"\\;,}\]]+'), r"\1(left out)"),
)
"""Where etcd's log speaks of a slow request, or traces one, it names keys of Kubernetes: that is left out. etcd's sources:
etcdserver's util.go (warnOfExpensiveRequest), pkg/traceutil/trace.go (logInfo)."""
README = """Evidence of a requorum run, for a post-mortem. It holds no key and no value of etcd, no certificate and no key file.

plan.json          what was to be done, and why
journal.jsonl      what was done, a line before each action and one after it
survey.json        what the disks said before (and the verdict), where it was kept
HOST/journal.jsonl the host's own copy of its part
HOST/etcd.log      the last lines of etcd there
HOST/now.json      member, process and units as they are now
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Collected:
    """A file with so many files in it; ``missing`` says of which hosts nothing could be had, and why."""

    path: str
    files: int
    missing: tuple[str, ...]


def collect(run: str, at: Where, target: Path) -> Collected:
    """Collect plan, journal, survey and logs of a run into a new file; raises UsageError where it is there already."""
    if target.exists():
        raise UsageError(
            f"{target} exists already", hint="requorum overwrites nothing: choose another name with --save"
        )
    with recover.opened(run, at) as journal:
        assert journal.connections is not None
        parts = {"README": README.encode()}
        for name in ("plan.json", "journal.jsonl", "survey.json"):
            path = journal.folder / name
            if path.exists():
                parts[name] = files.read_file(path)
        missing = []
        for host, part in _of_hosts(journal.plan, journal.connections).items():
            if isinstance(part, str):
                missing.append(f"{host}: {part}")
                continue
            parts.update({f"{host}/{name}": raw for name, raw in part.items()})
    if not files.create_exclusively(target.absolute(), _packed(run, parts)):
        raise UsageError(f"{target} exists already")
    return Collected(path=str(target), files=len(parts), missing=tuple(missing))


def _of_hosts(plan: Plan, connections: Connections) -> dict[str, "dict[str, bytes] | str"]:
    def one(member: PlanMember) -> "dict[str, bytes] | str":
        try:
            return _of_host(plan, member, connections)
        except (RequorumError, OSError) as err:
            return str(err)

    return dict(zip((member.host for member in plan.members), at_once(one, plan.members), strict=True))


def _of_host(plan: Plan, member: PlanMember, connections: Connections) -> dict[str, bytes]:
    host = connections[member.host]
    found: dict[str, bytes] = {}
    beside = Path(work_of(member, plan.run)) / "journal.jsonl"
    if host.call(files.there, beside):
        found["journal.jsonl"] = host.call(files.read_file, beside)
    now: dict[str, Any] = {"endpoint": member.config.endpoint}
    written = kinds.of(member.deployment).own_log(host, member.deployment, LINES)
    found.update({name: without_keys(text).encode() for name, text in written.items()})
    if member.deployment.supervised:
        now["units"] = [
            {"unit": one.name, "active": one.active, "sub": one.sub, "fenced_by": one.fenced_by}
            for one in host.call(units.show, [*dict.fromkeys((*member.deployment.units, *gather.SERVICES))])
            if one.there
        ]
    up = live.answers(host, member.config.endpoint)
    now["status"] = msgspec.to_builtins(live.ask(host, member.config, member.tools)) if up else "nothing listens"
    found["now.json"] = msgspec.json.format(msgspec.json.encode(now), indent=1)
    return found


def without_keys(log: str) -> str:
    """etcd's log without what it says of single requests."""
    for what, instead in _OF_REQUESTS:
        log = what.sub(instead, log)
    return log


def _packed(run: str, parts: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as packed:
        for name, raw in sorted(parts.items()):
            info = tarfile.TarInfo(f"requorum-{run}/{name}")
            info.size, info.mode = len(raw), 0o600
            packed.addfile(info, io.BytesIO(raw))
    return out.getvalue()
