"""kavfs db: compile signatures, say what was taken from which file, list what can be detected."""

from __future__ import annotations

import argparse
import contextlib
import fnmatch
import mmap
import os
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Mapping

from kavfs._native import match
from kavfs.cli.program import answer
from kavfs.errors import UsageError
from kavfs.ports import ImagePart
from kavfs.report.names import shown_path, shown_text
from kavfs.report.summary import counted
from kavfs.signatures.catalog import Entry
from kavfs.signatures.ignore import MARK
from kavfs.signatures.image import Image, compile_image, open_image
from kavfs.signatures.imagewriter import compile_image_file
from kavfs.signatures.kinds import READ, Form
from kavfs.signatures.segment import tally_from_json
from kavfs.signatures.sources import default_databases, default_state

Lines = Generator[str, None, None]

KINDS = sorted({kind for kind, form in READ.items() if form.detects} | {f.value for f in READ.values() if f.detects})


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Register ``db`` and its sub-commands; the parsed arguments then go to run()."""
    db = subparsers.add_parser("db", help="compile signatures, and look at them", description=__doc__)
    commands = db.add_subparsers(dest="db_command", required=True, metavar="COMMAND")

    compiling = commands.add_parser("compile", help="compile databases now, not at the next scan")
    compiling.add_argument("paths", nargs="+", metavar="DIR", help="folder of databases, or a database file")
    target = compiling.add_mutually_exclusive_group()
    _add_state(target)
    target.add_argument("-o", dest="output", metavar="IMAGE", help="write everything to this one file instead")

    info = commands.add_parser("info", help="what was taken from each database file, and what was not, and why")
    _add_places(info)
    info.add_argument("--rejected", action="store_true", help="also each line that was not taken: file:line: reason")

    listing = commands.add_parser("list", help="names of the threats that can be detected, one on each line")
    listing.add_argument("pattern", nargs="?", default="", metavar="PATTERN", help="part of the name, or a mask with *")
    listing.add_argument("--kind", choices=KINDS, help="only those from databases of this kind")
    _add_places(listing)


def run(args: argparse.Namespace) -> int:
    """Carry out one ``kavfs db`` command; the return value is the exit code."""
    commands: dict[str, Callable[[argparse.Namespace], Lines]]
    commands = {"compile": _compile, "info": _info, "list": _list}
    output = answer()
    # Closed at once, before the mappings that lines are read from, also when the reader of our output has gone.
    with contextlib.closing(commands[args.db_command](args)) as lines, contextlib.suppress(BrokenPipeError):
        for line in lines:
            output.write(line.encode("utf-8", "backslashreplace") + b"\n")
        output.flush()
    return 0


def _add_state(parser: argparse.ArgumentParser | argparse._MutuallyExclusiveGroup) -> None:
    parser.add_argument("--state", metavar="DIR", help="folder of compiled signatures (default: the usual one)")


def _add_places(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--db", action="append", metavar="PATH", help="databases or an image (default: the usual ones); may be repeated"
    )
    _add_state(parser)


def _open(args: argparse.Namespace) -> Image:
    return open_image(args.db or default_databases(), args.state or default_state())


# -- compile ---------------------------------------------------------------------------------------------------------


def _compile(args: argparse.Namespace) -> Lines:
    start = time.monotonic()
    if args.output:
        if os.path.isdir(args.output):
            raise UsageError(f"{shown_text(args.output)} is a folder; -o names the image file to be written")
        image = compile_image_file(args.paths, args.output)
    else:
        image = compile_image(args.paths, args.state or default_state())
    with image:
        yield f"{_summary(image)}, ready after {time.monotonic() - start:.1f} s"
        for note in image.notes:
            yield f"note: {shown_text(note)}"


def _summary(image: Image) -> str:
    files = sum(1 for entry in image.entries if entry.taken)
    rest = sum(count for entry in image.entries for _, count in entry.reasons)
    taken = f"{counted(image.signature_count, 'signature')} from {counted(files, 'file')}"
    return f"{taken}, {counted(rest, 'line')} not taken"


# -- info ------------------------------------------------------------------------------------------------------------


def _info(args: argparse.Namespace) -> Lines:
    with _open(args) as image:
        yield f"{_summary(image)}; the newest file is {_age(image.newest)}"
        if image.demonstration:
            yield "only the starter signatures: a demonstration, not protection"
        yield f"generation {image.generation.hex()}"
        yield from _history(image)
        yield from _kinds(image)
        for entry in image.entries:
            yield from _description(entry)
            if args.rejected:
                yield from _rejected(image, entry)


def _history(image: Image) -> Iterator[str]:
    """What is new since the generations for which a delta is compiled."""
    rows = image.catalog.deltas if image.deltas else ()
    if rows:
        since = (f"{row.generation[:12]} {counted(row.rules, 'rule')}{' (in full)' * row.full}" for row in rows)
        yield f"new since older generations: {', '.join(since)}"
    else:
        yield "no older generation is known: what was found before is scanned again in full"


def _kinds(image: Image) -> Iterator[str]:
    """What there is of each kind, and what of it is not supported."""
    yield ""
    for kind in sorted({entry.kind for entry in image.entries}):
        entries = [entry for entry in image.entries if entry.kind == kind]
        taken = sum(entry.taken for entry in entries)
        reasons = Counter[str]()
        for entry in entries:
            reasons.update(dict(entry.reasons))
        text = f".{kind}: {counted(len(entries), 'file')}, {counted(taken, 'line')} taken"
        for reason, count in sorted(reasons.items(), key=lambda item: (-item[1], item[0])):
            text += f"; {count} not: {shown_text(reason)}"
        yield text


def _description(entry: Entry) -> Iterator[str]:
    what = "signature" if entry.signatures or not entry.taken else "exception"
    form = READ.get(entry.kind)
    if form is Form.RECIPES or form is Form.TRUST:
        what = "recipe" if form is Form.RECIPES else "rule"
    yield ""
    yield _path(entry)
    yield f"    .{entry.kind}, {_age(entry.identity.mtime_ns / 1e9)}: {counted(entry.taken, what)}"
    for reason, count in entry.reasons:
        yield f"    {count} not taken: {shown_text(reason)}"


def _rejected(image: Image, entry: Entry) -> Iterator[str]:
    side = image.side(entry)
    found = tally_from_json(side) if side else None
    if found is None:
        yield "    the list of its lines is lost; `kavfs db compile` makes it again"
        return
    path, listed = _path(entry), found[0].listed
    for row, reason in listed:
        yield f"{path}:{row}: {shown_text(reason)}" if row else f"{path}: {shown_text(reason)}"
    more = sum(count for _, count in entry.reasons) - len(listed)
    if more > 0:
        yield f"    and {more} more"


def _age(seconds: float) -> str:
    days = int((time.time() - seconds) // 86400)
    try:
        date = time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds))
    except (OverflowError, ValueError, OSError):  # some file systems keep any number as a time
        return "of no date"
    return f"of {date}, {counted(days, 'day')} old" if days > 0 else f"of {date}"


# -- list ------------------------------------------------------------------------------------------------------------


def _list(args: argparse.Namespace) -> Lines:
    wanted = _filter(args.pattern)
    with _open(args) as image:
        parts = dict(zip((part.key for part in image.catalog.parts), image.parts, strict=True))
        kinds = {entry.key: entry.kind for entry in image.entries if entry.taken}
        ignored = {name for key, kind in kinds.items() if READ[kind] is Form.IGNORE for name in _names(parts[key])}
        for entry in image.databases:
            if args.kind in (None, entry.kind, READ[entry.kind].value):
                for name in _entry_names(entry, parts):
                    if wanted(name) and name.removesuffix(MARK.decode()) not in ignored:
                        yield shown_text(name)


def _filter(pattern: str) -> Callable[[str], bool]:
    """A mask where it has signs of one, else a part of the name; capital and small letters alike."""
    low = pattern.lower()
    if any(sign in low for sign in "*?["):
        return lambda name: fnmatch.fnmatchcase(name.lower(), low)
    return lambda name: low in name.lower()


def _entry_names(entry: Entry, parts: Mapping[str, ImagePart]) -> Iterator[str]:
    """Of a patched file: what is left of its base, then the fresh lines."""
    base, *fresh = (parts[key] for key, _ in entry.segments)
    patch = fresh.pop() if entry.patched else None
    yield from _names(base, patch)
    for part in fresh:
        yield from _names(part)


def _names(part: ImagePart, patch: ImagePart | None = None) -> Iterator[str]:
    # The generator is closed before the mappings that it reads, also when the reader of our output has gone.
    with contextlib.ExitStack() as stack:
        names = match.part_names(*(stack.enter_context(_mapped(some)) for some in (part, patch) if some))
        with contextlib.closing(names):
            yield from names


def _mapped(part: ImagePart) -> mmap.mmap:
    return mmap.mmap(part.fd, part.length, access=mmap.ACCESS_READ, offset=part.offset)


def _path(entry: Entry) -> str:
    return shown_path(entry.place).decode("utf-8", "replace")
