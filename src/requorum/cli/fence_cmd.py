"""``requorum fence``: stop the bleeding, think later. Nothing can start etcd, or what writes to it, until it is lifted."""

import click

from requorum import errors
from requorum.cli import consent, options, render
from requorum.errors import RequorumError
from requorum.operations import fence as operation
from requorum.operations import hosts
from requorum.operations.hosts import Where


@click.command()
@options.where
@click.option("--lift", is_flag=True, help="Take the fences of an earlier `requorum fence` away again.")
@options.powered_off
@consent.options
@options.output
def fence(where: Where, lift: bool, powered_off: tuple[str, ...], yes: bool, confirm: str, output: str) -> int:
    """Stop etcd and what writes to it on every host, and keep it from starting, after a reboot too; proven by trying.

    For a disaster that still goes on: something restarts a broken etcd, or an API server writes to the wrong one.
    `requorum recover` takes these fences over; --lift takes them away, and starts what ran before.
    """
    with hosts.opened(where, powered_off) as world:
        if lift:
            done = operation.lift(world, powered_off=powered_off)
        else:
            done = operation.fence(world, consent.operator(yes, confirm, output), powered_off=powered_off)
    if output in ("json", "yaml"):
        render.data(done, output)
    else:
        made = render.table("host", "", "what")
        for row in done.hosts:
            made.add_row(row.host, "ok" if row.ok else "failed", row.what)
        render.console().print(made)
    if done.failed and len(done.failed) == len(done.hosts):
        raise RequorumError("no host could be " + ("released" if lift else "fenced"))
    return errors.DONE_WITH_WARNINGS if done.failed else errors.DONE
