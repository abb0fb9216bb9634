"""Task: one command of a client that ends with a verdict, from its request to its last line."""

from __future__ import annotations

from dataclasses import dataclass, field

from kavfs._native.serve import Peer


@dataclass(slots=True, eq=False)
class Task:
    """Made for a request; in Desk.open as long as the client may still vanish."""

    connection: int
    number: int  # of the request in its connection
    client: object  # whose turn it is
    peer: Peer  # with whose rights paths are opened
    path: bytes = b""  # as the client wrote it
    all_match: bool = False
    raw: bool = False  # its lines end with NUL: no byte of a path needs to be hidden
    tickets: set[int] = field(default_factory=set)  # of the service, without an answer yet
    over: bool = False  # the last line was given, or nobody is there to read it

    @property
    def who(self) -> bytes:
        """The client, to be shown."""
        return b"uid %d" % self.peer.uid if self.peer.uid >= 0 else self.peer.address or b"a client"
