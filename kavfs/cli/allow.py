"""kavfs allow: what is not to be found any more, by content, signature or path, with a reason and an end."""

from __future__ import annotations

import argparse
import contextlib
import getpass
import hashlib
import json
import os
import re
import time
from collections.abc import Callable, Generator, Iterator

from kavfs.cli import moments
from kavfs.cli.program import answer
from kavfs.cli.request import absolute
from kavfs.errors import SystemFailure, UsageError
from kavfs.report.names import shown_path, shown_text
from kavfs.scan.scanner import open_regular
from kavfs.signatures.allow import DIGESTS, Allowed, read_allow
from kavfs.signatures.allowwriter import add, remove
from kavfs.signatures.ignore import MARK
from kavfs.signatures.sources import default_state

Lines = Generator[str, None, None]

NOTHING = 1  # the exit code of `check` when nothing is allowed, as grep's


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Register ``allow`` and its sub-commands; the parsed arguments then go to run()."""
    parser = subparsers.add_parser("allow", help="what is not to be found any more", description=__doc__)
    commands = parser.add_subparsers(dest="allow_command", required=True, metavar="COMMAND")
    adding = commands.add_parser("add", help="allow something, from the next scan on")
    what = adding.add_mutually_exclusive_group(required=True)
    what.add_argument("--file", metavar="PATH", help="the content of this file, wherever it lies, in containers too")
    what.add_argument("--digest", metavar="DIGEST", help="content by SHA256, SHA256:SIZE or MD5:SIZE; without a size "
                      "every scan has more to compute")  # fmt: skip
    what.add_argument("--signature", metavar="NAME", help="a signature, as it stands in a report")
    what.add_argument("--path", metavar="MASK", help="a file, a folder and all below it, or a mask with * ? [] (which "
                      "is compared with the whole path if it has a /, else with the name). Safety: whoever may write "
                      "there can keep there what he likes")  # fmt: skip
    adding.add_argument("--reason", required=True, metavar="TEXT", help="why; it stands in reports and in the list")
    adding.add_argument("--expires", default="never", metavar="WHEN", help="when it ends: 30d, 2027-01-31 (never)")
    listing = commands.add_parser("list", help="what is allowed, why, by whom and until when")
    listing.add_argument("--json", action="store_true", help="as JSON, one entry on each line")
    removing = commands.add_parser("remove", help="allow it no longer, from the next scan on")
    removing.add_argument(
        "numbers", nargs="+", type=int, metavar="NUMBER", help="of the entry, from `kavfs allow list`"
    )
    checking = commands.add_parser(
        "check", help="which entries a file or a signature is allowed by (exit code 1: none)"
    )
    checking.add_argument("what", nargs="+", metavar="PATH|NAME", help="a file that is there, else a signature's name")
    for command in (adding, listing, removing, checking):
        command.add_argument("--state", default="", metavar="DIR", help="state folder (default: the usual one)")


def run(args: argparse.Namespace) -> int:
    """Carry out one ``kavfs allow`` command; the return value is the exit code."""
    commands: dict[str, Callable[[argparse.Namespace], Lines]]
    commands = {"add": _add, "list": _list, "remove": _remove, "check": _check}
    output = answer()
    some = False
    with contextlib.closing(commands[args.allow_command](args)) as lines, contextlib.suppress(BrokenPipeError):
        for line in lines:
            some = True
            output.write(line.encode("utf-8", "backslashreplace") + b"\n")
        output.flush()
    return NOTHING if args.allow_command == "check" and not some else 0


def _state(args: argparse.Namespace) -> bytes:
    return absolute(os.fsencode(args.state)) if args.state else default_state()


# -- add and remove --------------------------------------------------------------------------------------------------


def _add(args: argparse.Namespace) -> Lines:
    kind, value, size = _what(args)
    try:
        expires = moments.future(args.expires)
    except ValueError as error:
        raise UsageError(f"--expires: {shown_text(str(error))}") from None
    reason = shown_text(args.reason)
    yield f"allowed: {_line(add(_state(args), kind, value, size=size, reason=reason, by=_who(), expires=expires))}"
    if kind in DIGESTS and size is None:
        yield "note: without its size, digests of all files have to be computed; --file, or DIGEST:SIZE, spares that"


def _what(args: argparse.Namespace) -> tuple[str, str, int | None]:
    """Kind, value and size of the entry that options name."""
    if args.file is not None:
        digest, size = _digests(os.fsencode(args.file))
        return "sha256", digest["sha256"], size
    if args.digest is not None:
        return _digest(args.digest)
    if args.signature is not None:
        return "signature", args.signature.removesuffix(MARK.decode()), None
    path = os.fsencode(args.path)
    is_mask = any(sign in path for sign in b"*?[")
    if not path or not path.strip(b"/*?."):
        raise UsageError("a path or mask that covers everything cannot be allowed")
    return "path", os.fsdecode(path if is_mask else absolute(path)), None


def _digest(text: str) -> tuple[str, str, int | None]:
    digits, colon, size = text.partition(":")
    digits = digits.lower()
    kind = next((kind for kind, length in DIGESTS.items() if re.fullmatch(f"[0-9a-f]{{{length}}}", digits)), None)
    if kind is None or (colon and not re.fullmatch("[0-9]{1,18}", size)):
        raise UsageError(f"'{shown_text(text)}' is not SHA256, SHA256:SIZE or MD5:SIZE")
    if kind == "md5" and not colon:
        raise UsageError("an MD5 needs the size of the file: MD5:SIZE")
    return kind, digits, int(size) if colon else None


def _who() -> str:
    try:
        name = os.environ.get("SUDO_USER") or getpass.getuser()
    except (KeyError, OSError):
        name = f"uid {os.getuid()}"
    return shown_text(name)[:100]


def _remove(args: argparse.Namespace) -> Lines:
    for entry in remove(_state(args), args.numbers):
        yield f"no longer allowed: {_line(entry)}"


# -- list and check --------------------------------------------------------------------------------------------------


def _entries(args: argparse.Namespace) -> tuple[Allowed, ...]:
    found = read_allow(_state(args))
    if found.notes:
        raise SystemFailure(shown_text(found.notes[0]))
    return found.entries


def _list(args: argparse.Namespace) -> Lines:
    entries = _entries(args)
    for entry in entries:
        yield json.dumps(entry._asdict()) if args.json else _line(entry)
    if not entries and not args.json:
        yield "nothing is allowed"


def _check(args: argparse.Namespace) -> Lines:
    entries = [entry for entry in _entries(args) if entry.holds(time.time())]
    for word in args.what:
        path = absolute(os.fsencode(word))
        matches = _for_file(path, entries) if os.path.exists(path) else _for_name(word, entries)
        for entry in matches:
            yield f"{shown_path(os.fsencode(word)).decode('utf-8', 'replace')}: {_line(entry)}"


def _for_name(word: str, entries: list[Allowed]) -> Iterator[Allowed]:
    name = word.removesuffix(MARK.decode())
    yield from (entry for entry in entries if entry.kind == "signature" and entry.value == name)
    path = absolute(os.fsencode(word))
    yield from (entry for entry in entries if "/" in word and entry.kind == "path" and entry.covers(path))


def _for_file(path: bytes, entries: list[Allowed]) -> Iterator[Allowed]:
    yield from (entry for entry in entries if entry.kind == "path" and entry.covers(path))
    if any(entry.kind in DIGESTS for entry in entries) and os.path.isfile(path):
        digests, size = _digests(path)
        yield from (e for e in entries if digests.get(e.kind) == e.value and e.size in (None, size))


def _digests(path: bytes) -> tuple[dict[str, str], int]:
    """Digests of a regular file, and its size."""
    size, hashes = 0, {kind: hashlib.new(kind, usedforsecurity=False) for kind in DIGESTS}
    try:
        with open(open_regular(path), "rb", buffering=0) as file:
            while piece := file.read(1 << 20):
                size += len(piece)
                for one in hashes.values():
                    one.update(piece)
    except OSError as error:
        raise SystemFailure(f"{shown_text(os.fsdecode(path))} cannot be read: {error.strerror}") from None
    return {kind: one.hexdigest() for kind, one in hashes.items()}, size


def _line(entry: Allowed) -> str:
    value = shown_path(os.fsencode(entry.value)).decode("utf-8", "replace")
    size = f":{entry.size}" if entry.size is not None else ""
    end = f"until {_date(entry.expires)}" if entry.expires else "without end"
    over = "" if entry.holds(time.time()) else " (over)"
    head = f"{entry.number}  {entry.kind} {value}{size}  {end}{over}"
    return f"{head}  {shown_text(entry.reason)}  ({shown_text(entry.by)}, {_date(entry.added)})"


def _date(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds))
