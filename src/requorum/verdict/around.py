"""What lies around the members' data, as findings, and what it forbids. Pure."""

import shlex
from collections.abc import Iterator, Sequence

from requorum.survey.around_values import (
    CUT_OFF_LOG,
    DB,
    FOREIGN,
    RECEIVED_DB,
    Around,
    FoundFile,
    FoundFolder,
    FoundRun,
)
from requorum.survey.evidence import (
    DbEvidence,
    LiveEvidence,
    LogEvidence,
    MemberEvidence,
    Survey,
    Unknown,
)
from requorum.verdict.values import Finding, Level

SHOWN = 5
PURGE_SECONDS = 30
"""How often etcd lists its folders to purge old files; it ends where one is missing (etcdserver's purgeFile). ``snapshot save``
is no way out: etcd 3.5.1 opens the db by its name for that, and waits until it ends."""
_PARTS = ("snap", "wal")
NOTHING = "no disk and no snapshot holds anything that can be used"


def findings(survey: Survey) -> list[Finding]:
    """What was found around each member, and what to type."""
    out = list(_half_done(survey))
    for member in survey.members:
        found = member.around
        if aside := renamed(member):
            text = f"its data is in {aside}; etcd looks for {member.data_dir}/member, and begins empty: rename it first"
            out.append(Finding(level="danger", subject=member.name, text=text))
        if isinstance(found, Unknown):
            continue
        out += [Finding(level=level, subject=member.name, text=text) for level, text in _of(member, found)]
    if keys := v2_keys(survey):
        how_bad: Level = "warning" if any(_serves(one) for one in survey.members) else "danger"
        out.append(Finding(level=how_bad, subject="cluster", text=f"{keys}: {_V2}"))
    return out


def renamed(member: MemberEvidence) -> str:
    """The folder with a member's data, where somebody has given it another name than ``member`` in its data dir."""
    db = member.db.path if isinstance(member.db, DbEvidence) else ""
    log = member.log.wal_dir if isinstance(member.log, LogEvidence) else ""
    for path, end in ((db, "/snap/db"), (log, "/wal")):
        folder = path.removesuffix(end)
        inside = folder.removeprefix(f"{member.data_dir}/")
        if folder not in (path, inside) and "/" not in inside and inside != "member":
            return folder
    return ""


_V2 = "they are in no db, so a rebuild or a snapshot does not hold them; they stay where the members start on their own disks"


def _serves(member: MemberEvidence) -> bool:
    return isinstance(member.live, LiveEvidence) and bool(member.live.leader)


def _of(member: MemberEvidence, found: Around) -> Iterator[tuple[Level, str]]:
    if found.held:
        yield "danger", _held(member, found)
    for folder in found.folders:
        if not any(not one.deleted and one.path.startswith(f"{folder.path}/") for one in found.held):
            yield _folder(member, folder)
    for run in found.runs:
        if not run.half_done and run.holds:
            yield "info", f"run {run.run} ({run.state}) keeps data in {run.path} until requorum cleanup {run.run}"
    yield from _files(member, found)
    if found.unread:
        named = _some([f"{one.path} ({one.why})" for one in found.unread])
        yield "warning", f"not looked at: {named}"
    if found.written.unread:
        yield "info", f"{found.written.unread}: what its etcd wrote there is not held against its disk"


def _some(words: Sequence[str]) -> str:
    """The first of many words, and how many more there are."""
    more = f" and {len(words) - SHOWN} more" if len(words) > SHOWN else ""
    return ", ".join(words[:SHOWN]) + more


