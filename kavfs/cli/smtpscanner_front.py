"""Front of smtpscanner: what stands between its clients and the core: receivers, judge, next hop; made of the settings,
and made anew when they change. Those who came before go on with what they began with."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Coroutine
from contextlib import suppress
from typing import NamedTuple

from kavfs.cli import smtpscanner_judging as judging
from kavfs.cli.smtpscanner import Start
from kavfs.cli.smtpscanner_events import results
from kavfs.cli.smtpscanner_log import MailLog
from kavfs.cli.smtpscanner_options import MILTER, RELAY
from kavfs.cli.smtpscanner_parts import Sockets, crowd, milter_limits, onward, session, spools
from kavfs.config.mail_settings import MailSettings
from kavfs.daemon.keeping import Keeper
from kavfs.mail.allowance import Allowance
from kavfs.mail.case import Case
from kavfs.mail.counts import Counts
from kavfs.mail.judge import Judge
from kavfs.mail.keeping import Keeping
from kavfs.mail.loglines import LogLines
from kavfs.mail.marks import Marks
from kavfs.mail.milter_front import MilterFront, MilterLine
from kavfs.mail.notices import Notices, Untold
from kavfs.mail.onward import NoHop, Onward
from kavfs.mail.receiving import Line, Receiver
from kavfs.mail.recording import recording
from kavfs.mail.sending import Sender
from kavfs.mail.statistics import Statistics
from kavfs.temporary import writable

KEY = b"notices.key"
KEY_SIZE = 32


class Parts(NamedTuple):
    """What is made anew with other settings."""

    hop: Onward | NoHop
    notices: Notices
    keeping: Keeping
    line: Line
    milter: MilterLine


class Front:
    """Made and begun in the running loop. ConfigError: there is no next hop, or a template cannot be read."""

    def __init__(self, start: Start) -> None:
        settings = start.wanted.settings
        self._start = start
        self._settings = settings  # in force
        self._closing: set[asyncio.Task[None]] = set()
        self._marks = Marks(_key(start.state))
        self._allowance = Allowance(settings.notices_hour)
        self.counts = Counts(settings.domains)
        self._mail_log = MailLog(start.log)
        self._log = LogLines(start.log.note, settings.scan.report_ok)
        self._statistics = _statistics(settings)
        self._lost = 0  # lines of statistics that were closed
        self.keeper: Keeper | None = None  # of the event store; begun by whoever sets it
        self._parts = self._made(settings)
        self.receiver = Receiver(self._parts.line)
        self.milter = MilterFront(self._parts.milter, self.receiver.counts)

    @property
    def notices(self) -> Notices:
        return self._parts.notices

    @property
    def lost(self) -> int:
        """Lines of AVStatistics that were not written."""
        return self._lost + (self._statistics.lost if self._statistics else 0)

    def begin(self) -> None:
        if isinstance(self._parts.hop, NoHop):
            self._start.log.note(
                "there is no ForwardMailer: no notices are sent; what the administrator would get is quarantined",
                "W",
            )
        if self._start.service.image.demonstration:
            self._start.log.note("only the starter signatures: a demonstration, not protection", "W")
        self._mail_log.begin()
        self._start.core.begin()

    async def listen(self, sockets: Sockets) -> None:
        """They are the receivers' from now on."""
        for kind, sock in sockets:
            if kind == MILTER:
                await self.milter.listen(sock)
            else:
                await self.receiver.listen(sock, None if kind == RELAY else kind == "lmtp")

    def change(self, settings: MailSettings) -> None:
        """Other settings for clients that come from now on. ConfigError: all stays as it was."""
        old, parts = self._parts, self._made(settings)
        parts.notices.counts = old.notices.counts
        self._parts = parts
        self.receiver.change(parts.line)
        self.milter.change(parts.milter)
        self._allowance.change(settings.notices_hour)
        self.counts.domains = settings.domains
        if settings.statistics != self._settings.statistics:
            before, self._statistics = self._statistics, _statistics(settings)
            self._meanwhile(self._end(before))
        self._settings = settings
        self._meanwhile(_close(old))

    def tidy(self) -> None:
        """Now and then."""
        self._parts.hop.tidy()

    def renewed(self) -> None:
        """The signatures are others."""
        self._parts.keeping.generation = self._start.service.image.generation

    async def stop(self, grace: float) -> None:
        """No more clients; those that are within a message may finish it."""
        await asyncio.gather(self.receiver.stop(grace), self.milter.stop(grace))

    async def close(self) -> None:
        await asyncio.gather(_close(self._parts), *self._closing)
        before, self._statistics = self._statistics, None
        await self._end(before)
        self._start.core.close()
        self._mail_log.end()

    # ---- making ----------------------------------------------------------------------------------------------------

    def _made(self, settings: MailSettings) -> Parts:
        start, hop, make = self._start, onward(settings), spools(settings)
        folder = settings.scan.quarantine_path or os.path.join(start.state, b"quarantine")
        scan = settings.scan
        keeping = Keeping(folder, scan.quarantine_max_size, start.service.image.generation, scan.quarantine_max_age)
        notices = Notices(
            Sender(hop),
            judging.templates(settings, lambda text: start.log.note(text, "W")),
            self._marks,
            self._allowance,
            judging.manner(settings),
            keeping,
        )
        judge = Judge(
            judging.rules(settings),
            start.core.scan,
            bases=judging.bases(start.service),
            cure=start.curer if settings.cure else None,
            keep=keeping,
            tell=Untold(keeping) if isinstance(hop, NoHop) else notices,
            record=recording(self._log.write, self.counts.write, self._write_statistics, self._keep_event),
            bounds=judging.bounds(settings),
            pass_unscanned=settings.pass_unscanned,
            at_once=settings.messages_max,
            spools=make,
            folder=writable(settings.scan.temp),
        )
        line = Line(session(settings), hop, judge, make, settings.trusted, crowd(settings), judge.mates)
        mates = judge.mates if settings.milter_groups == "defer" else None
        milter = MilterLine(judge, make, milter_limits(settings), mates, crowd(settings))
        return Parts(hop, notices, keeping, line, milter)

    def _write_statistics(self, case: Case) -> None:
        if self._statistics is not None:
            self._statistics.write(case)

    def _meanwhile(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    async def _end(self, statistics: Statistics | None) -> None:
        if statistics is not None:
            await asyncio.to_thread(statistics.close)
            self._lost += statistics.lost

    def _keep_event(self, case: Case) -> None:
        if self.keeper is not None:
            for result in results(case):
                self.keeper.found(result)


def _statistics(settings: MailSettings) -> Statistics | None:
    return Statistics(settings.statistics) if settings.statistics else None


async def _close(parts: Parts) -> None:
    await parts.notices.close()
    await parts.hop.close()


def _key(state: bytes) -> bytes:
    """What only this installation knows, the same for all processes with this state folder; made when it is needed
    first. Where it cannot be kept there is one for this run."""
    path, fresh = os.path.join(state, KEY), os.urandom(KEY_SIZE)
    with suppress(OSError):
        with suppress(FileExistsError):
            fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            with open(fd, "wb") as file:
                file.write(fresh)
        with open(path, "rb") as file:
            found = file.read(KEY_SIZE)
        if len(found) == KEY_SIZE:
            return found
    return fresh
