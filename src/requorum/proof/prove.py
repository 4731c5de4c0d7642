"""Ask a started cluster whether it is what the plan promised.

``endpoint health`` is not enough (members that diverged are "healthy", and so is each of three clusters of one): there must
be as many ids as members, each in everybody's list, one cluster, one leader, and revision and hash are compared on every
member. A difference in hash at one revision is never asked about again in the hope that it goes away.
"""

import contextlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from requorum.deployments.config import MemberConfig
from requorum.errors import RequorumError
from requorum.etcd import client
from requorum.etcd.binaries import Binaries
from requorum.hosts import net, programs
from requorum.hosts.connection import Connection
from requorum.hosts.everywhere import at_once
from requorum.proof import gathered
from requorum.survey import live
from requorum.survey.evidence import Peer

HEALTH_SECONDS = 180.0
SETTLE_SECONDS = 30.0
GRACE_SECONDS = 1.0
CALL_SECONDS = 10.0
LOOKS = 4
"""So many times a member is looked at before it is said to differ: what a status tells is not read at one instant."""
KEEP = "keep every member's disk as it is, and replace none of them before you know which of them is right"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A member that is asked on its own host, with the certificates that lie there."""

    host: Connection
    tools: Binaries
    config: MemberConfig

    @property
    def name(self) -> str:
        """The member's name."""
        return self.config.name

    @property
    def flags(self) -> list[str]:
        """etcdctl's flags."""
        return client.client_flags(self.config.endpoint, self.config.ca, self.config.cert, self.config.key)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One endpoint, in the words of ``endpoint status``. Sizes are in bytes."""

    member: str
    endpoint: str
    id: str
    version: str
    db_size: int
    leader: bool
    learner: bool
    term: int
    index: int
    applied: int
    revision: int
    errors: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """What was found. ``hash`` is the same on every member at ``revision``; ``warnings`` are what is left to do, ``notes``
    what may hinder Kubernetes' return."""

    schema: Literal["requorum/Proof/v1"] = "requorum/Proof/v1"
    cluster_id: str
    revision: int
    hash: str
    rows: tuple[Row, ...]
    alarms: tuple[str, ...]
    warnings: tuple[str, ...]
    notes: tuple[str, ...] = ()


Dead = Callable[[MemberConfig], str]
"""Says why a member cannot become healthy any more; empty while it may."""


def prove(members: Sequence[Asked], least_revision: int, dead: Dead, *, quiet: bool = True) -> Proof:
    """Wait until every member is healthy, then compare them; raises RequorumError with the first thing that is wrong.

    ``quiet``: nobody writes meanwhile, so all come to one revision. Else they are compared at one that all have reached.
    """
    at_once(lambda one: wait_healthy(one, dead), members)
    return compare(members, least_revision, quiet=quiet)


def compare(members: Sequence[Asked], least_revision: int = 0, *, quiet: bool = False, change: bool = True) -> Proof:
    """Compare members that serve: one cluster, one revision, one hash; raises RequorumError with the first difference.

    With ``change`` an alarm for space is disarmed where there is room again.
    """
    gathered.different(members, at_once(_status, members))
    statuses, lists = _settled(members, quiet=quiet), at_once(_listed, members)
    gathered.one_cluster(members, statuses, lists)
    behind: tuple[str, ...] = ()
    if not quiet:
        statuses, behind = _come_to_one(members, statuses)
    rows = tuple(_row(member, status) for member, status in zip(members, statuses, strict=True))
    revision = min(row.revision for row in rows)
    if revision < least_revision:
        low = next(row for row in rows if row.revision == revision)
        raise RequorumError(f"{low.member} is at revision {revision}, at least {least_revision} was predicted")
    voting = [one for one, row in zip(members, rows, strict=True) if not row.learner]  # a learner gives no hash
    digest = _equal_hash(voting, revision)
    alarms, warnings = _alarms(voting, [row for row in rows if not row.learner], change=change)
    warnings += [*behind, *gathered.absent(statuses, lists), *gathered.elsewhere(members, statuses, lists)]
    return Proof(
        cluster_id=f"{int(statuses[0]['header']['cluster_id']):x}",
        revision=revision,
        hash=digest,
        rows=rows,
        alarms=tuple(alarms),
        warnings=tuple(warnings),
    )


def _ask(member: Asked, words: Sequence[str]) -> Any:
    try:
        return member.host.call(client.ctl_json, member.tools, member.flags, words, CALL_SECONDS)
    except programs.ProgramError as err:
        raise RequorumError(f"{member.name} does not answer: {err}") from err


