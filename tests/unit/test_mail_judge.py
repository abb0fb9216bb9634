"""Judge: who gets what of a message that is clean, infected, cured, filtered, or cannot be scanned."""

from __future__ import annotations

import email
import email.policy
import re

from kavfs.mail.rules import Matcher
from kavfs.model import Status
from tests.support.judging import Court, group
from tests.support.mailing import letter
from tests.support.objects import NEAR_MISS

OURS = re.compile(rb"X-Anti-Virus:[^\r\n]*\r?\n(?:[ \t][^\r\n]*\r?\n)*", re.IGNORECASE)


def mail(*attachments: tuple[str, bytes]) -> bytes:
    return letter(*attachments).as_bytes(policy=email.policy.SMTP)


def attached(data: bytes) -> dict[str | None, bytes]:
    message = email.message_from_bytes(data, policy=email.policy.default)
    parts = [part for part in message.walk() if not part.is_multipart()]
    return {part.get_filename(): part.get_payload(decode=True) for part in parts}  # type: ignore[misc]


def status_line(data: bytes) -> bytes:
    found = OURS.search(data)
    assert found
    return b" ".join(found[0].split())


def ends(with_: bytes) -> Matcher:
    return lambda text: text.endswith(with_)


def to(address: bytes) -> Matcher:
    return lambda text: text == address


# ---- clean -----------------------------------------------------------------------------------------------------------


def test_clean_mail_passes_with_our_field_on_top_and_no_other_change() -> None:
    court, data = Court(), mail(("a.bin", NEAR_MISS))
    got = court.send(data, b"b@x", b"c@x").only
    assert got.startswith(b"X-Anti-Virus: kavfs")
    assert status_line(got).endswith(b"bases: 20112026 #12345, status: clean")
    assert OURS.sub(b"", got, count=1) == data
    assert court.done == ["scan", "record"]
    assert (court.cases[0].status, court.cases[0].recipients) == (Status.CLEAN, (0, 1))


def test_without_our_field_the_message_is_the_one_that_came() -> None:
    assert Court(default=group(x_headers=False)).send(mail()).same
