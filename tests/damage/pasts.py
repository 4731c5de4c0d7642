"""What may have been done to disks before anybody types ``requorum``: each as one function on a :class:`Stage`.

They say what they touched, so that the judge knows what a careful expert could still have had. A function raises
:class:`Missed` where there is nothing to do it to.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

from requorum.rehearsal import damage
from requorum.rehearsal.cluster import Member, free_ports
from requorum.rehearsal.damage import Missed
from tests.damage.stage import Stage, serves

Past = Callable[[Stage], None]
BOOT_SECONDS = 5.0


def _copy(source: Path, target: Path) -> None:
    subprocess.run(["cp", "-a", "--sparse=always", source, target], check=True, timeout=120)


def _replace(member: Member, source: Path) -> None:
    shutil.rmtree(member.data_dir)
    _copy(source, member.data_dir)


def _with_line(member: Member, line: str) -> str:
    """Add a line to a configuration; returns it as it was."""
    before = member.config.read_text()
    member.config.write_text(before + line + "\n")
    return before


def _edit(member: Member, pattern: str, with_what: str) -> str:
    before = member.config.read_text()
    member.config.write_text(re.sub(pattern, with_what, before, flags=re.MULTILINE))
    return before


def force_new_cluster(stage: Stage) -> None:
    """Somebody tried --force-new-cluster on one member, perhaps used it for a while, and gave up."""
    one = stage.a_voter()
    before = _with_line(one, "force-new-cluster: true")
    running = stage.boot([one], BOOT_SECONDS)
    if stage.rng.random() < 0.5:
        acked = stage.write(one, stage.rng.choice([1, 3, 30]))
        stage.notes.append(f"{acked} writes to the cluster of one")
        stage.operators_call = "clients wrote to the cluster of one" if acked else ""
    stage.end(running)
    one.config.write_text(before)
    stage.touch(one, log=True, db=True)
    stage.foreign.add(one.name)
    stage.forgetful.add(one.name)
    stage.forced.add(one.name)


def copied_over(stage: Stage) -> None:
    """One member's data dir was copied over another's."""
    source, target = stage.a_voter(), None
    stage.touched.add(source.name)
    try:
        target = stage.a_voter()
    finally:
        stage.touched.discard(source.name)
    _replace(target, source.data_dir)
    stage.touch(target, log=True, db=True)
    stage.hurt.add(target.name)
    if stage.rng.random() < 0.3 and len(stage.killed.voters) > 2:  # and the third has none: two disks are one
        third = stage.a_voter()
        if third.name != source.name:
            shutil.rmtree(third.data_dir)
            stage.touch(third, log=True, db=True)
            stage.hurt.add(third.name)


def given_twice(stage: Stage) -> None:
    """Two members' configurations lead to one and the same disk."""
    source = stage.a_voter()
    stage.touched.add(source.name)
    try:
        target = stage.a_voter()
    finally:
        stage.touched.discard(source.name)
    shutil.rmtree(target.data_dir)
    target.data_dir.symlink_to(source.data_dir)
    stage.touch(target, log=True, db=True)
    stage.hurt.add(target.name)


def set_back(stage: Stage) -> None:
    """Disks were set back to a copy from the middle of the load: restored snapshots of virtual machines."""
    if stage.killed.earlier is None:
        raise Missed("no earlier copies")
    for _ in range(stage.rng.choice([1, 1, 2, len(stage.killed.voters)])):
        try:
            one = stage.a_voter()
        except Missed:
            break
        source = stage.killed.earlier / one.name
        if not source.exists():
            raise Missed("it was not there in the middle of the load")
        _replace(one, source)
        stage.touch(one, log=True, db=True)
        stage.forgetful.add(one.name)
    if not stage.forgetful:
        raise Missed("nothing was set back")


def repaired_by_etcd(stage: Stage) -> None:
    """etcd was started on a torn log, repaired it by cutting it, and was killed."""
    one = stage.a_voter()
    how = stage.rng.choice(["last WAL cut in a record", "4 KiB of the log zeroed", "last sector zeroed"])
    damage.ALL[how](one.data_dir, stage.rng)
    stage.notes.append(how)
    stage.end(stage.boot([one], 2.0))
    stage.touch(one, log=True, db=True)
    stage.forgetful.add(one.name)
    stage.hurt.add(one.name)


