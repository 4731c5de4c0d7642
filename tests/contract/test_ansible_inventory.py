"""The own reader of Ansible inventories against Ansible: the same hosts, in the same groups, with the same variables."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from requorum.inventory.ansible import inventory as ansible

DATA = Path(__file__).parents[1] / "data" / "inventories"
ALL = sorted(
    path
    for path in [*DATA.iterdir(), *DATA.glob("*/*")]
    if path.is_dir() != path.is_file() and path.suffix in ("", ".ini", ".yml", ".yaml") and "_vars" not in path.name
)
some = settings(
    deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


@pytest.fixture(scope="module")
def program() -> Path:
    """The real ``ansible-inventory``; without it nothing here is proved, so its lack fails."""
    beside = Path(sys.executable).parent
    found = shutil.which("ansible-inventory", path=f"{beside}{os.pathsep}{os.environ.get('PATH', '')}")
    if found is None:
        pytest.fail("no ansible-inventory: install ansible-core")
    return Path(found)


@pytest.fixture(autouse=True)
def elsewhere(program: Path, tmp_path: Path) -> Iterator[Path]:
    """A folder without settings of Ansible's, as the current folder and as the home."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("ANSIBLE_")]:
            patch.delenv(name)
        patch.setenv("HOME", str(tmp_path))
        patch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ.get('PATH', '')}")
        (tmp_path / "here").mkdir()
        patch.chdir(tmp_path / "here")
        yield tmp_path


def agree(path: Path) -> ansible.AnsibleInventory:
    """Both readers say the same of an inventory."""
    real = ansible.load(path, use_ansible=True)
    own = ansible.load(path, use_ansible=False)
    assert real.read_with == "ansible-inventory"
    assert own.read_with == "own reader"
    assert shown(own) == shown(real)
    return real


def shown(inventory: ansible.AnsibleInventory) -> dict[str, Any]:
    """An inventory as text to compare: 1 and 1.0, 1 and True are not the same."""
    return {
        one.name: (one.groups, json.dumps(dict(one.variables), sort_keys=True, default=repr)) for one in inventory.hosts
    }


@pytest.mark.parametrize("path", ALL, ids=lambda path: str(path.relative_to(DATA)))
def test_written_inventories(path: Path) -> None:
    """Inventories as people write them for Kubespray, and the odd ones."""
    assert agree(path).hosts


@pytest.mark.parametrize("path", ALL, ids=lambda path: str(path.relative_to(DATA)))
def test_what_ansible_says_is_taken_as_it_says_it(path: Path, program: Path) -> None:
    """The JSON of ``ansible-inventory`` loses nothing on its way: every host, every variable, encrypted ones apart."""
    argv = [str(program), "-i", str(path), "--list"]
    text = subprocess.run(argv, capture_output=True, check=True, timeout=60).stdout
    top = json.loads(text, object_hook=lambda found: found.get("__ansible_unsafe", found))
    real = ansible.load(path, use_ansible=True)
    listed = {host for name, body in top.items() if name != "_meta" for host in body.get("hosts", ())}
    assert {one.name for one in real.hosts} == listed
    for one in real.hosts:
        said = top["_meta"]["hostvars"].get(one.name, {})
        assert one.variables.keys() == said.keys()
        assert all(said[key] == value for key, value in one.variables.items() if not isinstance(value, ansible.Vaulted))
        for name, body in top.items():
            if name != "_meta" and one.name in body.get("hosts", ()):
                assert name in one.groups


def test_with_kubesprays_settings(elsewhere: Path) -> None:
    """Kubespray's ansible.cfg keeps .ini files out of folders, for both."""
    Path("ansible.cfg").write_text(
        "[defaults]\nforce_valid_group_names = ignore\ninventory_ignore_extensions = ~, .orig, .ini, .cfg, .creds\n"
        "[inventory]\nignore_patterns = artifacts, credentials\n"
    )
    folder = elsewhere / "inv"
    (folder / "credentials").mkdir(parents=True)
    (folder / "credentials" / "key").write_text("0123abcd\n")
    (folder / "cluster.ini").write_text("[etcd]\nn1\n")
    (folder / "more.yml").write_text("kube-node: {hosts: {n2: }}\n")
    assert [one.name for one in agree(folder).hosts] == ["n2"]


def test_with_merged_mappings_and_safe_names(elsewhere: Path) -> None:
    """Two settings that change what the same files say."""
    Path("ansible.cfg").write_text("[defaults]\nhash_behaviour = merge\nforce_valid_group_names = always\n")
    path = elsewhere / "hosts.yml"
    path.write_text(
        "kube-node:\n  hosts: {n1: {m: {c: 3, d: {z: 1}}}}\n  vars: {m: {a: 1, d: {x: 1, l: [1]}}}\n"
        "all: {vars: {m: {a: 0, b: 2, d: {l: [2, 3]}}}}\n"
    )
    agree(path)


