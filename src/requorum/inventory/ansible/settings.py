"""The few settings of the operator's ansible.cfg that change what an inventory says.

Ansible takes the first file of ``$ANSIBLE_CONFIG``, ``./ansible.cfg``, ``~/.ansible.cfg`` and ``/etc/ansible/ansible.cfg``,
and each variable ``ANSIBLE_…`` before the file. Kubespray's own file matters: it lets folders be read without their
``.ini`` files. Where nothing is set they are read, as by ansible-core 2.19 (2.16 left them out).
"""

import configparser
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from requorum.errors import UsageError

NEVER_READ = r"^\.|^host_vars$|^group_vars$|^vars_plugins$"
IGNORED_ENDINGS = (".pyc", ".pyo", ".swp", ".bak", "~", ".rpm", ".md", ".txt", ".rst", ".orig", ".cfg", ".retry")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """``ignored`` is searched for in the names of the files of an inventory folder."""

    ignored: re.Pattern[str] = re.compile("|".join([NEVER_READ, *(re.escape(one) + "$" for one in IGNORED_ENDINGS)]))
    merge: bool = False
    safe_names: bool = False


def load(env: Mapping[str, str], cwd: Path) -> Settings:
    """The settings in force; raises UsageError for a file that cannot be read."""
    config = configparser.ConfigParser(inline_comment_prefixes=(";",), interpolation=None, strict=False)
    path = _file(env, cwd)
    try:
        if path is not None:
            config.read_string(path.read_bytes().decode())
    except (OSError, ValueError, configparser.Error) as err:
        raise UsageError(f"{path}: cannot be read: {' '.join(str(err).split())[:200]}") from err

    def get(variable: str, *places: tuple[str, str]) -> str:
        found = [config.get(section, key, fallback="") for section, key in places]
        return env.get(variable) or next((one for one in reversed(found) if one), "")

    endings = get(
        "ANSIBLE_INVENTORY_IGNORE", ("defaults", "inventory_ignore_extensions"), ("inventory", "ignore_extensions")
    )
    patterns = get(
        "ANSIBLE_INVENTORY_IGNORE_REGEX", ("defaults", "inventory_ignore_patterns"), ("inventory", "ignore_patterns")
    )
    ignored = [NEVER_READ, *_list(patterns)]
    ignored += [re.escape(one) + "$" for one in _list(endings) or IGNORED_ENDINGS]
    try:
        return Settings(
            ignored=re.compile("|".join(ignored)),
            merge=get("ANSIBLE_HASH_BEHAVIOUR", ("defaults", "hash_behaviour")) == "merge",
            safe_names=get("ANSIBLE_TRANSFORM_INVALID_GROUP_CHARS", ("defaults", "force_valid_group_names"))
            in ("always", "silently"),
        )
    except re.error as err:
        raise UsageError(f"{path}: a pattern of files to ignore is no regular expression: {err}") from err


def _list(text: str) -> list[str]:
    return [one.strip() for one in text.split(",") if one.strip()]


def _file(env: Mapping[str, str], cwd: Path) -> Path | None:
    named = env.get("ANSIBLE_CONFIG", "")
    places = [Path(named).expanduser()] if named and "\0" not in named else []
    if named and places[0].is_dir():
        places = [places[0] / "ansible.cfg"]
    if not _writable_by_all(cwd):
        places.append(cwd / "ansible.cfg")
    if env.get("HOME"):
        places.append(Path(env["HOME"]) / ".ansible.cfg")
    places.append(Path("/etc/ansible/ansible.cfg"))
    return next((one for one in places if one.is_file() and os.access(one, os.R_OK)), None)


def _writable_by_all(folder: Path) -> bool:
    """Ansible takes no settings from a folder where anybody could have put them."""
    try:
        return bool(folder.stat().st_mode & 0o002)
    except OSError:
        return True
