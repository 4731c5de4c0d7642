"""What etcd wrote in its own log, of every version, and what a verdict makes of it."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from requorum.survey import written
from requorum.survey.around_values import Around, Written
from requorum.verdict.decide import decide
from tests.unit import evidence

RAFT = (
    "newRaft 8e9e05c52164694d [peers: [8e9e05c52164694d], term: 2, commit: {}, applied: 51, lastindex: 70, lastterm: 2]"
)


def as_json(message: str, **fields: object) -> str:
    """A line of etcd 3.5 and later."""
    return json.dumps({"level": "info", "ts": "2026-01-01T00:00:00Z", "msg": message, **fields})


NEW = [
    as_json(RAFT.format(900)),
    as_json("saved snapshot", **{"snapshot-index": 5000}),
    as_json("restarting local member", **{"commit-index": 65}),
    as_json(RAFT.format(65)),
    as_json("triggering snapshot", **{"local-member-applied-index": 102, "local-member-snapshot-index": 51}),
    as_json("saved snapshot to disk", **{"snapshot-index": 101}),
    as_json("finished scheduled compaction", **{"compact-revision": 40}),
    as_json(
        "apply request took too long", request='put:<key:"saved snapshot at index 999" >', **{"snapshot-index": 999}
    ),
]
OLD = [
    f"raft2026/11/28 22:14:24 INFO: {RAFT.format(900)}",
    "2026-11-28 22:14:24.656144 I | etcdserver: saved snapshot at index 5000",
    "2026-11-28 22:14:31.833281 I | etcdserver: restarting member 8e9 in cluster cdf at commit index 65",
    f"raft2026/11/28 22:14:31 INFO: {RAFT.format(65)}",
    "2026-11-28 22:14:36.159854 I | etcdserver: start to snapshot (applied: 102, lastsnap: 51)",
    "2026-11-28 22:14:36.171208 I | etcdserver: saved snapshot at index 101",
    "2026-11-28 22:14:30.557908 I | mvcc: finished scheduled compaction at 40 (took 24.454s)",
    'W | etcdserver: request "put:<key:\\"I | etcdserver: saved snapshot at index 999\\">" took too long (2s)',
]


@pytest.mark.parametrize("lines", [NEW, OLD], ids=["3.5 and later", "3.4"])
def test_only_what_was_written_since_the_last_start(lines: list[str], tmp_path: Path) -> None:
    """What came before may be of another life; a client's words are none of etcd's."""
    path = tmp_path / "etcd.log"
    path.write_text("\n".join([*lines, "{", "not a line of etcd's"]))
    assert written.read(("file", str(path))) == Written(
        member_id=0x8E9E05C52164694D, index=102, revision=40, where=str(path)
    )
    assert written.told(lines[4:], "x") == Written(), "its start is not among them"
    assert written.read(("file", str(tmp_path / "gone"))) == Written()
    assert written.read(()) == Written()


def test_disks_that_end_before_what_etcd_wrote() -> None:
    """Every log is read to its end, and all agree: nothing but etcd's own words tells that they went back in time."""
    members = [evidence.sound(number) for number in (1, 2, 3)]

    def verdict(index: int, revision: int, member: int = 1) -> str:
        said = Written(member_id=member, index=index, revision=revision, where="the journal of etcd.service")
        wrote = Around(written=said)
        decided = decide(evidence.survey(replace(members[0], around=wrote), *members[1:]))
        dangers = [one.text for one in decided.findings if one.level == "danger"]
        assert bool(dangers) == (decided.kind == "rebuild")
        assert all(bool(one.loss.unproven) == bool(dangers) for one in decided.sources)
        return " ".join([decided.kind, *dangers])

    assert verdict(100, 100) == "start as is"
    assert "the journal of etcd.service) says that entry 101 was committed, and the disks end at 100" in verdict(101, 0)
    assert "revision 150 was served (m1's etcd (the journal of etcd.service) says so)" in verdict(0, 150)
    assert verdict(101, 150, member=7) == "start as is", "another life of it: a recovery that was rolled back"


def test_a_log_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    """One that is not there is none; one that is, and cannot be read, may tell of a loss."""
    assert written.read(("file", str(tmp_path / "none.log"))) == Written()
    told = written.read(("file", str(tmp_path)))
    assert told.unread == f"{tmp_path} cannot be read: not a regular file"
    member = replace(evidence.sound(1), around=Around(written=told))
    (finding,) = [one for one in decide(evidence.survey(member)).findings if "is not held against its disk" in one.text]
    assert (finding.level, finding.subject) == ("info", "m1")
