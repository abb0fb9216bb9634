"""aveserver: the scanner as a service, for programs that speak its own protocol or that of clamd."""

from __future__ import annotations

import gc
import os
from collections.abc import Coroutine, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

from kavfs.cli.aveserver_options import PID_FILE, RUN, Wanted, read_options
from kavfs.errors import ConfigError, KavfsError, SystemFailure
from kavfs.options import NATIVE, EngineChoice

if TYPE_CHECKING:
    from kavfs.daemon.log import Log
    from kavfs.daemon.notify import Notify
    from kavfs.scan.opening import Openers
    from kavfs.scan.service import Service
    from kavfs.signatures.image import Image

PROGRAM = "aveserver"


def main() -> NoReturn:
    """The console script."""
    from kavfs.cli.program import leave, run_program

    leave(run_program(PROGRAM, aveserver))


def aveserver(words: Sequence[bytes]) -> int:
    """Carries out the command line and returns the exit code."""
    from kavfs.cli.program import put

    wanted = read_options(words)
    if wanted.task == "help":
        from kavfs.cli.aveserver_options import usage

        put(usage())
        return 0
    if wanted.task == "version":
        from kavfs.version import VERSION

        put(f"aveserver {VERSION}/RELEASE build #1\n")
        return 0
    if wanted.foreground or "NOTIFY_SOCKET" in os.environ or "LISTEN_PID" in os.environ:
        return _serve(wanted, words, None)
    from kavfs.daemon.detached import detach, give_up

    caller = detach()
    try:
        return _serve(wanted, words, caller)
    except KavfsError as error:
        from kavfs.cli.program import say

        say(PROGRAM, str(error))  # before the caller goes, so that its reader has it
        give_up(caller, error.exit_code)
        return error.exit_code


def _serve(wanted: Wanted, words: Sequence[bytes], caller: int | None) -> int:
    """*caller*: who waits in the foreground for the first answer to be possible."""
    from kavfs.cli.daemon_log import open_log
    from kavfs.daemon.notify import Notify

    settings = wanted.settings
    log = open_log(PROGRAM, settings.scan, as_json=settings.report_json, detached=caller is not None)
    try:
        return _serve_with(wanted, words, caller, log, Notify())
    except KavfsError as error:
        if caller is not None or settings.scan.report_file:
            log.note(str(error), "F")
        raise
    finally:
        log.close()


# Capabilities that a daemon without root hands to its fork server: to become a client (setgid, setuid), to read as root
# does if that is the client (dac_read_search), to end an opener that hangs (kill).
_OF_CHILDREN = 1 << 6 | 1 << 7 | 1 << 2 | 1 << 5


def _give_up(keep: int) -> None:
    """All capabilities but these, if we are not root, and nothing of them for programs that are called."""
    if os.geteuid() != 0:
        from kavfs._native import process

        process.keep_capabilities(keep)


class _Start(NamedTuple):
    """What a start has come to."""

    wanted: Wanted
    words: Sequence[bytes]
    caller: int | None
    log: Log
    notify: Notify
    image: Image
    state: bytes
    engines: EngineChoice


def _serve_with(wanted: Wanted, words: Sequence[bytes], caller: int | None, log: Log, notify: Notify) -> int:
    from kavfs.scan.roles import start_server
    from kavfs.walk.descriptors import raise_limit

    _give_up(_OF_CHILDREN)
    server = start_server()  # before threads, before anything costly
    try:
        import asyncio

        from kavfs.cli.running import open_signatures
        from kavfs.scan.opening import Openers
        from kavfs.scan.service import Service

        raise_limit()
        image, state = open_signatures(wanted.databases, wanted.state)
        engines = _engines(wanted, state)
        for text in (*image.notes, *engines.notes):
            log.note(text)
        service = Service(server, image, image.allow, wanted.service(state, engines), log.note)
        openers = Openers(server, everybody=wanted.daemon.everybody)
        _give_up(0)
        gc.collect()
        gc.freeze()
        asyncio.run(_run(_Start(wanted, words, caller, log, notify, image, state, engines), service, openers))
    finally:
        server.close()
    return 0


async def _run(start: _Start, service: Service, openers: Openers) -> None:
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
        watch=wanted.daemon.watch,
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
    _make_run(wanted)
    daemon.begin(open_listeners(wanted.daemon))
    renewer.begin()
    await telling.begin(daemon, renewer)
    path = wanted.settings.pid_file or (PID_FILE if start.caller is not None else b"")
    pid = PidFile(path) if path else None
    log.note("ready")
    notify.ready()
    if start.caller is not None:
        settle(start.caller)
    try:
        await _beside(daemon.run(), _flush(log))
    finally:
        if pid is not None:
            pid.remove()
    await renewer.close()
    await telling.close()
    log.note("stopped")


async def _beside(main: Coroutine[Any, Any, None], other: Coroutine[Any, Any, None]) -> None:
    """*main*, and *other* as long as it lasts."""
    import asyncio

    task = asyncio.ensure_future(other)
    try:
        await main
    finally:
        task.cancel()


async def _flush(log: Log) -> None:
    """Lines about clean objects go out by the second: one at a time they would cost as much as the scan."""
    import asyncio

    while True:
        await asyncio.sleep(1.0)
        log.flush()


def _engines(wanted: Wanted, state: bytes) -> EngineChoice:
    """The engines that the configuration names."""
    names = wanted.settings.scan.engines
    if names == (NATIVE.name,):
        return EngineChoice()
    from kavfs.engine.choose import choose
    from kavfs.engine.contract import EngineMissing

    try:
        return choose(names, wanted.places(state))
    except EngineMissing as error:
        raise ConfigError(f"Engine: {error}") from None


def _make_run(wanted: Wanted) -> None:
    """The usual folder of sockets, if something shall be there: without systemd it is gone after a boot."""
    if any(listener.path.startswith(RUN + b"/") for listener in wanted.daemon.listeners):
        try:
            os.makedirs(RUN, 0o755, exist_ok=True)
        except OSError as error:
            raise SystemFailure(f"cannot make {RUN.decode()}: {error.strerror}") from None


if __name__ == "__main__":
    main()
