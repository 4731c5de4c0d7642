"""``requorum init``: write requorum's own inventory from what is found on some hosts."""

import io
from pathlib import Path
from typing import Any

import click
from ruamel.yaml import YAML

from requorum import errors
from requorum.cli import options, render
from requorum.errors import RequorumError, UsageError
from requorum.hosts import files
from requorum.inventory.inventory import SCHEMA, Host
from requorum.operations.hosts import Where, opened
from requorum.operations.survey import survey_hosts
from requorum.survey.evidence import HostEvidence, MemberEvidence, Unknown

DEFAULT = "requorum.yaml"


@click.command()
@options.where
@click.option("--cluster", default="", help="The cluster's name (default: the inventory's).")
@click.option(
    "--save",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path(DEFAULT),
    show_default=True,
    help="The file to write.",
)
def init(where: Where, cluster: str, save: Path) -> int:
    """Look at the hosts of an Ansible inventory, or at --hosts A,B,C, and write them down for the next time.

    Roles, units and ways to the hosts are written; names, URLs, directories and certificates stay on the hosts.
    """
    if save.exists():
        raise UsageError(f"{save} exists already", hint="requorum overwrites nothing: choose another name with --save")
    if not where.given:
        raise UsageError("no host was named", hint="requorum init --hosts A,B,C, or -i INVENTORY")
    with opened(where) as world:
        survey = survey_hosts(world, in_full=False)
        members = {one.host: one for one in survey.members}
        seen = {one.name: one for one in survey.hosts}
        hosts = {one.name: _entry(one, seen[one.name], members.get(one.name)) for one in world.inventory.hosts}
        name = cluster or world.inventory.cluster
    left_out = [host for host, entry in hosts.items() if not entry.get("roles")]
    data = {
        "schema": SCHEMA,
        "cluster": name,
        "hosts": {host: body for host, body in hosts.items() if body.get("roles")},
    }
    if not data["hosts"]:
        raise RequorumError("no etcd and no API server was found on these hosts")
    out = io.StringIO()
    yaml = YAML()
    yaml.default_flow_style = None
    yaml.dump(data, out)
    if not files.create_exclusively(save.absolute(), out.getvalue().encode()):
        raise UsageError(f"{save} exists already")
    render.console().print(f"{save}: {len(data['hosts'])} hosts of cluster {name}")
    for host in left_out:
        render.console().print(
            f"left out: {host} ({seen[host].unreachable or 'neither etcd nor an API server is there'})"
        )
    return errors.DONE_WITH_WARNINGS if left_out else errors.DONE


def _entry(host: Host, seen: HostEvidence, member: MemberEvidence | None) -> dict[str, Any]:
    roles = []
    found = member is not None and not isinstance(member.deployment, Unknown) and member.deployment.supervised
    if found:
        roles.append("etcd")
    servers = {one.unit for one in seen.services} | {f"{one.program}.service" for one in seen.pods}
    if "kube-apiserver.service" in servers or ("control-plane" in host.roles and seen.services and not found):
        roles.append("control-plane")
    entry: dict[str, Any] = {"roles": roles}
    address = host.address
    if address.local:
        entry["local"] = True
    elif address.host != host.name:
        entry["address"] = address.host
    for key, value in (
        ("user", address.user),
        ("port", address.port),
        ("key", address.key),
        ("python", address.python),
    ):
        if value:
            entry[key] = value
    if address.ssh_args:
        entry["ssh_args"] = list(address.ssh_args)
    if found and member is not None and not isinstance(member.deployment, Unknown):
        named = member.deployment.as_named()
        entry.update({"etcd": named} if named else {})
    return entry
