"""What the records of a WAL come to: the log as raft takes it, with what is damaged in it named.

As in etcd (wal.go, ReadAll), an entry with an index seen before replaces it and all that followed, whatever their terms: a
leader may bring back an older entry (figure 8 of the raft paper). Never at or below what the log says is committed: that
is damage. A snapshot mark ahead of the last entry is a snapshot that the leader sent: entries go on behind it, and what
lies between was never here. Doubt begins at damage: what may have been replaced within it does not count as read.
"""

from bisect import bisect_right
from dataclasses import dataclass, field
from typing import Dict, List, Optional, Tuple

from requorum.etcdfiles import messages
from requorum.etcdfiles.faults import Damage
from requorum.etcdfiles.indexes import NONE, Indexes
from requorum.etcdfiles.messages import Entry, HardState, SnapshotMark
from requorum.etcdfiles.protowire import WireError
from requorum.etcdfiles.walchain import LEAST_ENTRY, LONGEST_REQUEST, entry_head
from requorum.etcdfiles.walhash import EntryHashes
from requorum.etcdfiles.walscan import (
    BROKEN,
    CLEAN,
    CRC,
    CUT,
    ENTRY,
    KINDS,
    METADATA,
    SNAPSHOT,
    STATE,
    TORN,
    Record,
    Scan,
)

_UNKNOWN = 1 << 63
"""How many entries lie in a file that is missing."""
MAX_JUMP = 1 << 20
"""An entry that is further ahead than this, without a snapshot mark or damage before it, is none that etcd wrote."""


@dataclass(frozen=True)
class Segment:
    """One WAL file by name."""

    path: str
    seq: int
    first_index: int


@dataclass(frozen=True)
class TermRun:
    """Entries ``first`` to ``last`` (both included) are there, whole, and of one term."""

    first: int
    last: int
    term: int


@dataclass(frozen=True)
class Log:
    """What a WAL holds, as raft would take it (an entry with an index seen before replaces what followed).

    ``runs`` covers every whole entry, also those behind damage; ``entries`` has the bodies of the ones that the reader
    was asked to keep. ``unreadable`` are indexes that must have been there but cannot be read. ``end`` says how the
    last segment ends: ``clean`` (zeroes or the end of a full file), ``torn`` (one half-written record, then only
    zeroes), ``cut`` (the file stops within a record) or ``broken`` (damage with more behind it).

    ``found`` are the entries that were found where damage hides how they follow on what is before it, ``unchecked`` those
    of them whose own bytes no checksum covers: either counts for less than an entry of a log without damage.
    ``superseded`` are entries that a snapshot from the leader has overtaken, and which etcd reads all the same: never
    committed. ``growing``: etcd was writing the log, which is read up to its last whole record.
    """

    wal_dir: str
    segments: Tuple[Segment, ...]
    read_from: int
    member_id: int
    cluster_id: int
    hard_state: Optional[HardState]
    marks: Tuple[SnapshotMark, ...]
    runs: Tuple[TermRun, ...]
    entries: Dict[int, Entry]
    conf_changes: Tuple[Entry, ...]
    unreadable: Indexes
    damage: Tuple[Damage, ...]
    end: str
    hashes: Optional[EntryHashes] = None
    found: Indexes = NONE
    unchecked: Indexes = NONE
    superseded: Indexes = NONE
    growing: bool = False

    @property
    def last(self) -> Tuple[int, int]:
        """(term, index) of the last whole entry; of the newest snapshot mark when no entry follows it; else (0, 0)."""
        mark = max(((mark.term, mark.index) for mark in self.marks), default=(0, 0))
        return max((self.runs[-1].term, self.runs[-1].last), mark) if self.runs else mark

    def term_at(self, index: int) -> Optional[int]:
        """The term of a whole entry, ``None`` where there is none."""
        low, high = 0, len(self.runs)  # a log with many holes has many runs
        while low < high:
            middle = (low + high) // 2
            if self.runs[middle].last < index:
                low = middle + 1
            else:
                high = middle
        return self.runs[low].term if low < len(self.runs) and self.runs[low].first <= index else None

    def readable_to(self, start: int) -> int:
        """The last index up to which every entry from ``start`` on is whole; ``start - 1`` when that one is not."""
        at = start - 1
        for run in self.runs:
            if run.first <= at + 1 <= run.last:
                at = run.last
        return at


