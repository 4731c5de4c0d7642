"""The judge of the campaign: each kind of lie is counted, and what is true is not."""

from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pytest
from crc32c import crc32c

from requorum.rehearsal.load import DELETE, PUT, Operation
from tests.damage import bits, campaign, draw, judge, pasts, rawdisk, said
from tests.damage.judge import FORK_KEYS, Found, Served, hold
from tests.damage.said import Claim, Ended


def put(key: str, revision: int, value: str = "") -> Operation:
    """A put that was answered with a revision (0: no answer)."""
    text = value or f'{{"writer":1,"n":{revision},"data":"{revision:x}"}}'
    return Operation(writer=1, kind=PUT, key=f"/load/{key}", value=text, lease=0, revision=revision)


def deleted(key: str, revision: int) -> Operation:
    """A deletion."""
    return Operation(writer=1, kind=DELETE, key=f"/load/{key}", value="", lease=0, revision=revision)


def served(where: str, *operations: Operation, compacted: bool = False) -> Served:
    """A member that has these writes."""
    state: dict[str, tuple[int, str, int]] = {}
    for one in operations:
        if one.kind == DELETE:
            state.pop(one.key, None)
        else:
            state[one.key] = (one.revision, one.value, 0)
    history = frozenset((one.revision, one.key, one.kind == DELETE, one.value) for one in operations)
    return Served(
        where=where,
        revision=max((one.revision for one in operations), default=1),
        state=state,
        history=None if compacted else history,
    )


def found(operations: list[Operation], *members: Served, **more: Any) -> Found:
    """The truth of these members."""
    lost, wrong = judge.compare(operations, members)
    return Found(lost=lost, wrong=wrong, revisions={one.where: one.revision for one in members}, **more)


def loss(at_most: int, *, proven: bool) -> Claim:
    """A loss that was claimed."""
    return Claim(by="survey", kind="loss", text="said", at_most=at_most, proven=proven)


A, B, C = put("a", 2), put("b", 3), put("c", 4)


