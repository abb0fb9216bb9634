"""clamscan: a front end for scripts that call ClamAV's scanner: its options, its lines, its exit codes 0, 1 and 2.

    kavfs-clamscan -ri --no-summary /srv          (or a link called clamscan)

Where clamscan calls clean what it has not looked at (a limit), this says ERROR, and the exit code is 2: not scanned
never looks like clean. No configuration file is read, and nothing is done to a file unless an option says so.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from typing import NoReturn

from kavfs.cli.clamscan_list import Rules, files_of, number, rules_of
from kavfs.cli.clamscan_options import OPTIONS, ClamscanError, Given, parse
from kavfs.cli.clamscan_report import ClamscanReport, Lines
from kavfs.cli.program import leave, put, run_program
from kavfs.cli.request import Request, absolute
from kavfs.config.settings import Settings
from kavfs.errors import KavfsError
from kavfs.limits import Limits
from kavfs.model import Switch, Totals
from kavfs.report.summary import human
from kavfs.version import VERSION

PROGRAM = "clamscan"
FAILED = 2
STDIN = b"-"
STDIN_MAX = Limits.spill  # bytes: a pipe may have no end, and the folder is others' too


def main() -> NoReturn:
    """The console script."""
    leave(run_program(PROGRAM, _clamscan))


def _clamscan(words: Sequence[bytes]) -> int:
    try:
        return clamscan(words)
    except KavfsError as error:
        raise ClamscanError(str(error)) from None  # every failure is a 2


def clamscan(words: Sequence[bytes]) -> int:
    """Carries out the command line and returns the exit code."""
    given = parse(words)
    if given.has("help"):
        put(_help())
        return 0
    if given.has("version"):
        put(f"kavfs {VERSION} ({PROGRAM})\n")
        return 0
    with ExitStack() as stack:
        lines = stack.enter_context(Lines(given))
        return _scan(given, lines, stack)


def _scan(given: Given, lines: Lines, stack: ExitStack) -> int:
    from kavfs.scan.roles import start_server

    server = start_server()
    stack.callback(server.close)
    rules = rules_of(given)
    typed = _named(given, lines, stack)
    roots = _roots(typed, rules, lines)
    request = _request(given, rules, tuple(absolute(root) for root in roots))
    report = ClamscanReport(given, lines, dict(zip(request.roots, roots, strict=True)), rules.recursive)
    totals, started = Totals(), time.time()
    if request.roots or not typed:
        totals = _run(request, report, server)
    if not given.has("no-summary"):
        lines.summary(report, totals, started)
    return report.exit_code


def _run(request: Request, report: ClamscanReport, server: object) -> Totals:
    from kavfs.cli.running import heeding_signals, open_cache, open_signatures, own_stores
    from kavfs.scan.allowing import Allowing
    from kavfs.scan.forkserver import ForkServer
    from kavfs.scan.job import Job

    assert isinstance(server, ForkServer)
    with ExitStack() as stack:
        cache = stack.enter_context(open_cache(request, request.switches(False)))
        image, state = open_signatures(request.databases, request.state, cache.generations)
        stack.enter_context(image)
        report.known_viruses = image.signature_count
        options = request.scan_options(own_stores(request, state), False)
        judged = Allowing(report, image.allow) if image.allow.judges else report
        job = Job(image, options, judged, server=server, stores=cache.stores)
        stack.enter_context(heeding_signals(job))
        return job.run()


def _request(given: Given, rules: Rules, roots: tuple[bytes, ...]) -> Request:
    """What clamscan's options mean for us. A limit of 0 is none, or our own where there must be one."""
    switches = Settings().switches
    for name, letters in (
        ("scan-archive", Switch.ARCHIVES | Switch.SFX),
        ("scan-mail", Switch.MAILPLAIN | Switch.MAILBASES),
        ("heuristic-alerts", Switch.HEURISTIC),
    ):
        switches = switches if given.yes(name, True) else switches & ~letters
    if given.has("nocerts"):
        switches |= Switch.NO_CERTIFICATES
    settings = Settings()._replace(
        switches=switches,
        recursion=rules.recursive,
        local_fs=not rules.cross_fs,
        follow_symlinks=rules.dir_links > 1 and rules.file_links > 1,
        max_file_size=number(given, "max-filesize", 0),
        max_unpacked=number(given, "max-scansize", 0) or Settings().max_unpacked,
        max_members=number(given, "max-files", 0) or Settings().max_members,
        max_depth=number(given, "max-recursion", 0) or Settings().max_depth,
        time_base=number(given, "max-scantime", 0) / 1000 or Settings().time_base,
    )
    if given.has("tempdir"):
        settings = settings._replace(temp=absolute(given.last("tempdir")))
    return Request(
        settings,
        roots=roots,
        databases=tuple(absolute(path) for path in given.all("database")),
        state=absolute(given.last("state")) if given.has("state") else b"",
        all_match=True,  # without it, a PUA signature that nobody asked for could hide another
    )


