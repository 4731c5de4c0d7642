"""The operator's consent: the cluster's name, typed on a terminal, or --yes with --confirm NAME."""

import signal
import sys
from collections.abc import Callable
from typing import Any, TypeVar

import click

from requorum.cli import render
from requorum.errors import Refused

F = TypeVar("F", bound=Callable[..., Any])


def options(func: F) -> F:
    """``--yes`` and ``--confirm``."""
    name = click.option("--confirm", default="", metavar="NAME", help="The cluster's name, as the plan prints it.")
    return click.option("--yes", is_flag=True, help="Do not ask; needs --confirm.")(name(func))


def gate_terminal(yes: bool) -> None:
    """Refuse early where nobody could be asked later."""
    if not yes and not sys.stdin.isatty():
        raise Refused(
            "nobody can be asked here: this is no terminal",
            hint="for automation: --yes --confirm NAME (plan prints it)",
        )


def gate_name(cluster: str, yes: bool, confirm: str) -> None:
    """Refuse --yes without the right name."""
    if yes and confirm != cluster:
        what = f"{confirm!r} is not its name" if confirm else "--yes needs --confirm"
        raise Refused(
            f"not confirmed: {what}", changed="nothing was changed", hint=f"this cluster is --confirm {cluster}"
        )


def gate(text: str, cluster: str, yes: bool, confirm: str) -> None:
    """Go on only with the operator's consent to ``text``."""
    gate_terminal(yes)
    gate_name(cluster, yes, confirm)
    if not yes and not typed(text, cluster):
        raise Refused("not confirmed", changed="nothing was changed")


def typed(text: str, name: str) -> bool:
    """Show what will happen, and whether the operator types the cluster's name."""
    render.console(err=True).print(f"\n{text}")
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        said = click.prompt(f"Type the cluster's name ({name}) to go on", err=True, default="", show_default=False)
    except click.Abort:
        return False
    finally:
        signal.signal(signal.SIGINT, before)
    return bool(said.strip() == name)
