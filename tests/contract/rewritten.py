"""A member's log, written anew with other entries."""

import shutil
from collections.abc import Iterable
from pathlib import Path

from requorum.etcdfiles import walwrite
from requorum.etcdfiles.messages import Entry, HardState
from requorum.etcdfiles.wal import Log


def rewrite(wal_dir: Path, log: Log, entries: Iterable[Entry], commit: int) -> None:
    """Write a log that was read anew in its place: with these entries, committed so far."""
    assert log.hard_state is not None
    shutil.rmtree(wal_dir)
    walwrite.write_wal(
        str(wal_dir),
        member_id=log.member_id,
        cluster_id=log.cluster_id,
        marks=log.marks,
        entries=entries,
        state=HardState(log.hard_state.term, log.hard_state.vote, commit),
    )
