"""Serving: what every daemon of ours does around its own business: background, log, rights, folders, settings."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Coroutine, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from kavfs.errors import ConfigError, KavfsError, SystemFailure
from kavfs.options import NATIVE, EngineChoice

if TYPE_CHECKING:
    from kavfs.config.settings import Settings
    from kavfs.daemon.log import Log
    from kavfs.daemon.notify import Notify
    from kavfs.options import EnginePlaces
    from kavfs.signatures.image import Image

RUN = b"/run/kavfs"


def carry_out(program: str, foreground: bool, serve: Callable[[int | None], int]) -> int:
    """Serve, in the background unless *foreground* or systemd wants it otherwise; *serve* gets who waits in the
    foreground for the first answer to be possible."""
    if foreground or "NOTIFY_SOCKET" in os.environ or "LISTEN_PID" in os.environ:
        return serve(None)
    from kavfs.daemon.detached import detach, give_up

    caller = detach()
    try:
        return serve(caller)
    except KavfsError as error:
        from kavfs.cli.program import say

        say(program, str(error))  # before the caller goes, so that its reader has it
        give_up(caller, error.exit_code)
        return error.exit_code


def with_log(
    program: str, scan: Settings, as_json: bool, caller: int | None, serve: Callable[[Log, Notify], int]
) -> int:
    """Serve with a log as [NAME.report] says. What ends the daemon stands there too, where nobody reads its standard
    error."""
    from kavfs.cli.daemon_log import open_log
    from kavfs.daemon.notify import Notify

    log = open_log(program, scan, as_json=as_json, detached=caller is not None)
    try:
        return serve(log, Notify())
    except KavfsError as error:
        if caller is not None or scan.report_file:
            log.note(str(error), "F")
        raise
    finally:
        log.close()


def keep_capabilities(keep: int) -> None:
    """All capabilities but these, if we are not root, and nothing of them for programs that are called."""
    if os.geteuid() != 0:
        from kavfs._native import process

        process.keep_capabilities(keep)


def become(user: str, group: str) -> None:
    """Go on as *user* with his groups, or those and *group* as the first; "" = as we are. Only root can; somebody who
    is that user already need not. Before threads and children. SystemFailure: it cannot be."""
    if not user and not group:
        return
    import grp
    import pwd

    try:
        person = pwd.getpwnam(user) if user else pwd.getpwuid(os.geteuid())
        gid = grp.getgrnam(group).gr_gid if group else person.pw_gid
    except KeyError:
        raise SystemFailure(f"there is no such user or group: {user}:{group}") from None
    if (os.geteuid(), os.getegid()) == (person.pw_uid, gid):
        return
    try:
        os.initgroups(person.pw_name, gid)
        os.setresgid(gid, gid, gid)
        os.setresuid(person.pw_uid, person.pw_uid, person.pw_uid)
    except OSError as error:
        raise SystemFailure(f"cannot become {person.pw_name}: {error.strerror}") from None
    os.environ["HOME"] = person.pw_dir


def leave_tls_out() -> None:
    """Import asyncio as it is where Python has no TLS: 2 MB less for a daemon that has no use for it."""
    if "ssl" not in sys.modules:
        sys.modules["ssl"] = None  # type: ignore[assignment]
        import asyncio  # noqa: F401

        del sys.modules["ssl"]  # others may have it


def signatures(databases: Sequence[bytes], state: bytes) -> tuple[Image, bytes]:
    """running.open_signatures, but what is new is compiled by another process: the memory that this takes shall not be
    the daemon's for the rest of its life."""
    from kavfs.daemon.compiling import compile_apart
    from kavfs.signatures.image import open_compiled, open_current, open_image
    from kavfs.signatures.sources import default_databases, default_state

    state, paths = state or default_state(), tuple(databases) or default_databases()
    image = open_current(paths, state)
    if image is None and not compile_apart(state, paths).error:
        image = open_compiled(paths, state)
    return image or open_image(paths, state), state  # which says what is wrong, in its own way


def engines(names: Sequence[str], places: EnginePlaces) -> EngineChoice:
    """The engines that the configuration names."""
    if tuple(names) == (NATIVE.name,):
        return EngineChoice()
    from kavfs.engine.choose import choose
    from kavfs.engine.contract import EngineMissing

    try:
        return choose(tuple(names), places)
    except EngineMissing as error:
        raise ConfigError(f"Engine: {error}") from None


def make_run(paths: Iterable[bytes], user: str = "", group: str = "") -> None:
    """The usual folder of sockets, if one of *paths* is to be there: without systemd it is gone after a boot. It
    belongs to who goes on as the daemon and has to remove what lies in it."""
    from kavfs.daemon.listening import ids

    if any(path.startswith(RUN + b"/") for path in paths) and not os.path.isdir(RUN):
        try:
            os.makedirs(RUN, 0o755)
            if user or group:
                os.chown(RUN, *ids(user, group))
        except OSError as error:
            raise SystemFailure(f"cannot make {RUN.decode()}: {error.strerror}") from None


async def beside(main: Coroutine[Any, Any, None], other: Coroutine[Any, Any, None]) -> None:
    """*main*, and *other* as long as it lasts."""
    import asyncio

    task = asyncio.ensure_future(other)
    try:
        await main
    finally:
        task.cancel()


async def flush(log: Log) -> None:
    """Lines about clean objects go out by the second: one at a time they would cost as much as the scan."""
    import asyncio

    while True:
        await asyncio.sleep(1.0)
        log.flush()


OF_SCAN_AT_START = (
    *("temp", "engines", "clamav_databases", "clamd", "yara_rules"),
    *("report_file", "report_level", "report_mode", "report_append", "report_ok", "date_format", "time_format"),
    *("event_store", "event_retention"),
)
"""Settings that programs have in common and that are looked at when a daemon starts."""


def changed(before: Any, after: Any, names: Sequence[str]) -> list[str]:  # noqa: ANN401
    """Those settings, and those of `scan`, that differ and are looked at when a daemon starts."""
    own = [name for name in names if getattr(before, name) != getattr(after, name)]
    return own + [name for name in OF_SCAN_AT_START if getattr(before.scan, name) != getattr(after.scan, name)]