def booted_new(stage: Stage) -> None:
    """Disks were wiped, and booted again as a new cluster under the same token."""
    count = stage.rng.choice([1, 1, 2, len(stage.killed.voters)])
    chosen = []
    for _ in range(count):
        try:
            one = stage.a_voter()
        except Missed:
            break
        chosen.append(one)
        stage.touch(one, log=True, db=True)
        stage.foreign.add(one.name)
        stage.forgetful.add(one.name)
    if not chosen:
        raise Missed("no disk to wipe")
    beside = stage.rng.random() < 0.3
    for one in chosen:
        if beside:
            one.data_dir.rename(one.data_dir.with_name("data.bak"))
        else:
            shutil.rmtree(one.data_dir)
        before = _edit(one, "^initial-cluster-state: .*$", "initial-cluster-state: new")
        (one.folder / "etcd.yaml.before").write_text(before)
    running = stage.boot(chosen, 3.0)
    stage.end(running)
    for one in chosen:
        if stage.rng.random() < 0.5:
            one.config.write_text((one.folder / "etcd.yaml.before").read_text())
        (one.folder / "etcd.yaml.before").unlink()
    stage.notes.append(f"{', '.join(one.name for one in chosen)}" + (", the old data beside" if beside else ""))


def joined_again(stage: Stage) -> None:
    """A wiped disk joined again under its old id, as 'existing' makes it, while the others ran."""
    if len(stage.voters) < 2:
        raise Missed("nobody to join")
    wiped = stage.a_voter()
    others = [one for one in stage.with_disk if one is not wiped]
    shutil.rmtree(wiped.data_dir)
    running = stage.boot(others, BOOT_SECONDS / 2)
    later = []
    for _ in range(3):
        later += stage.boot([wiped], 2.5)
        if later[-1].poll() is None:
            break
    _write_after_boot(stage)
    stage.settle([*running, *later])
    stage.touch(wiped, log=True, db=True)
    stage.forgetful.add(wiped.name)
    stage.foreign.add(wiped.name)


def _write_after_boot(stage: Stage) -> None:
    for one in stage.with_disk:
        if stage.rng.random() < 0.4 and serves(one):
            acked = stage.write(one, 3)
            stage.notes.append(f"{acked} writes to {one.name} after the boot")
            return


def booted(stage: Stage) -> None:
    """Everything was started again by a supervisor, for a while, and killed again."""
    running = stage.boot(stage.with_disk, BOOT_SECONDS)
    _write_after_boot(stage)
    stage.settle(running)
    for one in stage.with_disk:
        if one.name in stage.touched:
            stage.forgetful.add(one.name)  # etcd cut what it could not read


def false_quorum(stage: Stage) -> None:
    """One log is damaged, one disk was set back, one was wiped and joined again: two serve, and have forgotten."""
    if len(stage.killed.voters) != 3 or stage.killed.earlier is None or len(stage.voters) < 3:
        raise Missed("not three voters")
    hurt, back = stage.a_voter(), None
    damage.ALL["last WAL flipped"](hurt.data_dir, stage.rng)
    stage.touch(hurt, log=True)
    stage.hurt.add(hurt.name)
    back = stage.a_voter()
    if not (stage.killed.earlier / back.name).exists():
        raise Missed("it was not there in the middle of the load")
    _replace(back, stage.killed.earlier / back.name)
    stage.touch(back, log=True, db=True)
    stage.forgetful.add(back.name)
    joined_again(stage)


def _restore(stage: Stage, source: Path, target: Path, *flags: str) -> None:
    argv = [
        str(stage.killed.etcd_dir / "etcdutl"),
        "snapshot",
        "restore",
        str(source),
        "--data-dir",
        str(target),
        *flags,
    ]
    done = subprocess.run(argv, capture_output=True, timeout=60, check=False, env={"PATH": os.defpath})
    if done.returncode:
        raise Missed(f"restore: {done.stderr.decode(errors='replace')[-200:]}")


