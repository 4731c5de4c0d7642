"""Data dirs that a host's configuration names, or named once: in env files, units and manifests, and in what was kept of
them beside them (``etcd.env.bak``, ``etcd.env.2024-01-01~``, ``etcd.yaml.requorum-RUN``). Runs on the hosts.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence

MOST_FILES = 60
MOST_BYTES = 1 << 20
UNIT_FOLDERS = ("/etc/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system")
MANIFEST_FOLDERS = ("/etc/kubernetes/manifests", "/etc/kubernetes/manifests.requorum", "/etc/kubernetes")
_NAMES = re.compile(
    rb"""(?:ETCD_DATA_DIR\s*[=:]|data-dir["']?\s*[=:]|--data-dir\s)\s*["']?(/[^\s"',;#]+)"""
    rb"""|path["']?\s*:\s*["']?(/[^\s"',;#]*etcd[^\s"',;#]*)"""
)


def named(configs: Sequence[str], units: bool) -> dict[str, str]:
    """Each path that looks like a data dir's, with the file that names it. ``units``: the host's own units and manifests of
    etcd are looked through as well."""
    out: dict[str, str] = {}
    for file in _files(configs, units)[:MOST_FILES]:
        for path in _paths_in(file):
            out.setdefault(os.path.normpath(path), file)
    return out


def _files(configs: Sequence[str], units: bool) -> list[str]:
    """The files of configuration, and what begins with the name of one of them in the same folder."""
    found = []
    for config in configs:
        folder, name = os.path.split(config)
        found += [os.path.join(folder, one) for one in _names_in(folder) if one.lstrip(".").startswith(name)]
    for folder in (*UNIT_FOLDERS, *MANIFEST_FOLDERS) if units else ():
        found += [os.path.join(folder, one) for one in _names_in(folder) if one.startswith("etcd")]
    for one in list(found):
        if os.path.isdir(one):
            found += [os.path.join(one, name) for name in _names_in(one)]
    return [one for one in dict.fromkeys(found) if os.path.isfile(one)]


def _names_in(folder: str) -> list[str]:
    try:
        return sorted(os.listdir(folder))
    except OSError:
        return []


def _paths_in(file: str) -> list[str]:
    try:
        with open(file, "rb") as opened:
            return [os.fsdecode(one or other) for one, other in _NAMES.findall(opened.read(MOST_BYTES))]
    except OSError:
        return []
