"""aveserver: the scanner as a service, for programs that speak its own protocol or that of clamd."""

from __future__ import annotations

import gc
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple, NoReturn

if TYPE_CHECKING:
    from kavfs.cli.aveserver_options import Wanted
    from kavfs.daemon.log import Log
    from kavfs.daemon.notify import Notify
    from kavfs.options import EngineChoice
    from kavfs.scan.forkserver import ForkServer
    from kavfs.scan.opening import Openers
    from kavfs.scan.service import Service
    from kavfs.signatures.image import Image

PROGRAM = "aveserver"
_TOLD = {b"-h", b"--help", b"-v", b"--version"}  # words after which nothing is served


def main() -> NoReturn:
    """The console script."""
    from kavfs.cli.program import leave, run_program

    leave(run_program(PROGRAM, aveserver))


def aveserver(words: Sequence[bytes]) -> int:
    """Carries out the command line and returns the exit code.

    The fork server is begun first of all: each process that comes from it is as large as we are at that moment."""
    from kavfs.cli import serving
    from kavfs.scan.roles import start_server

    if _TOLD & set(words):
        return _tell(words)
    serving.keep_capabilities(_OF_CHILDREN)
    server = start_server()
    try:
        from kavfs.cli.aveserver_options import read_options

        wanted = read_options(words)
        return serving.carry_out(PROGRAM, wanted.foreground, lambda caller: _serve(wanted, words, caller, server))
    finally:
        server.close()


def _tell(words: Sequence[bytes]) -> int:
    from kavfs.cli.aveserver_options import read_options, usage
    from kavfs.cli.program import put

    wanted = read_options(words)
    if wanted.task == "help":
        put(usage())
    else:
        from kavfs.version import VERSION

        put(f"aveserver {VERSION}/RELEASE build #1\n")
    return 0


def _serve(wanted: Wanted, words: Sequence[bytes], caller: int | None, server: ForkServer) -> int:
    """*caller*: who waits in the foreground for the first answer to be possible."""
    from kavfs.cli.serving import with_log

    settings = wanted.settings
    return with_log(
        PROGRAM,
        settings.scan,
        settings.report_json,
        caller,
        lambda log, notify: _serve_with(wanted, words, caller, log, notify, server),
    )


# Capabilities that a daemon without root hands to its fork server: to become a client (setgid, setuid), to read as root
# does if that is the client (dac_read_search), to end an opener that hangs (kill).
_OF_CHILDREN = 1 << 6 | 1 << 7 | 1 << 2 | 1 << 5


class _Start(NamedTuple):
    """What a start has come to."""

    wanted: Wanted
    words: Sequence[bytes]
    caller: int | None
    log: Log
    notify: Notify
    server: ForkServer
    image: Image
    state: bytes
    engines: EngineChoice


def _serve_with(
    wanted: Wanted, words: Sequence[bytes], caller: int | None, log: Log, notify: Notify, server: ForkServer
) -> int:
    from kavfs.cli import serving

    if wanted.daemon.tls is None:
        serving.leave_tls_out()
    import asyncio

    from kavfs.scan.opening import Openers
    from kavfs.scan.service import Service
    from kavfs.walk.descriptors import raise_limit

    raise_limit()
    image, state = serving.signatures(wanted.databases, wanted.state)
    engines = serving.engines(wanted.settings.scan.engines, wanted.places(state))
    for text in (*image.notes, *engines.notes):
        log.note(text)
    service = Service(server, image, image.allow, wanted.service(state, engines), log.note)
    openers = Openers(server, everybody=wanted.daemon.everybody)
    serving.keep_capabilities(0)
    gc.collect()
    gc.freeze()
    asyncio.run(_run(_Start(wanted, words, caller, log, notify, server, image, state, engines), service, openers))
    return 0


async def _run(start: _Start, service: Service, openers: Openers) -> None:
    from kavfs._native import process
    from kavfs.cli import serving
    from kavfs.cli.aveserver_options import PID_FILE
    from kavfs.cli.aveserver_reload import Reload
    from kavfs.cli.aveserver_telling import Telling
    from kavfs.daemon.detached import PidFile, settle
    from kavfs.daemon.renewing import Renewed, Renewer
    from kavfs.daemon.server import Server, open_listeners

    wanted, log, notify = start.wanted, start.log, start.notify
    telling = Telling(wanted, start.state, start.image, log)
    watchers = [log.told, *([telling.keeper.told] if telling.keeper is not None else [])]
    daemon = Server(wanted.daemon, service, openers, log.note, watchers=watchers, notify=notify)
    settings = Reload(start.words, wanted, start.state, start.engines, daemon, service)
    renewer = Renewer(
        service, settings.places(wanted), start.image, start.image.allow, log.note, daemon.renamed, settings,
        watch=wanted.daemon.watch, server=start.server,
    )  # fmt: skip

    def renewed(what: Renewed) -> None:
        notify.ready()
        telling.renewed(daemon, what)

    renewer.told = renewed

    def reload() -> None:
        notify.reloading()
        log.reopen()
        renewer.ask()

    daemon.reload = reload
    serving.make_run(listener.path for listener in wanted.daemon.listeners)
    daemon.begin(open_listeners(wanted.daemon, log.note))
    renewer.begin()
    await telling.begin(daemon, renewer)
    path = wanted.settings.pid_file or (PID_FILE if start.caller is not None else b"")
    pid = PidFile(path) if path else None
    process.rest()
    log.note("ready")
    notify.ready()
    if start.caller is not None:
        settle(start.caller)
    try:
        await serving.beside(daemon.run(), serving.flush(log))
    finally:
        if pid is not None:
            pid.remove()
    await renewer.close()
    await telling.close()
    log.note("stopped")


if __name__ == "__main__":
    main()
