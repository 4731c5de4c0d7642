"""What a command answers: every JSON schema that is not a survey's, a verdict's, a plan's or a check's own is a type here."""
