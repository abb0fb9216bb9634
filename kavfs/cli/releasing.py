"""Releasing: what `kavfs quarantine` does with an item that is a message: shows its envelope, sends it by
ForwardMailer, takes an object out of it. Imported only for these."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import Iterator, Sequence

from kavfs.action.catalogue import MESSAGE, Item
from kavfs.action.cure.pieces import Source
from kavfs.action.store import Store
from kavfs.cli.request import absolute, usual_configuration
from kavfs.config import mail
from kavfs.config.mail_settings import MailSettings
from kavfs.errors import ConfigError, SystemFailure, UsageError
from kavfs.mail.coding import decoded, readings
from kavfs.mail.commands import Refused, rcpt_path
from kavfs.mail.envelope import Envelope, Parameters, Recipient
from kavfs.mail.hop import HopLost
from kavfs.mail.letter import Letter, read
from kavfs.mail.onward import Onward
from kavfs.mail.parts import parts_of
from kavfs.mail.sending import deliver
from kavfs.mail.spool import Spool
from kavfs.report.names import shown_text

MANY = 3  # recipients that a line names


def letter_of(item: Item) -> Letter:
    """SystemFailure where the item is no message."""
    if item.kind != MESSAGE:
        raise SystemFailure(f"item {item.id} is a file: `kavfs quarantine restore` gives it back")
    try:
        return read(item.letter)
    except ValueError as error:
        raise SystemFailure(f"item {item.id} has lost its envelope: {error}") from None


def in_line(item: Item) -> str:
    """From whom and to whom, for a list."""
    try:
        letter = letter_of(item)
    except SystemFailure:
        return "a message without its envelope"
    more = f" and {len(letter.recipients) - MANY} more" if len(letter.recipients) > MANY else ""
    to = " ".join(_shown(one) for one in letter.recipients[:MANY])
    return f"{_shown(letter.sender)} to {to}{more}"


def facts(item: Item) -> Iterator[str]:
    """Its envelope and what was found in it."""
    letter = letter_of(item)
    yield f"Message: {shown_text(letter.id)}, group {shown_text(letter.group)}"
    came = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(letter.time))
    client = f", client [{shown_text(letter.client)}]" if letter.client else ""
    yield f"Came: {came}{client}" + (f", HELO {shown_text(letter.helo)}" if letter.helo else "")
    yield f"From: {_shown(letter.sender)}"
    for one in letter.recipients:
        yield f"To: {_shown(one)}"
    yield f"Subject: {shown_text(letter.subject) or '-'}"
    yield f"Message-ID: {shown_text(letter.msgid) or '-'}"
    for found in letter.found:
        threats = f" ({', '.join(found.threats)})" if found.threats else ""
        place = f", part {found.place}" if found.place else ""
        yield shown_text(f"Found: {found.name}: {found.status}{threats}{place}")


def release(store: Store, item: Item, to: Sequence[str], config: str, keep: bool) -> str:
    """Send it to its recipients, or to others, and say to whom. It goes when all of its own recipients have it, unless
    *keep*. SystemFailure where somebody has not got it: the item stays."""
    letter = letter_of(item)
    recipients = tuple(_address(word) for word in to) or letter.recipients
    settings = _settings(config)
    with_all = Spool(settings.scan.temp)
    try:
        for piece in store.open(item.id):
            with_all.write(piece)
        _send(settings, letter, recipients, with_all)
    finally:
        with_all.close()
    if not to and not keep:
        store.delete(item.id)
    return ", ".join(_shown(one) for one in recipients)


def _settings(config: str) -> MailSettings:
    path = absolute(os.fsencode(config)) if config else usual_configuration()
    settings = mail.load(path)
    if settings.forward is None:
        raise ConfigError(f"{os.fsdecode(path)} has no ForwardMailer to send it by")
    return settings


def _send(settings: MailSettings, letter: Letter, recipients: Sequence[bytes], spool: Spool) -> None:
    eight = any(not piece.isascii() for piece in spool.chunks())
    utf8 = letter.utf8 or not (letter.sender + b"".join(recipients)).isascii()
    parameters: Parameters = ((b"BODY", b"8BITMIME"),) if eight or utf8 else ()
    parameters += ((b"SMTPUTF8", b""),) if utf8 else ()
    name = (settings.host_name or socket.getfqdn()).encode("ascii", "replace")
    envelope = Envelope(letter.sender, tuple(map(Recipient, recipients)), parameters, helo=name)

    async def sent() -> list[str]:
        assert settings.forward is not None
        hops = Onward(settings.forward, name)
        try:
            answers = await deliver(hops, envelope, spool)
        finally:
            await hops.close()
        pairs = zip(recipients, answers, strict=True)
        return [
            f"{_shown(to)}: {b' '.join((b'%d' % said.code, *said.lines)).decode('utf-8', 'backslashreplace')}"
            for to, said in pairs
            if not said.good
        ]

    try:
        refused = asyncio.run(sent())
    except (OSError, HopLost) as error:
        raise SystemFailure(f"{settings.forward} has not taken it: {error}") from None
    if refused:
        raise SystemFailure(f"{settings.forward} has not taken it for {'; '.join(refused)}")


def part(store: Store, item: Item, place: str, fd: int) -> None:
    """The content of one part of the message, decoded, into a descriptor."""
    letter_of(item)
    plain = store.plain(item.id)
    try:
        source = Source(plain, 0, item.facts.size)
        found = next((one for one in parts_of(source).walk() if one.place == place), None)
        if found is None:
            raise SystemFailure(f"item {item.id} has no part {shown_text(place)}: `kavfs quarantine show` names some")
        for piece in decoded(source, found, readings(found)[0]):
            rest = memoryview(piece)
            while rest:
                rest = rest[os.write(fd, rest) :]
    except OSError as error:
        raise SystemFailure(f"the part cannot be written: {error.strerror}") from None
    finally:
        os.close(plain)


def _address(word: str) -> bytes:
    raw = os.fsencode(word)
    try:
        return rcpt_path(b"TO:<" + raw + b">", {}, utf8=True)[0]
    except Refused:
        raise UsageError(f"option --to: {shown_text(word)} is no address") from None


def _shown(address: bytes) -> str:
    return f"<{shown_text(address.decode('utf-8', 'backslashreplace'))}>"
