"""Who is who: one disk counts once, a copy never starts, a member is known at the addresses that the cluster has."""

import dataclasses

import pytest

from requorum.errors import Refused
from requorum.procedures.make import make_plan
from requorum.survey.evidence import LogEvidence, MemberConfig, MemberEvidence, Unknown
from requorum.verdict import values
from requorum.verdict.decide import decide
from requorum.verdict.identity import identities

from .evidence import alive, db, log, member, peers, sound, survey

KNOWN = peers(1, 2, 3)


def known(one: MemberEvidence) -> MemberEvidence:
    """With the members in its log, as a log from its first entry has them."""
    assert isinstance(one.log, LogEvidence)
    return dataclasses.replace(one, log=dataclasses.replace(one.log, peers=KNOWN))


def copied(number: int, of: int) -> MemberEvidence:
    """A member whose disk was copied from another's."""
    return known(dataclasses.replace(member(number, db(90), log(of, 100))))


def plain(one: MemberEvidence) -> MemberEvidence:
    """A data dir that was copied from its host: it comes without a configuration."""
    return dataclasses.replace(one, config=Unknown(unknown="plain data dirs come without one"))


def test_one_disk_named_twice_counts_once() -> None:
    """By its files, whatever it is called."""
    one = dataclasses.replace(sound(1), disk=("boot:1:7",))
    again = dataclasses.replace(sound(1), name="m1-again", disk=("boot:1:7",))
    found = decide(survey(one, again))
    assert identities(survey(one, again)).twice == {"m1-again": "m1"}
    assert found.basis is not None
    assert found.basis.read == 1
    assert found.kind == values.REBUILD
    assert "1 of 3" in found.basis.unproven


def test_one_that_serves_from_anothers_disk() -> None:
    """A quorum serves, and no word says that it does not; but whatever is done to m1's disk is done to m3's."""
    third = dataclasses.replace(known(sound(3)), disk=("boot:1:7",))
    first = dataclasses.replace(copied(1, of=3), disk=third.disk, live=alive(3))
    found = decide(survey(first, dataclasses.replace(known(sound(2)), live=alive(2)), third))
    assert (found.rule, found.kind) == ("B", values.UNDECIDED)
    assert "m1 serves from m3's disk, as m3" in found.summary


def test_one_etcd_that_is_named_twice() -> None:
    """Both names reach it, and it is the disk's own: nobody is told to stop it."""
    third = dataclasses.replace(known(sound(3)), disk=("boot:1:7",), live=alive(3))
    again = dataclasses.replace(third, name="m3-again")
    found = decide(survey(*(dataclasses.replace(known(sound(n)), live=alive(n)) for n in (1, 2)), third, again))
    assert "Stop" not in found.summary
    assert found.kind in (values.HEALTHY, values.REPLACE_MEMBERS)


def test_a_copied_disk_is_no_second_witness() -> None:
    """m3's disk is m2's: two of three hold data, and two of three voters are not read."""
    found = decide(survey(copied(3, of=2), known(sound(2)), member(1, db(80, faults=1), Unknown(unknown="gone"))))
    assert found.basis is not None
    assert found.basis.read == 1
    assert "copied, or cloned" in "".join(one.text for one in found.findings if one.subject == "m3")


def test_a_copied_disk_is_never_started() -> None:
    """The two real ones start; the copy stays fenced, with the reason."""
    found = decide(survey(known(sound(1)), known(sound(2)), copied(3, of=2)))
    assert found.start is not None
    assert found.start.members == ("m1", "m2")
    assert "copied, or cloned" in found.start.left_behind[0].why


def test_three_restores_with_one_set_of_ids_do_not_start() -> None:
    """Three clusters of one that call themselves the same."""
    alone = [
        dataclasses.replace(member(n, db(90), dataclasses.replace(log(7, 100), voter_sets=())), disk=(f"b:1:{n}",))
        for n in (1, 2, 3)
    ]
    found = decide(survey(*alone))
    assert found.kind != values.START_AS_IS
    assert len(identities(survey(*alone)).copies) == 3