def _named(given: Given, lines: Lines, stack: ExitStack) -> list[bytes]:
    """The paths to scan, as they were named; standard input is a file while we scan."""
    paths = given.paths
    if given.has("file-list"):
        try:
            with open(given.last("file-list"), "rb") as file:
                paths = [name for name in file.read().split(b"\n") if name]
        except OSError as error:
            raise ClamscanError(f"cannot read {os.fsdecode(given.last('file-list'))}: {error.strerror}") from None
        if not paths:
            raise ClamscanError(f"{os.fsdecode(given.last('file-list'))} names nothing")
    elif not paths:
        paths = [os.getcwdb()]
    if paths == [STDIN]:
        return [lines.standard_input(_kept(given, stack))]
    return paths


def _kept(given: Given, stack: ExitStack) -> bytes:
    """Standard input as a file that only we can read, gone when the scan is over."""
    folder = os.fsdecode(given.last("tempdir")) or "/var/tmp"
    try:
        kept = tempfile.NamedTemporaryFile(dir=folder, prefix="clamscan-")  # noqa: SIM115  # closed by the stack
        file = stack.enter_context(kept)
        while piece := sys.stdin.buffer.read(1 << 20):
            file.write(piece)
            if file.tell() > STDIN_MAX:
                raise ClamscanError(f"standard input has more than {human(STDIN_MAX)}")
        file.flush()
    except OSError as error:
        raise ClamscanError(f"cannot keep standard input in {folder}: {error.strerror}") from None
    return os.fsencode(file.name)


def _roots(typed: list[bytes], rules: Rules, lines: Lines) -> list[bytes]:
    """What the walkers start from; a path that is not there is told of, and is an error."""
    roots: list[bytes] = []
    for path in typed:
        if not os.path.lexists(path):
            lines.missing(path)
        else:
            roots += files_of(path, rules, lines.left_out) if rules.needed else [_trimmed(path)]
    return list(dict.fromkeys(roots))


def _trimmed(path: bytes) -> bytes:
    return path.rstrip(b"/") or b"/"


def _help() -> str:
    rows = [f"kavfs {VERSION}: {PROGRAM} [options] [file/directory/-]", ""]
    for option in OPTIONS:
        if not option.harmless and not option.refused:
            letter = f"-{option.letter}, " if option.letter else "    "
            value = option.value if option.value.startswith("[") else f"={option.value}" if option.value else ""
            rows.append(f"  {letter}--{option.name}{value}".ljust(38) + option.help)
    accepted = [option.name for option in OPTIONS if option.harmless]
    rows += ["", "Accepted, without effect: " + ", ".join(accepted), "Exit code: 0 clean, 1 found, 2 error"]
    return "\n".join(rows) + "\n"


if __name__ == "__main__":
    main()