def _status(member: Asked) -> dict[str, Any]:
    answer = _ask(member, ["endpoint", "status"])
    try:
        status: dict[str, Any] = answer[0]["Status"]
        int(status["header"]["revision"])
    except (KeyError, IndexError, TypeError) as err:
        raise RequorumError(f"{member.name}: its status cannot be read: {answer!r}") from err
    return status


def _hash(member: Asked, revision: int) -> tuple[int, int]:
    """Hash and compact revision at a revision."""
    answer = _ask(member, ["endpoint", "hashkv", f"--rev={revision}"])
    try:
        body = answer[0]["HashKV"]
        return int(body["hash"]), int(body.get("compact_revision", 0))
    except (KeyError, IndexError, TypeError, ValueError) as err:
        raise RequorumError(f"{member.name}: its hash cannot be read: {answer!r}") from err


def wait_healthy(member: Asked, dead: Dead, seconds: float = HEALTH_SECONDS) -> None:
    """Wait until a member commits a proposal; not for one whose process has ended. A learner may not propose anything: for
    one it is enough that it knows a leader."""
    began = time.monotonic()
    deadline = began + seconds
    config, host = member.config, member.host
    while True:
        # etcdctl takes a while to start, and is only started when it is worth while.
        ready = host.call(net.healthy, config.endpoint, config.ca, config.cert, config.key)
        said = f"nothing listens at {config.endpoint}, or it has no leader yet"
        listens = bool(ready) or host.call(net.answers, config.endpoint)
        if ready or (ready is None and listens):
            said = _committed(member)
            if not said:
                return
        if listens and _follows(member):
            return
        if time.monotonic() > began + GRACE_SECONDS and (why := dead(config)):
            raise RequorumError(f"{member.name} does not run: {why}", hint="look at its log, then resume")
        if time.monotonic() > deadline:
            raise RequorumError(
                f"{member.name} ({config.endpoint}) is not healthy after {seconds:.0f} s: {said}",
                hint="look at its log; the command that goes on is printed below",
            )
        time.sleep(0.1 if ready is not None else 0.3)


def _follows(member: Asked) -> bool:
    """Whether a member is a learner that knows a leader: its /health stays bad, as that asks for a linearizable read."""
    with contextlib.suppress(RequorumError):
        status = _status(member)
        return bool(status.get("isLearner")) and bool(status.get("leader"))
    return False


def _committed(member: Asked) -> str:
    """Let a member commit a proposal (``endpoint health``); returns why it did not, empty when it did."""
    try:
        answer = member.host.call(client.ctl_json, member.tools, member.flags, ["endpoint", "health"], 3)
    except programs.ProgramError as err:
        return programs.last_line(err.detail) or str(err)
    return "" if isinstance(answer, list) and answer and answer[0].get("health") else str(answer)


def _settled(members: Sequence[Asked], *, quiet: bool) -> list[dict[str, Any]]:
    """The status of every member once all have applied as much as the first one had."""
    deadline = time.monotonic() + SETTLE_SECONDS
    while True:
        statuses = at_once(_status, members)
        revisions = {int(one["header"]["revision"]) for one in statuses}
        led = {int(one.get("leader", 0)) for one in statuses}
        if (len(revisions) == 1 or not quiet) and len(led) == 1 and 0 not in led:
            return statuses
        if time.monotonic() > deadline:
            seen = ", ".join(
                f"{member.name} {int(one['header']['revision'])}" for member, one in zip(members, statuses, strict=True)
            )
            raise RequorumError(f"the members do not come to one revision and one leader: {seen}")
        time.sleep(0.1)


def _row(member: Asked, status: dict[str, Any]) -> Row:
    header = status["header"]
    return Row(
        member=member.name,
        endpoint=member.config.endpoint,
        id=f"{int(header['member_id']):x}",
        version=str(status.get("version", "")),
        db_size=int(status.get("dbSize", 0)),
        leader=int(status.get("leader", 0)) == int(header["member_id"]),
        learner=bool(status.get("isLearner", False)),
        term=int(status.get("raftTerm", 0)),
        index=int(status.get("raftIndex", 0)),
        applied=int(status.get("raftAppliedIndex", 0)),
        revision=int(header["revision"]),
        errors=tuple(str(one) for one in status.get("errors") or ()),
    )