def _a_snapshot(stage: Stage) -> Path:
    if not stage.killed.saved:
        raise Missed("no snapshot was saved")
    return stage.rng.choice(stage.killed.saved)


def _token(member: Member) -> str:
    found = re.search("^initial-cluster-token: (.*)$", member.config.read_text(), re.MULTILINE)
    assert found is not None
    return found.group(1)


def _together(stage: Stage) -> str:
    return ",".join(f"{one.name}={one.peer_url}" for one in stage.members if one.name in stage.killed.voters)


def _restored(stage: Stage, members: list[Member], how: str) -> None:
    source = _a_snapshot(stage)
    for one in members:
        if one.data_dir.exists():
            shutil.rmtree(one.data_dir)
        mine = ["--name", one.name, "--initial-advertise-peer-urls", one.peer_url]
        flags = {
            "with flags": [*mine, "--initial-cluster", _together(stage)],
            "without flags": [],
            "each its own": [*mine, "--initial-cluster", f"{one.name}={one.peer_url}"],
        }[how]
        if how == "with flags" and stage.rng.random() < 0.5:
            flags += ["--initial-cluster-token", _token(one)]
        _restore(stage, source, one.data_dir, *flags)
        stage.touch(one, log=True, db=True)
        stage.forgetful.add(one.name)
        stage.foreign.add(one.name)


def restored_one(stage: Stage) -> None:
    """One member was restored from a snapshot, with flags."""
    _restored(stage, [stage.a_voter()], "with flags")


def restored_all(stage: Stage) -> None:
    """All were restored from one snapshot, with flags: a new cluster, whose beginning is that snapshot."""
    _restored(stage, [one for one in stage.members if one.name in stage.killed.voters], "with flags")


def restored_without_flags(stage: Stage) -> None:
    """One or all were restored without flags: clusters of one called default."""
    some = [stage.a_voter()] if stage.rng.random() < 0.5 else [*stage.voters]
    _restored(stage, some, "without flags")


def each_its_own(stage: Stage) -> None:
    """Each was restored as a cluster of its own."""
    _restored(stage, [one for one in stage.members if one.name in stage.killed.voters], "each its own")
    stage.operators_call = "clusters of one, each a history of its own"


def restored_db_beside_the_old_log(stage: Stage) -> None:
    """Only the db of a restored snapshot was copied into the old data dir, of one member or of all."""
    some = [stage.a_voter()] if stage.rng.random() < 0.5 else [*stage.voters]
    if not all((one.data_dir / "member/snap").is_dir() for one in some):
        raise Missed("there is no old data dir")
    source = _a_snapshot(stage)
    for one in some:
        beside = one.folder / "restored"
        mine = ["--name", one.name, "--initial-advertise-peer-urls", one.peer_url]
        _restore(stage, source, beside, *mine, "--initial-cluster", _together(stage))
        shutil.copyfile(beside / "member/snap/db", one.data_dir / "member/snap/db")
        shutil.rmtree(beside)
        stage.touch(one, db=True)


def links(stage: Stage) -> None:
    """A data dir, a member folder or a WAL folder is a link to where the files really lie."""
    one = stage.rng.choice(stage.with_disk or [stage.a_voter()])
    if one.data_dir.is_symlink() or not (one.data_dir / "member/wal").is_dir():
        raise Missed("a link already")
    what = stage.rng.choice([one.data_dir, one.data_dir / "member", one.data_dir / "member/wal"])
    there = one.folder / "elsewhere"
    there.mkdir(exist_ok=True)
    what.rename(there / what.name)
    what.symlink_to(there / what.name)
    stage.notes.append(f"{one.name}: {what.relative_to(one.folder)}")


def no_disk(stage: Stage) -> None:
    """One member's disk is gone; perhaps an empty folder stands there."""
    one = stage.a_voter()
    shutil.rmtree(one.data_dir)
    if stage.rng.random() < 0.3:
        one.data_dir.mkdir(mode=0o700)
    stage.touch(one, log=True, db=True)
    stage.hurt.add(one.name)


