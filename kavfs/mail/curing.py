"""Curing: attachments without what is infected in them, each looked at again before anybody gets it."""

from __future__ import annotations

from typing import Protocol

from kavfs.mail.case import Finding
from kavfs.mail.coding import readings
from kavfs.mail.message import Message
from kavfs.mail.scanning import Examiner, TooMuch, name_of
from kavfs.mail.spool import Spool
from kavfs.model import FOUND, Result, Status


class Cure(Protocol):
    """Makes a clean file of an infected one. `kavfs.mail.core.Curer` is one."""

    async def __call__(self, fd: int, result: Result, seconds: float) -> Spool | str:
        """*fd*: the file of which *result* speaks; it stays the caller's. A spool is the caller's from now on. Text:
        why it cannot be cured. *seconds*: it may take so long, 0 = as long as it takes. Raises Unscanned where it was
        not begun in that time, or something of ours is missing."""
        ...


async def with_cures(findings: list[Finding], message: Message, examiner: Examiner, cure: Cure) -> list[Finding]:
    """The findings, where possible those with INFECTED as CURED. The spools of these are the caller's."""
    made: list[Finding] = []
    try:
        for finding in findings:
            spool = await _cured(finding, message, examiner, cure) if curable(finding) else None
            made.append(finding if spool is None else finding._replace(status=Status.CURED, cured=spool))
    except BaseException:
        for finding in made:
            if finding.cured is not None:
                finding.cured.close()
        raise
    return made


def curable(finding: Finding) -> bool:
    """An infected part that every reader decodes in the same way: only such a one can be replaced for all of them."""
    part = finding.part
    if finding.status is not Status.INFECTED or part is None or part.guessed or finding.block is not None:
        return False
    return len(part.header.bodies) == 1 and len(part.encodings) == 1 and not part.children


async def _cured(finding: Finding, message: Message, examiner: Examiner, cure: Cure) -> Spool | None:
    assert finding.part is not None
    content = await examiner.content(message.source, finding.part, readings(finding.part)[0])
    try:
        result = await examiner.single(content, name_of(finding.part))
        if result.status is not Status.INFECTED:
            return None
        spool = await cure(content.fd, result, examiner.left())
    except TooMuch:
        return None
    finally:
        content.close()
    if isinstance(spool, str):
        return None
    try:
        if await _clean(spool, examiner, name_of(finding.part)):
            return spool
    except BaseException:
        spool.close()
        raise
    spool.close()
    return None


async def _clean(spool: Spool, examiner: Examiner, name: bytes) -> bool:
    try:
        result = await examiner.single(spool, name)
    except TooMuch:
        return False
    return result.status not in (*FOUND, Status.ERROR)