def _files(member: MemberEvidence, found: Around) -> Iterator[tuple[Level, str]]:
    """What lies in the data dir or beside it file by file."""
    for one in found.files:
        if one.kind == CUT_OFF_LOG:
            text = f"etcd cut this log off when it started, and kept it as it was in {one.path} ({one.modified}): what the "
            yield "info" if _serves(member) else "warning", f"{text}log ends with now may not be all that there was"
        elif one.kind == RECEIVED_DB:
            yield "info", f"{one.path} is a whole db that a leader sent: {_holds(one)}"
        elif one.kind == DB:
            where = "in its data dir" if one.inside else "beside its data dir"
            yield "info", f"a snapshot or a copy of a db lies {where}: {one.path}, {_holds(one)}"
    if foreign := [one.path for one in found.files if one.kind == FOREIGN]:
        yield "info", f"not etcd's, but in its data dir: {_some(foreign)}"


def _holds(one: FoundFile | FoundFolder) -> str:
    if one.note:
        return f"not readable as one of etcd's: {one.note}"
    if not one.ids:
        return "it names no member of a cluster"
    index = f", consistent index {one.consistent_index}" if one.consistent_index else ""
    return f"revision {one.revision}{index}"


def _folder(member: MemberEvidence, folder: FoundFolder) -> tuple[Level, str]:
    log = member.log if isinstance(member.log, LogEvidence) else None
    db = member.db if isinstance(member.db, DbEvidence) else None
    whose = f"of member {folder.member_id:x}" if folder.member_id else "of a member"
    if log is not None and folder.member_id == log.member_id:
        whose = "of this very member"
    if log is not None and folder.cluster_id and folder.cluster_id != log.cluster_id:
        whose += f" in another cluster ({folder.cluster_id:x})"
    reach = f"its log goes to term {folder.last_term}, index {folder.last_index}" if folder.last_index else "no log"
    reach += f", its db to revision {folder.revision}" if folder.db and not folder.note else ", no usable db"
    named = f" (named in {folder.named_in})" if folder.named_in else ""
    use = f"requorum survey {shlex.quote(folder.path)} looks at it, requorum rebuild {shlex.quote(folder.path)} -o FILE uses it"
    if log is None and db is None:
        text = (
            f"its data dir {member.data_dir} holds no data, but {folder.path}{named} does, {whose}: {reach}. Was the "
        )
        return "danger", f"{text}data moved, or the path changed? {use}"
    ahead = folder.last_index > (log.last_index if log else 0) or folder.revision > (db.revision if db else 0)
    text = f"{folder.path}{named} holds data {whose}: {reach}"
    if ahead:
        return "danger", f"{text}. That is more than its data dir holds. {use}"
    return "info", f"{text}; {use}"


def _half_done(survey: Survey) -> Iterator[Finding]:
    """Runs that hold members' data and were neither finished nor taken back: one finding for each."""
    found: dict[str, list[tuple[MemberEvidence, FoundRun]]] = {}
    for member in survey.members:
        for run in member.around.runs if isinstance(member.around, Around) else ():
            if run.half_done and run.holds:
                found.setdefault(run.run, []).append((member, run))
    for name, those in found.items():
        where = _some([f"{run.path}/{run.holds[0]}" for _, run in those])
        subject = ", ".join(dict.fromkeys(member.name for member, _ in those))
        text = f"run {name} of requorum is half done ({those[0][1].state}), and keeps the data in {where}: {_way_out(name)}"
        yield Finding(level="danger", subject=subject, text=text)


def _way_out(run: str) -> str:
    return f"requorum resume {run} goes on with it, requorum rollback {run} puts the data back"


def hidden(survey: Survey) -> str:
    """What there may be where there is no source: something was set aside, or was not looked at. Empty where neither is so."""
    runs = [
        run.run
        for member in survey.members
        if isinstance(member.around, Around)
        for run in member.around.runs
        if run.half_done and run.holds
    ]
    if runs:
        return f"the data was set aside by run {runs[0]}, which is half done: {_way_out(runs[0])}"
    if any(unread(one) for one in survey.members):
        return "nothing that was read can be used, but not all could be read (see the warnings)"
    return ""


def unread(member: MemberEvidence) -> bool:
    """Whether something around a member's data was not looked at; one that was surveyed before this was looked for, and one
    that has no data dir at all, hides nothing that we know of."""
    if isinstance(member.around, Unknown):
        return bool(member.data_dir) and member.around.unknown != "not looked for"
    return bool(member.around.unread)