class TestLoss:
    """What is said of a loss."""

    def test_nothing_lost(self) -> None:
        """All are there: the claim is true."""
        assert hold(loss(0, proven=True), found([A, B], served("m1", A, B))) is None

    def test_called_proven(self) -> None:
        """One is not there, although no loss was called proven."""
        lie = hold(loss(0, proven=True), found([A, B], served("m1", A)))
        assert lie is not None
        assert lie.kind == "loss"

    def test_one_member_of_two_lacks_it(self) -> None:
        """Every member has to have it."""
        assert hold(loss(0, proven=True), found([A, B], served("m1", A, B), served("m2", A))) is not None

    def test_a_bound_that_holds(self) -> None:
        """One was said, one is lost."""
        assert hold(loss(1, proven=True), found([A, B], served("m1", A))) is None

    def test_no_bound(self) -> None:
        """Nothing was claimed."""
        assert hold(loss(-1, proven=False), found([A, B], served("m1", A))) is None

    def test_unproven_and_on_no_disk(self) -> None:
        """It was said that it is not proven, and no disk shows it."""
        assert hold(loss(0, proven=False), found([A, B], served("m1", A))) is None

    def test_unproven_but_on_a_disk(self) -> None:
        """The disks still show it: that bound is false, proven or not."""
        lie = hold(loss(0, proven=False), found([A, B], served("m1", A), shown=frozenset({B.value})))
        assert lie is not None
        assert lie.kind == "loss shown"

    def test_what_nobody_can_know(self) -> None:
        """Disks forgot without a trace: the claim rests on what it says that it assumes."""
        assert hold(loss(0, proven=True), found([A, B], served("m1", A), forgotten=True)) is None

    def test_forgotten_but_on_a_disk(self) -> None:
        """A trace is there."""
        truth = found([A, B], served("m1", A), forgotten=True, shown=frozenset({B.value}))
        assert hold(loss(0, proven=True), truth) is not None

    def test_forgotten_but_refuted(self) -> None:
        """A commit index shows that disks forgot."""
        truth = found([A, B], served("m1", A), forgotten=True, refuted="m1 knows more")
        assert hold(loss(0, proven=True), truth) is not None

    def test_what_a_cluster_of_one_forgot(self) -> None:
        """Its only log lost its end: of its own writes nobody knows, of the others' the other disks do."""
        own = replace(B, key=f"{FORK_KEYS}0")
        assert hold(loss(0, proven=True), found([A, own], served("m1", A), fork_forgotten=True)) is None
        assert hold(loss(0, proven=True), found([A, B], served("m1", A), fork_forgotten=True)) is not None
        shown = found([A, own], served("m1", A), fork_forgotten=True, shown=frozenset({own.value}))
        assert hold(loss(0, proven=True), shown) is not None

    def test_a_proof_that_the_disks_refute(self) -> None:
        """Nothing is lost, but it cannot be called proven."""
        lie = hold(loss(0, proven=True), found([A], served("m1", A), refuted="m1 knows more"))
        assert lie is not None
        assert lie.kind == "proof"
        assert hold(loss(0, proven=False), found([A], served("m1", A), refuted="m1 knows more")) is None

    def test_a_write_without_an_answer(self) -> None:
        """It may be there or not."""
        maybe = put("a", 0, "maybe")
        there = Served(where="m1", revision=2, state={"/load/a": (2, "maybe", 0)}, history=None)
        assert hold(loss(0, proven=True), found([maybe], there)) is None
        assert hold(loss(0, proven=True), found([maybe], served("m1"))) is None

    def test_what_was_overwritten_later(self) -> None:
        """Where the history was compacted the last write of a key stands for those before."""
        later = put("a", 5)
        assert hold(loss(0, proven=True), found([A, later], served("m1", later, compacted=True))) is None
        assert hold(loss(0, proven=True), found([A, later], served("m1", A, compacted=True))) is not None

    def test_what_was_deleted_later(self) -> None:
        """A key that is gone, and was deleted last."""
        gone = deleted("a", 3)
        assert hold(loss(0, proven=True), found([A, gone], served("m1", A, gone, compacted=True))) is None
        assert hold(loss(0, proven=True), found([A, gone, put("a", 4)], served("m1", compacted=True))) is not None

    def test_a_deletion_that_was_undone(self) -> None:
        """The key is back."""
        assert hold(loss(0, proven=True), found([A, deleted("a", 3)], served("m1", A))) is not None


def test_an_altered_value() -> None:
    """Only one db is left, and its bytes are not what was written: a lie where a log shows the right ones."""
    there = served("m1", put("a", 2, "another"))
    lost, _ = judge.compare([A], [there])
    assert judge.altered(lost, [there]) == (A,)
    truth = Found(lost=(), altered=(A,), wrong=(), revisions={}, blind=True)
    assert hold(loss(0, proven=True), truth) is None
    shown = Found(lost=(), altered=(A,), wrong=(), revisions={}, blind=True, shown=frozenset({A.value}))
    lie = hold(loss(0, proven=False), shown)
    assert lie is not None
    assert lie.kind == "altered"


