"""Ansible inventories without Ansible: what counts, what is passed over with a note, and what is refused by its line."""

import contextlib
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from requorum.errors import UsageError
from requorum.inventory.ansible import document as ansible_document
from requorum.inventory.ansible import ini as ansible_ini
from requorum.inventory.ansible import inventory as ansible
from requorum.inventory.ansible import patterns as ansible_patterns
from requorum.inventory.ansible import yaml as ansible_yaml
from requorum.inventory.ansible.groups import Groups
from requorum.inventory.ansible.templates import resolve
from requorum.inventory.ansible.values import AnsibleHost, AnsibleInventory, Malformed, Vaulted
from requorum.inventory.kubespray import KubesprayHost, kubespray_hosts

pytestmark = pytest.mark.timeout(60)
DATA = Path(__file__).parents[1] / "data" / "inventories"
many = settings(deadline=None, max_examples=300, suppress_health_check=[HealthCheck.too_slow])


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder without settings and variables to read inventories from: Ansible reads those of the current one, too."""
    for name in [name for name in os.environ if name.startswith("ANSIBLE_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path


def read(path: Path) -> AnsibleInventory:
    """An inventory, read without Ansible."""
    return ansible.load(path, use_ansible=False)


def written(folder: Path, **files: str) -> Path:
    """A folder with some files: ``hosts_ini`` is ``hosts.ini``, ``group_vars__all_yml`` is ``group_vars/all.yml``."""
    for name, text in files.items():
        path = folder / name.replace("__", "/").replace("_ini", ".ini").replace("_yml", ".yml")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def host(inventory: AnsibleInventory, name: str) -> AnsibleHost:
    """The host of a name."""
    return next(one for one in inventory.hosts if one.name == name)


def member(inventory: Path, name: str) -> KubesprayHost:
    """What Kubespray's inventory says of a host."""
    return next(one for one in kubespray_hosts(read(inventory)) if one.name == name)


def refused(path: Path) -> UsageError:
    """Why an inventory cannot be read."""
    with pytest.raises(UsageError) as caught:
        read(path)
    return caught.value


@pytest.mark.parametrize(
    ("pattern", "names", "port"),
    [
        ("node1", ["node1"], 0),
        ("node1:2222", ["node1"], 2222),
        ("node[1:3]", ["node1", "node2", "node3"], 0),
        ("node[01:20:9]", ["node01", "node10", "node19"], 0),
        ("node[:2]", ["node0", "node1", "node2"], 0),
        ("db-[a:c].example.org:22", [f"db-{one}.example.org" for one in "abc"], 22),
        ("[a:b][1:2]", ["a1", "a2", "b1", "b2"], 0),
        ("[2001:db8::1]:22", ["2001:db8::1"], 22),
        ("2001:db8::1", ["2001:db8::1"], 0),
        ("10.0.0.[9:11]", ["10.0.0.9", "10.0.0.10", "10.0.0.11"], 0),
        ("odd_:22", ["odd_:22"], 0),
        ("node[3:1]", [], 0),
    ],
)
def test_patterns(pattern: str, names: list[str], port: int) -> None:
    """A pattern names these hosts and this port."""
    assert ansible_patterns.expand(pattern) == (names, port)


@pytest.mark.parametrize(
    "pattern",
    ["n[1:]", "n[1:2:0]", "n[01:100]", "n[b:a]", "n[1-3]", "n[1:2", "[::1]", "n[0:99999999]", "n[0:999][0:999]"],
)
def test_patterns_that_name_nothing(pattern: str) -> None:
    """A range without an end, one of no step, one of unequal lengths, one that would fill the memory: refused."""
    with pytest.raises(Malformed):
        ansible_patterns.expand(pattern)


