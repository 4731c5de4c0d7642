"""The operator's consent on a terminal: the cluster's name, typed, or --yes with --confirm NAME."""

import signal
import sys
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

import click

from requorum.cli import render, render_run
from requorum.cli.progress import Shown
from requorum.operations.operator import Operator

F = TypeVar("F", bound=Callable[..., Any])


def options(func: F) -> F:
    """``--yes`` and ``--confirm``."""
    name = click.option("--confirm", default="", metavar="NAME", help="The cluster's name, as the plan prints it.")
    return click.option("--yes", is_flag=True, help="Do not ask; needs --confirm.")(name(func))


def operator(yes: bool, confirm: str, output: str = "json", *, at_barriers: bool = True) -> Operator:
    """Whoever sits at this terminal; what will be done is shown where the answer is for people, and they are asked.
    ``at_barriers``: a first Ctrl-C lets what is under way be done."""
    wide = output == "wide"
    shown = output in ("table", "wide") and not yes
    return Operator(
        yes=yes,
        confirm=confirm,
        attended=sys.stdin.isatty(),
        ask=typed,
        show=(lambda planned: render_run.planned(planned, wide=wide)) if shown else (lambda _planned: None),
        watch=partial(Shown, at_barriers=at_barriers),
    )


def typed(text: str, name: str) -> bool:
    """Show what will happen, and whether the operator types the cluster's name."""
    render.console(err=True).print(f"\n{text}")
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        answer = click.prompt(f"Type the cluster's name ({name}) to go on", err=True, default="", show_default=False)
    except click.Abort:
        return False
    finally:
        signal.signal(signal.SIGINT, before)
    return bool(answer.strip() == name)
