"""One module for each kind of step. ``do`` carries it out, also when it was half done before; ``undo`` takes it back.

Both are plain functions of the run and one member, both may be interrupted at any point and called again, and both
look at the disk rather than at what they remember.
"""
