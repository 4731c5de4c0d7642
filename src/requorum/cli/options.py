"""The options that several commands share, and what they stand for."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from requorum.errors import UsageError
from requorum.hosts import tools
from requorum.hosts.tools import Tools
from requorum.inventory import inventory as inventories
from requorum.inventory.inventory import Inventory
from requorum.survey import gather

F = TypeVar("F", bound=Callable[..., Any])

DEFAULT_INVENTORIES = ("requorum.yaml", "inventory.yaml")


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


def inventory(func: F) -> F:
    """``-i``."""
    return click.option(
        "-i",
        "--inventory",
        "inventory_path",
        type=click.Path(path_type=Path),
        help="The hosts and their roles (default: ./requorum.yaml or ./inventory.yaml).",
    )(func)


def etcd_dir(func: F) -> F:
    """``--etcd-dir``."""
    return click.option(
        "--etcd-dir",
        type=click.Path(path_type=Path, exists=True, file_okay=False),
        help="The folder that holds etcd, etcdctl and etcdutl (default: the inventory's tools, then the PATH).",
    )(func)


def snapshots(func: F) -> F:
    """``--snapshot``."""
    return click.option(
        "--snapshot",
        "snapshots",
        multiple=True,
        type=click.Path(path_type=Path),
        help="A snapshot file that may be recovered from; may be given several times.",
    )(func)


def load_inventory(path: Path | None) -> Inventory:
    """The inventory that was named, or the one that lies here."""
    if path is None:
        path = next((Path(name) for name in DEFAULT_INVENTORIES if Path(name).is_file()), None)
    if path is None:
        raise UsageError(
            "no inventory was named", hint="name one with -i FILE, or give data dirs: requorum survey DIR…"
        )
    return inventories.load(path)


def find_tools(named: Path | None, of: Inventory | None) -> Tools:
    """etcd's programs: the folder that was named, else the inventory's, else the PATH."""
    return tools.find(gather.default_tool_folders(named or (of.tools if of else None)))
