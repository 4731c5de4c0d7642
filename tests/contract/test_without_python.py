"""What a survey tells of a member over plain shell, against what it tells of the same disk with a Python there."""

import dataclasses
import os
import shutil
from pathlib import Path

import pytest

from requorum.etcdfiles import wal
from requorum.hosts.connection import Connection, Here
from requorum.hosts.shell import Shell
from requorum.survey import forking, gather, merging
from requorum.survey.evidence import LogEvidence, MemberEvidence, Piece

from .rewritten import rewrite
from .test_hosts import _open

NAMES = ("m1", "m2", "m3")


def members(disks: Path, bare: tuple[str, ...]) -> tuple[list[MemberEvidence], dict[str, Connection]]:
    """The disks as a survey reads them, some over plain shell."""
    at: dict[str, Connection] = {name: Shell(name, _open) if name in bare else Here() for name in NAMES}
    read = [gather.read_dir(at[name], str(disks / name / "data"), name, wal_dir="", in_full=True) for name in NAMES]
    return read, at


def change(wal_dir: Path, index: int) -> None:
    """Let a log hold another entry at an index, under the same term."""
    log = wal.read_log(str(wal_dir))
    assert log.hard_state is not None
    entries = [log.entries[at] for at in sorted(log.entries)]
    entries = [dataclasses.replace(one, data=b"") if one.index == index else one for one in entries]
    rewrite(wal_dir, log, entries, log.hard_state.commit)


@pytest.mark.parametrize("bare", [(), ("m1",), ("m2",), NAMES])
def test_a_history_that_was_rewritten(disks: Path, bare: tuple[str, ...]) -> None:
    """The entry from which on one log holds something else is found, wherever there is a Python."""
    read, at = members(disks, bare)
    assert forking.forks(read, lambda one: at[one.name]) == ()
    (log,) = [one.log for one in read if one.name == "m2"]
    assert isinstance(log, LogEvidence)
    index = log.last_index - 40
    change(disks / "m2/data/member/wal", index)
    read, at = members(disks, bare)
    (fork,) = forking.forks(read, lambda one: at[one.name])
    assert (fork.index, fork.groups) == (index, (("m1", "m3"), ("m2",)))


def test_a_log_that_etcd_has_cut(disks: Path) -> None:
    """The copy that etcd kept of a segment before it cut it is read, and its entries can be had, over plain shell as well."""
    (segment,) = (disks / "m2/data/member/wal").glob("*.wal")
    shutil.copy(segment, segment.with_name(f"{segment.name}.broken"))
    os.truncate(segment, len(segment.read_bytes().rstrip(b"\0")) - 2000)
    assert told(disks, segment, ()) == told(disks, segment, ("m2",))


def told(disks: Path, segment: Path, bare: tuple[str, ...]) -> tuple[object, ...]:
    """What is told of a log that etcd has cut, with its last entries."""
    read, at = members(disks, bare)
    (own,) = [one.log for one in read if one.name == "m2"]
    assert isinstance(own, LogEvidence)
    assert own.wal_dir == f"{segment}.broken"
    assert forking.forks(read, lambda one: at[one.name]) == ()
    piece = Piece(member="m2", first=own.last_index - 5, last=own.last_index, why="")
    entries = [*merging.fetch([piece], lambda name: (at[name], own.wal_dir))]
    return own.runs, own.last_index, own.commit, own.refusals, entries
