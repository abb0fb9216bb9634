"""Command line: one thin file per program."""
