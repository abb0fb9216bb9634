"""kavscanner: scans files and directories on demand and reports.

The program itself is short: read the request, open what is written to, open the signatures, run the job, answer with
the exit code. Everything that not every run needs is imported where it is needed, because the start is most of what a
scan of one small file costs.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from kavfs.cli.program import put, run_program
from kavfs.cli.request import Request, read_request
from kavfs.errors import KavfsError
from kavfs.model import Totals
from kavfs.ports import Image

if TYPE_CHECKING:
    from kavfs.cli.reports import Reports

PROGRAM = "kavscanner"


def main() -> int:
    """The console script."""
    return run_program(PROGRAM, kavscanner)


def kavscanner(words: Sequence[bytes]) -> int:
    """Carries out the command line and returns the exit code."""
    request = read_request(words)
    if request.task == "help":
        from kavfs.cli.usage import usage

        put(usage())
        return 0
    if request.task == "version":
        from kavfs.report.text import BANNER

        put(BANNER + "\n")
        return 0
    return _scan(request)


def _scan(request: Request) -> int:
    # -h, -v and mistakes of usage do without these.
    from kavfs.cli.reports import Reports
    from kavfs.cli.running import open_signatures

    reports = Reports(request, PROGRAM)
    try:
        image, state = open_signatures(request.databases, request.state)
        try:
            totals = _run(request, reports, image, state)
        finally:
            image.close()
    except KavfsError as error:
        reports.fatal(error)
        raise
    return reports.exit_code(totals)


def _run(request: Request, reports: Reports, image: Image, state: bytes) -> Totals:
    report = reports.begin(image)
    if not request.roots:
        totals = Totals()  # an empty list of paths: nothing to do, and nothing wrong
    else:
        from kavfs.scan.job import Job  # brings the native parts with it

        from kavfs.cli.running import own_stores, stopped_by_signals

        options = request.scan_options(own_stores(state), reports.wants_members)
        job = Job(image, options, report)
        reports.on_closed_pipe(job.stop)
        with stopped_by_signals(job.stop):
            totals = job.run()
    report.finish(totals)
    return totals


if __name__ == "__main__":
    sys.exit(main())
