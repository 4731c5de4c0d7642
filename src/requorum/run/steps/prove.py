"""The proof: every started member healthy, at one revision with one hash, not below what was predicted."""

from typing import Any

import msgspec

from requorum.plan.values import PlanMember
from requorum.proof import prove
from requorum.run.context import Context


def do(context: Context, _: PlanMember | None) -> Any:
    """Raises RequorumError with the first thing that is not as promised."""
    started = [one.config for one in context.plan.started]
    proof = prove.prove(started, context.least_revision, context.tools, context.dead)
    return msgspec.to_builtins(proof)
