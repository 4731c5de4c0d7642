"""One case of the campaign: a past and damage on copies of a killed cluster, requorum's words, and the judge's.

``words``: surveyed, and what the verdict says is done on copies: started there, or built and read. ``full``: recovered on
the members themselves. ``living``: the members run while they are surveyed and checked. ``halfway``: a recovery was
killed on its way; what is said then, and what comes of going on with it, or of taking it back.
"""

import shutil
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from random import Random
from typing import Any, Literal

from requorum.etcdfiles import mvcc
from requorum.rehearsal import cluster, damage, wreck
from requorum.rehearsal.cluster import Member
from requorum.rehearsal.damage import Missed
from requorum.rehearsal.gateway import Gateway, NoAnswer
from requorum.rehearsal.load import Operation
from tests.damage import bits, cases, judge, pasts, rawdisk, said
from tests.damage.cases import Killed
from tests.damage.judge import Found, Lie, Served
from tests.damage.said import Claim, Ended
from tests.damage.stage import Stage, leads, serves

Mode = Literal["words", "full", "living", "halfway"]
DAMAGE = {**damage.ALL, **bits.ALL}
UP_SECONDS = 25.0
FORGETS = ("3.5.0", "3.5.1", "3.5.2")
"""Versions of etcd that may write an index to their db before what was applied at it (etcd#13766)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """What is done in a case: pasts in order, then damage by member."""

    mode: Mode
    pasts: tuple[str, ...]
    damage: Mapping[str, tuple[str, ...]]

    def text(self) -> str:
        """In one line."""
        parts = [*self.pasts, *(f"{name}: {' + '.join(some)}" for name, some in self.damage.items())]
        return f"[{self.mode}] " + ("; ".join(parts) or "a power cut")


@dataclass
class Outcome:
    """What came of a case. ``needless``: a careful expert would have recovered, and why not is said."""

    claims: int = 0
    lies: list[Lie] = field(default_factory=list)
    needless: list[str] = field(default_factory=list)
    overstated: str = ""
    changed: list[str] = field(default_factory=list)
    majority_untouched: bool = False
    recovered: bool = False
    refused: str = ""
    unknowable: bool = False
    dead_ends: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    verdicts: list[str] = field(default_factory=list)


def damaged(stage: Stage, wanted: Mapping[str, Sequence[str]]) -> None:
    """Damage members by name, and note what is touched; raises Missed."""
    for member in stage.members:
        for name in wanted.get(member.name, ()):
            if name == "none":
                continue
            number = bits.nth(name)
            try:
                if number is not None:
                    bits.the_nth_of_the_meta_bucket(member.data_dir, number)
                else:
                    DAMAGE[name](member.data_dir, stage.rng)
            except (Missed, OSError, ValueError, IndexError, AssertionError) as err:
                raise Missed(f"{name}: {err}") from err
            except Exception as err:  # a reader of etcd's files that cannot read what an earlier damage left
                if type(err).__module__.startswith("requorum.etcdfiles"):
                    raise Missed(f"{name}: {err}") from err
                raise
            for one in stage.members:
                if one.data_dir.resolve() == member.data_dir.resolve():  # two may be led to one disk
                    _note(stage, one, name)


def _note(stage: Stage, member: Member, name: str) -> None:
    log = name in damage.LOG or name in bits.LOG or name == "disk gone"
    stage.touch(member, log=log, db=not log or name == "disk gone")
    if name in bits.DB or name == "value flipped":
        stage.flipped.add(member.name)
    if name in cases.SILENT:
        stage.forgetful.add(member.name)
        stage.cut.add(member.name)
    elif log:
        stage.hurt.add(member.name)


def play(killed: Killed, drawn: Drawn, rng: Random, work: Path) -> Outcome:
    """One case; raises Missed where there is nothing to damage."""
    members = cases.copied(killed, work)
    stage = Stage(killed, work, members, rng, lives_on=drawn.mode == "living")
    try:
        _inventory(stage)
        stage.operators_call = _apart(killed)
        for one in drawn.pasts:
            try:
                pasts.ALL[one][1](stage)
            except OSError as err:
                if err.errno is not None:
                    raise
                raise Missed(f"{one}: {err}") from err  # shutil, of a dir that an earlier past made a link
        damaged(stage, drawn.damage)
        out = Outcome(majority_untouched=stage.majority_untouched, notes=stage.notes)
        if drawn.mode == "living":
            _living(stage, out)
        elif drawn.mode == "halfway":
            _halfway(stage, out)
        else:
            _dead(stage, out, full=drawn.mode == "full")
            if stage.named(out.refused):  # the operator does what is said, and types the command again
                for config, text in stage.to_take_out.items():
                    config.write_text(text)
                stage.to_take_out.clear()
                _dead(stage, out, full=drawn.mode == "full")
        return out
    finally:
        stage.end(stage.running)
        while cluster.end_all_below(work):
            time.sleep(0.02)


@cache
def _apart(killed: Killed) -> str:
    """Whether etcd itself left these members with different data (etcd#13766), before anything was done to them: at one index
    they are at different revisions, or one revision is not the same in all. Nobody can say then that there is a right one to
    recover from."""
    at: dict[int, int] = {}
    dbs = [one.data_dir / "member/snap/db" for one in killed.members if (one.data_dir / "member/snap/db").exists()]
    facts = [mvcc.read_facts(str(one)) for one in dbs]
    for one in facts:
        if at.setdefault(one.consistent_index, one.revision) != one.revision:
            return f"etcd left its members apart at entry {one.consistent_index}"
    first = max((one.compact_revision for one in facts), default=0)
    last = min((one.revision for one in facts), default=0)
    written: dict[tuple[int, int], rawdisk.Kept] = {}
    held = [
        {(one.revision, one.sub): one for one in rawdisk.read_keys(db) if first < one.revision <= last} for db in dbs
    ]
    for each in held:
        for place, record in each.items():
            if written.setdefault(place, record) != record or any(place not in other for other in held):
                return f"etcd left its members apart at revision {place[0]}"
    return _serve_apart(killed) if killed.etcd_dir.name.split("-")[1] in FORGETS else ""


def _serve_apart(killed: Killed) -> str:
    """The same, of copies that are started: an index that ran ahead of its data skips entries when etcd reads its log again."""
    root = Path(tempfile.mkdtemp(prefix="requorum-apart-"))
    voters = [one for one in cases.copied(killed, root) if one.name in killed.voters and one.name in killed.names]
    running = cluster.start(voters, killed.etcd_dir)
    try:
        end, hashes = time.monotonic() + UP_SECONDS, dict[str, object]()
        while time.monotonic() < end:
            time.sleep(0.2)
            try:
                revision = min(judge.from_url(one.name, one.client_url).revision for one in voters)
                hashes = {one.name: _hash(one.client_url, revision) for one in voters}
            except NoAnswer:
                continue
            end = min(end, time.monotonic() + 3)  # by then each has read its log again
        return f"etcd left its members apart: {hashes}" if len(set(hashes.values())) > 1 else ""
    finally:
        cluster.kill_at_once(running)
        shutil.rmtree(root, ignore_errors=True)


def _hash(url: str, revision: int) -> object:
    gateway = Gateway(url)
    try:
        return gateway.call("/v3/maintenance/hash", {"revision": revision})["hash"]
    finally:
        gateway.close()


def _inventory(stage: Stage) -> None:
    lines = ["schema: requorum/Inventory/v1", "cluster: case", f"tools: {stage.killed.etcd_dir}", "hosts:"]
    lines += [
        f"  {one.name}:\n    roles: [etcd]\n    etcd: {{deployment: process, config: {one.config}}}"
        for one in stage.members
    ]
    (stage.root / "inventory.yaml").write_text("\n".join(lines) + "\n")


def _say(stage: Stage, *words: str | Path) -> Ended:
    return said.run(words, stage.root / "state", stage.root / "requorum.log")


def _given(stage: Stage) -> list[str]:
    out = ["-i", str(stage.root / "inventory.yaml")]
    for one in stage.snapshots:
        out += ["--snapshot", str(one)]
    return out


# -- the truth ----------------------------------------------------------------------------------------------------------


def truth_of(stage: Stage, folders: Sequence[Path], *, looks_inside: bool = False) -> dict[str, Any]:
    """What the disks in these folders show, before anything is asked of requorum. ``looks_inside``: a member's folder is found
    under another name, too."""
    shown: set[str] = set()
    for folder in folders:
        shown |= rawdisk.values_in_logs(folder)
    disks = {one.name: rawdisk.read_disk(one.data_dir) for one in stage.voters}
    for disk in disks.values():
        shown |= disk.values
    for snapshot in stage.snapshots:
        shown |= rawdisk.db_values(snapshot)
    forgotten = bool(stage.forgetful) and not stage.majority_of_logs
    learners = [one for one in stage.members if one.name in stage.killed.learners]
    known = {**disks, **{one.name: rawdisk.read_disk(one.data_dir) for one in learners}}
    contradiction = refuted(stage, disks, {name: disk.commit for name, disk in known.items()})
    if contradiction:
        note = f"the disks contradict each other: {contradiction}"
        stage.notes += [] if note in stage.notes else [note]
    # Where a majority of the logs is as the crash left it a proof may be called one: its witnesses may be just those.
    return {
        "shown": frozenset(shown),
        "forgotten": forgotten,
        "fork_forgotten": bool(stage.forced & stage.cut),
        "refuted": "" if (stage.majority_of_folders if looks_inside else stage.majority_of_logs) else contradiction,
        "doubtful": bool(contradiction),
    }


def refuted(stage: Stage, disks: Mapping[str, rawdisk.Disk], commits: Mapping[str, int]) -> str:
    """Why some committed index cannot have been held by a majority of the logs as they are; empty where it may have. A log that
    was begun anew does not hold it, whatever it held before; one whose member was forced to be alone may have, and shows that it
    threw something away."""
    known = {name: commit for name, commit in commits.items() if name not in stage.foreign}
    committed = max(known.values(), default=0)
    short = [
        name
        for name, disk in disks.items()
        if disk.member_id and disk.last_index < committed and not disk.damaged
        if (name not in stage.hurt or name in stage.forgetful) and name not in stage.forced
    ]
    short = [name for name in short if disks[name].last_index or name in stage.foreign]
    if len(stage.killed.voters) - len(set(short)) >= stage.majority:
        return ""
    who = max(known, key=lambda name: known[name])
    return f"{who} knows entry {committed} to be committed, and {', '.join(short)} end before it"


def _blind(stage: Stage) -> bool:
    """Whether no db is left whose records could be compared with those of one in which bits were flipped."""
    return bool(stage.flipped) and sum(one.name not in stage.db_touched for one in stage.with_disk) < 2


def _found(stage: Stage, truth: Mapping[str, Any], served: Sequence[Served], **more: Any) -> Found:
    operations: list[Operation] = [*stage.killed.operations, *stage.forked]
    lost, wrong = judge.compare(operations, served) if served else ((), ())
    blind = _blind(stage)
    changed = judge.altered(lost, served) if blind else ()
    if _apart(stage.killed):
        wrong = ()  # etcd's own doing: whatever is served, some client was told otherwise
    return Found(
        lost=tuple(one for one in lost if one not in changed),
        altered=changed,
        wrong=wrong,
        revisions={one.where: one.revision for one in served},
        blind=blind,
        **truth,
        **more,
    )


def _hold(out: Outcome, claims: Sequence[Claim], found: Found) -> None:
    for claim in claims:
        out.claims += 1
        lie = judge.hold(claim, found)
        if lie is not None and lie not in out.lies:
            out.lies.append(lie)
        if claim.kind == "loss" and not found.down:
            if claim.at_most > 0 and not found.lost:
                out.overstated = claim.text
            doubted = not claim.proven or claim.at_most < 0
            if out.majority_untouched and doubted and not found.lost and not found.doubtful:
                out.needless.append(f"doubt: {claim.by}: {claim.text}")
    out.unknowable |= bool(found.lost) and found.excused()


# -- dead members -------------------------------------------------------------------------------------------------------


def _dead(stage: Stage, out: Outcome, *, full: bool) -> None:
    before = {one.name: wreck.fingerprint(one.data_dir) for one in stage.members}
    truth = truth_of(stage, [one.folder for one in stage.members])
    survey = _say(stage, "survey", *_given(stage), "--verify", "-o", "json")
    verdict = survey.json.get("verdict", {})
    if survey.code not in (0, 3) or not verdict:
        _crashed(stage, out, survey)
        return
    out.verdicts.append(f"{verdict['kind']}: {verdict['summary']}")
    claims = said.of_verdict("survey", verdict)
    _changed(stage, out, before)
    if full:
        _recover(stage, out, verdict, claims, truth, before)
        return
    kind = verdict["kind"]
    if kind == "start as is" and not verdict.get("refusal"):
        _hold(out, claims, _started(stage, verdict["start"], truth))
        out.recovered = True
        if stage.rng.random() < 0.25:
            _rebuild(stage, out, verdict, [], truth)
    elif kind == "rebuild" and not verdict.get("refusal"):
        _rebuild(stage, out, verdict, claims, truth)
    else:
        _hold(out, claims, _found(stage, truth, [], usable=_usable(stage)))
        _refused(stage, out, verdict.get("refusal") or f"{kind}: {verdict['summary']}", verdict)
        if verdict.get("sources") and not verdict.get("refusal"):  # the operator decides
            chosen = stage.rng.choice(verdict["sources"])["id"]
            _rebuild(stage, out, verdict, [], truth, chosen)
    _changed(stage, out, before)


def _crashed(stage: Stage, out: Outcome, ended: Ended) -> None:
    out.refused = f"{ended.words[0]} exit {ended.code}: {ended.message}"
    if ended.code == 70:
        out.lies.append(Lie(kind="bug", claim=f"{ended.words[0]} ended with 70", evidence=ended.message))
    _refused(stage, out, out.refused, {})


def _usable(stage: Stage) -> str:
    whole = [one.name for one in stage.with_disk if one.name not in stage.touched]
    return f"the disks of {', '.join(whole)} are as the crash left them" if whole else ""


def _refused(stage: Stage, out: Outcome, why: str, verdict: Mapping[str, Any]) -> None:
    """Nothing was recovered: whether a careful expert would have."""
    out.refused = why
    if stage.operators_call or stage.named(why) or "have one data dir" in why:  # only the operator can give one another
        return
    if out.majority_untouched:
        out.needless.append(f"refused: {why}")
    elif _usable(stage) and not stage.foreign and not verdict.get("tie"):
        others = [one.name for one in stage.with_disk if one.name in stage.touched]
        if not any(one in stage.forgetful for one in others):
            out.needless.append(f"refused though a whole disk is left: {why}")


def _changed(stage: Stage, out: Outcome, before: Mapping[str, wreck.Fingerprint]) -> None:
    for one in stage.members:
        if wreck.fingerprint(one.data_dir) != before[one.name] and one.name not in out.changed:
            out.changed.append(one.name)


def _started(stage: Stage, start: Mapping[str, Any], truth: Mapping[str, Any]) -> Found:
    """Start copies of the members that the verdict names, as it says, with their own configuration, and read each."""
    root = stage.root / "started"
    named = {one.name: one for one in stage.members}
    named |= {_configured_name(one): one for one in stage.members}
    copies: dict[str, Member] = {}
    for name in start["members"]:
        one = named[name]
        (root / one.name).mkdir(parents=True)
        subprocess.run(
            ["cp", "-aL", "--sparse=always", one.data_dir, root / one.name / "data"], check=True, timeout=120
        )
        copy = Member(name=one.name, folder=root / one.name, peer_url=one.peer_url, client_url=one.client_url)
        copy.config.write_text(one.config.read_text().replace(str(one.folder), str(copy.folder)))
        copies[name] = copy
    first = [copies[name] for name in start.get("first") or start["members"]]
    rest = [one for one in copies.values() if one not in first]
    running = stage.boot(first, UP_SECONDS)
    try:
        if not any(serves(one) for one in first):
            return _down(stage, truth, first, "")
        for one in rest:
            _tell_address(stage, first[0], one)
        running += stage.boot(rest, UP_SECONDS)
        return _read(stage, truth, [*copies.values()])
    finally:
        stage.end(running)


def _tell_address(stage: Stage, speaker: Member, moved: Member) -> None:
    """What the plan does where a member does not join whose peer URL is another than the cluster knows."""
    argv = [str(stage.killed.etcd_dir / "etcdctl"), f"--endpoints={speaker.client_url}", "member"]
    env = {"ETCDCTL_API": "3"}
    listed = subprocess.run([*argv, "list"], capture_output=True, text=True, timeout=20, check=False, env=env).stdout
    for line in listed.splitlines():
        number, _, name, urls, *_ = line.split(", ")
        if name == _configured_name(moved) and urls != moved.peer_url:
            words = ["update", number, f"--peer-urls={moved.peer_url}"]
            subprocess.run([*argv, *words], capture_output=True, timeout=20, check=False, env=env)


def _configured_name(member: Member) -> str:
    for line in member.config.read_text().splitlines():
        if line.startswith("name: "):
            return line.removeprefix("name: ")
    return member.name


def _read(stage: Stage, truth: Mapping[str, Any], members: Sequence[Member], **more: Any) -> Found:
    """What members serve, once they stand at one revision; ``down`` where one of them serves nothing."""
    voters = [one for one in members if one.name not in stage.killed.learners]
    end = time.monotonic() + 3
    while True:
        try:
            served = [judge.from_url(one.name, one.client_url) for one in voters]
        except NoAnswer as err:
            return _down(stage, truth, voters, str(err))
        if len({one.revision for one in served}) < 2 or time.monotonic() > end:
            return _found(stage, truth, served, **more)
        time.sleep(0.1)


def _down(stage: Stage, truth: Mapping[str, Any], members: Sequence[Member], said_of_it: str) -> Found:
    who = [one for one in members if not leads(one)]
    log = "; ".join(f"{one.name}: {_last_words(one)}" for one in who)
    if "address already in use" in log:
        raise Missed("somebody else has the port")
    names = ", ".join(one.name for one in who) or "a member"
    return _found(stage, truth, [], down=f"not served by {names}: {said_of_it} {log}"[:700])


def _last_words(member: Member) -> str:
    log = member.folder / "etcd.log"
    lines = log.read_text(errors="replace").splitlines() if log.exists() else []
    for mark in ("panic: ", '"fatal"', '"panic"', '"error"'):
        loud = [one for one in lines if mark in one]
        if loud:
            return loud[-1][:250]
    return lines[-1][:250] if lines else ""


def _rebuild(
    stage: Stage,
    out: Outcome,
    verdict: Mapping[str, Any],
    claims: Sequence[Claim],
    truth: Mapping[str, Any],
    chosen: str = "",
) -> None:
    """Build what the data dirs hold (``chosen``: the source that the operator names), and read the snapshot that came out."""
    target = stage.root / "built.db"
    more = [word for one in stage.snapshots for word in ("--snapshot", str(one))]
    dirs = [one.data_dir for one in stage.with_disk if any(one.data_dir.iterdir())]
    words: list[str | Path] = ["rebuild", *dirs, "-o", target, *more]
    if chosen:
        words += ["--source", chosen]
    ended = _say(stage, *words, "--etcd-dir", stage.killed.etcd_dir, "--format", "json")
    if ended.code not in (0, 3) or not target.exists():
        if ended.code == 70:
            _crashed(stage, out, ended)
        elif chosen and ended.code != 2:  # 2: by the dirs alone it has another name
            out.dead_ends.append(f"rebuild --source {chosen!r} exit {ended.code}: {ended.message}")
        elif claims:
            _refused(stage, out, f"rebuild exit {ended.code}: {ended.message}", verdict)
        return
    out.recovered = True
    try:
        served = [judge.from_db("the snapshot", target)]
    except rawdisk.Unreadable as err:
        out.lies.append(Lie(kind="wrong data", claim="rebuild ended with 0", evidence=f"the snapshot: {err}"))
        return
    told = said.of_rebuild(ended)
    by_hand = truth_of(stage, dirs, looks_inside=True)
    _hold(out, told, _found(stage, by_hand, served))
    best = str((ended.json.get("source") or {}).get("id", ""))
    _hold(out, [one for one in claims if best in one.about], _found(stage, truth, served))


def _recover(
    stage: Stage,
    out: Outcome,
    verdict: Mapping[str, Any],
    claims: Sequence[Claim],
    truth: Mapping[str, Any],
    before: Mapping[str, wreck.Fingerprint],
) -> None:
    """Recover on the members themselves, and read what they serve."""
    ended = _say(stage, "recover", *_given(stage), "--yes", "--confirm", str(verdict.get("cluster", "")), "-o", "json")
    _held_to_recovery(stage, out, verdict, ended, claims, truth)
    if ended.code in (0, 3):
        _kept_aside(stage, out, ended, before)


def _held_to_recovery(
    stage: Stage,
    out: Outcome,
    verdict: Mapping[str, Any],
    ended: Ended,
    claims: Sequence[Claim],
    truth: Mapping[str, Any],
) -> None:
    """What a recovery claims, against what the members serve."""
    if ended.code not in (0, 3):
        if ended.code == 70:
            _crashed(stage, out, ended)
        else:
            _refused(stage, out, f"{ended.words[0]} exit {ended.code}: {ended.message}", verdict)
        return
    out.recovered = True
    proof = ended.json.get("proof") or {}
    names = {row["member"] for row in proof.get("rows", ())}
    members = [one for one in stage.members if one.name in names or _configured_name(one) in names]
    found = _read(stage, truth, members)
    same = [one for one in claims if one.kind != "loss" or _same_source(one, ended)]
    _hold(out, [*said.of_recovery(ended, verdict), *same], found)


def _kept_aside(stage: Stage, out: Outcome, ended: Ended, before: Mapping[str, wreck.Fingerprint]) -> None:
    """Whether what was set aside is what lay there."""
    run = str(ended.json.get("run", ""))
    for one in stage.members:
        real = one.data_dir.resolve()
        kept = (
            real.with_name(f"{real.name}.requorum")
            / run
            / ("old" if ended.json.get("verdict") == "rebuild" else "copy")
        )
        links = one.data_dir.is_symlink() or any(path.is_symlink() for path in one.data_dir.glob("member*"))
        if kept.exists() and not links and wreck.fingerprint(kept) != before[one.name]:
            out.changed.append(one.name)


def _same_source(claim: Claim, ended: Ended) -> bool:
    return (str(ended.json.get("source") or "") or "start") in claim.about


# -- a recovery that was killed ------------------------------------------------------------------------------------------

STEPS = ("fence", "build source", "copy aside", "restore beside", "set aside", "move in", "configure", "start", "prove")
"""What a recovery may be killed at, by the kind of the step in its journal."""


def _halfway(stage: Stage, out: Outcome) -> None:
    """Kill a recovery on its way; look at what is said, then go on with it or take it back."""
    before = {one.name: wreck.fingerprint(one.data_dir) for one in stage.members}
    truth = truth_of(stage, [one.folder for one in stage.members])
    survey = _say(stage, "survey", *_given(stage), "--verify", "-o", "json")
    verdict = survey.json.get("verdict", {})
    if verdict.get("kind") not in ("rebuild", "start as is") or verdict.get("refusal"):
        raise Missed("nothing that a recovery would begin with")
    word = ["--yes", "--confirm", str(verdict["cluster"]), "-o", "json"]
    state, log = stage.root / "state", stage.root / "requorum.log"
    step = stage.rng.choice(STEPS).replace(" ", "-")
    began = said.run(["recover", *_given(stage), *word], state, log, killed_at=step)
    if began.code != -9:
        raise Missed(f"it did not come to {step}")
    stage.notes.append(f"killed at {step}")
    if stage.rng.random() < 0.5:  # everything was switched off, too
        while cluster.end_all_below(stage.root):
            time.sleep(0.02)
        stage.notes.append("everything went down")
    run = next(iter((state / "runs").iterdir())).name
    kept = f"run {run} is half done, and everything that it set aside is there"
    again = _say(stage, "survey", *_given(stage), "--verify", "-o", "json")
    if again.code == 70:
        _crashed(stage, out, again)
    claims = [one for one in said.of_verdict("survey", again.json.get("verdict", {})) if one.kind == "nothing"]
    _hold(out, claims, _found(stage, truth, [], usable=kept))
    out.verdicts.append(f"{again.json.get('verdict', {}).get('kind')}: {again.json.get('verdict', {}).get('summary')}")
    if stage.rng.random() < 0.6:
        _held_to_recovery(stage, out, verdict, _say(stage, "resume", run, *word), [], truth)
        return
    ended = _say(stage, "rollback", run, *word)
    if ended.code not in (0, 3):
        out.dead_ends.append(f"rollback exit {ended.code}: {ended.message}")
        return
    while cluster.end_all_below(stage.root):
        time.sleep(0.02)
    out.recovered = True
    if not any(one.data_dir.is_symlink() for one in stage.members):
        _changed(stage, out, before)


# -- living members -----------------------------------------------------------------------------------------------------


def _living(stage: Stage, out: Outcome) -> None:
    """Survey, check and plan while members run, and hold what is said against what they serve."""
    truth = truth_of(stage, [one.folder for one in stage.members])
    led = _settled(stage)
    survey = _say(stage, "survey", *_given(stage), "--verify", "-o", "json")
    check = _say(stage, "check", *_given(stage), "-o", "json")
    plan = _say(stage, "plan", *_given(stage), "-o", "json")
    for ended in (survey, check, plan):
        if ended.code == 70:
            _crashed(stage, out, ended)
    verdict = survey.json.get("verdict", {})
    out.verdicts.append(
        f"{verdict.get('kind')}: {verdict.get('summary')}; check exit {check.code}: {check.json.get('summary')}"
    )
    still = [one for one in stage.members if one.name in stage.killed.voters and leads(one)]
    steady = [one.name for one in still] == led
    majority = len(still) >= stage.majority
    claims = [*said.of_verdict("survey", verdict), *said.of_check(check), *said.of_plan(plan)]
    claims = [one for one in claims if one.kind in ("healthy", "replace", "no quorum")]
    if not steady:
        raise Missed("leaders came and went")
    if majority:
        found = _read(stage, truth, still, leads=True)
        _hold(out, claims, found)
        well = not (found.lost or found.wrong or found.down or found.doubtful)
        if well and out.majority_untouched and verdict.get("kind") not in ("healthy", "replace members"):
            out.needless.append(f"living: {verdict.get('kind')}: {verdict.get('summary')}")
    else:
        down = f"only {', '.join(one.name for one in still) or 'nobody'} of {len(stage.killed.voters)} has a leader"
        _hold(out, [one for one in claims if one.kind != "no quorum"], _found(stage, truth, [], down=down))
    out.recovered = True


def _settled(stage: Stage) -> list[str]:
    """The voters that know a leader, once they have been the same for a second."""
    seen: list[list[str]] = []
    for _ in range(30):
        seen.append([one.name for one in stage.members if one.name in stage.killed.voters and leads(one)])
        if len(seen) > 4 and all(one == seen[-1] for one in seen[-5:]):
            break
        time.sleep(0.25)
    return seen[-1]


def cleared(work: Path) -> None:
    """Remove what a case left behind."""
    shutil.rmtree(work, ignore_errors=True)
