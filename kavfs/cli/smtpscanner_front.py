"""Front of smtpscanner: what stands between its clients and the core: receiver, judge, next hop; made of the settings,
and made anew when they change."""

from __future__ import annotations

import asyncio
from collections import Counter

from kavfs.cli import smtpscanner_judging as judging
from kavfs.cli.smtpscanner import Start
from kavfs.cli.smtpscanner_options import MILTER, RELAY
from kavfs.cli.smtpscanner_parts import Sockets, crowd, milter_limits, onward, session, spools
from kavfs.config.mail_settings import MailSettings
from kavfs.mail.case import Case
from kavfs.mail.judge import Judge
from kavfs.mail.milter_front import MilterFront, MilterLine
from kavfs.mail.onward import NoHop, Onward
from kavfs.mail.receiving import Line, Receiver
from kavfs.temporary import writable


class Front:
    """Made and begun in the running loop. ConfigError: there is no next hop."""

    def __init__(self, start: Start) -> None:
        self._start = start
        self._old: set[asyncio.Task[None]] = set()
        self.statuses: Counter[str] = Counter()  # messages, by what was found; once for each group of recipients
        self._onward, line, milter = self._made(start.wanted.settings)
        self.receiver = Receiver(line)
        self.milter = MilterFront(milter, self.receiver.counts)

    def begin(self) -> None:
        self._start.core.begin()

    async def listen(self, sockets: Sockets) -> None:
        """They are those of the receiver and the milter from now on."""
        for kind, sock in sockets:
            if kind == MILTER:
                await self.milter.listen(sock)
            else:
                await self.receiver.listen(sock, None if kind == RELAY else kind == "lmtp")

    def change(self, settings: MailSettings) -> None:
        """Other settings for clients that come from now on."""
        old = self._onward
        self._onward, line, milter = self._made(settings)
        self.receiver.change(line)
        self.milter.change(milter)
        task = asyncio.get_running_loop().create_task(old.close())
        self._old.add(task)
        task.add_done_callback(self._old.discard)

    async def stop(self, grace: float) -> None:
        """No more clients; those that are there may finish."""
        await asyncio.gather(self.receiver.stop(grace), self.milter.stop(grace))

    async def close(self) -> None:
        await asyncio.gather(self._onward.close(), *self._old)
        self._start.core.close()

    def notices(self) -> dict[str, dict[str, int]]:
        """By role and by what became of them."""
        return {}

    # ---- making ----------------------------------------------------------------------------------------------------

    def _made(self, settings: MailSettings) -> tuple[Onward | NoHop, Line, MilterLine]:
        start, hop, make = self._start, onward(settings), spools(settings)
        judge = Judge(
            judging.rules(settings),
            start.core.scan,
            bases=lambda: judging.bases(start.service),
            cure=start.curer if settings.cure else None,
            record=self._record,
            bounds=judging.bounds(settings),
            pass_unscanned=settings.pass_unscanned,
            at_once=settings.messages_max,
            spools=make,
            folder=writable(settings.scan.temp),
        )
        line = Line(session(settings), hop, judge, make, settings.trusted, crowd(settings), judge.mates)
        mates = judge.mates if settings.milter_groups == "defer" else None
        milter = MilterLine(judge, make, milter_limits(settings), mates, crowd(settings))
        return hop, line, milter

    def _record(self, case: Case) -> None:
        self.statuses[case.status.name.lower() if case.message is not None else "unchecked"] += 1
