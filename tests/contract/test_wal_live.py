"""A log that a running etcd is writing is not damaged, whenever it is read."""

import time
from pathlib import Path

import pytest

from requorum.etcdfiles import wal, walscan
from requorum.rehearsal import cluster
from requorum.rehearsal.load import Load

READS, AT_LEAST = 50, 8
SECONDS = 20.0
"""After so long no more is read than that: the log grows all the while."""


@pytest.mark.parametrize("live", [True, False], ids=["known to run", "seen to change"])
def test_a_log_that_is_being_written_is_not_damaged(etcd_dir: Path, tmp_path: Path, live: bool) -> None:
    """Read again and again under eight writers: never a fault, and never less than before."""
    (member,) = cluster.lay_out(tmp_path, 1, etcd_dir, "live")
    wal_dir = str(member.data_dir / "member" / "wal")
    load = Load([member.client_url], writers=8, seed=1)
    began, last, lasts = time.monotonic(), 0, set()
    try:
        running = cluster.start([member], etcd_dir)
        load.start()
        for reads in range(READS):
            if reads >= AT_LEAST and time.monotonic() > began + SECONDS:
                break
            log = wal.read_log(wal_dir, keep_after=1 << 62, live=live)
            assert [(one.kind, one.detail, one.offset) for one in log.damage] == []
            assert log.end == walscan.CLEAN
            assert not log.unreadable
            assert log.readable_to(1) == log.last[1] >= last
            last = log.last[1]
            lasts.add(last)
        cluster.kill_at_once(running)
    finally:
        load.stop()
        cluster.end_all_below(tmp_path)
    assert wal.read_log(wal_dir).last[1] >= last
    assert len(lasts) > (reads + 1) // 3, "it was hardly written to"