def test_values_on_a_hosts_line_are_python_where_they_can_be(elsewhere: Path) -> None:
    """Numbers, booleans and lists are what they look like; everything else is a string, quotes taken off."""
    text = "n1 port=22 flag=True word=true mode=0640 list=\"['a', 1]\" said='x y' tpl='{{ ip }}'  # a comment\n"
    values = host(read(written(elsewhere, hosts_ini=text) / "hosts.ini"), "n1").variables
    assert values == {
        "port": 22,
        "flag": True,
        "word": "true",
        "mode": "0640",
        "list": ["a", 1],
        "said": "x y",
        "tpl": "{{ ip }}",
    }


def test_the_nearest_group_wins_then_the_files_then_the_host(elsewhere: Path) -> None:
    """Children are stronger than parents, group_vars than the inventory's own, a host's own than any group's."""
    text = "[etcd]\nn1 d=line e=line\n[top:children]\netcd\n"
    for group in ("all", "top", "etcd"):
        text += f"[{group}:vars]\n" + "".join(f"{one}={group}\n" for one in "abcde")
    folder = written(
        elsewhere / "inv",
        hosts_ini=text,
        group_vars__all_yml="b: file of all\n",
        group_vars__top_yml="c: file of top\nd: file of top\n",
        host_vars__n1_yml="e: file of n1\n",
    )
    assert host(read(folder / "hosts.ini"), "n1").variables == {
        "a": "etcd",
        "b": "file of all",
        "c": "file of top",
        "d": "line",
        "e": "file of n1",
    }


def test_a_groups_priority_goes_before_its_name(elsewhere: Path) -> None:
    """Of two groups equally deep the later name wins, unless a priority says otherwise."""
    text = "[a]\nn1\n[b]\nn1\n[a:vars]\nv=a\n[b:vars]\nv=b\n"
    assert host(read(written(elsewhere, hosts_ini=text) / "hosts.ini"), "n1").variables["v"] == "b"
    text += "[a:vars]\nansible_group_priority=2\n"
    assert host(read(written(elsewhere, hosts_ini=text) / "hosts.ini"), "n1").variables == {"v": "a"}


def test_groups_are_inherited_and_all_goes_without_saying() -> None:
    """A host is in its groups and in those above them; one in no group is in ``ungrouped``."""
    inventory = read(DATA / "stacked")
    assert host(inventory, "cp1").groups == ("etcd", "k8s_cluster", "kube_control_plane")
    assert host(read(DATA / "odd" / "words.ini"), "bare").groups == ("with-dashes.and.dots",)
    assert host(read(DATA / "odd" / "words.ini"), "plain-v6").groups == ("ungrouped",)


def test_a_folder_is_read_as_ansible_reads_it() -> None:
    """All its files in the order of their names, and the folders in it; backups and texts are no inventories."""
    inventory = read(DATA / "folder")
    assert [one.name for one in inventory.hosts] == ["m1", "m2", "p1", "w1"]
    assert host(inventory, "m2").variables["zone"] == "c"


def test_kubesprays_settings_leave_ini_files_out_of_folders(elsewhere: Path) -> None:
    """Run where Kubespray's ansible.cfg lies, a folder is read without the files that this tells to ignore."""
    folder = written(elsewhere / "inv", hosts_ini="[etcd]\nn1\n", more_yml="etcd: {hosts: {n2: }}\n")
    assert [one.name for one in read(folder).hosts] == ["n1", "n2"]
    Path("ansible.cfg").write_text("[defaults]\ninventory_ignore_extensions = ~, .orig, .ini, .cfg\n")
    assert [one.name for one in read(folder).hosts] == ["n2"]


def test_variables_of_the_current_folder_count_and_are_noted(elsewhere: Path) -> None:
    """group_vars beside the playbooks are stronger than those beside the inventory."""
    folder = written(elsewhere / "inv", hosts_ini="[etcd]\nn1\n", group_vars__etcd_yml="v: inventory\n")
    written(Path.cwd(), group_vars__etcd_yml="v: playbooks\n")
    inventory = read(folder / "hosts.ini")
    assert host(inventory, "n1").variables == {"v": "playbooks"}
    assert any("current folder" in one for one in inventory.notes)


