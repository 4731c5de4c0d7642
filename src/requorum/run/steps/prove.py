"""The proof: every started member healthy, at one revision with one hash, not below what was predicted."""

from dataclasses import replace
from typing import Any

import msgspec

from requorum.plan.values import PlanMember
from requorum.proof import aftercare, prove
from requorum.run.context import Context


def do(context: Context, _: PlanMember | None) -> Any:
    """Raises RequorumError with the first thing that is not as promised."""
    proof = prove.prove(
        context.asked(), context.least_revision, context.dead, quiet=context.plan.kind != "replace member"
    )
    if context.plan.kind != "replace member":
        proof = replace(proof, notes=aftercare.look(context.asked()[0]))
    return msgspec.to_builtins(proof)
