"""smtpscanner: mail is scanned on its way: a daemon on sockets, or one conversation on stdin and stdout.

As mail servers start it, `smtpscanner` is a small program in C (ext/smtprelay) that joins its conversation to the
daemon; it becomes this program where no daemon runs, which then holds the core for that one conversation.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Callable, Coroutine, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

from kavfs.errors import KavfsError, SystemFailure

if TYPE_CHECKING:
    from kavfs.cli.smtpscanner_options import Wanted
    from kavfs.cli.smtpscanner_parts import Sockets
    from kavfs.daemon.log import Log
    from kavfs.daemon.notify import Notify
    from kavfs.mail.core import Core, Curer
    from kavfs.options import EngineChoice
    from kavfs.scan.forkserver import ForkServer
    from kavfs.scan.service import Service
    from kavfs.signatures.allow import AllowList

PROGRAM = "smtpscanner"
SORRY = b"421 4.3.2 Mail cannot be looked at now, try again later\r\n"
TEMPORARY = 75  # EX_TEMPFAIL: what came stays with who has it
_NO_CONVERSATION = (b"--listen", b"-h", b"--help", b"-v", b"--version")


def main() -> NoReturn:
    """The console script kavfs-smtpscanner."""
    from kavfs.cli.program import leave, run_program

    leave(run_program(PROGRAM, smtpscanner))


def smtpscanner(words: Sequence[bytes]) -> int:
    """Carries out the command line and returns the exit code."""
    if not any(word.partition(b"=")[0] in _NO_CONVERSATION for word in words):
        return _converse(words)
    from kavfs.cli.program import put
    from kavfs.cli.smtpscanner_options import read_options, usage

    wanted = read_options(words)
    if wanted.task == "help":
        put(usage())
        return 0
    if wanted.task == "version":
        from kavfs.version import VERSION

        put(f"smtpscanner {VERSION}/RELEASE build #1\n")
        return 0
    from kavfs.cli.serving import carry_out

    return carry_out(PROGRAM, wanted.foreground, lambda caller: _listen(wanted, words, caller))


class Start(NamedTuple):
    """What a start has come to. *failed*: whom to tell that the core cannot go on."""

    wanted: Wanted
    words: Sequence[bytes]
    log: Log
    server: ForkServer
    service: Service
    core: Core
    curer: Curer
    allow: AllowList
    state: bytes
    engines: EngineChoice
    failed: list[Callable[[], None]]


# ---- one conversation ------------------------------------------------------------------------------------------------


def _converse(words: Sequence[bytes]) -> int:
    """On stdin and stdout. Whatever is wrong with us, the client is told to come again, if nothing was said yet."""
    from kavfs.cli.program import say

    begun: list[bool] = []
    mute = _stderr_is_stdout()
    if mute:
        _onto_nothing(2)
    try:
        from kavfs.cli.serving import with_log
        from kavfs.cli.smtpscanner_options import read_options

        wanted = read_options(words)
        settings = wanted.settings
        return with_log(
            PROGRAM,
            settings.scan,
            settings.report_json,
            1 if mute else None,  # as in the background: nobody reads standard error
            lambda log, _: _with_core(wanted, words, log, lambda start: _one(start, begun)),
        )
    except KavfsError as error:
        say(PROGRAM, str(error))
    except Exception:
        import traceback  # only a defect of ours pays for it

        say(PROGRAM, f"a defect in kavfs stopped the program:\n{traceback.format_exc()}", escape=False)
    if not begun:
        os.write(1, SORRY)
    return TEMPORARY


async def _one(start: Start, begun: list[bool]) -> None:
    from kavfs.cli.smtpscanner_front import Front
    from kavfs.mail.channel import on_pipes

    front = Front(start)
    front.begin()
    try:
        channel = await on_pipes(0, 1)
        begun.append(True)
        await front.receiver.converse(channel)
    finally:
        await front.close()


def _stderr_is_stdout() -> bool:
    """Postfix's spawn(8) gives one socket for all three: an error message would be part of the conversation."""
    try:
        out, err = os.fstat(1), os.fstat(2)
    except OSError:
        return False
    return (out.st_dev, out.st_ino) == (err.st_dev, err.st_ino) and not os.isatty(2)


