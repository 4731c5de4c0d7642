"""What is said of what lies around the members: the finding, its level, and what to type."""

from dataclasses import replace

import pytest

from requorum.etcdfiles import ownfiles
from requorum.survey import codec, oldpaths
from requorum.survey.around_values import Around, FoundFile, FoundFolder, FoundRun, HeldFile, Unread
from requorum.survey.evidence import Comparison, Fork, LogEvidence, MemberEvidence, Stand, Survey, Unknown
from requorum.verdict import around, values
from requorum.verdict.decide import decide

from . import evidence

OLD = FoundFolder(
    path="/srv/old etcd", member_id=1, cluster_id=evidence.CLUSTER, last_term=2, last_index=50, db="/x/db"
)
HALF = FoundRun(run="R-1", path="/w/R-1", cluster="demo-c0ffee00", state="stopped or running", holds=("old",))


def with_around(number: int = 1, *, gone: bool = False, **found: object) -> MemberEvidence:
    """A member with something around it."""
    member = evidence.lost(number) if gone else evidence.sound(number)
    return replace(member, around=Around(**found))  # type: ignore[arg-type]


def said(*members: MemberEvidence, level: str = "") -> list[str]:
    """The findings on a survey of some members, of a level."""
    return [one.text for one in around.findings(evidence.survey(*members)) if level in ("", one.level)]


def test_nothing_around() -> None:
    """Nothing is said of nothing, nor of a survey from before this was looked for."""
    assert said(with_around(), evidence.sound(2)) == []


def test_another_folder_by_how_far_it_goes() -> None:
    """Less than the data dir holds is told; more is a danger; and so is anything beside an empty data dir."""
    assert "requorum rebuild '/srv/old etcd' -o FILE" in said(with_around(folders=(OLD,)), level="info")[0]
    more = replace(OLD, last_index=101)
    assert "more than its data dir holds" in said(with_around(folders=(more,)), level="danger")[0]
    named = replace(OLD, named_in="/etc/etcd.env.bak")
    (text,) = said(with_around(gone=True, folders=(named,)), level="danger")
    assert "holds no data, but /srv/old etcd (named in /etc/etcd.env.bak) does" in text
    assert "in another cluster (5)" in said(with_around(folders=(replace(OLD, cluster_id=5),)))[0]


def test_a_half_done_run_is_told_once() -> None:
    """One danger for all members whose data it keeps, with both ways out; a finished one is no danger."""
    (text,) = said(with_around(1, runs=(HALF,)), with_around(2, runs=(HALF,)), level="danger")
    assert "requorum resume R-1" in text
    assert "requorum rollback R-1" in text
    assert said(with_around(runs=(replace(HALF, state="finished"),)), level="danger") == []
    assert said(with_around(runs=(replace(HALF, holds=()),))) == []


def test_what_is_said_where_there_is_no_source() -> None:
    """Never that there is nothing, while a run has set the data aside or something was not read."""
    none = [evidence.lost(number) for number in (2, 3)]

    def summary(first: MemberEvidence, kind: str = values.UNDECIDED) -> str:
        verdict = decide(evidence.survey(first, *none))
        assert verdict.kind == kind
        return verdict.summary

    assert summary(with_around(gone=True), values.NOTHING) == around.NOTHING
    assert "requorum resume R-1" in summary(with_around(gone=True, runs=(HALF,)))
    assert "not all could be read" in summary(with_around(gone=True, unread=(Unread(path="/x", why="denied"),)))
    silent = replace(evidence.lost(1), around=Unknown(unknown="there is no Python on its host to look around with"))
    assert "not all could be read" in summary(silent)


@pytest.mark.parametrize("deleted", [True, False])
def test_what_is_held_forbids_to_stop_anything(deleted: bool) -> None:
    """No recovery stops an etcd whose files its data dir has lost; where a quorum lives nothing is stopped anyhow."""
    held = (HeldFile(pid=7, fd=9, path="/srv/was/member/snap/db", deleted=deleted),)
    members = (with_around(1, gone=True, held=held), evidence.sound(2), evidence.sound(3))
    assert "a running etcd holds files" in decide(evidence.survey(*members)).refusal
    (text,) = said(members[0], level="danger")
    assert ("/proc/7/fd/9" in text) == deleted
    assert ("files in /srv/was," in text) != deleted
    living = [replace(one, live=evidence.alive(number)) for number, one in enumerate(members, 1)]
    assert decide(evidence.survey(*living)).refusal == ""