def test_with_variables_beside_the_playbooks(elsewhere: Path) -> None:
    """group_vars and host_vars of the current folder are read by both, and stronger."""
    folder = elsewhere / "inv"
    for place, value in ((folder, "inventory"), (Path.cwd(), "playbooks")):
        for name in ("group_vars/all.yml", "group_vars/etcd.yml", "host_vars/n1.yml"):
            (place / name).parent.mkdir(parents=True, exist_ok=True)
            (place / name).write_text(f"v: {value} {name}\n{value}_{name[:4]}: 1\n")
    (folder / "hosts").write_text("[etcd]\nn1\nn2\n")
    agree(folder / "hosts")


def test_a_host_named_as_its_group(elsewhere: Path) -> None:
    """Its variables become the group's, for both."""
    path = elsewhere / "hosts.ini"
    path.write_text("[etcd]\netcd ip=192.0.2.1\nn2\n")
    agree(path)


GROUPS = ("all", "etcd", "kube-master", "kube_node", "g1", "g2", "ungrouped")
HOSTS = ("n1", "n2", "n3.example.org", "node[1:3]", "x-[a:b]:2222", "192.0.2.7", "[2001:db8::5]:22")
KEYS = ("ip", "ansible_host", "ansible_port", "a", "ansible_group_priority", "group_names", "v")
WORDS = (
    "1",
    "-7",
    "007",
    "True",
    "no",
    "1.5",
    "[1, 'b']",
    "{'k': [1]}",
    "x",
    "a.b/c",
    "",
    "None",
    "0x10",
    "1e3",
    "a=b",
    "{{ ip }}",
)
group = st.sampled_from(GROUPS)
values = st.sampled_from(WORDS)
plain = st.dictionaries(st.sampled_from(KEYS), values, max_size=3).map(
    lambda found: {key: ("3" if key == "ansible_group_priority" else value) for key, value in found.items()}
)


def quoted(word: str) -> str:
    """A word as one of a host's line."""
    return f'"{word}"' if " " in word or "'" in word else word


@st.composite
def ini(draw: st.DrawFn) -> str:
    """An inventory in INI form whose groups are all declared."""
    lines = [f"[{one}]" for one in GROUPS]
    for one in draw(st.lists(group, max_size=5)):
        lines.append(f"[{one}]")
        for name in draw(st.lists(st.sampled_from(HOSTS), max_size=3)):
            words = [f"{key}={quoted(value)}" for key, value in draw(plain).items()]
            lines.append(" ".join([name, *words]) + draw(st.sampled_from(["", "  # why", " "])))
    for one in draw(st.lists(group, max_size=4)):
        lines.append(f"[{one}:vars]")
        lines += [f"{key} = {value}" for key, value in draw(plain).items()]
    for one, other in draw(st.lists(st.tuples(group, group), max_size=4)):
        if GROUPS.index(one) < GROUPS.index(other) and other != "ungrouped":
            lines += [f"[{one}:children]", other]
    return "\n".join(lines) + "\n"


def yaml_value(word: str) -> str:
    """A word as YAML takes it, with quotes where it could not be read without."""
    return "'" + word.replace("'", "''") + "'" if word.startswith(("{", "[")) or "'" in word else word


@st.composite
def yaml(draw: st.DrawFn) -> str:
    """An inventory in YAML."""
    lines = []
    for number, one in enumerate(GROUPS[:-1]):
        lines += [f"{one}:", "  hosts:"]
        for name in draw(st.lists(st.sampled_from(HOSTS), max_size=3, unique=True)):
            lines.append(f"    '{name}':")
            lines += [f"      {key}: {yaml_value(value)}" for key, value in draw(plain).items()]
        lines.append("  vars:")
        lines += [f"    {key}: {yaml_value(value)}" for key, value in draw(plain).items()]
        below = GROUPS[number + 1 : -1]
        lines.append("  children:")
        if below:
            lines += [f"    {child}:" for child in draw(st.lists(st.sampled_from(below), max_size=2, unique=True))]
    return "\n".join(lines) + "\n"


places = st.sampled_from(
    [f"group_vars/{one}.yml" for one in GROUPS] + ["host_vars/n1.yml", "host_vars/node2", "group_vars/all/a.yaml"]
)
files = st.dictionaries(
    places, plain.map(lambda found: "".join(f"{k}: {yaml_value(v)}\n" for k, v in found.items())), max_size=4
)


@some
@given(st.tuples(st.just("hosts.ini"), ini()) | st.tuples(st.just("hosts.yml"), yaml()), files)
def test_drawn_inventories(
    tmp_path_factory: pytest.TempPathFactory, drawn: tuple[str, str], beside: dict[str, str]
) -> None:
    """Whatever groups, hosts, ranges and variables are drawn, with files of variables beside them."""
    folder = tmp_path_factory.mktemp("drawn")
    for name, text in {drawn[0]: drawn[1], **beside}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    agree(folder / drawn[0])
