r"""Templates: subject and text of a notice, with macros. `notify_<role>_<status>` of conf/templates are those that the
program has by itself, to be copied and changed.

    %SENDER%  %RECIPIENT%  %DATE%  %DATETIME%  %VIRUSNAME%  %MSGID%  %SUBJECT%  %HEADERS%  %ACTION%  %STATUS%
    %ACTION_LIST%  %BK_ACTION%  %BK_LOCATION%  %GROUP%  %ID%         `\%` and `%%` are a percent sign

A text is gone through once: what stands in a value is never taken for a macro. An unknown name stays as it is.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from kavfs.errors import ConfigError
from kavfs.mail.rules import RULED
from kavfs.model import Status
from kavfs.report.names import shown_text

TEMPLATE_MAX = 1 << 16  # bytes of a file
TEXT_MAX = 1 << 18  # characters of what is made of one
SUBJECT_MAX = 250

MACROS = (
    *("SENDER", "RECIPIENT", "DATE", "DATETIME", "VIRUSNAME", "MSGID", "SUBJECT", "HEADERS", "ACTION", "STATUS"),
    *("ACTION_LIST", "BK_ACTION", "BK_LOCATION", "GROUP", "ID", "CLIENT_ADDR", "SENDER_ADDR", "RECPT_ADDR"),
)
_MACRO = re.compile(r"\\%|%%|%([A-Z_]{1,32})%")


class Role(enum.Enum):
    """Whom a notice is for."""

    SENDER = "sender"
    RECIPIENT = "recipient"
    ADMIN = "admin"


class Template(NamedTuple):
    """Both with macros. *text* has LF as its line ends."""

    subject: str
    text: str


class Chosen(NamedTuple):
    """What the configuration says of one notice; empty: as the program has it."""

    subject: str = ""
    path: bytes = b""  # of the file with the text


Templates = Mapping[tuple[Role, Status], Template]


def load(chosen: Mapping[tuple[Role, Status], Chosen], note: Callable[[str], None] = lambda text: None) -> Templates:
    """All templates, those that were not chosen as the program has them, and those of which the file is missing: *note*
    is told. ConfigError with the file in it."""
    made = {}
    for role in Role:
        for status in RULED:
            one, usual = chosen.get((role, status), Chosen()), builtin(role, status)
            text = _read(one.path, note) if one.path else None
            made[role, status] = Template(one.subject or usual.subject, usual.text if text is None else text)
    return made


def _read(path: bytes, note: Callable[[str], None]) -> str | None:
    shown = shown_text(path.decode("utf-8", "backslashreplace"))
    try:
        with open(path, "rb") as file:
            data = file.read(TEMPLATE_MAX + 1)
    except FileNotFoundError:  # mail does not wait for it
        note(f"there is no template {shown}: the text that is shipped is used")
        return None
    except OSError as error:
        raise ConfigError(f"template {shown} cannot be read: {error.strerror}") from None
    if len(data) > TEMPLATE_MAX:
        raise ConfigError(f"template {shown} is larger than {TEMPLATE_MAX >> 10} KiB")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError(f"template {shown} is not UTF-8, at byte {error.start}") from None
    return text.replace("\r\n", "\n").replace("\r", "\n")


def filled(text: str, values: Mapping[str, str]) -> str:
    """The text with values for macros, cut where it grows too long."""
    size, out = 0, []
    for piece in _pieces(text, values):
        size += len(piece)
        if size > TEXT_MAX:
            out += [piece[: len(piece) - (size - TEXT_MAX)], "\n[...]\n"]
            break
        out.append(piece)
    return "".join(out)


def _pieces(text: str, values: Mapping[str, str]) -> Iterator[str]:
    at = 0
    for match in _MACRO.finditer(text):
        yield text[at : match.start()]
        yield values.get(match[1], match[0]) if match[1] else "%"
        at = match.end()
    yield text[at:]


def one_line(text: str, most: int = SUBJECT_MAX) -> str:
    """For a field of a header: no line ends and other controls, not endless."""
    line = " ".join(text.split())
    return shown_text(line if len(line) <= most else line[: most - 4] + " ...")


# ---- what the program has by itself ----------------------------------------------------------------------------------

WORDS = {
    Status.INFECTED: "infected",
    Status.CURED: "disinfected",
    Status.SUSPICIOUS: "suspicious",
    Status.WARNING: "potentially unwanted",
    Status.CORRUPTED: "damaged",
    Status.FILTERED: "not allowed",
    Status.ERROR: "not checked",
    Status.PROTECTED: "protected by a password",
}

_MEANING = {
    Status.INFECTED: "Malicious code was found in the message below: %VIRUSNAME%.",
    Status.CURED: "Malicious code was found in the message below and taken out of it: %VIRUSNAME%.",
    Status.SUSPICIOUS: "The message below holds what may be malicious code: %VIRUSNAME%.",
    Status.WARNING: "The message below holds software that may be unwanted: %VIRUSNAME%.",
    Status.CORRUPTED: "The message below holds an object that is damaged and could not be checked wholly.",
    Status.FILTERED: "The message below holds an attachment of a kind that is not accepted here.",
    Status.ERROR: "The message below holds an object that could not be checked for malicious code.",
    Status.PROTECTED: "The message below holds an object that is protected by a password and could not be checked.",
}

_OPENING = {
    Role.SENDER: "A message with your address as its sender has come to our mail server.\n",
    Role.RECIPIENT: "A message for you has come to our mail server.\n",
    Role.ADMIN: "",
}

_CLOSING = {
    Role.SENDER: "If you did not send it, your address was forged, and nothing is to be done.\n",
    Role.RECIPIENT: "Your administrator can tell you more.\n",
    Role.ADMIN: "Message here: %ID%, group: %GROUP%, client: %CLIENT_ADDR%\n"
    "Quarantine:   %BK_LOCATION%\n\nObjects:\n%ACTION_LIST%\n\nHeader of the message:\n%HEADERS%\n",
}

_FACTS = """\
From:       %SENDER%
To:         %RECIPIENT%
Subject:    %SUBJECT%
Message-ID: %MSGID%
Received:   %DATETIME%
What was done: %ACTION%
"""


def builtin(role: Role, status: Status) -> Template:
    """The same as conf/templates/notify_<role>_<status>; tests compare the two."""
    parts = (_OPENING[role] + _MEANING[status] + "\n", _FACTS, _CLOSING[role])
    return Template(_subject(role, status), "\n".join(parts))


def _subject(role: Role, status: Status) -> str:
    if role is Role.ADMIN:
        return f"Mail scanner: {WORDS[status]}: %VIRUSNAME%" if status in _NAMED else f"Mail scanner: {WORDS[status]}"
    whose = "Your message" if role is Role.SENDER else "A message for you"
    return f"{whose} is {WORDS[status]}" if status is not Status.CURED else f"{whose} was disinfected"


_NAMED = (Status.INFECTED, Status.CURED, Status.SUSPICIOUS, Status.WARNING)