def _listed(member: Asked) -> tuple[Peer, ...] | None:
    """The members that a member knows of; None from a learner, which may not be asked."""
    status = _status(member)
    if status.get("isLearner"):
        return None
    try:
        return live.peers_of(_ask(member, ["member", "list"]))
    except (AttributeError, KeyError, TypeError, ValueError) as err:
        raise RequorumError(f"{member.name}: its list of members cannot be read: {err!r}") from err


def _come_to_one(members: Sequence[Asked], first: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], tuple[str, ...]]:
    """While clients write: wait until every member has come to the revision that the furthest one was at, so that all can
    be compared there.

    Who has applied the entry that led to it and still is at a lower revision holds something else: raises RequorumError. Who
    has not applied it in time is behind: that is a warning.
    """
    furthest = max(first, key=lambda one: int(one["header"]["revision"]))
    wanted, entry = int(furthest["header"]["revision"]), int(furthest.get("raftAppliedIndex", 0))
    deadline, held = time.monotonic() + SETTLE_SECONDS, {member.name: 0 for member in members}
    statuses = first
    while True:
        low = [
            (member, status)
            for member, status in zip(members, statuses, strict=True)
            if int(status["header"]["revision"]) < wanted
        ]
        if not low:
            return statuses, ()
        for member, status in low:
            applied = int(status.get("raftAppliedIndex", 0))
            held[member.name] += entry > 0 and applied >= entry
            if held[member.name] >= LOOKS:
                seen = ", ".join(
                    f"{one.name} {int(said['header']['revision'])}" for one, said in zip(members, first, strict=True)
                )
                raise RequorumError(
                    f"the members differ: {member.name} has applied entry {applied} and is at revision "
                    f"{int(status['header']['revision'])}, others came to revision {wanted} with entry {entry} ({seen})",
                    hint=KEEP,
                )
        if time.monotonic() > deadline:
            return statuses, tuple(
                f"{member.name} is behind: it has applied entry {int(status.get('raftAppliedIndex', 0))} of {entry}"
                for member, status in low
            )
        time.sleep(0.3)
        statuses = at_once(_status, members)


def _equal_hash(members: Sequence[Asked], revision: int) -> str:
    """The hash at one revision, the same on every member; waits only for compactions to become the same."""
    deadline = time.monotonic() + SETTLE_SECONDS
    while True:
        found = at_once(lambda member: _hash(member, revision), members)
        hashes = {member.name: one for member, one in zip(members, found, strict=True)}
        if len({compacted for _, compacted in hashes.values()}) == 1:
            break
        if time.monotonic() > deadline:
            raise RequorumError(f"the members do not come to one compact revision: {hashes}")
        time.sleep(0.2)
    digests = {digest for digest, _ in hashes.values()}
    if len(digests) > 1:
        seen = ", ".join(f"{name} {digest:x}" for name, (digest, _) in hashes.items())
        raise RequorumError(
            f"the members differ: they hold different data at revision {revision}: {seen}",
            hint=f"{KEEP}; requorum rollback RUN puts back what was there before a recovery",
        )
    return f"{digests.pop():x}"


def _alarms(members: Sequence[Asked], rows: Sequence[Row], *, change: bool) -> tuple[list[str], list[str]]:
    """The alarms that stand, and what to do. NOSPACE is disarmed only where there is room again; CORRUPT never."""
    answer = _ask(members[0], ["alarm", "list"])
    names = {1: "NOSPACE", 2: "CORRUPT"}
    raised = {names.get(int(one.get("alarm", 0)), str(one.get("alarm"))) for one in answer.get("alarms", [])}
    warnings: list[str] = []
    if raised and not change:
        warnings.append(f"alarms stand: {', '.join(sorted(raised))}")
    elif raised == {"NOSPACE"}:
        room = all(row.db_size < member.config.quota for row, member in zip(rows, members, strict=True))
        if room:
            try:
                first = members[0]
                argv = [first.tools.etcdctl, *first.flags, "alarm", "disarm"]
                first.host.call(programs.run, argv, seconds=CALL_SECONDS)
            except programs.ProgramError as err:
                warnings.append(f"the NOSPACE alarm could not be disarmed: {err}")
            else:
                return [], ["a NOSPACE alarm came back with the data and was disarmed: the db is under its quota again"]
        else:
            warnings.append("a NOSPACE alarm stands and the db is over its quota: compact and defragment, then disarm")
    elif raised:
        warnings.append(f"alarms stand: {', '.join(sorted(raised))}; CORRUPT is never disarmed by requorum")
    return sorted(raised), warnings
