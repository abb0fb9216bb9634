"""kavfs-qmail-queue: stands where qmail-queue(8) stood, and hands what it gets to smtpscanner.

The message is on descriptor 0, the envelope on 1, the answer is an exit status. smtpscanner is started as mail servers
start it, spoken to on pipes, and passes on what it lets through to the real qmail-queue (ForwardMailer).

One number must do for all recipients. Those who are to come again by themselves (they have a group of their own) are
offered again at once; where some have it and others not, the number says so of all, and who tries again sends twice.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Iterator, Sequence
from typing import NoReturn

from kavfs.errors import KavfsError
from kavfs.forwarding import Destination
from kavfs.mail.addresses import quoted
from kavfs.mail.channel import Connector
from kavfs.mail.envelope import Envelope, Recipient
from kavfs.mail.hop import HopLost
from kavfs.mail.link import SmtpLink
from kavfs.mail.qmail import REFUSED, SERVER_TEMPORARY, network_lines
from kavfs.mail.replies import Reply
from kavfs.mail.settings import Times
from kavfs.mail.spool import CHUNK, Spool
from kavfs.temporary import USUAL, writable

WRITE_ERROR, UNREADABLE, BAD_ENVELOPE, NO_CONFIGURATION, DEFECT = 53, 54, 91, 55, 81
NO_CONNECTION, LOST = 73, 74
ENVELOPE_MAX = 1 << 24  # bytes
TIMES = Times(command=600.0, block=600.0, final=1800.0)
PROGRAM = "smtpscanner"


class Stop(Exception):
    """Nothing was taken; the exit status says why."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


def main() -> NoReturn:
    """The console script. Nothing is written anywhere: nobody but who started us may hear of the message."""
    from kavfs.cli.program import leave

    try:
        status = qmail_queue([os.fsencode(word) for word in sys.argv[1:]])
    except Stop as stop:
        status = stop.status
    except Exception:  # whatever it is, who started us tries again
        status = DEFECT
    leave(status)


def qmail_queue(words: Sequence[bytes], program: Sequence[str] = ()) -> int:
    """Exit status of qmail-queue. *words*: of smtpscanner, -c FILE; *program*: another one than ours."""
    try:
        spool = Spool(writable(USUAL))
    except OSError:
        return WRITE_ERROR
    try:
        for piece in network_lines(_read(0)):
            try:
                spool.write(piece)
            except OSError:
                return WRITE_ERROR
        envelope = parse(b"".join(_read(1, ENVELOPE_MAX)))
        lmtp = _speaks_lmtp(words)
        command = (*(program or (_beside(),)), *(os.fsdecode(word) for word in words))
        return asyncio.run(_hand_over(command, lmtp, envelope, spool))
    finally:
        spool.close()


def parse(data: bytes) -> Envelope:
    """F sender NUL (T recipient NUL)... NUL. Raises Stop."""
    parts = data.split(b"\0")
    if len(parts) < 4 or parts[-2:] != [b"", b""] or not parts[0].startswith(b"F"):
        raise Stop(BAD_ENVELOPE)
    if not all(part.startswith(b"T") and len(part) > 1 for part in parts[1:-2]):
        raise Stop(BAD_ENVELOPE)
    return Envelope(quoted(parts[0][1:]), tuple(Recipient(quoted(part[1:])) for part in parts[1:-2]))


def _read(fd: int, most: int = 0) -> Iterator[bytes]:
    size = 0
    while True:
        try:
            data = os.read(fd, CHUNK)
        except OSError:
            raise Stop(UNREADABLE) from None
        if not data:
            return
        size += len(data)
        if most and size > most:
            raise Stop(BAD_ENVELOPE)
        yield data


def _beside() -> str:
    """smtpscanner is installed where we are."""
    return os.path.join(os.path.dirname(os.path.realpath(sys.argv[0])), PROGRAM)


# ---- the conversation ------------------------------------------------------------------------------------------------


async def _hand_over(command: tuple[str, ...], lmtp: bool, envelope: Envelope, spool: Spool) -> int:
    connector = Connector(Destination("smtp", command=command), TIMES.connect)
    try:
        stream = await connector()
    except OSError:
        return NO_CONFIGURATION
    link = SmtpLink(stream, lmtp, b"localhost", TIMES)
    try:
        await link.open()
        return await _all(link, envelope, spool)
    except HopLost:
        return NO_CONNECTION
    finally:
        link.close()
        await connector.finish()


async def _all(link: SmtpLink, envelope: Envelope, spool: Spool) -> int:
    """One transaction, and others for those who are to come again by themselves."""
    waiting = envelope.recipients
    while waiting:
        again, status = await _transaction(link, envelope._replace(recipients=waiting), spool)
        if status:
            return status
        waiting = again
    return 0


async def _transaction(link: SmtpLink, envelope: Envelope, spool: Spool) -> tuple[tuple[Recipient, ...], int]:
    """Who is to come again, and 0; or why it comes to nothing."""
    begun = link.begin(envelope)
    asked = [(one, link.recipient(one)) for one in envelope.recipients]
    await link.settle()
    if begun.reply is None or not begun.reply.good:
        return (), _status([begun.reply])
    again = tuple(one for one, exchange in asked if exchange.reply is not None and exchange.reply.code == 452)
    others = [exchange.reply for one, exchange in asked if one not in again]
    if not others:
        return (), SERVER_TEMPORARY
    if status := _status(others):
        return (), status
    return again, _status(await link.send(spool, len(others), lambda: True))


def _status(answers: Sequence[Reply | None]) -> int:
    """What is for now counts before what is for ever; None: it is not known what became of it."""
    if None in answers:
        return LOST
    codes = [answer.code // 100 for answer in answers if answer is not None]
    return next((status for code, status in ((4, SERVER_TEMPORARY), (3, DEFECT), (5, REFUSED)) if code in codes), 0)


def _speaks_lmtp(words: Sequence[bytes]) -> bool:
    """As the configuration has it. Raises Stop."""
    from kavfs.cli.smtpscanner_options import read_options

    try:
        return read_options(words).settings.lmtp
    except KavfsError:
        raise Stop(NO_CONFIGURATION) from None
