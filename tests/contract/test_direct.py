"""Files straight from member to member: real TLS on loopback, with certificates that openssl made."""

import secrets
import socket
import subprocess
import threading
from pathlib import Path

import pytest

from requorum.errors import RequorumError
from requorum.hosts import direct, files, transfer
from requorum.hosts.connection import Here
from requorum.hosts.direct import PeerTls

pytestmark = pytest.mark.timeout(300)
HOST = "127.0.0.1"


def _authority(folder: Path, name: str) -> tuple[Path, Path]:
    """A certificate authority: its certificate and its key."""
    cert, key = folder / f"{name}.pem", folder / f"{name}-key.pem"
    new = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
    subprocess.run(
        [*new, "-subj", f"/CN={name}", "-keyout", key, "-out", cert], check=True, capture_output=True, timeout=30
    )
    return cert, key


def _member(folder: Path, name: str, authority: tuple[Path, Path], address: str = HOST) -> PeerTls:
    """A member's peer files."""
    cert, key, request = folder / f"{name}.pem", folder / f"{name}-key.pem", folder / f"{name}.csr"
    new = ["openssl", "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", f"/CN={name}"]
    subprocess.run([*new, "-keyout", key, "-out", request], check=True, capture_output=True, timeout=30)
    (folder / f"{name}.ext").write_text(f"subjectAltName=IP:{address}\n")
    sign: list[str | Path] = ["openssl", "x509", "-req", "-in", request, "-CAcreateserial"]
    sign += ["-CA", authority[0], "-CAkey", authority[1]]
    sign += ["-days", "2", "-extfile", folder / f"{name}.ext", "-out", cert]
    subprocess.run(sign, check=True, capture_output=True, timeout=30)
    return PeerTls(ca=str(authority[0]), cert=str(cert), key=str(key))


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One authority with two members, another with one, and a member whose certificate is for another address."""
    folder = tmp_path_factory.mktemp("pki")
    ours = _authority(folder, "ours")
    _member(folder, "m1", ours)
    _member(folder, "m2", ours)
    _member(folder, "elsewhere", ours, "192.0.2.1")
    _member(folder, "stranger", _authority(folder, "theirs"))
    return folder


def tls(pki: Path, name: str, authority: str = "ours") -> PeerTls:
    """A member's peer files."""
    return PeerTls(ca=str(pki / f"{authority}.pem"), cert=str(pki / f"{name}.pem"), key=str(pki / f"{name}-key.pem"))


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Three megabytes."""
    path = tmp_path / "source.db"
    path.write_bytes(secrets.token_bytes(3 << 20))
    return path


def test_it_arrives(pki: Path, source: Path, tmp_path: Path) -> None:
    """Both takers get the same bytes, and each is told their sha256; nobody listens afterwards."""
    token = secrets.token_bytes(direct.TOKEN_BYTES)
    port = direct.offer(str(source), HOST, 0, tls(pki, "m1"), token, 2)
    for name in ("a", "b"):
        found = direct.take(HOST, port, tls(pki, "m2"), token, tmp_path / name, source.stat().st_size)
        assert found == files.sha256_of(source) == files.sha256_of(tmp_path / name)
        assert (tmp_path / name).stat().st_mode & 0o777 == 0o600
    with pytest.raises(OSError):
        socket.create_connection((HOST, port), timeout=2)


def test_what_broke_off_is_gone_on_with(pki: Path, source: Path, tmp_path: Path) -> None:
    """Bytes that are there are not sent again; the sha256 is of the whole."""
    part = tmp_path / "part"
    part.write_bytes(source.read_bytes()[:1_000_001])
    token = secrets.token_bytes(direct.TOKEN_BYTES)
    port = direct.offer(str(source), HOST, 0, tls(pki, "m1"), token, 1)
    assert direct.take(HOST, port, tls(pki, "m2"), token, part, source.stat().st_size) == files.sha256_of(source)
    assert part.read_bytes() == source.read_bytes()


@pytest.mark.parametrize(
    "why", ["a wrong token", "a stranger's certificate", "a stranger's authority", "another host's address"]
)
def test_nobody_else_gets_it(pki: Path, source: Path, tmp_path: Path, why: str) -> None:
    """Without the token, without a certificate of the members' authority, from somebody else: not a byte."""
    token = secrets.token_bytes(direct.TOKEN_BYTES)
    sender = tls(pki, "elsewhere" if why == "another host's address" else "m1")
    taker = tls(pki, "stranger") if why == "a stranger's certificate" else tls(pki, "m2")
    taker = tls(pki, "stranger", "theirs") if why == "a stranger's authority" else taker
    shown = secrets.token_bytes(direct.TOKEN_BYTES) if why == "a wrong token" else token
    port = direct.offer(str(source), HOST, 0, sender, token, 1)
    try:
        with pytest.raises(RequorumError):
            direct.take(HOST, port, taker, shown, tmp_path / "part", source.stat().st_size)
        assert (tmp_path / "part").stat().st_size == 0
    finally:
        direct.withdraw(port)


def test_withdrawn_at_once(pki: Path, source: Path) -> None:
    """The port is the member's own: it is free as soon as the offer is withdrawn, and no thread is left."""
    before = threading.active_count()
    token = secrets.token_bytes(direct.TOKEN_BYTES)
    port = direct.offer(str(source), HOST, 0, tls(pki, "m1"), token, 2)
    direct.withdraw(port)
    with socket.create_server((HOST, port)):
        pass
    for thread in threading.enumerate()[before:]:
        thread.join(5)
    assert threading.active_count() <= before


def test_what_does_not_come_through_is_named(pki: Path, source: Path, tmp_path: Path) -> None:
    """A copy to two hosts, one of which cannot take it: the other has it, and this one is left to be relayed."""
    here = Here("m1")
    sender = transfer.Peer(host=here, address=HOST, port=0, tls=tls(pki, "m1"))
    good = transfer.Peer(host=Here("m2"), address=HOST, port=0, tls=tls(pki, "m2"))
    bad = transfer.Peer(host=Here("m3"), address=HOST, port=0, tls=tls(pki, "stranger"))
    targets = [(good, str(tmp_path / "good")), (bad, str(tmp_path / "bad"))]
    told: list[tuple[str, int, int]] = []
    failed = transfer.straight(sender, str(source), targets, files.sha256_of(source), lambda *what: told.append(what))
    assert failed == [bad]
    assert (tmp_path / "good").read_bytes() == source.read_bytes()
    assert not (tmp_path / "bad").exists()
