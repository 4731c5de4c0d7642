"""What it takes to build a source."""

from requorum.verdict.values import Source
from requorum.workbench.bench import Recipe


def recipe_of(source: Source) -> Recipe:
    """What it takes to build a source."""
    return Recipe(
        db=source.db,
        wal_dir=source.wal_dir,
        from_index=source.from_index,
        to_index=source.to_index,
        revision=source.revision,
        exact=source.revision_exact,
        saved_snapshot=source.saved_snapshot,
    )