def test_plain_dirs_of_one_member_count_once() -> None:
    """Nothing tells which of them is the original: the higher one speaks for the member."""
    found = decide(survey(plain(sound(1, 95)), plain(dataclasses.replace(sound(1, 100), name="m1-copy"))))
    assert found.basis is not None
    assert found.basis.read == 1


def test_addresses_that_all_changed_need_a_rebuild() -> None:
    """The members would look for each other where nobody is any more."""
    moved = []
    for one in (known(sound(n)) for n in (1, 2, 3)):
        assert isinstance(one.config, MemberConfig)
        elsewhere = dataclasses.replace(one.config, peer_urls=(f"http://10.9.9.{one.name[1:]}:2380",))
        moved.append(dataclasses.replace(one, config=elsewhere))
    found = decide(survey(*moved))
    assert found.kind == values.REBUILD
    assert found.source is not None
    assert found.source.loss.proven_none
    assert "addresses" in found.proof[0]


def test_one_changed_address_is_named_and_does_not_stop_a_start() -> None:
    """Two of three meet at the addresses that all know."""
    last = known(sound(3))
    assert isinstance(last.config, MemberConfig)
    last = dataclasses.replace(last, config=dataclasses.replace(last.config, peer_urls=("http://10.9.9.3:2380",)))
    found = decide(survey(known(sound(1)), known(sound(2)), last))
    assert found.kind == values.START_AS_IS
    assert any("another peer URL" in one.text for one in found.findings if one.subject == "m3")


def test_a_name_for_the_same_address_is_no_move() -> None:
    """The configuration has names where the cluster knows addresses: its host still has those, and nothing is told anew."""
    named = []
    for one in (known(sound(n)) for n in (1, 2, 3)):
        assert isinstance(one.config, MemberConfig)
        config = dataclasses.replace(one.config, peer_urls=(f"http://etcd{one.name[1:]}.internal:2380",))
        named.append(dataclasses.replace(one, config=config, still_at=one.config.peer_urls))
    assert identities(survey(*named)).moved == {}
    assert decide(survey(*named)).kind == values.START_AS_IS


def test_who_moved_does_not_start_first() -> None:
    """A leader must be there before anybody can be told its new address; and whoever holds the highest log must be found."""
    first = known(sound(1, 100))
    assert isinstance(first.config, MemberConfig)
    elsewhere = dataclasses.replace(first.config, peer_urls=("http://10.9.9.1:2380",))
    moved = dataclasses.replace(first, config=elsewhere)
    found = decide(survey(moved, known(sound(2, 100)), known(sound(3, 97))))
    assert found.start is not None
    assert (found.start.members, found.start.first) == (("m1", "m2", "m3"), ("m2", "m3"))
    ahead = decide(survey(moved, known(sound(2, 99)), known(sound(3, 97))))
    assert ahead.kind == values.REBUILD
    assert "m1 holds the highest log" in ahead.proof[0]


def test_of_two_that_share_a_disk_it_is_the_one_whose_id_it_has() -> None:
    """m2 is configured with m3's data dir, by a link: its own is gone, and m3 is not."""
    third = dataclasses.replace(known(sound(3)), disk=("boot:1:7",))
    second = dataclasses.replace(known(member(2, db(90), log(3, 100))), disk=("boot:1:7",))
    assert identities(survey(known(sound(1)), second, third)).twice == {"m2": "m3"}
    found = decide(survey(known(sound(1)), second, third))
    assert found.start is not None
    assert found.start.members == ("m1", "m3")
    broken = survey(known(member(1, db(90), log(1, 100, hole=40))), second, third)
    with pytest.raises(Refused, match="m2 and m3 have one data dir"):
        make_plan(broken, decide(broken), run="20260101-000000-abcd", tools="/opt")
