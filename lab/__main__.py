"""The lab's command line."""

import functools
import json
import os
import shlex
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from lab import crictl, etcds, kube, load, network, walreaders
from lab.lab import Lab
from lab.programs import LabError

SHOWN = 20
"""So many lines of what an audit finds wrong are printed."""


def named(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the option that says which lab is meant."""
    return click.option("--name", default="lab", show_default=True, help="Which lab.")(command)


def passes_on(command: Callable[..., Any]) -> Callable[..., Any]:
    """Load the lab by its name, and pass it instead."""

    @named
    @functools.wraps(command)
    def loaded(name: str, **rest: Any) -> Any:
        return command(Lab.load(name), **rest)

    return loaded


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Real hosts on this machine, with external etcd as Kubespray installs it."""


@main.command()
@named
@click.option("--hosts", type=click.Choice(["1", "3", "5"]), default="3", show_default=True)
@click.option("--user", type=click.Choice(["root", "etcd"]), default="root", show_default=True, help="Who runs etcd.")
@click.option("--wal-dir", default="", metavar="DIR", help="Keep the WAL there (ETCD_WAL_DIR).")
@click.option("--data-mount", is_flag=True, help="Make /var/lib/etcd a file system of its own.")
@click.option("--jump", is_flag=True, help="Let admin in alone, through a jump host, with sudo.")
@click.option("--no-python", multiple=True, metavar="HOST", help="This host has no Python; may be given again.")
@click.option("--events", is_flag=True, help="Add a second cluster, etcd-events.")
@click.option("--static-pods", is_flag=True, help="etcd under a real kubelet, in kubeadm's layout.")
@click.option("--api-server", is_flag=True, help="With --static-pods: a real kube-apiserver beside each etcd.")
@click.option(
    "--control-host", is_flag=True, help="Add a host with a real kube-apiserver as a static pod, and no etcd."
)
@click.option("--crictl", is_flag=True, help="Put crictl on hosts with a kubelet.")
@click.option("--no-etcdutl", is_flag=True, help="With --static-pods: an image of etcd that has no etcdutl.")
@click.option("--snapshot-count", type=int, default=100_000, show_default=True)
@click.option("--quota", type=int, default=2_147_483_648, show_default=True, help="Of the database, in bytes.")
@click.option("--etcd-dir", default="", metavar="DIR", help="Where etcd, etcdctl and etcdutl are.")
def up(name: str, hosts: str, **options: Any) -> None:
    """Make the hosts and start etcd on them."""
    began = time.monotonic()
    lab = Lab.up(name, hosts=int(hosts), **options)
    click.echo(f"up in {time.monotonic() - began:.1f} s; every member is healthy", err=True)
    _tell(lab)


@main.command()
def prepare() -> None:
    """Fetch or build what the tests and labs are made of, once: every etcd version, and its own reader of a WAL; with root
    also root file systems, kubelet, kube-apiserver, crictl."""
    for version in etcds.VERSIONS:
        etcds.folder_of(version)
    for minor in walreaders.MODULES:
        walreaders.program_of(minor)
    if os.geteuid() == 0:
        Lab.prepare()
        crictl.built()


@main.command()
@named
def down(name: str) -> None:
    """End and remove everything of the lab."""
    Lab.remove(name)


@main.command()
@passes_on
@click.argument("hosts", nargs=-1)
def cut(lab: Lab, hosts: tuple[str, ...]) -> None:
    """Cut the power of HOSTS, or of all hosts of etcd, at once."""
    lab.cut(*hosts)


@main.command()
@passes_on
@click.argument("hosts", nargs=-1)
def boot(lab: Lab, hosts: tuple[str, ...]) -> None:
    """Switch HOSTS on, or all that are off."""
    lab.boot(*hosts)


@main.command()
@passes_on
@click.argument("host")
def block(lab: Lab, host: str) -> None:
    """Drop packets to HOST's ssh port, until it is unblocked or boots."""
    lab.block(host)


@main.command()
@passes_on
@click.argument("host")
def unblock(lab: Lab, host: str) -> None:
    """Let packets to HOST's ssh port pass again."""
    lab.unblock(host)


@main.command()
@passes_on
def status(lab: Lab) -> None:
    """Say which hosts run and which members are healthy."""
    healthy = lab.healthy() if network.path_of(lab.name).exists() else {}
    for one in lab.machines:
        power = f"on (init is {one.pid})" if one.pid else "off"
        etcd = "" if not one.etcd_name else "healthy" if healthy.get(one.name) else "not healthy"
        click.echo(f"{one.name:6} {one.address:12} {power:20} {etcd:12} {one.root}".rstrip())


@main.command()
@passes_on
def env(lab: Lab) -> None:
    """Print what to type to use the lab."""
    _tell(lab)


@main.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@passes_on
@click.argument("host")
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
def ssh(lab: Lab, host: str, command: tuple[str, ...]) -> None:
    """Log in to HOST, or run COMMAND there."""
    _become(lab, ["ssh", "-F", lab.ssh_config, host, *([shlex.join(command)] if len(command) > 1 else command)])


@main.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@passes_on
@click.argument("command", nargs=-1, type=click.UNPROCESSED, required=True)
def run(lab: Lab, command: tuple[str, ...]) -> None:
    """Run COMMAND on the operator's side of the bridge."""
    beside = Path(sys.executable).parent
    found = shutil.which(command[0], path=f"{beside}{os.pathsep}{os.environ.get('PATH', os.defpath)}")
    _become(lab, [found or command[0], *command[1:]])


@main.command("load")
@passes_on
@click.option("--seconds", type=float, default=10.0, show_default=True)
@click.option("--writers", type=int, default=8, show_default=True)
@click.option("--seed", type=int, default=1, show_default=True)
@click.option(
    "--patience", type=int, default=3, show_default=True, help="Requests without an answer until it gives up."
)
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), required=True, help="JSON lines, appended.")
def write(lab: Lab, seconds: float, writers: int, seed: int, patience: int, out: Path) -> None:
    """Write to all members, and keep what was acknowledged."""
    _be_inside(lab)
    count = load.write(lab, out, count=writers, seconds=seconds, seed=seed, patience=patience)
    click.echo(f"{count} writes acknowledged", err=True)