def _held(member: MemberEvidence, found: Around) -> str:
    """Files that a running etcd has open and that its next start would not find."""
    pid = found.held[0].pid
    moved = [one.path for one in found.held if not one.deleted]
    if moved:
        folder = moved[0].partition("/member/")[0] or moved[0].rpartition("/")[0]
        return (
            f"its etcd (pid {pid}) runs on files in {folder}, no longer in its data dir {member.data_dir}: its next start finds "
            f"none of them, and begins empty. Stop it, keep it from being started, and move them back; a snapshot comes of them "
            f"then by requorum rebuild {shlex.quote(folder)} -o FILE"
        )
    lost = _some([one.path for one in found.held])
    return (
        f"the files of its etcd (pid {pid}) were deleted while it runs ({lost}): they are gone for good when it stops, and "
        f"without its folders it stops by itself within {PURGE_SECONDS} seconds. Save them now, as root: {_rescue(member, found)}"
    )


def _rescue(member: MemberEvidence, found: Around) -> str:
    """What to type to copy what a process holds, as it stands at one moment: its db, and the log behind it."""
    pid = found.held[0].pid
    saved = f"{member.data_dir.rstrip('/').rpartition('/')[0]}/{member.name}-held"
    names = {one.path.rsplit("/", 1)[-1]: one.fd for one in found.held if one.pid == pid}
    commands = [
        shlex.join(["mkdir", "-p", *(f"{top}/member/{one}" for top in (member.data_dir, saved) for one in _PARTS)])
    ]
    commands.append(f"kill -STOP {pid}")
    for name, fd in names.items():
        part = "snap" if name == "db" else "wal"
        commands.append(f"cp /proc/{pid}/fd/{fd} {shlex.quote(f'{saved}/member/{part}/{name}')}")
    if "db" not in names:
        commands.append(shlex.join(["cp", f"{member.data_dir}/member/snap/db", f"{saved}/member/snap/"]))
    if set(names) <= {"db"}:
        commands.append(f"cp {shlex.quote(member.wal_dir)}/*.wal {shlex.quote(f'{saved}/member/wal/')}")
    commands.append(f"kill -CONT {pid}")
    return f"{'; '.join(commands)}. A snapshot comes of that by requorum rebuild {shlex.quote(saved)} -o FILE"


def refusal(survey: Survey) -> str:
    """Why nothing may be stopped: what some etcd holds would be gone with it."""
    holding = [one for one in survey.members if isinstance(one.around, Around) and one.around.held]
    if not holding:
        return ""
    return (
        f"{', '.join(one.name for one in holding)}: a running etcd holds files that are not in its data dir, and stopping it "
        f"could lose them: save them first (requorum survey says how), and stop it yourself"
    )


def v2_keys(survey: Survey) -> str:
    """How many keys of the v2 API there are, by the member that shows most; empty where there are none."""
    most = max(
        (one.around for one in survey.members if isinstance(one.around, Around)),
        key=lambda one: one.v2_keys,
        default=None,
    )
    if most is None or not most.v2_keys:
        return ""
    some = ", ".join(most.v2_some)
    what = f"1 key of the v2 API ({some})" if most.v2_keys == 1 else f"{most.v2_keys} keys of the v2 API ({some}"
    return what if most.v2_keys == 1 else what + (", …)" if most.v2_keys > len(most.v2_some) else ")")


def v2_refusal(survey: Survey) -> tuple[str, str]:
    """Why a rebuild is refused unless its source is named, and the hint; both empty where no v2 key is in use."""
    keys = v2_keys(survey)
    if not keys:
        return "", ""
    return (
        f"a rebuild would drop {keys}: {_V2}",
        "copy out what still needs them first (etcdctl of 3.4, ETCDCTL_API=2); --source ID rebuilds without them",
    )
