"""The command line: one table of commands (`app`), one thin file a command."""
