"""What this reader makes of a WAL is what etcd's own reader makes of it, in every version.

Each history is drawn from what raft may legally do to one member's log, and written as WAL bytes by a writer of the test's
own: what deposed leaders left and later ones replaced, at any terms; snapshots of the member's own, and such as the leader
sent, far ahead of the log or in contradiction to it; cuts between segments; changes of members, empty entries, hard states
in between. ``--wal-histories N`` reads N of them for each version instead of a few hundred.
"""

import json
import random
import shutil
import struct
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from lab import walreaders
from requorum.etcdfiles import checksum, messages, protowire, wal, walscan
from requorum.etcdfiles.messages import ConfState, Entry, HardState, SnapshotMark

SEEDS = random.SystemRandom()
BATCH = 250
SECONDS = 120
NO_STATE, NO_SNAPSHOT = HardState(0, 0, 0), SnapshotMark(0, 0, None)


@dataclass
class Member:
    """One member's raft log, as it is in memory, and all it ever wrote to its WAL."""

    draw: random.Random
    as_3_7: bool
    """3.7 leaves out what is 0, earlier versions write it."""
    segments: dict[str, bytes] = field(default_factory=dict)
    name: str = ""
    crc: int = 0
    written: int = 0
    """The index that the next segment is named after, less one (wal.go, enti)."""
    identity: bytes = b""
    state: HardState = NO_STATE
    base: SnapshotMark = NO_SNAPSHOT
    """The snapshot that the log goes on from."""
    log: list[Entry] = field(default_factory=list)
    pending: SnapshotMark | None = None
    """A snapshot that the leader sent, of which only the mark was written when etcd died: what it holds is committed."""

    @property
    def last(self) -> int:
        """The index of the last entry."""
        return self.base.index + len(self.log)

    def term(self, index: int) -> int:
        """The term of an entry, or of the snapshot that the log goes on from."""
        return self.log[index - self.base.index - 1].term if index > self.base.index else self.base.term

    def put(self, kind: int, data: bytes) -> None:
        """One record, framed as etcd does."""
        if kind != walscan.CRC:
            self.crc = checksum.crc32c(data, self.crc)
        body = protowire.int_field(1, kind) + protowire.int_field(2, self.crc)
        body += b"" if kind == walscan.CRC else protowire.bytes_field(3, data)
        pad = -len(body) % 8
        frame = struct.pack("<Q", len(body) | ((0x80 | pad) << 56 if pad else 0)) + body + bytes(pad)
        self.segments[self.name] += frame

    def begin(self) -> None:
        """A new segment, and what each begins with."""
        self.name = f"{len(self.segments):016x}-{self.written + 1 if self.segments else 0:016x}.wal"
        self.segments[self.name] = b""
        self.put(walscan.CRC, b"")
        self.put(walscan.METADATA, self.identity)
        if self.state != NO_STATE:
            self.put_state(self.state)

    def put_state(self, state: HardState) -> None:
        """A hard state; 3.7 writes no vote and no commit where there is none."""
        self.state = state
        data = messages.encode_hard_state(state)
        if self.as_3_7:
            named = enumerate((state.term, state.vote, state.commit), 1)
            data = b"".join(protowire.int_field(number, value) for number, value in named if value)
        self.put(walscan.STATE, data)

    def put_mark(self, mark: SnapshotMark) -> None:
        """The mark of a snapshot (wal.go, SaveSnapshot)."""
        self.put(walscan.SNAPSHOT, messages.encode_snapshot_mark(mark))
        self.written = max(self.written, mark.index)

    def append(self, first: int, count: int) -> None:
        """Entries from ``first`` on, which replace what was there: of any terms that a leader's log may have."""
        for index in range(first, first + count):
            term = self.draw.randint(max(self.term(index - 1), 1), self.state.term)
            if self.pending is not None and (index >= self.pending.index or term > self.pending.term):
                return
            del self.log[index - self.base.index - 1 :]
            kind = self.draw.choice((0, 0, 0, 0, 1, 2))
            data = self.draw.randbytes(self.draw.choice((0, 1, 30, 90, 700)) or kind)
            entry = Entry(kind, term, index, data)
            self.log.append(entry)
            raw = messages.encode_entry(entry)
            self.put(walscan.ENTRY, raw[2:] if self.as_3_7 and not kind else raw)
            self.written = index


