"""The proof after the fact: every member healthy, the same revision and hash everywhere, no alarm left unsaid."""
