"""A verdict in words: what is lost, what was read, what will be done. Pure."""

from requorum.verdict import values
from requorum.verdict.basis import start_loss
from requorum.verdict.values import Basis, Loss, Source, StartAsIs


def cluster_name(name: str, cluster_id: int) -> str:
    """The name that an operator types to confirm: the inventory's, and the first 8 digits of the cluster id."""
    digits = f"{cluster_id:016x}"[:8] if cluster_id else "00000000"
    return f"{name}-{digits}" if name else digits


def loss_text(loss: Loss) -> str:
    """A loss in words."""
    if not loss.known:
        return f"loss cannot be known, because {loss.why[0]}" if loss.why else "loss cannot be known"
    if loss.at_most == 0:
        words = "no write lost" if not loss.unproven else "no write lost that the disks still show"
    elif loss.exact:
        words = f"{loss.at_most} write{'s' if loss.at_most > 1 else ''} lost"
    else:
        words = f"at most {loss.at_most} write{'s' if loss.at_most > 1 else ''} lost"
    return words + (" (unproven)" if loss.unproven else "")


def read_proof(found: Basis | None) -> tuple[str, ...]:
    """Which voters' logs were read to where, and what follows."""
    if found is None:
        return ()
    lines = []
    for one in found.witnesses:
        holes = sum(run.count for run in one.unreadable)
        how = "read to its end" if one.to_end else "not read to its end"
        how += f", {holes} {'entry' if holes == 1 else 'entries'} unreadable" if holes else ""
        if one.member != found.follows:
            how += f", the same as {found.follows}'s up to {one.agrees_to}" if one.agrees_to else ", shares no entry"
        lines.append(
            f"log of {one.member}: term {one.term}, index {one.index}, {how}"
            + ("" if one.votes else " (does not vote)")
        )
    if found.voters and found.read >= found.needed and found.unproven:
        lines.append(f"{found.read} of {found.voters} voters' logs were read to their end, and that is no proof here")
    elif found.voters and found.read >= found.needed:
        lines.append(
            f"{found.read} of {found.voters} voters' logs were read to their end: any write that was acknowledged is in "
            f"at least one of them, and the highest log holds them all ({found.assumption})"
        )
    elif found.voters:
        lines.append(
            f"only {found.read} of {found.voters} voters' logs were read to their end, {found.needed} are needed for a "
            f"proof: what only the others held cannot be known"
        )
    if found.may_surface:
        lines.append(
            f"entry {found.committed} is known to be committed; of what lies behind it, at most {found.may_surface} "
            f"writes may never have been acknowledged, and come back all the same, as after any change of leader"
        )
    return tuple(lines)


def start_summary(start: StartAsIs, found: Basis | None) -> str:
    nothing = loss_text(start_loss(found))
    behind = [one.member for one in start.left_behind]
    left = f"; {', '.join(behind)} {'stays' if len(behind) == 1 else 'stay'} fenced" if behind else ""
    return f"no restore is needed: start {', '.join(start.members)}; {nothing}{left}"


def start_proof(start: StartAsIs, found: Basis | None) -> tuple[str, ...]:
    unproven = (f"unproven: {found.unproven}",) if found is not None and found.unproven else ()
    return (
        *unproven,
        "the members to start are a majority of every voter set in force, and one of them holds the highest log",
        f"{', '.join(start.first)} start first: nobody with a lower log can be elected without the highest one's vote",
        f"revision after the start: at least {start.revision}",
    )


def source_proof(source: Source) -> tuple[str, ...]:
    what = {
        values.OWN_LOG: f"replay entries {source.from_index + 1} to {source.to_index} of {source.member}'s log onto its db",
        values.MERGED_LOG: f"replay entries {source.from_index + 1} to {source.to_index} "
        + (f"onto {source.member}'s db" if source.db else "onto nothing: the log reaches back to its start"),
        values.BARE_DB: f"take {source.member}'s db as it is",
        values.SNAPSHOT: f"restore {source.db}",
    }[source.kind]
    how = "exactly" if source.revision_exact else "at most"
    lines = [f"{what}: {how} revision {source.revision}"]
    for piece in source.pieces:
        which = f"entry {piece.first}" if piece.first == piece.last else f"entries {piece.first} to {piece.last}"
        lines.append(f"  {which} from {piece.member}'s log: {piece.why}")
    if source.modified:
        lines.append(f"its db file was last changed {source.modified}; an etcd in a crash loop changes it too")
    lines += [f"loss: {loss_text(source.loss)}"] + [f"  {why}" for why in source.loss.why]
    if source.loss.unproven:
        lines.append(f"unproven: {source.loss.unproven}")
    return tuple(lines)
