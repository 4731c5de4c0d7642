"""Env files, flags and config files: read as etcd and systemd read them, changed without touching anything else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from requorum.deployments import envfile, settings
from requorum.errors import RequorumError

KUBESPRAY = """# Environment file for etcd
ETCD_DATA_DIR=/var/lib/etcd
ETCD_INITIAL_CLUSTER_STATE=existing
ETCD_INITIAL_CLUSTER_TOKEN=k8s_etcd
ETCD_INITIAL_CLUSTER=etcd1=https://10.0.0.1:2380,etcd2=https://10.0.0.2:2380
; another comment
ETCD_UNSUPPORTED_ARCH="arm64"
"""


def test_kubesprays_file() -> None:
    """Values stand as they are; those that hold an equals sign too."""
    found = envfile.parse(KUBESPRAY)
    assert found["ETCD_INITIAL_CLUSTER"] == "etcd1=https://10.0.0.1:2380,etcd2=https://10.0.0.2:2380"
    assert found["ETCD_UNSUPPORTED_ARCH"] == "arm64"
    assert len(found) == 5


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("A=b\n", "b"),
        ("A = b \n", "b"),
        ("  A=b c\n", "b c"),
        ('A="b c"\n', "b c"),
        ("A='b \"c'\n", 'b "c'),
        ('A="b\\"c"\n', 'b"c'),
        ("A=b\\\nc\n", "bc"),
        ("A=b\nA=c\n", "c"),
        ("A=\n", ""),
        ("A=b", "b"),
        ("A=b # no comment\n", "b # no comment"),
        ('A="b\nc"\n', "b\nc"),
    ],
)
def test_systemds_syntax(text: str, value: str) -> None:
    """Quotes, continued lines, the last of two: as systemd.exec(5) says."""
    assert envfile.parse(text) == {"A": value}


def test_comments_and_nonsense_are_passed_over() -> None:
    """A comment, also one with an equals sign or a quote in it, hides nothing of the next line."""
    assert envfile.parse("# it's A=1\n;B=\"\nnonsense\n=x\n1C=2\nD=3\n") == {"D": "3"}


def test_changed_where_it_stands() -> None:
    """Only the lines of what is changed become others; what is new comes at the end."""
    made = envfile.edited(KUBESPRAY, {"ETCD_INITIAL_CLUSTER_TOKEN": "t-1", "ETCD_NEW": "a b"})
    assert made == KUBESPRAY.replace("TOKEN=k8s_etcd", "TOKEN=t-1") + 'ETCD_NEW="a b"\n'


def test_the_last_of_two_is_changed() -> None:
    """systemd takes the last: that is the one to change."""
    assert envfile.edited("A=1\nA=2\n", {"A": "3"}) == "A=1\nA=3\n"


@given(
    st.text(),
    st.dictionaries(st.from_regex(r"[A-Z][A-Z_]{0,8}", fullmatch=True), st.text("ab $'\"\\\t=#;`é"), max_size=3),
)
def test_any_file_can_be_changed(text: str, changes: dict[str, str]) -> None:
    """Whatever is in a file, what was set is read back, and every other variable stays what it was."""
    before = envfile.parse(text)
    try:
        made = envfile.parse(envfile.edited(text, changes))
    except RequorumError:
        assert any(mark in text for mark in "'\"\\"), "nothing in it could be open"
        return
    for name, value in changes.items():
        assert made[name] == value
    if not text or text.endswith("\n"):
        assert {name: value for name, value in made.items() if name not in changes} == {
            name: value for name, value in before.items() if name not in changes
        }


def test_flags() -> None:
    """``--name=value``, ``--name value``, a single dash, a lone flag."""
    argv = [
        "/usr/bin/etcd",
        "--name=m1",
        "--data-dir",
        "/data",
        "-wal-dir=/wal",
        "--client-cert-auth",
        "--quota-backend-bytes=8",
    ]
    found = settings.from_flags(argv)
    assert found == {
        "name": "m1",
        "data-dir": "/data",
        "wal-dir": "/wal",
        "client-cert-auth": "true",
        "quota-backend-bytes": "8",
    }


def test_flags_changed() -> None:
    """A flag keeps its place, in either form; all else stays."""
    argv = ["etcd", "--initial-cluster-state", "new", "--name=m1", "--initial-cluster-token=old", "--client-cert-auth"]
    made = settings.with_flags(argv, {"initial-cluster-state": "existing", "initial-cluster-token": "t"})
    assert made == [
        "etcd",
        "--initial-cluster-state=existing",
        "--name=m1",
        "--initial-cluster-token=t",
        "--client-cert-auth",
    ]


@given(st.lists(st.text("ab-= $", max_size=8)), st.dictionaries(st.text("ab-"), st.text("ab")))
def test_any_command_line(argv: list[str], changes: dict[str, str]) -> None:
    """No command line crashes the reading or the changing of flags."""
    settings.from_flags(argv)
    settings.with_flags(argv, changes)


@given(st.binary(max_size=200))
def test_any_config_file(raw: bytes) -> None:
    """Bytes that are no config file are an error that names the file."""
    said = ""
    try:
        settings.from_yaml(raw, "etcd.yaml")
    except RequorumError as err:
        said = err.message
    assert not said or "etcd.yaml" in said


def test_the_tls_of_a_config_file() -> None:
    """Its sections stand under the names of the flags."""
    raw = b"peer-transport-security: {cert-file: p.pem}\nclient-transport-security: {cert-file: c.pem, key-file: k}\nname: m1\n"
    found = settings.from_yaml(raw, "etcd.yaml")
    assert found == {"name": "m1", "cert-file": "c.pem", "key-file": "k", "peer-cert-file": "p.pem"}


@pytest.mark.parametrize(
    ("data", "on"),
    [
        ({"experimental-initial-corrupt-check": "true"}, True),
        ({"experimental-initial-corrupt-check": True}, True),
        ({"feature-gates": "Other=false,InitialCorruptCheck=true"}, True),
        ({}, False),
    ],
)
def test_the_corruption_check(data: dict[str, object], on: bool) -> None:
    """Known in the form of 3.5 and of 3.6."""
    assert settings.member_config({"data-dir": "/d", **data}, "x").corrupt_check is on
