"""The command line as an operator meets it: real processes, real crashed data dirs, exact exit codes."""
