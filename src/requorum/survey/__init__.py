"""The evidence of every member and of every backup, gathered read-only."""
