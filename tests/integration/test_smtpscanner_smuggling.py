"""Smuggling, with the whole program in front of a real Postfix: one message comes out, or none.

tests/unit/test_mail_content.py cuts every form at every byte.
"""

from __future__ import annotations

import os
import queue
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import cycle, product
from pathlib import Path

import pytest

from kavfs.mail.content import has_bare
from tests.support.mail_daemons import Conversation, Smtpscanner, running
from tests.support.mailing import PATIENCE, House, open_folder
from tests.support.passing import wait_until
from tests.support.postfix import postfix

pytestmark = [pytest.mark.root, pytest.mark.skipif(os.geteuid() != 0, reason="Postfix changes its user")]

QUEUES = ("maildrop", "incoming", "active", "deferred")
ENDS = (b"\r", b"\n", b"\r\n")
FORMS = [a + b"." + b + c for a, b, c in product(ENDS, repeat=3)]
CONTENT = b"Subject: first\r\n\r\ntext"
HIDDEN = b"MAIL FROM:<evil@example.org>\r\nRCPT TO:<victim@example.org>\r\nDATA\r\nSubject: hidden\r\n\r\nevil\r\n.\r\n"


@dataclass
class Way:
    """Into us, through Postfix, to the last server."""

    top: Path
    scanner: Smtpscanner
    house: House

    def say(self, *pieces: bytes, lmtp: bool = False) -> list[bytes]:
        """Replies to a message in these pieces, and to what it may have smuggled, until the connection ends."""
        with Conversation.to(self.scanner.lmtp if lmtp else self.scanner.smtp) as client:
            client.hear()
            client.say(b"LHLO me" if lmtp else b"EHLO me")
            client.say(b"MAIL FROM:<a@example.org>", b"RCPT TO:<b@example.org>", replies=2)
            assert client.say(b"DATA")[0].startswith(b"354 ")
            for piece in (*pieces, b"\r\n.\r\n", b"QUIT\r\n"):
                try:
                    client.socket.sendall(piece)
                except OSError:  # it has closed the connection
                    break
            return list(iter(client.hear, b""))

    def arrived(self, count: int) -> Counter[bytes]:
        """So many messages and no more, when Postfix has nothing left; how many for each recipient."""
        found = [self.house.next() for _ in range(count)]
        spool = self.top / "spool"
        wait_until(lambda: not any(any((spool / name).iterdir()) for name in QUEUES), PATIENCE)
        with pytest.raises(queue.Empty):
            self.house.arrived.get_nowait()
        return Counter(to for one in found for to in one.recipients)


@contextmanager
def way() -> Iterator[Way]:
    with ExitStack() as stack:
        top = stack.enter_context(open_folder("smuggling"))
        house = stack.enter_context(House())
        mta = stack.enter_context(postfix(top, None, f"smtp:[127.0.0.1]:{house.port}"))
        (top / "us").mkdir()
        scanner = stack.enter_context(running(top / "us", forward=f"smtp:127.0.0.1:{mta.port}"))
        yield Way(top, scanner, house)


def test_one_message_or_none() -> None:
    with way() as through:
        total = Counter[str]()
        for form, lmtp in zip(FORMS, cycle((False, True)), strict=False):
            wire = CONTENT + form + HIDDEN
            whole = b"\r\n.\r\n" in CONTENT + form  # what follows are commands of the client's own
            for at in (len(CONTENT) + 1, len(CONTENT) + len(form)):
                said = through.say(wire[:at], wire[at:], lmtp=lmtp)
                taken = sum(b"queued as" in one for one in said)
                if not whole and has_bare(wire[: wire.find(b"\r\n.\r\n") + 2]):
                    assert taken == 0, form
                    assert said[0].startswith(b"550 5.5.2"), form
                else:
                    assert said[0].startswith(b"250 "), form
                    assert taken == 1 or whole, form
                total["first" if taken else "none"] += 1
                total["messages"] += taken
        came = through.arrived(total["messages"])
        assert came[b"b@example.org"] == total["first"]
        assert came[b"victim@example.org"] == total["messages"] - total["first"]