class TestOtherClaims:
    """Healthy, replace, start as is, revisions, nothing."""

    @pytest.mark.parametrize("kind", ["healthy", "replace"])
    def test_what_serves_has_lost(self, kind: Any) -> None:
        """It is not well, and nobody may be replaced: the serving ones lack a write."""
        claim = Claim(by="check", kind=kind, text="all is well")
        assert hold(claim, found([A, B], served("m1", A, B))) is None
        lie = hold(claim, found([A, B], served("m1", A)))
        assert lie is not None
        assert lie.kind == kind

    def test_members_that_differ(self) -> None:
        """Two states are not one cluster."""
        truth = found([A, put("c", 0, "x")], served("m1", A), served("m2", A, put("c", 3, "x")))
        assert hold(Claim(by="check", kind="healthy", text=""), truth) is not None
        assert hold(Claim(by="survey", kind="start", text=""), truth) is not None

    def test_nobody_serves(self) -> None:
        """Called healthy, or a start as is, and nothing comes up."""
        truth = found([A], down="m1 does not serve")
        for kind in ("healthy", "replace", "start"):
            assert hold(Claim(by="survey", kind=kind, text=""), truth) is not None
        assert hold(loss(0, proven=True), truth) is None

    def test_a_value_that_nobody_wrote(self) -> None:
        """Changed data is served."""
        truth = found([A], served("m1", put("a", 2, "another")))
        lie = hold(Claim(by="survey", kind="start", text=""), truth)
        assert lie is not None
        assert lie.kind == "wrong data"

    def test_a_write_at_another_revision(self) -> None:
        """The client was told another one: a log was applied twice."""
        moved = Served(where="m1", revision=9, state={A.key: (9, A.value, 0)}, history=None)
        assert any("the client was told 2" in one for one in found([A], moved).wrong)

    def test_least_revision(self) -> None:
        """The store stands lower than was said."""
        claim = Claim(by="survey", kind="least revision", text="", number=3)
        assert hold(claim, found([A, B], served("m1", A, B))) is None
        assert hold(claim, found([A, B], served("m1", A))) is not None

    def test_exact_revision(self) -> None:
        """The snapshot holds another revision than was said."""
        claim = Claim(by="rebuild", kind="exact revision", text="", number=2)
        assert hold(claim, found([A], served("snapshot", A))) is None
        assert hold(claim, found([A, B], served("snapshot", A, B))) is not None

    def test_nothing_to_rebuild_from(self) -> None:
        """A whole disk is there."""
        claim = Claim(by="survey", kind="nothing", text="no disk holds anything")
        assert hold(claim, found([A])) is None
        assert hold(claim, found([A], usable="the disk of m1 is whole")) is not None

    def test_a_quorum_that_lives(self) -> None:
        """Called lost, and it answers."""
        claim = Claim(by="check", kind="no quorum", text="quorum is lost")
        assert hold(claim, found([A], served("m1", A))) is not None
        assert hold(claim, found([A], served("m1", A), leads=False)) is None


def ended(code: int, **answer: Any) -> Ended:
    """A command that ended with a code and an answer."""
    return Ended(words=("recover",), code=code, out="", err="", seconds=0.0, json=answer)


