"""A snapshot of a wanted size, made once by a real etcd on loopback and kept in the user's cache."""

import base64
import os
import random
import shutil
import subprocess
import tempfile
from pathlib import Path

from lab.programs import LabError, run
from lab.rootfs import cache
from requorum.rehearsal import cluster
from requorum.rehearsal.gateway import Gateway

VALUE_BYTES = 4096
PUTS_PER_TXN = 100


def snapshot(megabytes: int, etcd_dir: Path) -> Path:
    """The file; its db is of about that size."""
    kept = cache() / "bench" / f"{megabytes}MB.db"
    if kept.is_file():
        return kept
    kept.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix="requorum-fill-"))
    try:
        (member,) = cluster.lay_out(work, 1, etcd_dir, "fill")
        with member.config.open("a") as config:
            config.write("unsafe-no-fsync: true\nquota-backend-bytes: 8589934592\n")
        running = cluster.start([member], etcd_dir)
        try:
            _fill(Gateway(member.client_url, timeout=60), megabytes * 1_000_000)
            part = kept.with_name(f".{kept.name}.{os.getpid()}.part")
            run(
                [etcd_dir / "etcdctl", f"--endpoints={member.client_url}", "snapshot", "save", part],
                seconds=300,
                env={"ETCDCTL_API": "3", "PATH": os.defpath},
            )
            part.rename(kept)
        finally:
            cluster.kill_at_once(running)
            cluster.end_all_below(work)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return kept


def _fill(gateway: Gateway, size: int) -> None:
    """Objects as Kubernetes writes them, many in a transaction; a tenth of them written twice."""
    rng = random.Random(size)  # noqa: S311 - data to fill a db with, not a secret
    for number in range(size // (VALUE_BYTES + 200) // PUTS_PER_TXN):
        puts = []
        for at in range(PUTS_PER_TXN):
            key = f"/registry/configmaps/ns-{number % 97}/object-{number}-{at}"
            value = rng.randbytes(VALUE_BYTES)
            puts.append(
                {
                    "request_put": {
                        "key": base64.b64encode(key.encode()).decode(),
                        "value": base64.b64encode(value).decode(),
                    }
                }
            )
        answer = gateway.call("/v3/kv/txn", {"success": puts})
        if not answer.get("succeeded", True):
            raise LabError("etcd did not take a write")
    gateway.close()


def restore_on(root: Path, etcdutl: Path, snapshot_file: Path, words: list[str]) -> None:
    """Replace a host's data dir, seen from outside, by what a snapshot holds."""
    data = root / "var/lib/etcd"
    for child in data.iterdir():
        if child.name != "lost+found":
            shutil.rmtree(child)
    fresh = root / "var/lib/etcd.fill"
    shutil.rmtree(fresh, ignore_errors=True)
    done = subprocess.run(
        [etcdutl, "snapshot", "restore", snapshot_file, "--data-dir", fresh, *words],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    if done.returncode:
        raise LabError(f"the snapshot could not be restored: {done.stderr[-400:]}")
    (fresh / "member").rename(data / "member")
    fresh.rmdir()