@dataclass
class Reading:
    """The state of one pass over the segments."""

    wal_dir: str
    keep_after: int
    hashes: Optional[EntryHashes] = None
    start: int = 0
    """Entries up to this index are passed over."""
    previous: Optional[int] = None
    """The stored checksum of the record before; ``None`` where it is not known."""
    first_index: int = 1
    position: int = 0
    """The index of the last entry, damaged or not, or of a snapshot mark that it goes on from; 0 where none is known."""
    entry_at: int = 0
    """The index of the last entry, damaged or not."""
    jumps: List[int] = field(default_factory=list)
    """Snapshot marks that entries may go on from: of snapshots that the leader sent."""
    hidden: int = 0
    """At most so many entries lie in what is damaged since the last whole one."""
    committed: int = 0
    """What was known to be committed before that damage."""
    known_commit: int = 0
    """The highest commit index of all hard states, and of the marks of this log's own snapshots."""
    apart: bool = False
    """Whether damage hides how what comes follows on what was before, and nothing proved since that it does."""
    foreign: bool = False
    """Whether a segment does not continue the one before."""
    ids: Tuple[int, int] = (0, 0)
    hard_state: Optional[HardState] = None
    marks: List[SnapshotMark] = field(default_factory=list)
    runs: List[List[int]] = field(default_factory=list)
    entries: Dict[int, Entry] = field(default_factory=dict)
    conf_changes: List[Entry] = field(default_factory=list)
    lost: List[List[int]] = field(default_factory=list)
    """Runs of indexes between the whole entries that must have been there."""
    damaged: List[int] = field(default_factory=list)
    """Indexes of damaged entries behind the last whole one."""
    found: List[List[int]] = field(default_factory=list)
    unchecked: List[int] = field(default_factory=list)
    overtaken: List[Tuple[int, int]] = field(default_factory=list)
    """(mark, last) of snapshots from the leader that contradict this log, which went on to ``last``."""
    damage: List[Damage] = field(default_factory=list)
    end: str = CLEAN
    growing: bool = False

    def fault(self, path: str, offset: int, kind: str, detail: str, index: Optional[int] = None) -> None:
        self.damage.append(Damage(path, offset, kind, detail, index))

    def missing(self, segment: Segment, seq: int) -> None:
        """A segment before this one is not there."""
        self.fault(segment.path, 0, "missing segment", f"WAL file {seq:016x} is missing before it")
        self.previous, self.hidden = None, _UNKNOWN

    def segment(self, segment: Segment, seed: Optional[int], *, last: bool, live: bool) -> None:
        """Take one segment's records; ``seed`` is the checksum that the next one goes on from, where it is known."""
        scan = Scan(segment.path, self.previous, seed, live=live)
        self.first_index = max(segment.first_index, 1)
        faults, empty, at, begun, found_before = len(self.damage), True, 0, 0, len(self.found)
        for record in scan.records():
            if record.offset > at:
                self.hidden += (record.offset - at) // LEAST_ENTRY + 1
            at = record.end
            if empty and record.type != CRC:
                self.fault(record.path, record.offset, "chain", "it does not begin with a checksum mark")
            empty = False
            if not record.checked:
                self.apart, begun = True, record.offset
            if not record.sound:
                self.unsound(record)
            elif record.type == CRC:
                if record.offset == 0 and self.previous not in (None, 0, record.crc):
                    self.fault(record.path, record.offset, "chain", "it does not continue the WAL file before it")
                    self.hidden, self.foreign = _UNKNOWN, True
            else:
                self.take(record)
        if empty and not scan.damage:
            self.fault(segment.path, 0, "empty", "it holds no record")
            scan.end = BROKEN
        self.damage += scan.damage
        self.previous = scan.previous
        proven = scan.at - begun > LONGEST_REQUEST if last else seed is not None and seed == scan.previous
        if begun and proven and not self.foreign:  # no client's value holds such a chain
            del self.found[found_before:]
            self.apart = False
        if last:
            self.end, self.growing = scan.end, scan.growing
        elif scan.end != CLEAN:
            self.hidden = _UNKNOWN
        if not last and scan.end in (TORN, CUT) and len(self.damage) == faults:
            self.fault(segment.path, scan.at, "cut", "the file ends within a record")

    def unsound(self, record: Record) -> None:
        index = None
        self.hidden += 1
        if record.type == ENTRY:
            index = self.next_index(record)
            self.position = self.entry_at = index
            self.damaged.append(index)
        kind = KINDS.get(record.type, f"type {record.type}")
        self.fault(record.path, record.offset, "checksum", f"the checksum of this {kind} record is wrong", index)

    def next_index(self, record: Record) -> int:
        """The index that a damaged entry must have had: the next one, when there was one before."""
        if self.position:
            return self.position + 1
        head = entry_head(record.data)
        return head[1] if head and head[1] <= self.first_index + MAX_JUMP else self.first_index

    def take(self, record: Record) -> None:
        try:
            kind = record.type or (ENTRY if entry_head(record.data) else STATE)
            if kind == ENTRY:
                self.entry(record)
            elif kind == STATE:
                self.state(record.data)
            elif kind == METADATA:
                ids = messages.decode_wal_metadata(record.data)
                if messages.encode_wal_metadata(*ids) != record.data:
                    raise WireError("not the metadata of a WAL")
                if self.ids not in ((0, 0), ids):
                    self.fault(record.path, record.offset, "identity", "it is of another member or cluster")
                else:
                    self.ids = ids
            elif kind == SNAPSHOT:
                self.mark(messages.decode_snapshot_mark(record.data))
        except WireError as err:
            self.fault(record.path, record.offset, "record", f"cannot be decoded: {err}")

    def state(self, data: bytes) -> None:
        state = messages.decode_hard_state(data)
        self.hard_state = state
        self.known_commit = max(self.known_commit, state.commit)
        self.committed = self.committed if self.hidden else state.commit

    def mark(self, mark: SnapshotMark) -> None:
        """A snapshot of this log, or one that the leader sent, which the log goes on from."""
        self.marks.append(mark)
        held = self.term_before(mark.index)
        overtaken = any(one < mark.index <= last for one, last in self.overtaken)
        if held == mark.term and not self.start and not overtaken:
            self.known_commit = max(self.known_commit, mark.index)
        ahead = mark.index - self.entry_at
        if ahead > 0 and not (self.hidden and ahead <= self.hidden):
            self.damaged = []
        elif held is None or held == mark.term:
            return
        elif self.runs[-1][1] > mark.index:
            self.overtaken.append((mark.index, self.runs[-1][1]))
        self.position = mark.index
        self.jumps.append(mark.index)

    def term_before(self, index: int) -> Optional[int]:
        """The term of the entry at an index, ``None`` where it is not here."""
        at = bisect_right(self.runs, [index, _UNKNOWN]) - 1
        return self.runs[at][2] if at >= 0 and index <= self.runs[at][1] else None

    def entry(self, record: Record) -> None:
        data = record.data
        head = entry_head(data)
        if head is None:
            raise WireError("not a log entry")
        kind, index, term, payload = head
        if not term:
            raise WireError("an entry without a term")
        if kind and payload == len(data):
            raise WireError("a configuration change without data")
        if index <= self.start:
            self.position = self.entry_at = index
            return
        runs = self.runs
        if not (runs and runs[-1][1] == index - 1 and runs[-1][2] == term and not self.hidden):
            self.place(index, term)
        elif index <= self.known_commit:
            raise WireError(_committed(index, self.known_commit))
        else:
            runs[-1][1] = index
        self.position = self.entry_at = index
        if self.apart or self.foreign:
            if self.found and self.found[-1][1] == index - 1:
                self.found[-1][1] = index
            else:
                self.found.append([index, index])
            if not record.checked:
                self.unchecked.append(index)
        if self.hashes is not None:
            self.hashes.take(index, data, payload)
        if index > self.keep_after or kind:
            entry = Entry(kind, term, index, data[payload:] if payload < len(data) else b"")
            if index > self.keep_after:
                self.entries[index] = entry
            if kind:
                self.conf_changes.append(entry)

    def place(self, index: int, term: int) -> None:
        """Put an entry where it belongs: it does not simply follow the last one. Raises WireError where it cannot be there."""
        runs = self.runs
        if index <= self.known_commit:
            raise WireError(_committed(index, self.known_commit))
        if not self.hidden and self.position and index > max(self.position, runs[-1][1] if runs else 0) + MAX_JUMP:
            raise WireError(f"an entry {index} of term {term} cannot follow here")
        if self.hidden and (self.term_before(self.committed) or 0) > term:
            raise WireError(f"an entry {index} of term {term} cannot follow here")
        if runs and index <= runs[-1][1]:
            self.truncate(index)
        if self.hidden and runs and runs[-1][2] != term:
            # A new leader's first entries may be among what is damaged, and may have replaced some of these: they do
            # not count as read. What was committed before is never replaced.
            cut = max(index - self.hidden, self.committed + 1)
            for first, _, held in reversed(runs):
                if held <= term:
                    break
                cut = min(cut, max(first, self.committed + 1))
            self.truncate(cut)
        self.note_lost(index)
        self.hidden, self.committed = 0, self.hard_state.commit if self.hard_state else 0
        if runs and runs[-1][1] == index - 1 and runs[-1][2] == term:
            runs[-1][1] = index
        else:
            runs.append([index, index, term])

    def note_lost(self, index: int) -> None:
        """What must have been there before an entry, and is not. What a snapshot from the leader overtook was never here."""
        if self.runs:
            first = self.runs[-1][1] + 1
        elif self.damaged:
            first = self.damaged[0]
        else:
            return
        first = max([first, *(one + 1 for one in self.jumps if one < index)])
        if self.hidden:
            first = max(first, index - self.hidden)
        if first < index:
            self.lost.append([first, index - 1])
        self.damaged = []

    def truncate(self, index: int) -> None:
        """A new leader's entry replaces everything from its index on."""
        for runs in (self.runs, self.lost, self.found):
            while runs and runs[-1][0] >= index:
                runs.pop()
            if runs:
                runs[-1][1] = min(runs[-1][1], index - 1)
        self.overtaken = [(mark, min(last, index - 1)) for mark, last in self.overtaken if mark + 1 < index]
        for indexes in (self.damaged, self.unchecked):
            while indexes and indexes[-1] >= index:
                indexes.pop()
        while self.entries and next(reversed(self.entries)) >= index:
            self.entries.popitem()
        while self.conf_changes and self.conf_changes[-1].index >= index:
            self.conf_changes.pop()
        if self.hashes is not None:
            self.hashes.truncate(index)

    def superseded(self) -> Indexes:
        """Entries behind the mark of a snapshot that took the place of a log which contradicts it."""
        commit = self.hard_state.commit if self.hard_state else 0
        runs: List[Tuple[int, int]] = []
        for mark, last in self.overtaken:
            if mark <= commit and not (runs and runs[-1][1] >= last):
                runs.append((max(mark, runs[-1][1] if runs else 0) + 1, last))
        return Indexes(runs)

    def log(self, segments: Tuple[Segment, ...], read_from: int) -> Log:
        last = self.runs[-1][1] if self.runs else 0
        lost = [(first, to) for first, to in self.lost]
        for index in self.damaged:
            if index > last and lost and lost[-1][1] == index - 1:
                lost[-1] = (lost[-1][0], index)
            elif index > last:
                lost.append((index, index))
        return Log(
            wal_dir=self.wal_dir,
            segments=segments,
            read_from=read_from,
            member_id=self.ids[0],
            cluster_id=self.ids[1],
            hard_state=self.hard_state,
            marks=tuple(self.marks),
            runs=tuple(TermRun(*run) for run in self.runs),
            entries=self.entries,
            conf_changes=tuple(self.conf_changes),
            unreadable=Indexes(lost),
            damage=tuple(self.damage),
            end=self.end,
            hashes=self.hashes,
            found=Indexes((first, to) for first, to in self.found),
            unchecked=Indexes((index, index) for index in self.unchecked),
            superseded=self.superseded(),
            growing=self.growing,
        )


def _committed(index: int, commit: int) -> str:
    return f"an entry {index} cannot come behind commit index {commit}"
