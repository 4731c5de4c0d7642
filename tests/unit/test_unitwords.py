"""A unit's command line is read word for word as systemd reads it, and what is written reads the same."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from requorum.deployments.systemd import unitfile, unitwords

WORDS = st.lists(st.text(st.characters(codec="ascii", exclude_characters="\0\r\t\x0b\x0c")), max_size=5)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("/usr/bin/etcd --name m1", ["/usr/bin/etcd", "--name", "m1"]),
        ("etcd  '--name=a b'\t\"c d\"", ["etcd", "--name=a b", "c d"]),
        ('etcd --name="a b"c', ["etcd", "--name=a bc"]),
        (r"etcd a\sb '\x41' \101 \u00e4 x\\y", ["etcd", "a b", "A", "A", "ä", "x\\y"]),
        (r'etcd "a\"b"', ["etcd", 'a"b']),
    ],
)
def test_a_line_of_a_unit(line: str, words: list[str]) -> None:
    """Quotes anywhere in a word, C's escapes within any of them and outside."""
    assert unitwords.split(line, escapes=True) == words


@pytest.mark.parametrize("line", ["etcd 'a", 'etcd "a', "etcd a\\", r"etcd \x4", r"etcd \$a", r"etcd a\ b"])
def test_what_systemd_refuses(line: str) -> None:
    """A quote or an escape that is left open, or that systemd does not know."""
    with pytest.raises(ValueError):
        unitwords.split(line, escapes=True)


@pytest.mark.parametrize(
    ("words", "got"),
    [
        (["etcd", "$OPTS"], ["etcd", "--name", "m1", "--wal-dir=/a b"]),
        (["etcd", "${OPTS}"], ["etcd", "--name m1 '--wal-dir=/a b'"]),
        (["etcd", "--name=${N}-x", "--x=$N"], ["etcd", "--name=m1-x", "--x=$N"]),
        (["etcd", "$NONE", "a", "${NONE}", "b${NONE}c"], ["etcd", "a", "", "bc"]),
        (["etcd", "$$N", "a$$b", "$${N}"], ["etcd", "$N", "a$b", "${N}"]),
        (["etcd", "$N/x"], ["etcd"]),
        (["etcd", "$EMPTY", "$QUOTE"], ["etcd", "its open"]),
        (["etcd", "${N:-x}"], ["etcd", "${N:-x}"]),
    ],
)
def test_variables(words: list[str], got: list[str]) -> None:
    """``$NAME`` alone is split, ``${NAME}`` is not, ``$NAME`` within a word is nothing, ``$$`` is a dollar."""
    values = {"OPTS": "--name m1 '--wal-dir=/a b'", "N": "m1", "EMPTY": "  ", "QUOTE": "it's open"}
    assert unitwords.expanded(words, values) == got


@given(WORDS)
def test_what_is_written_reads_the_same(words: list[str]) -> None:
    """Any words, through a unit's file: quotes, dollars, percent signs and line ends stand for themselves."""
    line = unitwords.joined(words)
    assert "\n" not in line
    read = [word.replace("%%", "%") for word in unitwords.split(line, escapes=True)]
    assert unitwords.expanded(read, {"A": "b"}) == words


@given(WORDS)
def test_what_a_variable_holds_reads_the_same(words: list[str]) -> None:
    """Any words, through a variable that stands for them alone."""
    assert unitwords.expanded(["$A"], {"A": unitwords.joined_value(words)}) == words


UNIT = """[Unit]
ExecStart=/not/this
[Service]
# ExecStart=/nor/this
Environment="A=1 2" B=3
ExecStart=/usr/bin/etcd \\
  # a comment between
  --name 'm 1' \\
  --wal-dir=/w
Environment=
Environment=B=4
"""


def test_the_lines_of_a_unit() -> None:
    """Of [Service] alone, continued ones joined, each with the line on which it begins; an empty one takes all back."""
    lines = unitfile.assignments(UNIT, "/u")
    assert [(one.key, one.where) for one in lines] == [
        *(("Environment", "/u:5"), ("ExecStart", "/u:6")),
        *(("Environment", "/u:10"), ("Environment", "/u:11")),
    ]
    assert lines[1].value.split() == ["/usr/bin/etcd", "--name", "'m", "1'", "--wal-dir=/w"]
    assert unitfile.where_set(lines, "B") == "/u:11"
    assert unitfile.where_set(lines, "A") == ""
