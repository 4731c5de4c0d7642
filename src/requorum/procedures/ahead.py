"""Whether a stopped member's disk proves more than the living members serve: then it must not be replaced. Pure.

A majority that serves is evidence, not the truth: a disk that was wiped and joined again under its old id, or one that was
set back, is part of a majority that lacks what was acknowledged. The disk of a member that is down may be the last that
holds it, and a replacement sets it aside.
"""

from requorum.survey.evidence import DbEvidence, LiveEvidence, LogEvidence, MemberEvidence, Survey, Unknown


def why(survey: Survey, member: MemberEvidence) -> str:
    """What a member's disk has that those that serve lack, or why they do not know it; empty where nothing is in the way.

    What its log and its db know to be committed counts; uncommitted entries at the end of a log do not: each leader that
    crashes leaves some.
    """
    serving = [one.live for one in survey.members if isinstance(one.live, LiveEvidence) and one.live.leader]
    running = not isinstance(member.process, Unknown) and member.process.running
    if not serving or running or isinstance(member.live, LiveEvidence):
        return ""  # what runs may have gone on since the others were asked
    index, revision = max(one.raft_index for one in serving), max(one.revision for one in serving)
    log = member.log if isinstance(member.log, LogEvidence) else None
    db = member.db if isinstance(member.db, DbEvidence) else None
    # Where its records refute a db's index, the data ends at its applied index.
    committed = max(log.commit if log else 0, db.applied_index if db else 0)
    if log and not any(one.cluster_id == log.cluster_id for one in serving):
        return ""  # of another cluster: its numbers cannot be compared
    if committed > index:
        return (
            f"keep {member.name}'s disk: it shows that entry {committed} was committed, and those that serve have committed "
            f"{index} only: they lack what it holds"
        )
    if db and db.revision > revision:
        return (
            f"keep {member.name}'s disk: its db is at revision {db.revision}, and those that serve are at {revision} only: "
            f"they lack what it holds"
        )
    return _stranger(serving, log, member)


def _stranger(serving: list[LiveEvidence], log: LogEvidence | None, member: MemberEvidence) -> str:
    """A cluster that serves without a majority of the voters that a disk knows: somebody may have forced it."""
    known = {peer.id for one in serving for peer in one.members}
    if log is None or not known or not log.voter_sets or log.member_id in known:
        return ""
    voters = log.voter_sets[-1].voters
    if log.member_id not in voters or 2 * len(known & set(voters)) > len(voters):
        return ""
    return (
        f"keep {member.name}'s disk: its log names {len(voters)} voters, and the cluster that serves has {len(known)} "
        f"{'member' if len(known) == 1 else 'members'} and does not know it; was it forced (--force-new-cluster) or restored "
        f"beside the others? Compare them before anything else: requorum survey DATA-DIR…"
    )