def history(seed: int) -> Member:
    """A member's life."""
    draw = random.Random(seed)
    member = Member(draw, draw.random() < 0.3)
    member.identity = messages.encode_wal_metadata(draw.getrandbits(64), draw.getrandbits(64))
    member.begin()
    member.put_mark(NO_SNAPSHOT)
    member.put_state(HardState(1, draw.choice((0, draw.getrandbits(63))), 0))
    for _ in range(draw.randint(1, 40)):
        draw.choices((_elected, _appends, _replaces, _commits, _snapshots, _is_sent_one, _cuts), (2, 6, 3, 3, 1, 1, 1))[
            0
        ](member)
    if draw.random() < 0.7:
        member.segments[member.name] += bytes(draw.choice((8, 64, 4096)))
    return member


def _elected(member: Member) -> None:
    state = member.state
    vote = member.draw.choice((0, member.draw.getrandbits(63)))
    member.put_state(HardState(state.term + member.draw.randint(1, 3), vote, state.commit))


def _appends(member: Member) -> None:
    member.append(member.last + 1, member.draw.randint(1, 8))


def _replaces(member: Member) -> None:
    """A leader whose log differs: figures 7 and 8 of the raft paper. What is committed stays."""
    if member.last > member.state.commit:
        first = member.draw.randint(member.state.commit + 1, member.last)
        member.append(first, member.draw.randint(1, 5))


def _commits(member: Member) -> None:
    state, commit = member.state, member.draw.randint(member.state.commit, member.last)
    if member.pending is None or (commit < member.pending.index and member.term(commit) <= member.pending.term):
        member.put_state(HardState(state.term, state.vote, commit))


def _snapshots(member: Member) -> None:
    """A snapshot of the member's own."""
    if member.state.commit > member.base.index:
        index = member.draw.randint(member.base.index + 1, member.state.commit)
        conf = member.draw.choice((None, ConfState((1, 2, 3), (4,))))
        member.put_mark(SnapshotMark(index, member.term(index), conf))


def _is_sent_one(member: Member) -> None:
    """A snapshot from the leader: ahead of the log, however far, or within it but of another term. One time in four etcd
    dies before it writes the hard state, and goes on with the old log."""
    draw, state, pending = member.draw, member.state, member.pending
    least = SnapshotMark(state.commit + 1, member.term(state.commit), None) if pending is None else pending
    index = max(member.last, least.index) + draw.choice((1, 3, 20, 5000, 2_000_000, 1 << 40))
    if draw.random() < 0.5 and least.index <= member.last:
        index = draw.randint(least.index, member.last)
    term = draw.randint(max(least.term, 1), state.term)
    if pending is not None and draw.random() < 0.5:
        index = pending.index
    if pending is not None and index == pending.index:
        term = pending.term
    if index <= member.last and term == member.term(index):
        return
    mark = SnapshotMark(index, term, draw.choice((None, ConfState((1, 2, 3)))))
    member.put_mark(mark)
    member.pending = mark
    if pending is not None or draw.random() < 0.75:
        member.base, member.log, member.pending = mark, [], None
        member.put_state(HardState(state.term, state.vote, index))


def _cuts(member: Member) -> None:
    member.begin()


def _asked(program: Path, dirs: list[Path]) -> list[dict[str, object]]:
    """What etcd's reader says of each WAL."""
    done = subprocess.run(
        [program],
        input="".join(f"{one}\n" for one in dirs),
        capture_output=True,
        text=True,
        check=True,
        timeout=SECONDS,
    )
    return [json.loads(line) for line in done.stdout.splitlines()]


def _as_said(log: wal.Log, start: int) -> dict[str, object]:
    """A log in the words of the Go program."""
    state = log.hard_state or NO_STATE
    return {
        "metadata": messages.encode_wal_metadata(log.member_id, log.cluster_id).hex(),
        "state": [state.term, state.vote, state.commit],
        "entries": [
            [one.index, one.term, one.type, checksum.crc32c(one.data)]
            for one in (log.entries[index] for index in sorted(log.entries))
            if one.index > start
        ],
        "error": "",
    }


