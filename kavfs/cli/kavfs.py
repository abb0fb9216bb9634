"""kavfs: the companion of kavscanner: compiled signatures, why a file is found, a demonstration tree.

One sub-command a module; only the one that is called is imported.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from kavfs.cli.program import put, run_program
from kavfs.errors import UsageError
from kavfs.version import VERSION

PROGRAM = "kavfs"

COMMANDS: dict[str, str] = {
    "db": "compile signatures, say what was taken from which file, list what can be detected",
    "allow": "declare something harmless, by content, signature or path; list and withdraw such entries",
    "report": "what earlier scans found and what was done about it, as text, JSON or a page",
    "status": "what the running aveserver does: requests, queue, processes, signatures, the last change",
    "why": "which signatures match a file, from which database, in which layer, at which offset",
    "cache": "what is remembered of files, why one of them is scanned again; forget it all",
    "config": "check a configuration file, show what is in force and why, import those of other products",
    "quarantine": "what was taken away, and backups of what was changed: look, give back, judge again",
    "mta": "let mail of Postfix, Exim, Sendmail or qmail go through smtpscanner, and take that back",
    "bench": "what scanning costs on this machine: stages, types, engines, and what the bottleneck is",
    "doctor": "what protects scanning processes here, which libraries and engines there are, what is missing",
    "demo": "write a tree of files that shows every status there is",
    "help": "print this text, or the help of a command",
}


class _Parser(argparse.ArgumentParser):
    """argparse with our way to fail: one line and exit code 66."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(message)


def main() -> int:
    """The console script."""
    return run_program(PROGRAM, kavfs)


def kavfs(words: Sequence[bytes]) -> int:
    """Carries out the command line and returns the exit code."""
    command = os.fsdecode(words[0]) if words else "help"
    rest = list(words[1:])
    if command in ("-v", "--version", "version"):
        put(f"kavfs {VERSION}\n")
        return 0
    if command in ("-h", "--help"):
        command = "help"
    if command == "help" and rest:
        command, rest = os.fsdecode(rest[0]), [b"--help"]
    if command not in COMMANDS:
        raise UsageError(f"unknown command {command}{_nearest(command)}")
    if command == "help":
        put(_usage())
        return 0
    if command == "demo":
        return _demo(rest)
    return _run(command, [os.fsdecode(word) for word in rest])


def _run(command: str, words: list[str]) -> int:
    """Hands *words* to the module of the command, which brings its own parser."""
    module = importlib.import_module(f"kavfs.cli.{command}")
    parser = _Parser(prog=PROGRAM)
    module.add_parser(parser.add_subparsers(dest="command"))
    try:
        args = parser.parse_args([command, *words])
    except SystemExit as end:  # only --help ends so: mistakes come as UsageError
        return end.code if isinstance(end.code, int) else 0
    return int(module.run(args))


def _demo(words: list[bytes]) -> int:
    if words in ([b"--help"], [b"-h"]):
        put(f"kavfs demo DIR\n\n{COMMANDS['demo']}; nothing that is there is overwritten\n")
        return 0
    from kavfs.cli.demo import demo  # zipfile and tarfile only for whoever writes the tree

    return demo(words)


def _usage() -> str:
    lines = [f"kavfs {VERSION}", "", "kavfs COMMAND ...   (kavfs help COMMAND says more; kavscanner scans)", ""]
    lines += [f"  {name:<11}{text}" for name, text in COMMANDS.items()]
    return "\n".join([*lines, "", "  --version prints the version"]) + "\n"


def _nearest(word: str) -> str:
    from difflib import get_close_matches  # only a mistake pays for it

    near = get_close_matches(word, COMMANDS, 1, 0.5)
    return f"; did you mean {near[0]}?" if near else "; kavfs help lists the commands"


if __name__ == "__main__":
    sys.exit(main())