def test_files() -> None:
    """A log that was cut is a warning, what is not etcd's is only listed."""
    cut = FoundFile(path="/d/0.wal.broken", kind="cut-off log", inside=True, modified="then")
    mine = tuple(FoundFile(path=f"/d/{at}", kind="foreign", inside=True) for at in range(9))
    told = said(with_around(files=(cut, *mine)))
    assert "/d/0.wal.broken (then)" in told[0]
    assert told[1] == "not etcd's, but in its data dir: /d/0, /d/1, /d/2, /d/3, /d/4 and 4 more"


def test_it_survives_being_saved() -> None:
    """A survey with all of that comes back from JSON as it was; one from before this reads as not looked for."""
    import msgspec

    found = with_around(
        files=(FoundFile(path="/a", kind="db", inside=False, ids=(1, 2), urls=("u",)),),
        folders=(OLD,),
        runs=(HALF,),
        held=(HeldFile(pid=1, fd=2, path="/p", deleted=True),),
        unread=(Unread(path="/x", why="y"),),
        v2_keys=2,
        v2_some=("/k",),
    )
    survey = evidence.survey(found)
    assert codec.decode(msgspec.json.encode(survey), Survey) == survey
    raw = msgspec.to_builtins(survey)
    del raw["members"][0]["around"]
    old = codec.decode(msgspec.json.encode(raw), Survey)
    assert old.members[0].around == Unknown(unknown="not looked for")


def test_a_rebuild_that_drops_v2_keys_wants_a_word() -> None:
    """Refused with a hint, and only where there are such keys."""
    assert around.v2_refusal(evidence.survey(with_around())) == ("", "")
    why, hint = around.v2_refusal(evidence.survey(with_around(v2_keys=5, v2_some=("/a", "/b"))))
    assert "5 keys of the v2 API (/a, /b, …)" in why
    assert "--source ID" in hint


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("ETCD_DATA_DIR=/var/lib/etcd-old\n", "/var/lib/etcd-old"),
        ('ETCD_DATA_DIR="/var/lib/etcd.2023/"\n', "/var/lib/etcd.2023"),
        ("Environment=ETCD_DATA_DIR=/mnt/etcd\n", "/mnt/etcd"),
        ("data-dir: '/srv/e'\n", "/srv/e"),
        ("    - --data-dir=/var/lib/etcd\n", "/var/lib/etcd"),
        ("ExecStart=/usr/bin/etcd --data-dir /data/etcd --name a\n", "/data/etcd"),
        ("      path: /var/lib/etcd-backup\n", "/var/lib/etcd-backup"),
        ("      path: /etc/ssl/certs\n", ""),
    ],
)
def test_paths_in_configurations(tmp_path: object, text: str, path: str) -> None:
    """Of env files, units, manifests and configuration files, and of copies of them beside them."""
    from pathlib import Path

    folder = Path(str(tmp_path))
    (folder / "etcd.env.2024~").write_text(text)
    found = oldpaths.named([str(folder / "etcd.env")], units=False)
    assert found == ({path: str(folder / "etcd.env.2024~")} if path else {})


def test_names_of_etcds_own() -> None:
    """Only in the place where etcd puts them."""
    assert ownfiles.is_own("member/snap/db")
    assert not ownfiles.is_own("snap/db")
    assert not ownfiles.is_own("member/snap/db.bak")
    assert not ownfiles.is_own("member/wal/db")
    assert ownfiles.is_own("0.tmp", in_wal_dir=True)


def test_a_folder_that_holds_more_of_this_cluster_is_in_the_loss() -> None:
    """Data that was moved beside its dir and forgotten: nobody says that nothing is lost while it is not counted."""
    beside = FoundFolder(path="/var/lib/m1.bak", cluster_id=evidence.CLUSTER, member_id=1, last_term=2, last_index=130)
    one = replace(evidence.sound(1), around=Around(folders=(beside,)))
    found = decide(evidence.survey(one, evidence.sound(2), evidence.sound(3)))
    assert found.kind == "rebuild"
    assert found.sources[0].loss.at_most == 30
    assert "/var/lib/m1.bak holds more of this history from entry 101 on" in "".join(found.sources[0].loss.why)