class TestWhatWasSaid:
    """Claims out of JSON, exit codes and words."""

    def test_a_start_as_is(self) -> None:
        """Its summary is a claim of no loss; the basis says whether it is proven."""
        verdict = {
            "kind": "start as is",
            "summary": "no restore is needed: start m1; no write lost",
            "start": {"members": ["m1"], "revision": 7},
            "basis": {"unproven": ""},
        }
        claims = {one.kind: one for one in said.of_verdict("survey", verdict)}
        assert (claims["loss"].at_most, claims["loss"].proven) == (0, True)
        assert claims["least revision"].number == 7
        verdict["basis"] = {"unproven": "only one log was read"}
        claims = {one.kind: one for one in said.of_verdict("survey", verdict)}
        assert not claims["loss"].proven

    def test_a_rebuild(self) -> None:
        """The best source's loss is what is claimed."""
        sources = [
            {"id": "m1: bare db", "loss": {"at_most": 4, "unproven": "why"}},
            {"id": "x", "loss": {"at_most": 0}},
        ]
        (claim,) = said.of_verdict("survey", {"kind": "rebuild", "summary": "", "sources": sources})
        assert (claim.at_most, claim.proven, claim.about) == (4, False, ("m1: bare db",))

    def test_a_rebuild_that_ends_with_0(self) -> None:
        """Exit 0 says that the loss is counted and proven, whatever the source's own words are."""
        source = {"id": "m1: bare db", "loss": {"at_most": -1, "unproven": "why"}}
        claim = said.of_rebuild(ended(0, source=source, snapshot={"revision": 5}))[0]
        assert (claim.at_most, claim.proven) == (0, True)
        claim, revision = said.of_rebuild(ended(3, source=source, snapshot={"revision": 5}))
        assert (claim.at_most, claim.proven, revision.number) == (-1, False, 5)

    def test_exit_0(self) -> None:
        """Nothing is lost, and that is proven; whatever else is in the answer."""
        claim = said.of_recovery(ended(0, predicted_lost_max=None, verdict="rebuild", warnings=[]), {})[0]
        assert (claim.at_most, claim.proven) == (0, True)

    def test_exit_3(self) -> None:
        """Unproven, where a warning says so."""
        claim = said.of_recovery(ended(3, predicted_lost_max=2, warnings=["that is not proven: …"]), {})[0]
        assert (claim.at_most, claim.proven) == (2, False)
        claim = said.of_recovery(ended(3, predicted_lost_max=2, warnings=["an alarm"]), {})[0]
        assert (claim.at_most, claim.proven) == (2, True)

    @pytest.mark.parametrize(
        ("text", "wanted"),
        [
            ("no write lost", (0, True)),
            ("no write lost; m3 stays fenced", (0, True)),
            ("no write lost (unproven)", (0, False)),
            ("no write lost that the disks still show (unproven)", (0, False)),
            ("at most 12 writes lost", (12, True)),
            ("1 write lost (unproven)", (1, False)),
            ("loss cannot be known", None),
        ],
    )
    def test_words(self, text: str, wanted: tuple[int, bool] | None) -> None:
        """A loss in words."""
        assert said.loss_in_words(text) == wanted

    def test_advice(self) -> None:
        """Whoever is told to replace a member is told that the others have everything."""
        text = "2 of 3 members serve and have a leader; replace m1, m-2 (never restore one)"
        assert said.replaced_in(text) == ("m1", "m-2")
        answer = {"state": "critical", "summary": f"cluster: {text}", "findings": [{"text": text}]}
        assert "replace" in {one.kind for one in said.of_check(ended(1, **answer))}
        assert [one.kind for one in said.of_check(ended(0, state="ok", summary="well", findings=[]))] == ["healthy"]
        answer = {"state": "critical", "summary": "", "findings": [{"text": "quorum is lost: start m1"}]}
        assert [one.kind for one in said.of_check(ended(1, **answer))] == ["no quorum"]


def frame(kind: int, data: bytes, seed: int) -> tuple[bytes, int]:
    """A record of a WAL."""
    crc = crc32c(data, seed) if kind != rawdisk.CRC else seed
    head = bytes([8, kind, 16]) + _varint(crc) + (b"\x1a" + _varint(len(data)) + data if data else b"")
    pad = -len(head) % 8
    length = len(head) | ((0x80 | pad) << 56 if pad else 0)
    return length.to_bytes(8, "little") + head + bytes(pad), crc


def _varint(number: int) -> bytes:
    out = b""
    while number > 127:
        out, number = out + bytes([number & 127 | 128]), number >> 7
    return out + bytes([number])