@main.command()
@passes_on
@click.option(
    "--operations", type=click.Path(path_type=Path, exists=True, dir_okay=False), required=True, multiple=True
)
@click.option("--host", "hosts", multiple=True, metavar="HOST", help="Look there alone; may be given again.")
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", show_default=True)
def audit(lab: Lab, operations: tuple[Path, ...], hosts: tuple[str, ...], output: str) -> None:
    """Look for every acknowledged write on every member; exit code 1 when one is lost or anything is wrong."""
    _be_inside(lab)
    found = load.audit(lab, load.read(operations), hosts)
    if output == "json":
        click.echo(load.document(found))
    else:
        click.echo(
            f"acknowledged {found.acknowledged}, lost {len(found.lost)}, wrong {len(found.wrong)}, "
            f"unanswered but there {found.surfaced}"
        )
        for text in found.wrong[:SHOWN]:
            click.echo(f"  {text}")
        if len(found.wrong) > SHOWN:
            click.echo(f"  … and {len(found.wrong) - SHOWN} more (-o json lists all)")
    sys.exit(1 if found.lost or found.wrong else 0)


@main.command()
@passes_on
@click.argument("host")
@click.argument("method")
@click.argument("path")
@click.argument("body", default="")
@click.option("--count", type=int, default=1, help="Ask so often, with NUMBER replaced by 1, 2, 3...")
def api(lab: Lab, host: str, method: str, path: str, body: str, count: int) -> None:
    """Ask the API server on HOST; prints one JSON document per line."""
    _be_inside(lab)
    for number in range(1, count + 1):
        text = body.replace("NUMBER", str(number))
        for said in kube.ask(lab, host, method, path, json.loads(text) if text else None):
            click.echo(json.dumps(said))


@main.command()
@passes_on
def api_ready(lab: Lab) -> None:
    """Wait until every API server is ready."""
    _be_inside(lab)
    kube.wait_ready(lab, lab.api_hosts)


def _be_inside(lab: Lab) -> None:
    """Go on on the operator's side of the bridge."""
    if not network.inside(lab.name):
        _become(lab, [sys.executable, "-m", "lab", *sys.argv[1:]])


def _become(lab: Lab, argv: list[str | Path]) -> None:
    words = network.enter(lab.name, argv)
    sys.stdout.flush()
    os.execvp(words[0], words)  # noqa: S606 - a list of words, no shell


def _tell(lab: Lab) -> None:
    name = "" if lab.name == "lab" else f" --name {lab.name}"
    inventory = shlex.quote(str(lab.inventory / "hosts.yaml"))
    click.echo(f"export ANSIBLE_INVENTORY={inventory}")
    click.echo(f"./dev lab run{name} requorum survey           # requorum on the operator's side of the bridge")
    click.echo(f"./dev lab ssh{name} node1                     # a host")
    click.echo(f"./dev lab run{name} bash                      # a shell on the operator's side")
    click.echo(f"# ssh -F {lab.ssh_config}; certificates {lab.pki}; the disks of the hosts, also when they are off:")
    for one in lab.machines:
        click.echo(f"#   {one.name}: {one.root}")


if __name__ == "__main__":
    try:
        main(prog_name="python -m lab")
    except LabError as err:
        print(f"error: {err}", *([f"hint: {err.hint}"] if err.hint else []), sep="\n", file=sys.stderr)
        sys.exit(1)