def test_a_folder_beside_a_member_that_was_booted_anew() -> None:
    """Two were emptied and founded a cluster of their own; of what they held nothing is left out, and the db that lies there
    goes before the older disk."""
    path = "/var/lib/m1.bak"
    beside = FoundFolder(
        path=path, cluster_id=evidence.CLUSTER, member_id=1, last_term=4, last_index=960, db=f"{path}/member/snap/db"
    )
    young = [
        evidence.member(n, evidence.db(1, term=1), evidence.log(n, 7, terms=[(1, 1), (4, 2)], commit=4, near=8))
        for n in (1, 3)
    ]
    young[0] = replace(young[0], around=Around(folders=(beside,)))
    old = evidence.member(2, evidence.db(890), evidence.log(2, 900, terms=[(1, 1), (4, 2), (800, 3)]))
    saved = replace(evidence.snapshot(940, evidence.peers(1, 2, 3)), path=beside.db, found=True)
    same = Comparison(
        what="the records up to revision 890",
        stands=(Stand(member="m2", value="1f"), Stand(member=saved.name, value="1f")),
    )
    survey = evidence.survey(young[0], old, young[1], snapshots=[saved])
    fork = Fork(index=5, term=2, groups=(("m1", "m3"), ("m2",)))
    found = decide(replace(survey, forks=(fork,), compared=(same,)))
    first, second = found.sources[:2]
    assert (first.id, first.loss.at_most) == (saved.name, 30), "10 that m2's log holds, and 20 behind the snapshot"
    assert (second.id, second.loss.at_most) == ("m2: db + own log", 60)


@pytest.mark.parametrize("verified", [True, False])
def test_a_snapshot_that_is_ahead_goes_before_the_disks(verified: bool) -> None:
    """However much the disks hold: it is there, too."""
    one = evidence.member(1, evidence.db(5000), evidence.log(1, 5003))
    saved = evidence.snapshot(5050, evidence.peers(1, 2, 3))
    same = Comparison(
        what="the records up to revision 5000",
        stands=(Stand(member="m1", value="1f"), Stand(member=saved.name, value="1f")),
    )
    survey = evidence.survey(one, evidence.lost(2), evidence.lost(3), snapshots=[saved])
    found = decide(replace(survey, verified=verified, compared=(same,) if verified else ()))
    assert found.sources[0].id == saved.name
    assert found.sources[0].loss.at_most == (3 if verified else 0)
    assert found.sources[0].loss.unproven
    assert found.sources[1].loss.at_most == 47


def test_another_snapshot_beside_one_that_is_ahead() -> None:
    """What the newest one shows to be lost with the disks is lost with every older snapshot, too."""
    members = [evidence.sound(n) for n in (1, 2, 3)]
    old, new = (replace(evidence.snapshot(at, evidence.peers(1, 2, 3)), path=f"/{at}.db") for at in (95, 500))
    found = decide(evidence.survey(*members, snapshots=[old, new]))
    first, *others = found.sources
    assert first.id == new.name
    for one in others:
        assert one.loss.at_most >= 400, one.id
        assert one.loss.unproven


@pytest.mark.parametrize(("restored_at", "revision"), [(3, 150), (3, 80), (0, 150)])
def test_what_was_there_before_a_restore(restored_at: int, revision: int) -> None:
    """The data of the same members under another id lies beside: where these were restored, and that may hold more, nobody says
    that nothing is lost. A cluster that was founded anew, or that has gone on beyond it, is another life."""
    beside = FoundFolder(
        path="/var/lib/m1.bak",
        cluster_id=7,
        member_id=8,
        last_term=2,
        last_index=100,
        consistent_index=100,
        db="/var/lib/m1.bak/member/snap/db",
        revision=revision,
        urls=evidence.peers(1)[0].peer_urls,
    )
    members = [evidence.sound(n) for n in (1, 2, 3)]
    for at, one in enumerate(members):
        assert isinstance(one.log, LogEvidence)
        members[at] = replace(one, log=replace(one.log, restored_at=restored_at))
    members[0] = replace(members[0], around=Around(folders=(beside,)))
    found = decide(evidence.survey(*members))
    assert found.kind == "start as is"
    doubted = restored_at > 0 and revision > 100
    assert ("loss cannot be known, because m1's /var/lib/m1.bak" in found.summary) == doubted, found.summary
    assert ("no write lost;" in found.summary or found.summary.endswith("no write lost")) == (not doubted)
