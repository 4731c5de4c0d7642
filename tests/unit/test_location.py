"""HOST:/PATH, as it is typed and printed."""

import pytest

from requorum.hosts.location import Location, location

HOSTS = ("node1", "10.0.0.2")


@pytest.mark.parametrize(
    ("text", "found", "whole"),
    [
        ("node1:/var/backups/a.db", Location("node1", "/var/backups/a.db"), True),
        ("10.0.0.2:/a:b", Location("10.0.0.2", "/a:b"), True),
        ("node1:a.db", Location("node1", "a.db"), False),
        ("node9:/a.db", Location("", "node9:/a.db"), False),
        ("/var/a:b.db", Location("", "/var/a:b.db"), True),
        ("a.db", Location("", "a.db"), False),
        ("", Location("", ""), False),
    ],
)
def test_what_was_typed(text: str, found: Location, whole: bool) -> None:
    """Only the name of a host before the colon makes it one on a host; it is printed as it was typed."""
    place = location(text, HOSTS)
    assert place == found
    assert place.whole == whole
    assert str(place) == text
