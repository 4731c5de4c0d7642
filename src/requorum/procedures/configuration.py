"""What a member's configuration must say at its first start, for good and for that start alone, and whether starts are
spaced."""

from requorum.procedures.values import Plan, PlanMember

CORRUPT_CHECK = "experimental-initial-corrupt-check"


def settings(plan: Plan, member: PlanMember) -> dict[str, str]:
    """What a member's configuration must say before its first start, so that a dir wiped later refuses to start instead
    of forming a new cluster."""
    if plan.kind == "replace member":
        return {"initial-cluster": plan.initial_cluster, "initial-cluster-state": "existing"}
    if plan.kind == "rebuild":
        return {
            "initial-cluster": plan.initial_cluster,
            "initial-cluster-token": plan.token,
            "initial-cluster-state": "existing",
        }
    return {"initial-cluster-state": "existing"} if member.role == "start" else {}


def for_now(plan: Plan, member: PlanMember) -> dict[str, str]:
    """Settings for the first start alone. After a rebuild from one identical file the initial corruption check proves
    nothing that the sha256 did not, and members that start at the same instant wait 15 s for each other in it.

    From 3.6 on the check is a feature gate, and etcd does not start where a gate and the old variable say different
    things: it is left alone there, and the starts are spaced.
    """
    if not has_check(plan, member) or not member.deployment.takes_variables:
        return {}
    if not member.tools.version.startswith("3.5."):
        return {}
    flag = CORRUPT_CHECK
    return {} if any((one.name, one.by) == (flag, "flag") for one in member.config.settings) else {flag: "false"}


def has_check(plan: Plan, member: PlanMember) -> bool:
    """Whether a member would compare itself with the others at its start, after a rebuild."""
    return plan.kind == "rebuild" and member.config.corrupt_check


def apart(plan: Plan) -> bool:
    """Whether the starts must be spaced: some member compares itself with the others before it serves."""
    return any(one.config.corrupt_check and not for_now(plan, one) for one in plan.started)
