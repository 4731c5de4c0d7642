"""Nothing that lives is stopped by a run: what answers with a leader is found before anything is locked, fenced or stopped.

The survey looked too; but a quorum can come back between the survey and the fence, and a count of voters can be wrong. The
operator's own word for stopping what lives is ``requorum fence``.
"""

from collections.abc import Sequence

from requorum.errors import Refused, RequorumError
from requorum.hosts import net
from requorum.hosts.everywhere import at_once
from requorum.procedures.values import PlanMember
from requorum.run.context import Context
from requorum.survey import live
from requorum.survey.evidence import LiveEvidence


def refuse_living(context: Context, members: Sequence[PlanMember], changed: str = "") -> None:
    """Raise Refused when one of these members answers with a leader; nothing once the run has moved or started any.

    ``changed`` says what this run may have stopped already, empty for nothing.
    A replacement happens while the cluster lives: its plan is not looked at.
    """
    if context.plan.kind == "replace member" or context.data_moved or not members:
        return
    said = at_once(lambda one: _leads(context, one), members)
    alive = [one.name for one, there in zip(members, said, strict=True) if there]
    if alive:
        begun = bool(changed)
        back = f" (requorum rollback {context.plan.run} takes back what this run has begun)" if begun else ""
        raise Refused(
            f"{', '.join(alive)} answers, and has a leader: a recovery stops nothing that lives",
            changed=changed or "nothing was stopped or changed",
            hint="look at what it serves: requorum check; if that is to be given up all the same: requorum fence stops it, "
            f"then plan again{back}",
        )


def _leads(context: Context, member: PlanMember) -> bool:
    """Whether a member serves: by its own health, which needs no program, else by its status."""
    host, config = context.host(member), member.config
    try:
        if host.call(net.healthy, config.endpoint, config.ca, config.cert, config.key):
            return True
        if not live.answers(host, config.endpoint):
            return False
        said = live.ask(host, config, context.tools(member))
    except RequorumError:
        return False  # it cannot be reached: the step itself says so
    return isinstance(said, LiveEvidence) and bool(said.leader)