def snapshot_given(stage: Stage) -> None:
    """A snapshot is at hand."""
    stage.snapshots.append(_a_snapshot(stage))


def snapshot_ahead(stage: Stage) -> None:
    """Every disk was set back, and a snapshot from later is at hand."""
    if stage.killed.earlier is None or len(stage.killed.saved) < 2:
        raise Missed("no late snapshot")
    for one in stage.with_disk:
        source = stage.killed.earlier / one.name
        shutil.rmtree(one.data_dir)
        if source.exists():
            _copy(source, one.data_dir)
        stage.touch(one, log=True, db=True)
        stage.forgetful.add(one.name)
    stage.snapshots.append(stage.killed.saved[-1])


def left_over_flag(stage: Stage) -> None:
    """A force-new-cluster was left in a member's configuration."""
    one = stage.a_voter()
    stage.to_take_out[one.config] = _with_line(one, "force-new-cluster: true")
    stage.notes.append(one.name)


def changed_addresses(stage: Stage) -> None:
    """One member, or all, have other peer addresses than the log says."""
    everyone = stage.rng.random() < 0.5
    some = [*stage.members] if everyone else [stage.rng.choice(stage.with_disk or [stage.a_voter()])]
    new = dict(zip((one.name for one in some), free_ports(len(some)), strict=True))
    for number, one in enumerate(stage.members):
        text = one.config.read_text()
        for other in some:
            text = text.replace(other.peer_url, f"http://127.0.0.1:{new[other.name]}")
        one.config.write_text(text)
        if one in some:
            stage.members[number] = Member(
                name=one.name,
                folder=one.folder,
                peer_url=f"http://127.0.0.1:{new[one.name]}",
                client_url=one.client_url,
            )
    stage.notes.append(", ".join(new))


def learner_only(stage: Stage) -> None:
    """Only the learner's disk is left."""
    if not stage.killed.learners:
        raise Missed("no learner")
    for one in stage.voters:
        shutil.rmtree(one.data_dir)
        stage.touch(one, log=True, db=True)
        stage.hurt.add(one.name)


def only_one_left(stage: Stage) -> None:
    """One disk is left of several."""
    if len(stage.voters) < 2:
        raise Missed("only one member")
    left = stage.a_voter()
    for one in stage.voters:
        if one is not left:
            shutil.rmtree(one.data_dir)
            stage.touch(one, log=True, db=True)
            stage.hurt.add(one.name)


def moved_member_folder(stage: Stage) -> None:
    """A member folder was renamed."""
    one = stage.a_voter()
    (one.data_dir / "member").rename(one.data_dir / stage.rng.choice(["member.bak", "member.old", "member-20260101"]))
    stage.touch(one, log=True, db=True)
    stage.hurt.add(one.name)
    stage.renamed.add(one.name)


ALL: dict[str, tuple[int, Past]] = {
    "force-new-cluster": (5, force_new_cluster),
    "copied over another": (4, copied_over),
    "given twice": (2, given_twice),
    "set back": (5, set_back),
    "repaired by etcd": (4, repaired_by_etcd),
    "wiped and booted new": (4, booted_new),
    "wiped and joined again": (3, joined_again),
    "booted by a supervisor": (2, booted),
    "false quorum": (2, false_quorum),
    "one restored": (2, restored_one),
    "all restored": (2, restored_all),
    "restored without flags": (3, restored_without_flags),
    "each its own": (2, each_its_own),
    "restored db beside the old log": (4, restored_db_beside_the_old_log),
    "links": (2, links),
    "no disk": (3, no_disk),
    "snapshot at hand": (2, snapshot_given),
    "snapshot ahead": (3, snapshot_ahead),
    "left-over force-new-cluster": (4, left_over_flag),
    "changed addresses": (3, changed_addresses),
    "learner only": (2, learner_only),
    "only one left": (2, only_one_left),
    "moved member folder": (2, moved_member_folder),
}
"""Each with how often it is drawn against the others."""
LIVES_ON = {"wiped and joined again", "booted by a supervisor", "false quorum"}
"""Pasts after which the members may still run when requorum is typed."""
