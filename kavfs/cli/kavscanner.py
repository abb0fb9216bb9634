"""kavscanner: scans files and directories on demand and reports.

The program itself is short: read the request, open what is written to, open the signatures, run the job, answer with
the exit code. Nothing of ours is imported before main() has seen to Ctrl-C, and what not every run needs only where it
is needed, because the start is most of what a scan of one small file costs.
"""

from __future__ import annotations

import gc
import signal
from collections.abc import Sequence
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from kavfs.cli.reports import Reports
    from kavfs.cli.request import Request
    from kavfs.model import Totals
    from kavfs.ports import Report
    from kavfs.scan.forkserver import ForkServer
    from kavfs.signatures.image import Image

PROGRAM = "kavscanner"


def main() -> NoReturn:
    """The console script."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # an end without a traceback, until run_program can give a line
    gc.disable()  # what is imported stays: looking for garbage in it costs a tenth of the start
    from kavfs.cli.program import leave, run_program

    leave(run_program(PROGRAM, kavscanner))


def kavscanner(words: Sequence[bytes]) -> int:
    """Carries out the command line and returns the exit code."""
    from kavfs.cli.program import put
    from kavfs.cli.request import read_request

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
    if not request.roots:
        return _nothing_to_do(request)
    if request.may_act:
        from kavfs.cli.acting import policy_of

        policy_of(request)  # what is wrong with it is said before anything is touched
    # First of all, so that its libraries load while the signatures are opened and it inherits none of our files.
    from kavfs.scan.roles import start_server

    signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGUSR1, signal.SIGUSR2))  # until they mean something
    if request.settings.polite:
        from kavfs.scan.sandbox import yield_to_others

        yield_to_others()
    server = start_server()
    try:
        with _lock(request):
            return _report(request, server)
    finally:
        server.close()


def _lock(request: Request) -> AbstractContextManager[None]:
    """What --lock asks for: taken before a report file is touched."""
    if not request.lock:
        from contextlib import nullcontext

        return nullcontext()
    from kavfs.cli.lock import held
    from kavfs.signatures.sources import default_state

    return held(request.lock, request.state or default_state())


def _report(request: Request, server: ForkServer) -> int:
    from kavfs.cli.reports import Reports
    from kavfs.errors import KavfsError

    reports = Reports(request, PROGRAM)
    try:
        totals = _run(request, reports, server)
    except KavfsError as error:
        reports.fatal(error)
        raise
    return reports.exit_code(totals)


def _run(request: Request, reports: Reports, server: ForkServer) -> Totals:
    from contextlib import ExitStack

    from kavfs.cli.running import choose_engines, heeding_signals, open_cache, open_for, own_stores, resumed
    from kavfs.scan.job import Job

    engines = choose_engines(request)
    with ExitStack() as stack:
        cache = stack.enter_context(open_cache(request, request.switches(reports.wants_members), engines))
        image, state = open_for(request, engines, cache.generations)
        stack.enter_context(image)
        report = reports.begin(image, engines.uses)
        options = request.scan_options(own_stores(request, state), reports.wants_members, engines.uses)
        if request.may_act:
            from kavfs.cli.acting import acting, with_folders_left_out

            options = with_folders_left_out(request, options)
            report = stack.enter_context(acting(request, state, report, image, options))
        report = _judged(report, image)
        for note in (*engines.notes, *cache.notes):
            report.note(note)
        if request.keeps:
            from kavfs.cli.keeping import keep

            keep(request, request.quarantine(state), image, engines, options, report.note)
        count = reports.tick is not None
        job = Job(image, options, report, server=server, tick=reports.tick, count=count, stores=cache.stores)
        reports.on_closed_pipe(job.stop)
        gc.freeze()  # else the first thing that is made sets off a search through all that was imported
        gc.enable()
        journal = stack.enter_context(resumed(request, cache.stores, image.generation, report.note))
        stack.enter_context(heeding_signals(job))
        totals = job.run()
        if journal is not None and not job.cut_off:
            journal.remove()
        return totals


def _judged(report: Report, image: Image) -> Report:
    """*report* behind the allow list, if there is one."""
    if not image.allow.judges:
        return report
    from kavfs.scan.allowing import Allowing

    return Allowing(report, image.allow)


def _nothing_to_do(request: Request) -> int:
    """A list of paths was empty. The report says so, with everything a report has."""
    from kavfs.cli.reports import Reports
    from kavfs.cli.running import open_signatures
    from kavfs.errors import KavfsError
    from kavfs.model import Totals

    reports = Reports(request, PROGRAM)
    try:
        with open_signatures(request.databases, request.state)[0] as image:
            reports.begin(image).finish(Totals())
    except KavfsError as error:
        reports.fatal(error)
        raise
    return reports.exit_code(Totals())


if __name__ == "__main__":
    main()
