"""Members that went through the same log must hold the same: where they do not, the majority outvotes the one that differs.

Pure; the comparing itself is in :mod:`requorum.survey.comparing`.
"""

from collections import Counter
from collections.abc import Sequence

from requorum.survey.evidence import Comparison


def outvoted(compared: Sequence[Comparison]) -> tuple[dict[str, str], str]:
    """The members that differ from a majority of those compared, each with what differs; and what nobody can settle."""
    out: dict[str, str] = {}
    tie = ""
    for one in compared:
        stands = [stand for stand in one.stands if stand.member not in out]
        votes = Counter(stand.value for stand in stands)
        if len(votes) < 2:
            continue
        value, most = votes.most_common(1)[0]
        if 2 * most > len(stands):
            for stand in stands:
                if stand.value != value:
                    with_them = ", ".join(other.member for other in stands if other.value == value)
                    out[stand.member] = f"{one.what}: {stand.value} here, {value} on {with_them}"
        else:
            tie = tie or f"{one.what}: " + ", ".join(f"{stand.member} {stand.value}" for stand in stands)
    return out, tie