def test_what_is_encrypted_is_unknown_and_noted(elsewhere: Path) -> None:
    """A vaulted value is kept as unknown, a vaulted file passed over; the ciphertext is nowhere."""
    inventory = read(DATA / "vaulted" / "hosts.yml")
    assert host(inventory, "v2").variables["ansible_host"] == Vaulted()
    assert "ansible_host is encrypted" in inventory.notes
    folder = written(elsewhere / "inv", hosts_ini="n1\n", group_vars__all_yml="$ANSIBLE_VAULT;1.1;AES256\n6162\n")
    (note,) = read(folder / "hosts.ini").notes
    assert "all.yml is encrypted" in note


def test_no_repr_shows_what_may_be_a_password() -> None:
    """Variables are left out of a host's repr."""
    assert "secret" not in repr(read(DATA / "vaulted" / "hosts.yml"))


@pytest.mark.parametrize(
    ("name", "text", "where"),
    [
        ("hosts.ini", "[etcd]\nn1\nn2 stray\n", "line 3: expected variable=value"),
        ("hosts.ini", "[etcd]\nn1 a='x\n", "line 2: "),
        ("hosts.ini", "[etcd:child]\n", "line 1: the section"),
        ("hosts.ini", "[two words]\n", "line 1: '[two words]' is no section"),
        ("hosts.ini", "n1\n[top:children]\nmissing\n", "line 3: [top:children] names the group 'missing'"),
        ("hosts.ini", "[gone:vars]\na=1\n", "line 1: [gone:vars]"),
        ("hosts.ini", "[a:children]\nb\n[b:children]\na\n", "would be a loop"),
        ("hosts.yml", "etcd:\n  hosts:\n    - n1\n", "line 2: hosts of the group 'etcd'"),
        ("hosts.yml", "etcd:\n  hosts: {n1: [}\n", "line 2: not YAML"),
        ("hosts.yml", "etcd: {hosts: {22: }}\n", "write it in quotes"),
        ("hosts.yml", "- n1\n", "must be a mapping of groups"),
        ("hosts.yml", "a: &x {children: *x}\n", "an alias refers to what it is in"),
        ("hosts.yml", "plugin: aws_ec2\nregions: [x]\n", "which only Ansible runs"),
        ("hosts.yml", "etcd: !odd {}\n", "the tag '!odd' is not known"),
    ],
)
def test_what_cannot_be_read_is_named_by_its_line(elsewhere: Path, name: str, text: str, where: str) -> None:
    """A fault is refused with the file, the line and a hint."""
    (elsewhere / name).write_text(text)
    error = refused(elsewhere / name)
    assert error.message.startswith(str(elsewhere / name))
    assert where in error.message
    assert error.hint


def test_a_script_is_not_run(elsewhere: Path) -> None:
    """A script that would print an inventory is refused, with what to type instead."""
    script = elsewhere / "hosts"
    script.write_text(f"#!/bin/sh\ntouch {elsewhere}/ran\n")
    script.chmod(0o755)
    assert "ansible-inventory -i" in refused(script).hint
    assert not (elsewhere / "ran").exists()


def test_no_file_is_read_by_half(elsewhere: Path) -> None:
    """In a folder, a malformed file is passed over whole: the hosts above its fault are not taken for all there are."""
    folder = written(elsewhere / "inv", a_ini="n1\n", b_ini="n2\nn3 stray\n")
    inventory = read(folder)
    assert [one.name for one in inventory.hosts] == ["n1"]
    assert any("b.ini, line 2" in one for one in inventory.notes)


def test_no_such_inventory(elsewhere: Path) -> None:
    """A path with nothing at it, a folder with nothing in it, a pipe nobody writes to."""
    assert "no such inventory" in refused(elsewhere / "none").message
    assert "no inventory in this folder" in refused(Path.cwd()).message
    os.mkfifo(elsewhere / "pipe")
    assert "not a regular file" in refused(elsewhere / "pipe").message


