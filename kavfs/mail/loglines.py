"""Log lines: what became of a message, in the product's own words: one line when it came, one for each group.

    ID: RECEIVED, from=<...>, nrcpt=2, size=1234, client=[192.0.2.1], helo=<...>, message_id=<...>, flags=ED
    ID: SCANNED, group=<default>, nrcpt=1, status="infected", srcid=ID, names="Eicar-Test-Signature", action="remove"

Values are made safe to be shown, and none can end its own quotes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from kavfs.mail.about import field_of, header_of, some_of, text_of, threats_of, word
from kavfs.mail.case import Case
from kavfs.model import Status
from kavfs.report.names import shown_text

Note = Callable[[str, str], None]  # text, letter of the level

_LETTERS = {Status.CLEAN: "A", Status.ERROR: "E"}
_DSN = (b"NOTIFY", b"ORCPT", b"RET", b"ENVID")
RECENT = 256  # messages of which the first line is not written again


class LogLines:
    """*clean*: also of messages in which nothing was found (ShowOk)."""

    def __init__(self, note: Note, clean: bool = False) -> None:
        self._note = note
        self._clean = clean
        self._recent: deque[str] = deque(maxlen=RECENT)

    def write(self, case: Case) -> None:
        if case.status is Status.CLEAN and not self._clean:
            return
        if case.id not in self._recent:
            self._recent.append(case.id)
            self._note(received(case), "A")
        self._note(scanned(case), _LETTERS.get(case.status, "W"))


def received(case: Case) -> str:
    envelope = case.envelope
    asked = [envelope.parameters, *(one.parameters for one in envelope.recipients)]
    flags = "E" if envelope.protocol != b"SMTP" else ""
    flags += "D" if any(key in _DSN for parameters in asked for key, _ in parameters) else ""
    msgid = field_of(header_of(case), b"message-id").strip(b"<>")
    client = _held(envelope.origin, "]")
    return (
        f"{case.id}: RECEIVED, from=<{_held(envelope.sender)}>, nrcpt={len(envelope.recipients)}, "
        f"size={case.spool.size}, client=[{client}], helo=<{_held(envelope.helo)}>, "
        f"message_id=<{_held(msgid)}>, flags={flags}"
    )


def scanned(case: Case) -> str:
    names = some_of(threats_of(case.findings)).replace('"', "'")
    group = shown_text(case.group.name).replace(">", "\\x3e")
    status = word(case.status) if case.message is not None or case.findings else "not checked"
    action = "block" if case.blocked else case.action.value
    kept = f', quarantine="{", ".join(case.items)}"' if case.items else ""
    return (
        f'{case.id}: SCANNED, group=<{group}>, nrcpt={len(case.recipients)}, status="{status}", srcid={case.id}, '
        f'names="{names}", action="{action}"{kept}'
    )


def _held(raw: bytes, closing: str = ">") -> str:
    """For between brackets."""
    return text_of(raw).replace(closing, f"\\x{ord(closing):02x}")
