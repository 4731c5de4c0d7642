"""The proof: every started member healthy, at one revision with one hash, not below what was predicted."""

from typing import Any

import msgspec

from requorum.plan.values import PlanMember
from requorum.proof import prove
from requorum.run.context import Context


def do(context: Context, _: PlanMember | None) -> Any:
    """Raises RequorumError with the first thing that is not as promised."""
    proof = prove.prove(
        context.asked(), context.least_revision, context.dead, quiet=context.plan.kind != "replace member"
    )
    return msgspec.to_builtins(proof)
