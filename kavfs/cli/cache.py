"""kavfs cache: what is remembered of files, why one is scanned again, and how to forget it all."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator

from kavfs.cache.contents import clear
from kavfs.cache.folder import Folder, Refused
from kavfs.cli.program import put
from kavfs.errors import SystemFailure
from kavfs.report.names import shown_text
from kavfs.report.summary import human
from kavfs.signatures.sources import default_state


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Register ``cache`` and its sub-commands; the parsed arguments then go to run()."""
    cache = subparsers.add_parser("cache", help="what is remembered of files", description=__doc__)
    commands = cache.add_subparsers(dest="cache_command", required=True, metavar="COMMAND")
    clearing = commands.add_parser("clear", help="forget everything; not while a scan is running")
    for parser in (clearing,):
        parser.add_argument("--state", default="", metavar="DIR", help="folder of the cache (default: the usual one)")


def run(args: argparse.Namespace) -> int:
    """Carry out one ``kavfs cache`` command; the return value is the exit code."""
    state = os.fsencode(args.state) or default_state()
    for line in {"clear": _clear}[args.cache_command](args, state):
        put(line + "\n")
    return 0


def open_folder(state: bytes, *, alone: bool = False) -> Folder | None:
    """The folder of stores; None when there is none. SystemFailure says why it cannot be used."""
    try:
        return Folder(state, create=False, alone=alone)
    except FileNotFoundError:
        return None
    except Refused as error:
        why = str(error)
    except OSError as error:
        why = error.strerror or str(error)
    raise SystemFailure(f"the cache in {shown_text(os.fsdecode(state))} cannot be used: {why}")


def _clear(args: argparse.Namespace, state: bytes) -> Iterator[str]:
    folder = open_folder(state, alone=True)
    if folder is None:
        yield "nothing is remembered: there is no cache"
        return
    try:
        freed = clear(folder)
    except OSError as error:
        raise SystemFailure(f"the cache cannot be cleared: {error.strerror}") from None
    finally:
        folder.close()
    yield f"everything is forgotten; {human(freed)} freed"
