"""Ansible inventories, Kubespray's above all: read with the operator's ``ansible-inventory``, or without Ansible.

The own reader follows Ansible's rules for static inventories: INI, YAML and JSON files, folders of them, ``group_vars``
and ``host_vars`` beside them and in the current folder. What it cannot do is run scripts and inventory plugins, decrypt
vaults, and evaluate templates; nothing of that is guessed at, and a note says what was passed over.
"""

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path

from requorum.errors import UsageError
from requorum.hosts import programs
from requorum.hosts.programs import ProgramError
from requorum.inventory.ansible import document, settings
from requorum.inventory.ansible.files import VarsFiles, read_inventory
from requorum.inventory.ansible.groups import ALL, Groups, combine
from requorum.inventory.ansible.settings import Settings
from requorum.inventory.ansible.values import AnsibleHost, AnsibleInventory, Malformed, Vaulted

__all__ = ["AnsibleHost", "AnsibleInventory", "Vaulted", "load"]

PROGRAM = "ansible-inventory"
SECONDS = 120.0
PASSED_ON = ("HOME", "LOGNAME", "PATH", "PYTHONPATH", "TMPDIR", "USER", "VIRTUAL_ENV")
INTERNAL = frozenset(
    (
        "ansible_async_path",
        "ansible_collection_name",
        "ansible_config_file",
        "ansible_dependent_role_names",
        "ansible_diff_mode",
        "ansible_facts",
        "ansible_forks",
        "ansible_inventory_sources",
        "ansible_limit",
        "ansible_play_batch",
        "ansible_play_hosts",
        "ansible_play_hosts_all",
        "ansible_play_role_names",
        "ansible_playbook_python",
        "ansible_role_name",
        "ansible_role_names",
        "ansible_run_tags",
        "ansible_skip_tags",
        "ansible_verbosity",
        "ansible_version",
        "group_names",
        "groups",
        "hostvars",
        "inventory_dir",
        "inventory_file",
        "inventory_hostname",
        "inventory_hostname_short",
        "play_hosts",
        "playbook_dir",
        "role_name",
        "role_names",
        "role_path",
        "role_uuid",
    )
)
"""Names that Ansible keeps to itself: what an inventory sets them to counts for nothing."""


def load(path: Path, *, use_ansible: bool | None = None) -> AnsibleInventory:
    """Read an inventory file or folder; raises UsageError that names the file and the line.

    ``use_ansible``: only ``ansible-inventory``, or only the own reader; by default the former, and the latter where
    it is not installed or fails (as it does where a vault's password is not at hand).
    """
    if "\0" in str(path) or not path.exists():
        raise UsageError(f"{path}: there is no such inventory", hint="name an inventory file, or a folder of them")
    program = programs.which(PROGRAM, os.environ.get("PATH", "").split(os.pathsep))
    if use_ansible and program is None:
        raise UsageError(f"{PROGRAM} is not on the PATH", hint="install ansible-core, or let the own reader read it")
    if program is None or use_ansible is False:
        return _by_own_reader(path, [])
    try:
        return _by_ansible(path, program)
    except UsageError as err:
        if use_ansible:
            raise
        return _by_own_reader(path, [f"{err.message}; it was read without Ansible"])


def _by_ansible(path: Path, program: Path) -> AnsibleInventory:
    env = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    env |= {name: value for name, value in os.environ.items() if name.startswith("ANSIBLE_")}
    env |= {
        "LC_ALL": "C.UTF-8",
        "ANSIBLE_FORCE_COLOR": "0",
        "ANSIBLE_NOCOLOR": "1",
        "ANSIBLE_VERBOSITY": "0",
        "ANSIBLE_INVENTORY_EXPORT": "0",
        "ANSIBLE_CACHE_PLUGIN": "memory",  # the facts of earlier runs are no part of the inventory
        # A file that is read in part names a part of the cluster.
        "ANSIBLE_INVENTORY_UNPARSED_FAILED": "1",
        "ANSIBLE_INVENTORY_ANY_UNPARSED_IS_FAILED": "0" if path.is_dir() else "1",
    }
    try:
        done = programs.run([program, "-i", os.path.abspath(path), "--list"], seconds=SECONDS, env=env)
    except ProgramError as err:
        said = " ".join(err.detail.split())
        hint = f"see what it says: {err.command}"
        raise UsageError(f"{path}: {PROGRAM} {err.what}{f': {said[-400:]}' if said else ''}", hint=hint) from err
    try:
        hosts = _hosts_of_json(done.out)
    except (ValueError, RecursionError, KeyError, TypeError, AttributeError) as err:
        raise UsageError(f"{path}: {PROGRAM} --list said nothing that can be read", hint=f"try: {program}") from err
    unread = re.findall(r"Unable to parse (.+?) as an inventory source", " ".join(done.err.split()))
    return AnsibleInventory(
        hosts=hosts,
        path=path,
        read_with="ansible-inventory",
        notes=(*(f"Ansible could not read {one} in full" for one in unread), *_encrypted(hosts)),
    )