def test_without_ansible_the_own_reader_reads(elsewhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ansible is taken where it is; where it is not, or fails, the own reader is, and says why."""
    path = written(elsewhere, hosts_ini="n1\n") / "hosts.ini"
    monkeypatch.setenv("PATH", str(elsewhere / "bin"))
    assert ansible.load(path).read_with == "own reader"
    with pytest.raises(UsageError, match="not on the PATH"):
        ansible.load(path, use_ansible=True)
    program = written(elsewhere, **{"bin__ansible-inventory": "#!/bin/sh\necho no vault secrets >&2; exit 4\n"}) / "bin"
    (program / "ansible-inventory").chmod(0o755)
    found = ansible.load(path)
    assert found.read_with == "own reader"
    assert "no vault secrets" in found.notes[0]
    with pytest.raises(UsageError, match="no vault secrets"):
        ansible.load(path, use_ansible=True)


@pytest.mark.parametrize(
    "said", ["", "{}", "[]", "no json", '{"_meta": {"hostvars": 1}}', '{"_meta": {"hostvars": {}}, "a": 1}']
)
def test_what_ansible_says_may_be_anything(elsewhere: Path, monkeypatch: pytest.MonkeyPatch, said: str) -> None:
    """An output that is no inventory is refused, not taken for an empty one."""
    path = (
        written(elsewhere, hosts_ini="n1\n", **{"bin__ansible-inventory": f"#!/bin/sh\necho '{said}'\n"}) / "hosts.ini"
    )
    (elsewhere / "bin" / "ansible-inventory").chmod(0o755)
    monkeypatch.setenv("PATH", str(elsewhere / "bin"))
    with pytest.raises(UsageError, match="nothing that can be read"):
        ansible.load(path, use_ansible=True)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("plain", "plain"),
        (22, "22"),
        ("{{ ansible_host }}", "192.0.2.1"),
        ("{{inventory_hostname}}.pem", "n1.example.org.pem"),
        ("{{ inventory_hostname_short }}", "n1"),
        ("{{ access_ip }}", "192.0.2.1"),
        ("{{ missing | default('x') }}", "x"),
        ("{{ missing | default(ip) }}", "192.0.2.1"),
        ("{{ missing | default(gone) | default(7) }}", "7"),
        ("{{ empty | default('x') }}", ""),
        ("{{ empty | default('x', true) }}", "x"),
        ("{{ missing }}", None),
        ("{{ loop }}", None),
        ("{{ a | upper }}", None),
        ("{{ hostvars['n1'].ip }}", None),
        ("{% if a %}b{% endif %}", None),
        ("{{ open", None),
        (["list"], None),
        (None, None),
        (Vaulted(), None),
    ],
)
def test_templates_that_only_refer_are_resolved(value: object, text: str | None) -> None:
    """References and defaults are followed; all else is for Ansible, and a loop ends."""
    variables = {"ansible_host": "{{ ip }}", "ip": "192.0.2.1", "access_ip": "{{ ip }}", "empty": "", "a": "b"}
    variables["loop"] = "{{ loop }}"
    assert resolve(value, AnsibleHost(name="n1.example.org", groups=(), variables=variables)) == text


def test_stacked_members_as_kubespray_has_them() -> None:
    """Roles, address, name, the way in, and the facts of the deployment."""
    found = member(DATA / "stacked", "cp2")
    assert found.roles == ("etcd", "control-plane")
    assert (found.address, found.port, found.user) == ("192.0.2.12", 2222, "deploy")
    assert (found.etcd_member_name, found.etcd_deployment_type, found.bin_dir) == ("etcd2", "host", "/usr/local/bin")
    assert found.become
    assert not found.etcd_events_cluster_enabled
    assert found.etcd_data_dir == "/data/etcd"
    assert found.ssh_arguments[2:] == ("-o", "UserKnownHostsFile=/etc/ssh/our hosts")
    assert member(DATA / "stacked", "cp1").etcd_data_dir == "/var/lib/etcd"
    assert [one.name for one in kubespray_hosts(read(DATA / "stacked"))] == ["cp1", "cp2", "cp3"]


def test_a_member_name_that_only_ansible_knows_is_noted() -> None:
    """A template that is more than a reference leaves the value empty, and says so."""
    found = member(DATA / "builder", "node3")
    assert found.etcd_member_name == ""
    assert "etcd_member_name is set to what only Ansible can work out" in found.notes
    assert found.private_key_file == "/home/deploy/keys/node3.pem"
    assert found.roles == ("etcd",)


def test_old_names_of_groups_and_variables_count() -> None:
    """kube-master is the control plane, ansible_ssh_host the address; a bastion is pointed out; no password is kept."""
    found = member(DATA / "old" / "hosts.ini", "etcd-c.example.org")
    assert (found.address, found.port, found.etcd_deployment_type) == ("192.0.2.43", 2203, "kubeadm")
    assert "ansible_ssh_pass is set; it is not used" in found.notes
    assert any("bastion host, jump" in one for one in found.notes)
    assert "not a secret" not in repr(found)
    assert member(DATA / "old" / "hosts.ini", "master-03.example.org").roles == ("control-plane",)


def test_an_encrypted_address_is_not_guessed_at() -> None:
    """What is left is the host's name, and a note."""
    found = member(DATA / "vaulted" / "hosts.yml", "v2")
    assert found.address == "v2"
    assert "ansible_host is encrypted with ansible-vault" in found.notes


def test_a_host_that_is_this_machine() -> None:
    """ansible_connection=local is kept."""
    assert member(DATA / "local" / "hosts.ini", "node1").connection == "local"


scalars: st.SearchStrategy[Any] = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
names = st.sampled_from(
    ["all", "etcd", "hosts", "children", "vars", "n[1:3]", "n1:22", "ansible_group_priority", "plugin"]
)
trees = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names | scalars.filter(str), inner, max_size=4),
    max_leaves=20,
)


