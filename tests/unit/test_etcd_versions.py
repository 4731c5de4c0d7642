"""etcd's versions: one table for all that asks."""

from dataclasses import replace

import pytest

from requorum.etcd.versions import FAULTS, can_bump, known_faults, mended_in
from requorum.proof import check
from requorum.verdict.decide import decide

from .evidence import alive, sound, survey


@pytest.mark.parametrize(
    ("version", "bad", "newer"),
    [
        ("3.5.1", ("etcd#13766", "etcd#14370", "etcd#14730", "etcd#17780"), "3.5.23"),
        ("3.5.5", ("etcd#14730", "users and roles", "etcd#17780"), "3.5.23"),
        ("3.4.19", ("etcd#14370", "etcd#17780"), "3.4.38"),
        ("3.4.21", ("users and roles", "etcd#17780"), "3.4.38"),
        ("3.6.4", ("a snapshot arrives",), "3.6.5"),
    ],
)
def test_known_faults(version: str, bad: tuple[str, ...], newer: str) -> None:
    """Each by what is wrong with it, and where to go."""
    told = known_faults(version)
    assert all(any(what in one for one in told) for what in bad)
    assert len(told) == len(bad) + ("a snapshot arrives" not in bad)  # that one goes far up in every line
    assert mended_in(version) == newer
    assert known_faults(newer) == ()


def test_versions_without_a_known_fault() -> None:
    """The newest ones, and what is no version."""
    assert known_faults("3.5.30") == known_faults("3.6.16") == known_faults("3.7.3") == known_faults("?") == ()
    assert mended_in("3.7.3") == ""
    assert all(first[:2] == last[:2] and first <= last for fault in FAULTS for first, last in fault.versions)


def test_which_can_raise_the_revision() -> None:
    """3.4.27, 3.5.10, and every later minor version."""
    able = {"3.4.26": False, "3.4.27": True, "3.5.9": False, "3.5.10": True, "3.6.0": True, "3.7.3": True, "": False}
    assert {version: can_bump(version) for version in able} == able


def test_a_check_tells_of_each_version_once() -> None:
    """Of the one that all have by the verdict, of a member that has another by its name."""
    other = replace(sound(2), live=replace(alive(2), version="3.5.5"))
    seen = replace(survey(replace(sound(1), live=replace(alive(1), version="3.5.1")), other), etcd_version="3.5.1")
    texts = [f"{one.subject}: {one.text}" for one in check.judge(seen, decide(seen), None, "").findings]
    assert [text.split(":")[0] for text in texts if "defragmentation may leave" in text] == ["cluster", "m2"]
    assert any("upgrade to 3.5.23 or newer" in text for text in texts if text.startswith("m2"))
