"""What is sent to a host: the modules that run there, as one zip in memory, and the fast CRC-32C where it fits."""

import functools
import importlib.util
import io
import zipfile
from pathlib import Path

import requorum

SENT = (
    "__init__.py",
    "errors.py",
    "etcdfiles/*.py",
    "hosts/__init__.py",
    "hosts/address.py",
    "hosts/agent.py",
    "hosts/bounds.py",
    "hosts/containers.py",
    "hosts/direct.py",
    "hosts/etcdargs.py",
    "hosts/files.py",
    "hosts/old_python.py",
    "hosts/openfiles.py",
    "hosts/processes.py",
    "hosts/programs.py",
    "hosts/setaside.py",
    "etcd/__init__.py",
    "etcd/binaries.py",
    "etcd/client.py",
    "etcd/versions.py",
    "hosts/trees.py",
    "hosts/net.py",
    "hosts/podlogs.py",
    "hosts/units.py",
    "hosts/wire.py",
    "inventory/__init__.py",
    "inventory/values.py",
    "deployments/__init__.py",
    "deployments/config.py",
    "survey/__init__.py",
    "survey/applied.py",
    "survey/around.py",
    "survey/around_values.py",
    "survey/disks.py",
    "survey/evidence.py",
    "survey/logs.py",
    "survey/voters.py",
    "survey/oldpaths.py",
    "survey/written.py",
    "workbench/__init__.py",
    "workbench/bench.py",
)
"""Nothing of these imports anything but the others and Python 3.8's standard library."""

LIBRARY = "requorum/libcrc32c.so"
"""The extension module of the ``crc32c`` package: its plain C functions can be called by any Python of the same kind of
machine."""


@functools.cache
def made() -> bytes:
    """The zip."""
    top = Path(requorum.__file__).parent
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as zipped:
        for pattern in SENT:
            found = sorted(top.glob(pattern))
            assert found, pattern
            for path in found:
                name = f"requorum/{path.relative_to(top)}"
                source = path.read_bytes()
                zipped.writestr(name, source)
                if compiled := _compiled(path, source):
                    zipped.writestr(f"{name}c", compiled)
        spec = importlib.util.find_spec("crc32c._crc32c")
        if spec is not None and spec.origin:
            zipped.writestr(LIBRARY, Path(spec.origin).read_bytes())
    return out.getvalue()


def _compiled(path: Path, source: bytes) -> bytes:
    """A module as this Python has compiled it, where it has: one of the same version there need not do it again.

    Marked as belonging to this very source (an unchecked hash-based pyc, PEP 552); other versions pass it over.
    """
    try:
        raw = Path(importlib.util.cache_from_source(str(path))).read_bytes()
        info = path.stat()
    except (OSError, NotImplementedError):
        return b""
    flags, mtime, size = (int.from_bytes(raw[at : at + 4], "little") for at in (4, 8, 12))
    fresh = raw[:4] == importlib.util.MAGIC_NUMBER and flags == 0
    if not fresh or mtime != int(info.st_mtime) & 0xFFFFFFFF or size != info.st_size & 0xFFFFFFFF:
        return b""
    return raw[:4] + (1).to_bytes(4, "little") + importlib.util.source_hash(source) + raw[16:]


BOOT = """
import sys
if sys.version_info < (3, 8): sys.exit(97)
try:
    import array, base64, contextlib, ctypes, dataclasses, fcntl, hashlib, json, pathlib, pickle, secrets
    import shutil, signal, socket, struct, subprocess, tempfile, threading, typing, urllib.parse, zipimport, zlib
except ImportError:
    sys.exit(97)
import os
sys.dont_write_bytecode = True
size = int(sys.stdin.buffer.readline())
fd = os.memfd_create("requorum")
with open(fd, "wb", closefd=False) as file: file.write(sys.stdin.buffer.read(size))
sys.path.insert(0, "/proc/self/fd/%d" % fd)
import requorum.hosts.old_python
from requorum.hosts import agent
agent.main()
"""
"""What the host's Python is started with; status 97: this Python will not do."""
