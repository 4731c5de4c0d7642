"""Why the highest log holds every acknowledged write, or why that is not proven: the proof as a value."""

from requorum.survey.evidence import DbEvidence, LogEvidence
from requorum.survey.merged import last_shared
from requorum.verdict.membership import Electorate, majority, member_id, read_to_end
from requorum.verdict.newest import Newest, behind
from requorum.verdict.values import Basis, Witness

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
        )
        for member, log in logs
    )
    committed = max(
        [log.commit for _, log in logs]
        + [one.db.consistent_index for one in cluster.counted if isinstance(one.db, DbEvidence)]
    )
    return Basis(
        follows=next(member.name for member, log in logs if log is highest),
        voters=len(cluster.voters),
        needed=majority(len(cluster.voters)),
        read=sum(1 for one in witnesses if one.votes and one.to_end),
        witnesses=witnesses,
        unproven=newest.unproven,
        assumption=ASSUMPTION,
        committed=committed,
        may_surface=behind(newest, committed)[0] if committed < newest.last else 0,
    )