def _hosts_of_json(text: str) -> tuple[AnsibleHost, ...]:
    """The hosts of ``ansible-inventory --list``: groups with their direct hosts and children, variables apart."""
    top = json.loads(text)
    variables = document.json_value(json.dumps(top["_meta"]["hostvars"]))
    del top["_meta"]
    groups = Groups()
    for name, body in top.items():
        groups.add_group(name)
        for child in body.get("children", ()):
            groups.add_group(child)
            groups.add_child(name, child)
        for host in body.get("hosts", ()):
            groups.add_host(host, name)
    if not isinstance(variables, dict):
        raise TypeError("hostvars")
    names = sorted({*groups.hosts, *variables})
    return tuple(
        AnsibleHost(name=one, groups=tuple(sorted(groups.groups_of(one))), variables=variables.get(one, {}))
        for one in names
    )


def _encrypted(hosts: tuple[AnsibleHost, ...]) -> list[str]:
    found = {key for host in hosts for key, value in host.variables.items() if isinstance(value, Vaulted)}
    return [f"{key} is encrypted" for key in sorted(found)]


def _by_own_reader(path: Path, notes: list[str]) -> AnsibleInventory:
    here = Path.cwd()
    configured = settings.load(os.environ, here)
    groups = Groups(merge=configured.merge, safe_names=configured.safe_names)
    if path.is_dir():
        groups, files = _read_folder(path, groups, configured, notes)
        if not files:
            raise UsageError(
                f"{path}: no inventory in this folder can be read" + "".join(f"; {one}" for one in notes[:3]),
                hint="name the inventory file itself",
            )
    else:
        read_inventory(path, groups, notes)
    try:
        groups.settle()
    except Malformed as err:
        raise UsageError(f"{path}: {err.what}") from err
    beside = Path(os.path.realpath(path if path.is_dir() else path.parent))
    variables = _Merged(groups, beside, here, configured, notes)
    hosts = tuple(
        AnsibleHost(name=name, groups=tuple(sorted(groups.groups_of(name))), variables=variables.of(name))
        for name in sorted(groups.hosts)
    )
    notes += [one for one in _encrypted(hosts) if not any(note.endswith(one) for note in notes)]
    return AnsibleInventory(hosts=hosts, path=path, read_with="own reader", notes=tuple(dict.fromkeys(notes)))


def _read_folder(path: Path, groups: Groups, settings: Settings, notes: list[str]) -> tuple[Groups, int]:
    """Every inventory in a folder and the folders in it; how many there were. Files that are none are noted."""
    try:
        names = sorted(os.listdir(path))
    except OSError as err:
        raise UsageError(f"{path}: {err.strerror}") from err
    count = 0
    for name in names:
        if settings.ignored.search(name):
            continue
        if (path / name).is_dir():
            groups, more = _read_folder(path / name, groups, settings, notes)
            count += more
            continue
        attempt = groups.copy()
        try:
            read_inventory(path / name, attempt, notes)
        except UsageError as err:
            notes.append(f"passed over as no inventory: {err.message}")
        else:
            groups, count = attempt, count + 1
    return groups, count


class _Merged:
    """What each host's variables come to: the inventory's, those of the files beside it, those of the current folder's.

    Ansible looks beside the playbook last. Kubespray's playbooks lie where its operators run them, and
    ``ansible-inventory`` takes the current folder for that place.
    """

    def __init__(self, groups: Groups, beside: Path, here: Path, settings: Settings, notes: list[str]) -> None:
        self.groups = groups
        self.merge = settings.merge
        folders = (beside,) if beside == here else (beside, here)
        self.folders = [VarsFiles(one, notes, merge=settings.merge) for one in folders]
        if any((here / kind).is_dir() for kind in ("group_vars", "host_vars")) and beside != here:
            notes.append(f"group_vars and host_vars of the current folder {here} count, too, as they do for Ansible")

    def of(self, host: str) -> Mapping[str, object]:
        names = self.groups.groups_of(host)
        layers: list[Mapping[str, object]] = [self.groups.groups[one].variables for one in (ALL, *names)]
        layers += [files.of("group_vars", [ALL]) for files in self.folders]
        layers += [files.of("group_vars", names) for files in self.folders]
        layers.append(self.groups.hosts[host])
        layers += [files.of("host_vars", [host]) for files in self.folders]
        found: dict[str, object] = {}
        for layer in layers:
            found = combine(found, layer, merge=self.merge)
        return {str(key): value for key, value in found.items() if key not in INTERNAL}
