"""One journaled execution of a plan: resumable, and reversible until ``cleanup``."""
