r"""Content: the bytes between DATA and its end, read and written.

Only CR LF . CR LF ends DATA. A CR or LF alone is not an end of line to one server and is to another: that difference
is how one message is smuggled as two. So they never leave us: Unstuffer notes them (the session refuses the message)
or makes CR LF of them; Stuffer makes CR LF of any that was put into a message later.
"""

from __future__ import annotations

import re

END = b"\r\n.\r\n"
_HELD = (b"\r\n.\r", b"\r\n.", b"\r\n", b"\r")  # how an end can begin at the end of a chunk
_ANY_END = re.compile(rb"\r\n|\r|\n")


def has_bare(data: bytes) -> bool:
    """Is a CR or LF of *data* alone? A CR at its end is."""
    pairs = data.count(b"\r\n")
    return data.count(b"\n") != pairs or data.count(b"\r") != pairs


class Unstuffer:
    """DATA as it comes, in chunks cut anywhere, to content."""

    def __init__(self, normalise: bool = False) -> None:
        self._normalise = normalise
        self._held = b"\r\n"  # as if an empty line stood before: a dot may come first
        self._skip = 2
        self.bare = False  # a CR or LF alone was seen
        self.ended = False

    def feed(self, data: bytes) -> tuple[bytes, bytes]:
        """Content that is certain by now; and what came behind the end."""
        data = self._held + data
        at = data.find(END)
        if at >= 0:
            self.ended = True
            self._held = b""
            return self._plain(data[: at + 2]), data[at + len(END) :]
        keep = next((len(held) for held in _HELD if data.endswith(held)), 0)
        self._held = data[len(data) - keep :]
        return self._plain(data[: len(data) - keep]), b""

    def _plain(self, data: bytes) -> bytes:
        if not data:
            return b""
        bare = has_bare(data)
        self.bare |= bare
        data = data.replace(b"\r\n.", b"\r\n")
        if bare and self._normalise:
            data = _ANY_END.sub(b"\r\n", data)
        skip, self._skip = self._skip, 0
        return data[skip:]


class Stuffer:
    """Content, in chunks cut anywhere, to what follows DATA; without the last line, which is `END_LINE`."""

    END_LINE = b".\r\n"

    def __init__(self) -> None:
        self._held = b"\r\n"
        self._skip = 2

    def feed(self, data: bytes) -> bytes:
        data = self._held + data
        keep = 2 if data.endswith(b"\r\n") else 1 if data.endswith((b"\r", b"\n")) else 0  # a dot may follow it
        self._held = data[len(data) - keep :]
        return self._wire(data[: len(data) - keep])

    def finish(self) -> bytes:
        """What is left, with an end to the last line if it has none."""
        return self._wire(self._held or b"\r\n")

    def _wire(self, data: bytes) -> bytes:
        if not data:
            return b""
        if has_bare(data):
            data = _ANY_END.sub(b"\r\n", data)
        skip, self._skip = self._skip, 0
        return data.replace(b"\r\n.", b"\r\n..")[skip:]