@many
@given(st.text() | st.text(alphabet="[]:=#;'\"\\ \tna01e-_{}%|&*!<>?,.\n"))
@example("a: &a [*a]")
@example("? [a]\n: 1")
@example("a: 2020-99-99")
@example("n1 a=" + "(" * 300)
@example("a: " + "[" * 3000)
@example("n1 a={[]: 1}")
@example("a: !!int x")
@example("n1:" + "9" * 5000)
@example("a: " + "9" * 5000)
@example("a: !!binary x")
@example("a: {<<: x}")
def test_any_text_is_read_or_refused(text: str) -> None:
    """Whatever a file holds, both readers answer or raise their own error."""
    for reads in (ansible_ini.read, lambda raw, groups: ansible_yaml.read(raw, groups, [])):
        groups = Groups()
        try:
            reads(text.encode(errors="surrogatepass"), groups)
            groups.settle()
        except Malformed:
            pass


@many
@given(st.binary(max_size=200))
def test_any_bytes_are_parsed_or_refused(raw: bytes) -> None:
    """Bytes that are no text are refused, too."""
    with contextlib.suppress(Malformed):
        ansible_document.parse(raw)


@many
@given(trees)
def test_any_tree_is_an_inventory_or_refused(tree: object) -> None:
    """Whatever the keys and values of a YAML inventory are, its hosts come out or it is refused."""
    groups = Groups()
    try:
        ansible_yaml.read(dumped(tree).encode(errors="replace"), groups, [])
        groups.settle()
    except Malformed:
        return
    for name in groups.hosts:
        found = AnsibleHost(name=name, groups=tuple(groups.groups_of(name)), variables=groups.hosts[name])
        kubespray_hosts(AnsibleInventory(hosts=(found,), path=Path(), read_with="own reader", notes=()))


def dumped(tree: object) -> str:
    """A tree in YAML's flow form, keys of any type."""
    if isinstance(tree, dict):
        return "{" + ", ".join(f"? {dumped(key)} : {dumped(one)}" for key, one in tree.items()) + "}"
    if isinstance(tree, list):
        return "[" + ", ".join(dumped(one) for one in tree) + "]"
    if isinstance(tree, str):
        return "'" + tree.replace("'", "''") + "'"
    if tree is None or isinstance(tree, bool):
        return "~" if tree is None else "yes" if tree else "no"
    return str(tree)
