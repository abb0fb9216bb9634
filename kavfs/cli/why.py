"""kavfs why: which signatures match a file, from which database, in which layer, at which offset."""

from __future__ import annotations

import argparse
import os
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence

from kavfs.cli.program import put
from kavfs.cli.request import absolute
from kavfs.cli.running import heeding_signals, open_signatures
from kavfs.errors import KavfsError, SystemFailure, UsageError
from kavfs.model import OUTCOMES, Result, Skip, Status, Switch, Threat, Totals
from kavfs.options import EVERYTHING, ScanOptions, WalkOptions
from kavfs.report.lines import words_of
from kavfs.report.names import shown_name, shown_path, shown_text
from kavfs.report.summary import counted
from kavfs.scan.job import Job
from kavfs.signatures.kinds import READ, Form
from kavfs.signatures.pack import read_text
from kavfs.signatures.sources import Source

_PLACES_MAX = 5  # places that are named of one signature; names are not unique


class _Collected:
    """A report that keeps results. Promises ports.Report."""

    wants_clean = True

    def __init__(self) -> None:
        self.results: list[Result] = []
        self.said: list[str] = []

    def add(self, result: Result) -> None:
        self.results.append(result)

    def skip(self, skip: Skip) -> None:
        self.said.append(f"not scanned: {skip.kind.name.lower()}")

    def known(self, directory: bytes, names: bytes, sizes: bytes) -> None:
        """Nothing is answered from a store here: this scan has none."""

    def listed(self, paths: bytes, results: Callable[[], Iterable[Result]]) -> None:
        """Likewise."""

    def note(self, text: str) -> None:
        self.said.append(text)

    def finish(self, totals: Totals) -> None:
        """Nothing to end."""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Register ``why``; the parsed arguments then go to run()."""
    parser = subparsers.add_parser("why", help="which signatures match a file, and where", description=__doc__)
    parser.add_argument("file", metavar="FILE", help="the file; what is packed in it is looked at too")
    parser.add_argument("--db", action="append", default=[], metavar="PATH", help="databases or an image")
    parser.add_argument("--state", default="", metavar="DIR", help="folder of compiled signatures")


def run(args: argparse.Namespace) -> int:
    """Scan the file and print what matches; the exit code is that of its status."""
    path = absolute(os.fsencode(args.file))
    _check(path)
    image, _ = open_signatures([absolute(os.fsencode(db)) for db in args.db], os.fsencode(args.state))
    with image:
        databases = [entry.source for entry in image.entries if entry.signatures]
        switches = EVERYTHING | Switch.ALL_MATCH | Switch.ALL_MEMBERS
        report = _Collected()
        job = Job(image, ScanOptions(WalkOptions((path,)), switches=switches, jobs=1), report)
        with heeding_signals(job):
            job.run()
    for text in report.said:
        put(f"{shown_text(text)}\n")
    if not report.results:
        raise SystemFailure(f"{args.file}: the scan ended without a result")
    result = report.results[-1]
    put("".join(f"{line}\n" for line in explain(result, databases)))
    return OUTCOMES[result.status].exit_code


def explain(result: Result, databases: Sequence[Source]) -> Iterator[str]:
    """The lines that say why *result* is what it is; *databases* are the files to look names up in."""
    yield f"{_text(shown_path(result.path))}: {OUTCOMES[result.status].word}"
    yield f"  format {result.format}, target {result.target.name.lower()}, {counted(result.size, 'byte')}" + (
        f", {counted(result.member_count, 'member')}" if result.member_count else ""
    )
    if not result.threats:
        yield "  nothing matches"
    for threat in result.threats:
        yield from _threat(threat, databases)
    if result.suppressed:
        yield "  a match was lifted by an exception, or a program is trusted by its signature"
    yield f"  coverage: {_coverage(result)}"
    for member in result.members:
        if member.reasons and member.path:
            yield f"    {_text(shown_path(member.path))}: {', '.join(words_of(member.reasons))}"


def places_of(name: str, databases: Sequence[Source]) -> list[tuple[bytes, int]]:
    """Database files and lines in which a signature is called *name*, at most a few."""
    wanted = name.removesuffix(".UNOFFICIAL").encode("utf-8", "surrogateescape")
    found: list[tuple[bytes, int]] = []
    for source in databases:
        try:
            text, _, _ = read_text(source)
        except (KavfsError, OSError):
            continue  # the file has gone since it was compiled; the name alone has to do
        at = text.find(wanted)
        while at >= 0 and len(found) < _PLACES_MAX:
            start = text.rfind(b"\n", 0, at) + 1
            end = text.find(b"\n", at)
            if _names(text[start : end if end >= 0 else len(text)].strip(), source.kind, wanted):
                found.append((source.place, text.count(b"\n", 0, start) + 1))
            at = text.find(wanted, end) if end >= 0 else -1
    return found


def _names(line: bytes, kind: str, name: bytes) -> bool:
    """Whether *line* of a database of this kind is the signature called *name*."""
    form = READ[kind]
    if form in (Form.HASH, Form.SECTIONS, Form.IMPORTS):
        return line.split(b":")[2:3] == [name]
    return line.split({Form.LOGICAL: b";", Form.OLDEST: b"="}.get(form, b":"))[0] == name


def _threat(threat: Threat, databases: Sequence[Source]) -> Iterator[str]:
    layer = f"member {_text(shown_path(threat.member))}" if threat.member else "the file itself"
    where = "by its digest" if threat.offset is None else f"at offset {threat.offset:,}"
    word = "" if threat.status is Status.INFECTED else f" ({OUTCOMES[threat.status].word})"
    yield f"  {_text(shown_name(threat.name))}{word}: in {layer}, {where}, engine {threat.engine}"
    for path, row in places_of(threat.name, databases):
        yield f"    {_text(shown_path(path))}:{row}"


def _coverage(result: Result) -> str:
    if result.complete:
        return "complete"
    error = f" ({shown_text(result.error)})" if result.error else ""
    return f"partial: {', '.join(words_of(result.reasons))}{error}"


def _check(path: bytes) -> None:
    """Only what can be scanned; a FIFO or a directory is no file to explain."""
    try:
        kind = stat.S_IFMT(os.stat(path).st_mode)
    except OSError as error:
        raise UsageError(f"{os.fsdecode(path)}: {error.strerror}") from None
    if kind != stat.S_IFREG:
        raise UsageError(f"{os.fsdecode(path)}: not a regular file")


def _text(shown: bytes) -> str:
    return shown.decode("utf-8", "backslashreplace")