def _onto_nothing(fd: int) -> None:
    nothing = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
    os.dup2(nothing, fd)
    os.close(nothing)


# ---- the daemon ------------------------------------------------------------------------------------------------------


def _listen(wanted: Wanted, words: Sequence[bytes], caller: int | None) -> int:
    """*caller*: who waits in the foreground for the first conversation to be possible."""
    from kavfs.cli import serving
    from kavfs.cli.smtpscanner_options import PID_FILE
    from kavfs.cli.smtpscanner_parts import onward, open_listeners
    from kavfs.daemon.detached import PidFile

    settings = wanted.settings
    onward(settings)  # an error before anything is done
    path = settings.pid_file or (PID_FILE if caller is not None else b"")
    serving.make_run([path, *(one.path for one in wanted.listeners())], settings.user, settings.group)
    sockets = open_listeners(wanted)
    pid = PidFile(path) if path else None
    serving.become(settings.user, settings.group)  # before anything is written that it must find again
    try:
        return serving.with_log(
            PROGRAM,
            settings.scan,
            settings.report_json,
            caller,
            lambda log, notify: _with_core(wanted, words, log, lambda start: _serve(start, sockets, notify, caller)),
        )
    finally:
        if pid is not None:
            pid.remove()


async def _serve(start: Start, sockets: Sockets, notify: Notify, caller: int | None) -> None:
    from kavfs.cli import serving
    from kavfs.cli.smtpscanner_front import Front
    from kavfs.cli.smtpscanner_life import Life
    from kavfs.daemon.detached import settle

    front = Front(start)
    life = Life(start, front, notify)
    front.begin()
    await front.listen(sockets)
    await life.begin()
    start.log.note("ready")
    notify.ready()
    if caller is not None:
        settle(caller)
    try:
        await serving.beside(life.run(), serving.flush(start.log))
    finally:
        await life.close()
    start.log.note("stopped")


# ---- both ------------------------------------------------------------------------------------------------------------


def _with_core(
    wanted: Wanted,
    words: Sequence[bytes],
    log: Log,
    work: Callable[[Start], Coroutine[Any, Any, None]],
) -> int:
    """Make the core, and *work* with it in a loop."""
    from kavfs.cli import serving
    from kavfs.scan.roles import start_server
    from kavfs.walk.descriptors import raise_limit

    serving.keep_capabilities(0)
    server = start_server()  # before threads, before anything costly
    try:
        import asyncio

        from kavfs.cli.running import open_signatures
        from kavfs.cli.smtpscanner_parts import spools
        from kavfs.mail.core import Core, Curer
        from kavfs.scan.service import Service

        raise_limit()
        image, state = open_signatures(wanted.databases, wanted.state)
        engines = serving.engines(wanted.settings.scan.engines, wanted.places(state))
        for text in (*image.notes, *engines.notes):
            log.note(text)
        settings = wanted.service(state, engines)
        service = Service(server, image, image.allow, settings, log.note)
        failures: list[SystemFailure] = []
        waiting: list[Callable[[], None]] = []

        def failed(error: SystemFailure) -> None:
            failures.append(error)
            for told in waiting:
                told()

        core = Core(service, failed)
        curer = Curer(core, settings.options, lambda name: service.image.recipes(name), spools(wanted.settings))
        gc.collect()
        gc.freeze()
        try:
            asyncio.run(
                work(Start(wanted, words, log, server, service, core, curer, image.allow, state, engines, waiting))
            )
            if failures:
                raise failures[0]
        finally:
            curer.close()
            core.close()
            service.close()
    finally:
        server.close()
    return 0


if __name__ == "__main__":
    main()
