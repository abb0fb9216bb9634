"""Noticing: notices with everything around them, and what is read in one."""

from __future__ import annotations

import asyncio
from email.message import EmailMessage

from kavfs.mail.allowance import Allowance
from kavfs.mail.case import Case
from kavfs.mail.marks import Marks
from kavfs.mail.notices import Manner, Notices
from kavfs.mail.templates import Chosen, Role, load
from kavfs.model import Status
from tests.support.cases import Hop

KEY = b"key of this installation"


class Office:
    """Each `tell` is one run of a program; what is remembered stays."""

    def __init__(self, hop: Hop | None = None, per_hour: int = 100, key: bytes = KEY, **chosen: Chosen) -> None:
        self.hop, self.now = hop or Hop(), 1_700_000_000.0
        self.kept: list[Case] = []
        self.allowance = Allowance(per_hour)
        self.marks = Marks(key)
        self.templates = load({(Role(name), Status.INFECTED): one for name, one in chosen.items()})
        self.counts: dict[tuple[str, str], int] = {}

    def tell(self, *cases: Case, keeps: bool = True) -> dict[bytes, EmailMessage]:
        asyncio.run(self._tell(cases, keeps))
        return self.hop.letters()

    async def _tell(self, cases: tuple[Case, ...], keeps: bool) -> None:
        keep = (lambda one: (self.kept.append(one), ("item",))[1]) if keeps else None
        manner = Manner(host=b"mx.example.com")
        office = Notices(self.hop, self.templates, self.marks, self.allowance, manner, keep, lambda: self.now)
        try:
            for one in cases:
                await office(one)
        finally:
            await office.close()
            for name, number in office.counts.items():
                self.counts[name] = self.counts.get(name, 0) + number


def body(notice: EmailMessage) -> str:
    part = notice.get_body(("plain",))
    assert part is not None
    return str(part.get_content()).replace("\r\n", "\n")


def attachments(notice: EmailMessage) -> list[tuple[str, str | None, bytes]]:
    return [
        (one.get_content_type(), one.get_filename(), one.get_payload(decode=True))  # type: ignore[misc]
        for one in notice.iter_attachments()
    ]
