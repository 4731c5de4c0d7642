"""Which data dir an etcd process was started on: by its command line, its environment and its configuration file."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

_SETTING = re.compile(rb"""^\s*["']?data-dir["']?\s*:\s*["']?([^"'#\n]+?)["']?\s*,?\s*(?:#.*)?$""", re.MULTILINE)
MOST_OF_CONFIG = 1 << 20


def is_etcd(pid: int) -> bool:
    """Whether a process is a server of etcd, by the name of its program."""
    program = os.path.basename(_words(pid)[0])
    return "etcd" in program and not program.startswith(("etcdctl", "etcdutl"))


def _words(pid: int) -> list[str]:
    try:
        raw = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return [""]
    return os.fsdecode(raw).rstrip("\0").split("\0")


def _environment(pid: int) -> dict[str, str]:
    try:
        raw = os.fsdecode(Path(f"/proc/{pid}/environ").read_bytes())
    except OSError:
        return {}
    return dict(one.split("=", 1) for one in raw.split("\0") if "=" in one)


def _flag(words: Sequence[str], name: str) -> str:
    found = ""
    for at, word in enumerate(words):
        key, equals, value = word.partition("=")
        if key in (f"-{name}", f"--{name}"):
            found = value if equals else (words[at + 1] if at + 1 < len(words) else "")
    return found


def data_dir_of(pid: int) -> str:
    """The data dir as the process itself names it, made absolute; empty where that cannot be told.

    etcd reads neither flags nor variables where it is given a configuration file (embed.ConfigFromFile).
    """
    words, environment = _words(pid), _environment(pid)
    config = _flag(words, "config-file") or environment.get("ETCD_CONFIG_FILE", "")
    if config:
        found = _of_config(_as_seen(pid, config))
    else:
        name = _flag(words, "name") or environment.get("ETCD_NAME", "") or "default"
        found = _flag(words, "data-dir") or environment.get("ETCD_DATA_DIR", "") or f"{name}.etcd"
    if not found or found.startswith("/"):
        return found
    try:
        return os.path.join(os.readlink(f"/proc/{pid}/cwd"), found)
    except OSError:
        return ""


def _as_seen(pid: int, path: str) -> str:
    """A path of a process, from here: it may have a root of its own."""
    return f"/proc/{pid}/root{path}" if path.startswith("/") else f"/proc/{pid}/cwd/{path}"


def _of_config(path: str) -> str:
    try:
        with open(path, "rb") as file:
            found = _SETTING.findall(file.read(MOST_OF_CONFIG))
    except OSError:
        return ""
    return os.fsdecode(found[-1].strip()) if found else ""


def same_paths(pid: int) -> bool:
    """Whether a path means the same to a process as it does here: it is in no container with mounts of its own."""
    try:
        return os.readlink(f"/proc/{pid}/ns/mnt") == os.readlink("/proc/self/ns/mnt")
    except OSError:
        return False


def runs_on(pid: int, folders: Sequence[Path]) -> bool:
    """Whether an etcd was started on one of these folders, whatever it has open now."""
    named = data_dir_of(pid)
    if not named:
        return False
    if same_paths(pid):
        return os.path.realpath(named) in {os.path.realpath(one) for one in folders}
    try:
        there = os.stat(_as_seen(pid, named))
    except OSError:
        return False
    return any(_same(there, one) for one in folders)


def _same(info: os.stat_result, folder: Path) -> bool:
    try:
        return os.path.samestat(info, os.stat(folder))
    except OSError:
        return False
