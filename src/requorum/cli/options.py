"""The options that several commands share."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click
from click.core import ParameterSource

from requorum.operations.hosts import Where

F = TypeVar("F", bound=Callable[..., Any])


def output(func: F) -> F:
    """``-o``."""
    return click.option(
        "-o",
        "--output",
        type=click.Choice(["table", "wide", "json", "yaml"]),
        default="table",
        show_default=True,
        help="How the answer is printed; progress goes to standard error.",
    )(func)


def _seconds(_ctx: click.Context, _param: click.Parameter, value: str) -> float:
    """``90``, ``90s``, ``10m`` or ``1h``."""
    units = {"s": 1, "m": 60, "h": 3600}
    number, factor = (value[:-1], units[value[-1]]) if value[-1:] in units else (value, 1)
    try:
        seconds = float(number) * factor
    except ValueError:
        raise click.BadParameter(f"not a duration: {value!r}; use 90s, 10m or 1h") from None
    if not 0 <= seconds < 1e6:
        raise click.BadParameter(f"not a duration: {value!r}; use 90s, 10m or 1h")
    return seconds


def where(func: F) -> F:
    """``-i``, ``--hosts`` and what goes with them; the command gets one :class:`Where`."""

    @functools.wraps(func)
    def wrapped(
        *args: Any,
        inventory_path: Path | None,
        hosts: str,
        ask_become_pass: bool,
        etcd_dir: Path | None,
        wait: float,
        **others: Any,
    ) -> Any:
        source = click.get_current_context().get_parameter_source("inventory_path")
        at = Where(
            inventory_path=inventory_path,
            hosts=hosts,
            etcd_dir=etcd_dir,
            wait=wait,
            typed=source is ParameterSource.COMMANDLINE,
            password=_password if ask_become_pass else str,
            tell=functools.partial(click.echo, err=True),
        )
        return func(*args, where=at, **others)

    made: Any = wrapped
    for option in (
        click.option(
            "--wait",
            default="0",
            callback=_seconds,
            metavar="TIME",
            help="How long to wait for hosts that are still booting (90s, 10m, 1h).",
        ),
        etcd_dir,
        click.option("-K", "--ask-become-pass", is_flag=True, help="Ask for the sudo password of the hosts."),
        click.option("--hosts", default="", metavar="A,B,C", help="Host names instead of an inventory."),
        click.option(
            "-i",
            "--inventory",
            "inventory_path",
            type=click.Path(path_type=Path),
            envvar=["REQUORUM_INVENTORY", "ANSIBLE_INVENTORY"],
            help="Ansible's (Kubespray's) inventory or requorum's own (default: ./requorum.yaml or ./inventory.yaml).",
        ),
    ):
        made = option(made)
    result: F = made
    return result


def _password() -> str:
    return str(click.prompt("sudo password of the hosts", hide_input=True, err=True))


def etcd_dir(func: F) -> F:
    """``--etcd-dir``."""
    return click.option(
        "--etcd-dir",
        "--tools",
        type=click.Path(path_type=Path, exists=True, file_okay=False),
        help="The folder that holds etcd, etcdctl and etcdutl (default: the inventory's tools, then the PATH).",
    )(func)


def snapshots(func: F) -> F:
    """``--snapshot``."""
    return click.option(
        "--snapshot",
        "snapshots",
        multiple=True,
        help="A snapshot file that may be recovered from, here or on a host (HOST:/path); may be given several times.",
    )(func)


def seen_revision(func: F) -> F:
    """``--seen-revision``."""
    return click.option(
        "--seen-revision",
        type=click.IntRange(min=0),
        default=0,
        metavar="N",
        help="A revision that is known to have been served: from a monitoring system, or an API object's resourceVersion.",
    )(func)


def powered_off(func: F) -> F:
    """``--powered-off``."""
    return click.option(
        "--powered-off",
        multiple=True,
        metavar="NAME",
        help="A host or member that is certainly off; may be given several times.",
    )(func)
