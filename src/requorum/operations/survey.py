"""Look at every disk, change nothing, and judge what is possible."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import anyio
import msgspec

from requorum.errors import Unreachable, UsageError
from requorum.etcd.binaries import Binaries
from requorum.hosts import files, openssh
from requorum.operations import hosts
from requorum.operations.hosts import World
from requorum.reports.survey import SurveyAndVerdict
from requorum.survey import codec, gather
from requorum.survey.evidence import Survey
from requorum.verdict.decide import decide


def judged(survey: Survey, seen_revision: int = 0) -> SurveyAndVerdict:
    """A survey with its verdict. ``seen_revision`` is one that the operator knows to have been served (0: none is known); a
    saved survey keeps its own."""
    survey = replace(survey, seen_revision=seen_revision) if seen_revision else survey
    return SurveyAndVerdict(survey=survey, verdict=decide(survey))


def load(path: Path) -> Survey:
    """A survey out of a file, perhaps of another machine; raises UsageError."""
    try:
        answer = msgspec.json.decode(files.read_file(path))
    except OSError as err:
        raise UsageError(f"{path}: {err.strerror}") from err
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as err:
        raise UsageError(f"{path}: not a survey: {err}") from err
    if isinstance(answer, dict) and "survey" in answer:
        answer = answer["survey"]
    return codec.decode(msgspec.json.encode(answer), Survey)


def survey_dirs(
    dirs: Sequence[Path],
    snapshots: Sequence[str] = (),
    wal_dirs: Sequence[Path] = (),
    *,
    in_full: bool,
    programs: Binaries | None = None,
) -> Survey:
    """Survey plain data dirs. ``in_full``: every file is read and checked from end to end."""
    named = [Path(one) for one in hosts.absolute_snapshots(snapshots, ())]
    read = partial(gather.survey_dirs, in_full=in_full, snapshots=named, wal_dirs=wal_dirs, found=programs)
    return anyio.run(read, tuple(dirs))


def survey_hosts(
    world: World, snapshots: Sequence[str] = (), powered_off: Sequence[str] = (), *, in_full: bool
) -> Survey:
    """Survey the hosts of an inventory; raises Unreachable when not one of them answers."""
    named = hosts.absolute_snapshots(snapshots, world.connections.names())
    read = partial(gather.survey_hosts, in_full=in_full, snapshots=named, powered_off=powered_off)
    survey = anyio.run(read, world.inventory, world.connections, world.programs)
    silent = [one for one in survey.hosts if one.unreachable]
    if silent and len(silent) == len(survey.hosts):
        raise Unreachable(
            f"no host can be reached: {'; '.join(one.unreachable for one in silent)}",
            hint=openssh.hint_of(silent[0].name, silent[0].unreachable),
        )
    return survey
