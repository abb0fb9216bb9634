"""A desk whose client has gone between its request and our look at it: the others are served all the same."""

from __future__ import annotations

import os
from types import SimpleNamespace
from typing import Any

import pytest

from kavfs._native import serve
from kavfs.daemon.ave_talk import AveTalk
from kavfs.daemon.clamd_talk import Answers, ClamdTalk
from kavfs.daemon.desk import Desk, Talk
from kavfs.scan.closing import Closing

GONE, HERE = 1, 2


class HalfFront:
    """A front with requests of which one client is there no more."""

    def __init__(self, *requests: serve.Request) -> None:
        self._requests = list(requests)
        self.said: list[tuple[int, bytes]] = []

    def step(self) -> None: ...

    def requests(self) -> list[serve.Request]:
        return self._requests

    def gone(self) -> list[int]:
        return [GONE]

    def unwanted(self) -> list[tuple[int, int]]:
        return []

    def peer(self, connection: int) -> serve.Peer:
        if connection == GONE:
            raise LookupError("the connection has ended")
        return serve.Peer(1, 0, 0, (), b"")

    def reply(self, connection: int, number: int, text: bytes, last: bool) -> int:
        self.said.append((connection, text))
        return 0


def ave(desk: Desk) -> Talk:
    return AveTalk(desk)


def clamd(desk: Desk) -> Talk:
    return ClamdTalk(desk, Answers(bytes, bytes, lambda: None, lambda peer: False))


@pytest.mark.parametrize("verb", [serve.SCAN, serve.TOO_LONG])
def test_others_get_their_answer(verb):
    front: Any = HalfFront((GONE, 1, verb, b"", b"relative", -1), (HERE, 1, serve.SCAN, b"", b"relative", -1))
    desk = Desk(front, None, None, None)  # type: ignore[arg-type]  # nothing is opened
    desk.talk = ave(desk)
    desk.pump()
    assert front.said == [(HERE, b"520 Path is relative")]
    assert desk.requests == 2


@pytest.mark.parametrize("verb", [serve.INSTREAM, serve.FILDES])
def test_its_descriptor_is_closed(verb):
    fd = os.memfd_create("sent", os.MFD_CLOEXEC)
    front: Any = HalfFront((GONE, 1, verb, b"n", b"", fd))
    service: Any = SimpleNamespace(closing=Closing())
    desk = Desk(front, service, None, None)  # type: ignore[arg-type]
    desk.talk = clamd(desk)
    desk.pump()
    service.closing.end()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(fd)
