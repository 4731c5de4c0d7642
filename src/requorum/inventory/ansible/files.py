"""Finding and reading the files of an Ansible inventory: the inventory itself, and group_vars and host_vars beside it."""

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

from requorum.errors import UsageError
from requorum.etcdfiles.faults import open_regular
from requorum.inventory.ansible import document, ini, yaml
from requorum.inventory.ansible.groups import Groups, combine
from requorum.inventory.ansible.values import Malformed, Vaulted

MOST_BYTES = 8 << 20
ENDINGS = (".yml", ".yaml", ".json")
VAULT_MARK = b"$ANSIBLE_VAULT;"


def read_bytes(path: Path) -> bytes:
    """A file's content; raises UsageError."""
    try:
        with open(path, "rb", opener=open_regular) as file:
            raw = file.read(MOST_BYTES + 1)
    except (OSError, ValueError) as err:
        raise UsageError(f"{path}: {getattr(err, 'strerror', None) or err}") from err
    if len(raw) > MOST_BYTES:
        raise UsageError(f"{path}: larger than {MOST_BYTES >> 20} MiB: no inventory")
    return raw


def explain(path: Path, err: Malformed, hint: str = "") -> UsageError:
    """A file's fault for the operator."""
    return UsageError(f"{path}{f', line {err.line}' if err.line else ''}: {err.what}", hint=hint)


def read_inventory(path: Path, groups: Groups, notes: list[str]) -> None:
    """Add what one inventory file says; raises UsageError, and then ``groups`` is not to be used any more."""
    raw = read_bytes(path)
    if raw.startswith(VAULT_MARK):
        raise UsageError(f"{path}: encrypted with ansible-vault", hint="decrypt a copy with `ansible-vault decrypt`")
    if raw.startswith(b"#!") and os.access(path, os.X_OK):
        raise UsageError(
            f"{path}: a script that makes an inventory, which only Ansible runs",
            hint=f"save what it says: ansible-inventory -i {path} --list --yaml --export > hosts.yaml",
        )
    fault: UsageError | None = None
    if path.suffix in ("", *ENDINGS):
        attempt, said = groups.copy(), list[str]()
        try:
            yaml.read(raw, attempt, said)
        except Malformed as err:
            hint = "check it with: ansible-inventory -i FILE --list"
            if err.what == yaml.PLUGIN:
                hint = f"save what it says: ansible-inventory -i {path} --list --yaml --export > hosts.yaml"
            fault = explain(path, err, hint)
        else:
            groups.groups, groups.hosts = attempt.groups, attempt.hosts
            notes += [f"{path}: {one}" for one in said]
            return
    try:
        ini.read(raw, groups)
    except Malformed as err:
        if fault is not None and (path.suffix or not _looks_like_ini(raw)):
            raise fault from err
        raise explain(path, err, "check it with: ansible-inventory -i FILE --list") from err


def _looks_like_ini(raw: bytes) -> bool:
    return re.search(rb"^\s*\[[^\]\s]+\]\s*(?:#.*)?$", raw, re.MULTILINE) is not None


class VarsFiles:
    """The variables that the ``group_vars`` and ``host_vars`` of one folder hold."""

    def __init__(self, folder: Path, notes: list[str], *, merge: bool) -> None:
        self.folder = folder
        self.notes = notes
        self.merge = merge
        self._read: dict[Path, dict[str, object]] = {}

    def of(self, kind: Literal["group_vars", "host_vars"], names: Sequence[str]) -> dict[str, object]:
        """The variables of some groups or hosts, the later ones stronger; raises UsageError."""
        found: dict[str, object] = {}
        for name in names:
            if "\0" in name or name.startswith("/"):
                continue  # Ansible takes a host's name that is a path for a folder to chroot to
            for path in _vars_files(self.folder / kind, name):
                found = combine(found, self._variables(path), merge=self.merge)
        return found

    def _variables(self, path: Path) -> dict[str, object]:
        if path not in self._read:
            raw = read_bytes(path)
            if raw.startswith(VAULT_MARK):
                self.notes.append(f"{path} is encrypted with ansible-vault and was passed over")
                value: object = None
            else:
                try:
                    value = document.parse(raw).value
                except Malformed as err:
                    raise explain(path, err) from err
            if value and not isinstance(value, dict):
                raise UsageError(f"{path}: variables must be a mapping", hint="write one `name: value` a line")
            variables = value if isinstance(value, dict) else {}
            self.notes += [f"{path}: {key} is encrypted" for key, one in variables.items() if isinstance(one, Vaulted)]
            self._read[path] = variables
        return self._read[path]


def _vars_files(folder: Path, name: str) -> list[Path]:
    """The first of NAME, NAME.yml, NAME.yaml and NAME.json: a file, or a folder with all that is in it."""
    for ending in ("", *ENDINGS):
        path = folder / (name + ending)
        if os.path.isdir(path):
            return list(_vars_in(path))
        if os.path.exists(path):
            return [path]
    return []


def _vars_in(folder: Path) -> Iterator[Path]:
    try:
        names = sorted(os.listdir(folder))
    except OSError as err:
        raise UsageError(f"{folder}: {err.strerror}") from err
    for name in names:
        path, ending = folder / name, os.path.splitext(name)[1]
        if name.startswith(".") or name.endswith("~"):
            continue
        if os.path.isdir(path):
            if not ending:
                yield from _vars_in(path)
        elif os.path.isfile(path) and ending in ("", *ENDINGS):
            yield path
