"""Why the highest log holds every acknowledged write, or why that is not proven: the proof as a value."""

from collections.abc import Sequence

from requorum.survey.evidence import LogEvidence
from requorum.survey.lineage import known_commit
from requorum.survey.merged import last_shared
from requorum.verdict.identity import member_id
from requorum.verdict.membership import Electorate
from requorum.verdict.newest import Newest, behind
from requorum.verdict.values import Basis, Loss, Witness
from requorum.verdict.witnesses import majority, read_to_end

ASSUMPTION = "assumed: each disk kept what it had fsynced"


def basis(newest: Newest, cluster: Electorate) -> Basis | None:
    """What the logs prove; None where there is no log."""
    logs = [(one, one.log) for one in cluster.counted if isinstance(one.log, LogEvidence)]
    if newest.log is None:
        return None
    highest = newest.log
    witnesses = tuple(
        Witness(
            member=member.name,
            votes=member_id(member) in cluster.voters,
            term=log.last_term,
            index=log.last_index,
            to_end=read_to_end(member),
            unreadable=log.unreadable,
            agrees_to=last_shared(log.runs, highest.runs),
            excluded=cluster.seen.excluded.get(member.name, ""),
        )
        for member, log in logs
    )
    committed = max([log.commit for _, log in logs] + [known_commit(member) for member, _ in logs], default=0)
    return Basis(
        follows=next(member.name for member, log in logs if log is highest),
        voters=len(cluster.voters),
        needed=majority(len(cluster.voters)),
        read=len(cluster.read(cluster.voters)),
        witnesses=witnesses,
        unproven=newest.doubted,
        assumption=_assumption(cluster.seen.suspects),
        suspects=cluster.seen.suspects,
        apart=newest.apart,
        committed=committed,
        may_surface=behind(newest, committed)[0] if committed < newest.last else 0,
    )


def start_loss(found: Basis | None) -> Loss:
    """What is lost where the members start on their own disks."""
    if found is not None and found.apart:
        return Loss(at_most=-1, exact=False, why=(found.apart,), unproven=found.unproven)
    return Loss(at_most=0, exact=True, why=(), unproven=found.unproven if found is not None else "")


def _assumption(suspects: Sequence[str]) -> str:
    return f"assumed: each disk but {' and '.join(suspects)}'s kept what it had fsynced" if suspects else ASSUMPTION