def test_values_in_a_log(tmp_path: Path) -> None:
    """A value counts as shown while its record's checksum holds, whatever the file's name is by now."""
    entry = b"\x08\x00\x10\x02\x18" + _varint(7) + b"\x22" + _varint(len(A.value)) + A.value.encode()
    other = b"\x08\x00\x10\x02\x18" + _varint(8) + b"\x22" + _varint(len(B.value)) + B.value.encode()
    first, seed = frame(rawdisk.CRC, b"", 0)
    second, seed = frame(rawdisk.METADATA, b"\x08\x2a\x10\x01", seed)
    third, seed = frame(rawdisk.ENTRY, entry, seed)
    fourth, seed = frame(rawdisk.ENTRY, other, seed)
    raw = first + second + third + fourth
    path = tmp_path / "wal" / "0000000000000000-0000000000000000.wal"
    path.parent.mkdir()
    path.write_bytes(raw + bytes(512))
    assert rawdisk.values_in_logs(tmp_path) == {A.value, B.value}
    assert rawdisk.read_disk(tmp_path).member_id == 42
    assert rawdisk.read_disk(tmp_path).last_index == 8
    at = raw.index(A.value.encode())
    broken = tmp_path / "wal" / "0000000000000000-0000000000000000.wal.broken"
    broken.write_bytes(raw[:at] + bytes([raw[at] ^ 1]) + raw[at + 1 :])
    path.unlink()
    assert rawdisk.values_in_logs(tmp_path) == {B.value}


def test_what_a_log_overwrote_is_not_shown(tmp_path: Path) -> None:
    """An entry with an index seen before replaces that one, and what followed."""
    raw, seed = frame(rawdisk.CRC, b"", 0)
    for index, operation in ((7, A), (8, B), (7, C)):
        value = operation.value.encode()
        data = b"\x08\x00\x10\x02\x18" + _varint(index) + b"\x22" + _varint(len(value)) + value
        more, seed = frame(rawdisk.ENTRY, data, seed)
        raw += more
    (tmp_path / "0000000000000000-0000000000000000.wal").write_bytes(raw + bytes(512))
    assert rawdisk.values_in_logs(tmp_path) == {C.value}


def test_a_log_that_etcd_has_cut(tmp_path: Path) -> None:
    """What it cut off is on the disk still, up to where that is torn."""
    parts, seed = [], 0
    for kind, index in ((rawdisk.CRC, 0), (rawdisk.ENTRY, 7), (rawdisk.ENTRY, 8)):
        more, seed = frame(kind, b"\x08\x00\x10\x02\x18" + _varint(index) if index else b"", seed)
        parts.append(more)
    wal = tmp_path / "member/wal"
    wal.mkdir(parents=True)
    name = "0000000000000000-0000000000000000.wal"
    (wal / name).write_bytes(b"".join(parts[:2]) + bytes(512))
    disk = rawdisk.read_disk(tmp_path)
    assert (disk.last_index, disk.damaged) == (7, False)
    (wal / f"{name}.broken").write_bytes(b"".join(parts) + bytes(512) + b"torn")
    disk = rawdisk.read_disk(tmp_path)
    assert (disk.last_index, disk.damaged) == (8, True)


def test_a_campaign_with_a_lie_fails() -> None:
    """Counts add up, and one false claim, one changed disk or one error is enough."""
    total = campaign.Campaign()
    assert not campaign.Campaign(cases=3, claims=9).failed
    one = campaign.Campaign(cases=1, false_claims=1)
    one.false_by_past.update(["set back"])
    one.lies.append({"seed": "1.2"})
    total.add(one)
    total.add(campaign.Campaign(cases=1, needless_refusals=1))
    assert (total.cases, total.false_claims, total.needless_refusals) == (2, 1, 1)
    assert total.failed
    assert campaign.Campaign(originals_changed=1).failed
    assert campaign.Campaign(errors=1).failed
    assert not campaign.Campaign(needless_refusals=1).failed


def test_cases_are_drawn_from_all() -> None:
    """A seed is a case; every past and every kind of damage is met."""
    assert draw.case_of(["m1"], Random("7.1")) == draw.case_of(["m1"], Random("7.1"))
    some = [draw.case_of(["m1", "m2", "m3"], Random(n)) for n in range(3000)]
    assert {name for one in some for name in one.pasts} == {*pasts.ALL}
    assert {*bits.ALL} <= {name for one in some for names in one.damage.values() for name in names}
    assert {one.mode for one in some} == {"words", "full", "living", "halfway"}
