"""Letter: what a message in quarantine carries with it: its envelope and what was found, as one line of JSON.

It is what the item says of itself, in the store's catalogue and, sealed, in the item. Bytes of the envelope are base64.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import NamedTuple, TypeVar

from kavfs.mail.about import FIELD_MAX, field_of, header_of, text_of, word
from kavfs.mail.case import Case, Finding
from kavfs.report.names import shown_text

FOUND_MAX = 100  # findings that are written down
THREATS_MAX = 16  # of each
TEXT_MAX = 500  # characters of a name

Value = TypeVar("Value")


class Found(NamedTuple):
    """One finding. *place*: of its part, "1.2"; empty: the message as a whole, or a file in a text."""

    name: str
    status: str
    threats: tuple[str, ...] = ()
    place: str = ""


class Letter(NamedTuple):
    """Texts are safe to be shown."""

    sender: bytes
    recipients: tuple[bytes, ...]
    id: str = ""  # of the message with us, as the log has it
    time: float = 0.0  # seconds since 1970 at which it had come
    group: str = ""
    client: str = ""
    helo: str = ""
    msgid: str = ""
    subject: str = ""
    utf8: bool = False  # it came with SMTPUTF8
    found: tuple[Found, ...] = ()


def letter_of(case: Case) -> Letter:
    header, envelope = header_of(case), case.envelope
    return Letter(
        envelope.sender,
        case.addresses(),
        case.id,
        case.time,
        shown_text(case.group.name),
        text_of(envelope.origin),
        text_of(envelope.helo),
        text_of(field_of(header, b"message-id"), FIELD_MAX),
        text_of(field_of(header, b"subject"), FIELD_MAX),
        any(key == b"SMTPUTF8" for key, _ in envelope.parameters),
        tuple(_found(one) for one in case.findings[:FOUND_MAX]),
    )


def _found(finding: Finding) -> Found:
    threats = tuple(shown_text(name)[:TEXT_MAX] for name in finding.threats[:THREATS_MAX])
    place = finding.part.place if finding.part is not None and finding.block is None else ""
    return Found(shown_text(finding.name)[:TEXT_MAX], word(finding.status), threats, place)


def written(letter: Letter) -> str:
    values = letter._asdict()
    values["sender"] = base64.b64encode(letter.sender).decode("ascii")
    values["recipients"] = [base64.b64encode(one).decode("ascii") for one in letter.recipients]
    return json.dumps(values, separators=(",", ":"))


def read(text: str) -> Letter:
    """Raises ValueError where that is no letter."""
    try:
        values = json.loads(text)
        sender, *recipients = (
            base64.b64decode(one, validate=True) for one in (values.pop("sender"), *values.pop("recipients"))
        )
        found = tuple(
            Found(str(name), str(status), tuple(map(str, threats)), str(place))
            for name, status, threats, place in values.pop("found", ())
        )
        kinds: dict[str, Callable[[object], object]] = {"time": float, "utf8": bool}  # type: ignore[dict-item]
        others = {name: kinds.get(name, str)(value) for name, value in values.items() if name in Letter._fields}
        return Letter(sender, tuple(recipients), found=found, **others)  # type: ignore[arg-type]
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"not a letter: {error}") from None
