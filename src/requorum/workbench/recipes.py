"""What it takes to build a source."""

from requorum.verdict.values import Source
from requorum.workbench.bench import Part, Recipe


def recipe_of(source: Source, parts: tuple[Part, ...] = ()) -> Recipe:
    """What it takes to build a source; ``parts`` are a merged log's entries, where they lie on the workbench's host."""
    if not parts and source.to_index > source.from_index:
        parts = (Part(wal_dir=source.wal_dir, first=source.from_index + 1, last=source.to_index),)
    return Recipe(
        db=source.db,
        parts=parts,
        revision=source.revision,
        exact=source.revision_exact,
        saved_snapshot=source.saved_snapshot,
    )
