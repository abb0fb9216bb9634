"""About: a case in words, for notices, statistics and the log. Whatever comes from a message is made safe to be shown
on one line, and never endless."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from kavfs.action.cure.pieces import Source
from kavfs.action.cure.refused import Refused
from kavfs.mail.case import Case, Finding
from kavfs.mail.fields import Header, read_header
from kavfs.mail.names import decoded_words
from kavfs.mail.rules import Action
from kavfs.mail.templates import WORDS, Role
from kavfs.model import Status
from kavfs.report.names import shown_text

LISTED = 100  # findings, names or addresses that are told; of the others the number
NAME_MAX = 200  # characters of one
FIELD_MAX = 998  # bytes of a field of the message
HEADERS_MAX = 1 << 15  # bytes of its header

_DEEDS = {
    Action.UNCHANGED: "left as it is",
    Action.REMOVE: "removed from the message",
    Action.CURED: "disinfected",
}
BLOCKED = "the message was not delivered"


class Formats(NamedTuple):
    """For strftime."""

    date: str = "%d-%m-%Y"
    time: str = "%H:%M:%S"


def text_of(data: bytes, most: int = NAME_MAX) -> str:
    """Bytes of a message or an envelope on one line."""
    text = shown_text(data[: 4 * most].decode("utf-8", "surrogateescape"))
    return text if len(text) <= most else text[:most] + "..."


def source_of(case: Case) -> Source:
    return Source(case.spool.fd, 0, case.spool.size)


def header_of(case: Case) -> Header:
    """That of the message; an empty one where it cannot be read."""
    try:
        if case.message is not None:
            return case.message.tree.root.header
        return read_header(source_of(case), 0, case.spool.size, lambda token: False)
    except (OSError, Refused):
        return Header(0, (), 0, 0, 0, False)


def field_of(header: Header, name: bytes) -> bytes:
    """The first field called so, in one line, encoded words decoded; empty when there is none."""
    return decoded_words(next(header.values(name), b"")[:FIELD_MAX])


def raw_headers(case: Case, header: Header) -> list[bytes]:
    """The lines of the header as they are, without ends; of a very long one the first."""
    raw = source_of(case).upto(0, min(HEADERS_MAX, header.stop))
    return raw.replace(b"\r\n", b"\n").replace(b"\r", b"\n").rstrip(b"\n").split(b"\n")


def threats_of(findings: Iterable[Finding]) -> list[str]:
    """Names of signatures, each once."""
    return [shown_text(name)[:NAME_MAX] for name in dict.fromkeys(t for one in findings for t in one.threats)]


def some_of(texts: list[str], between: str = ", ") -> str:
    more = [f"and {len(texts) - LISTED} more"] if len(texts) > LISTED else []
    return between.join([*texts[:LISTED], *more])


def deed(case: Case, finding: Finding) -> str:
    """What the recipients' copy shows of one finding."""
    return BLOCKED if case.blocked else _DEEDS[case.group.rule(finding.status).recipient_action]


def word(status: Status) -> str:
    return WORDS.get(status, "clean")


def values(case: Case, role: Role, status: Status, recipients: Iterable[bytes], formats: Formats) -> Mapping[str, str]:
    """For the macros of a template. *recipients*: those that this notice may name."""
    header, moment = header_of(case), time.localtime(case.time)
    date = time.strftime(formats.date, moment)
    sender = text_of(case.envelope.sender) or "<>"
    to = some_of([text_of(address) for address in recipients])
    kept = ", ".join(case.items)
    lines = [text_of(line, FIELD_MAX) for line in raw_headers(case, header)]
    return {
        "SENDER": sender,
        "SENDER_ADDR": sender,
        "RECIPIENT": to,
        "RECPT_ADDR": to,
        "CLIENT_ADDR": text_of(case.envelope.origin) or "-",
        "DATE": date,
        "DATETIME": f"{date} {time.strftime(formats.time, moment)}",
        "VIRUSNAME": some_of(threats_of(case.findings)) or "-",
        "MSGID": text_of(field_of(header, b"message-id"), FIELD_MAX) or "-",
        "SUBJECT": text_of(field_of(header, b"subject"), FIELD_MAX) or "-",
        "HEADERS": "\n".join(lines),
        "ACTION": BLOCKED if case.blocked else "the object was " + _DEEDS[case.action],
        "ACTION_LIST": some_of([_told(case, one, role) for one in case.findings], "\n"),
        "STATUS": word(status),
        "BK_ACTION": "a copy is in quarantine" if kept else "no copy is kept",
        "BK_LOCATION": kept or "-",
        "GROUP": shown_text(case.group.name),
        "ID": case.id,
    }


def _told(case: Case, finding: Finding, role: Role) -> str:
    threats = some_of(threats_of([finding]))
    why = shown_text(finding.why)[:NAME_MAX] if role is Role.ADMIN else ""
    more = "; ".join(part for part in (threats, why) if part)
    name = shown_text(finding.name)[:NAME_MAX]
    return f"{name}: {word(finding.status)}{f' ({more})' if more else ''}: {deed(case, finding)}"