def _difference(member: Member, folder: Path, said: dict[str, object]) -> str:
    """What this reader makes otherwise of a WAL than etcd's reader does, or than the member that wrote it."""
    start: int = said["start"][0]  # type: ignore[index]
    as_etcd = wal.read_log(str(folder), from_index=start, start=start)
    if said["error"] == "wal: snapshot not found":
        # Where etcd died at the mark of a snapshot from the leader, and the leader then had the entries all the same, the
        # mark can lie before the file that etcd begins to read at. It has read everything when it finds that.
        said["error"] = ""
    if _as_said(as_etcd, start) != {name: said[name] for name in ("metadata", "state", "entries", "error")}:
        return f"etcd's reader, from {start}: {said}\nthis one: {_as_said(as_etcd, start)}"
    log = wal.read_log(str(folder), key=b"key")
    for each in (log, as_etcd):
        if each.damage or each.unreadable or each.end != walscan.CLEAN or each.found or each.growing:
            return f"damage where there is none: {each.damage} {each.unreadable} {each.end} {each.found}"
    held = [log.entries[index] for index in sorted(log.entries) if index > start and index not in log.superseded]
    lived = [one for one in member.log if one.index > start]
    if held != lived:
        return f"the member's log: {lived}\nread: {held}"
    if log.hashes is None or len(log.hashes) != sum(run.last - run.first + 1 for run in log.runs):
        return "not every whole entry is hashed"
    if (member.base.index, member.base.term) not in {(one.index, one.term) for one in log.marks}:
        return f"the snapshot at {member.base.index} is not among the marks"
    return ""


@pytest.mark.timeout(1800)
def test_random_histories_read_alike(tmp_path: Path, pytestconfig: pytest.Config) -> None:
    """Identity, hard state and every entry are what etcd's reader of each version says, and no damage is seen. The log
    without what a later snapshot superseded is what the member itself had in memory."""
    programs = {minor: walreaders.program_of(minor) for minor in sorted(walreaders.MODULES)}
    wrong: list[str] = []
    entries, left = 0, int(pytestconfig.getoption("--wal-histories"))
    while left > 0 and len(wrong) < 6:
        seeds = [SEEDS.getrandbits(48) for _ in range(min(BATCH, left))]
        members, dirs = [history(one) for one in seeds], [tmp_path / f"{one:012x}" for one in seeds]
        for member, folder in zip(members, dirs, strict=True):
            folder.mkdir()
            for name, raw in member.segments.items():
                (folder / name).write_bytes(raw)
        said = {minor: _asked(program, dirs) for minor, program in programs.items()}
        for at, (seed, member, folder) in enumerate(zip(seeds, members, dirs, strict=True)):
            for minor, answers in said.items():
                difference = _difference(member, folder, answers[at])
                if difference:
                    wrong.append(f"history {seed}, {minor}: {difference}")
            entries += len(member.log)
            shutil.rmtree(folder)
        left -= len(seeds)
    assert wrong == [], "\n".join(wrong)
    assert entries


def test_the_histories_hold_what_raft_may_do() -> None:
    """Among a few hundred there are all the kinds that are to be read: else the test above would prove little."""
    seen = set()
    for seed in range(300):
        member = history(seed)
        seen |= {"cut"} if len(member.segments) > 1 else set()
        seen |= {"3.7"} if member.as_3_7 else set()
        seen |= {"sent"} if member.base.index else set()
        seen |= {"far"} if member.base.index > 1 << 20 else set()
        order: list[tuple[int, int]] = []
        for raw in member.segments.values():
            at = 0
            while at + 8 <= len(raw) and (size := int.from_bytes(raw[at : at + 7], "little")):
                body = {number: value for number, _, value in protowire.fields(raw[at + 8 : at + 8 + size])}
                at += 8 + (size + 7) // 8 * 8
                if body[1] == walscan.ENTRY:
                    entry = messages.decode_entry(messages.as_view(body[3]))
                    if order and entry.index <= order[-1][0]:
                        seen.add("replaced")
                        replaced = [term for index, term in order if index == entry.index]
                        seen |= {"by a lower term"} if replaced and entry.term < replaced[-1] else set()
                    order.append((entry.index, entry.term))
                    seen.add(f"type {entry.type}")
                    seen |= {"empty"} if not entry.data else set()
    kinds = {"cut", "3.7", "sent", "far", "replaced", "by a lower term", "empty", "type 0", "type 1", "type 2"}
    assert seen >= kinds
