"""A certificate authority for etcd and the certificates that Kubespray gives each host: member, admin and node."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from lab.programs import run

KINDS = ("member", "admin", "node")
DAYS = "3650"
KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")


def make(folder: Path, hosts: Mapping[str, Sequence[str]]) -> None:
    """Write ca.pem, ca-key.pem and KIND-HOST.pem, KIND-HOST-key.pem; ``hosts`` maps a host to its names and addresses.

    Every certificate serves both ends, and names all hosts, as Kubespray's do.
    """
    folder.mkdir(parents=True)
    run(
        [
            *("openssl", "req", "-x509", *KEY, "-days", DAYS, "-subj", "/CN=etcd-ca"),
            *("-addext", "keyUsage=critical,keyCertSign,cRLSign,digitalSignature"),
            *("-keyout", folder / "ca-key.pem", "-out", folder / "ca.pem"),
        ]
    )
    together = sorted({one for names in hosts.values() for one in names} | {"localhost", "127.0.0.1"})
    alternatives = ",".join(f"{'IP' if one[0].isdigit() else 'DNS'}:{one}" for one in together)
    with ThreadPoolExecutor(4) as pool:
        jobs = [pool.submit(_sign, folder, kind, host, alternatives) for host in hosts for kind in KINDS]
        for job in jobs:
            job.result()
    for path in folder.glob("*-key.pem"):
        path.chmod(0o600)


def _sign(folder: Path, kind: str, host: str, alternatives: str) -> None:
    run(
        [
            *("openssl", "req", "-x509", *KEY, "-days", DAYS, "-subj", f"/CN=etcd-{kind}-{host}"),
            *("-CA", folder / "ca.pem", "-CAkey", folder / "ca-key.pem"),
            *("-addext", "basicConstraints=critical,CA:FALSE", "-addext", f"subjectAltName={alternatives}"),
            *("-addext", "extendedKeyUsage=clientAuth,serverAuth"),
            *("-addext", "keyUsage=critical,digitalSignature,keyEncipherment"),
            *("-keyout", folder / f"{kind}-{host}-key.pem", "-out", folder / f"{kind}-{host}.pem"),
        ]
    )
