"""A mail server as a milter sees it: what it says of a message, and what it makes of the answers.

server = MailServer()
server.hello() + server.mail(MESSAGE, ["b@example.org"])       bytes for the milter
server.hear(answers)                                           -> Heard: what became of the message
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

GONE = b"\0gone"


def frame(code: bytes, data: bytes = b"") -> bytes:
    return struct.pack(">I", 1 + len(data)) + code + data


def frames(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Whole frames of a stream, as far as it goes."""
    while len(data) >= 4 and len(data) >= 4 + (size := struct.unpack_from(">I", data)[0]):
        yield data[4:5], data[5 : 4 + size]
        data = data[4 + size :]


def fields_of(message: bytes) -> tuple[list[list[bytes]], bytes]:
    """Fields as name and value, and the body. A folded value has its line ends."""
    head, _, body = message.partition(b"\r\n\r\n")
    fields: list[list[bytes]] = []
    for line in head.split(b"\r\n"):
        if line[:1] in (b" ", b"\t"):
            fields[-1][1] += b"\n" + line
        else:
            name, _, value = line.partition(b":")
            fields.append([name, value])
    return fields, body


@dataclass
class Heard:
    """*answer*: accepted, discarded, a reply, or "" when none came: the server says 451 then."""

    answer: str = ""
    message: bytes = b""
    without: list[bytes] = field(default_factory=list)
    codes: bytes = b""  # of all frames
    refused: list[str] = field(default_factory=list)  # replies to recipients

    @property
    def passing(self) -> bool:
        return self.answer == "" or self.answer.startswith("4")


@dataclass
class MailServer:
    """*counts_deleted*: a field that is gone still counts, as with Sendmail. *chunk*: bytes of a body at a time."""

    version: int = 6
    actions: int = 0x1FF
    steps: int = 0x1FFFFF
    chunk: int = 65535
    counts_deleted: bool = False

    def hello(self) -> list[tuple[str, bytes]]:
        """Steps of a dialogue: name and bytes. From here on only what was agreed on counts."""
        offer = struct.pack(">III", self.version, self.actions, self.steps)
        address = b"client.example.org\0" + b"4" + struct.pack(">H", 2525) + b"192.0.2.7\0"
        return [
            ("OPTIONS", frame(b"O", offer)),
            ("CONNECT", frame(b"D", b"Cj\0host.example.org\0") + frame(b"C", address)),
            ("HELO", frame(b"H", b"client.example.org\0")),
        ]

    @property
    def spaced(self) -> bool:
        return bool(self.steps & 0x100000)

    def mail(
        self, message: bytes, recipients: list[bytes], sender: bytes = b"<a@example.org>"
    ) -> list[tuple[str, bytes]]:
        fields, body = fields_of(message)
        said = [("MAIL", frame(b"D", b"Mi\0" + b"4Zq1\0") + frame(b"M", sender + b"\0SIZE=100\0AUTH=<>\0"))]
        said += [("RCPT", frame(b"R", one + b"\0NOTIFY=NEVER\0")) for one in recipients]
        if not self.steps & 0x200:
            said.append(("DATA", frame(b"T")))
        for name, value in fields:
            text = value if self.spaced else value.removeprefix(b" ")
            said.append(("HEADER", frame(b"L", name + b"\0" + text + b"\0")))
        if not self.steps & 0x40:
            said.append(("EOH", frame(b"N")))
        said += [
            ("BODY", frame(b"B", body[at : at + self.chunk])) for at in range(0, len(body), self.chunk) or range(1)
        ]
        return [*said, ("END", frame(b"E"))]

    def agreed(self, answer: bytes) -> None:
        """What the milter answered to our options."""
        version, actions, steps = struct.unpack(">III", answer)
        assert (version, actions & ~self.actions, steps & ~self.steps) == (min(6, self.version), 0, 0)
        self.steps = steps

    def hear(self, data: bytes, message: bytes, count: int) -> Heard:
        """All answers to a message of *count* recipients, from MAIL on. Each step has as many as it ought to have."""
        fields, body = fields_of(message)
        heard = Heard()
        before = 1 + count + (0 if self.steps & 0x200 else 1) + (0 if self.steps & 0x40 else 1)
        before += 0 if self.steps & 0x80 else len(fields)
        before += 0 if self.steps & 0x80000 else len(range(0, len(body), self.chunk) or range(1))
        gone: list[bytes] = []
        new: list[bytes] | None = None
        for code, value in frames(data):
            heard.codes += code
            if before:
                before -= 1
                assert code in b"cy", code
                if code == b"y":
                    heard.refused.append(value[:-1].decode())
            elif code in b"mhi":
                self._edit(fields, code, value)
            elif code == b"-":
                gone.append(value.removesuffix(b"\0"))
            elif code == b"b":
                assert len(value) <= 65535
                new = [*(new or []), value]
            elif code == b"c":
                heard.answer = "accepted"
            elif code in b"dty":
                heard.answer = {b"d": "discarded", b"t": "451"}.get(code) or value[:-1].decode()
            else:
                assert code == b"p", code
                assert new is None, "a server takes a body as complete when something else comes"
        if heard.answer == "accepted":
            lines = [name + b":" + value.replace(b"\n", b"\r\n") for name, value in fields if value != GONE]
            kept = b"".join(line + b"\r\n" for line in lines)
            heard.message = kept + b"\r\n" + (body if new is None else b"".join(new))
            heard.without = gone
        return heard

    def _edit(self, fields: list[list[bytes]], code: bytes, data: bytes) -> None:
        number = 0
        if code in b"mi":
            number, data = struct.unpack_from(">I", data)[0], data[4:]
        name, value, rest = data.split(b"\0")
        assert rest == b""
        made = [name, value if self.spaced else b" " + value]
        if code == b"h":
            fields.append(made)
        elif code == b"i":
            fields.insert(number, made)
        else:
            at = [i for i, one in enumerate(fields) if one[0].lower() == name.lower()][number - 1]
            if value:
                fields[at] = [fields[at][0], made[1]]
            elif self.counts_deleted:
                fields[at][1] = GONE
            else:
                del fields[at]
