"""Wires: the scripted client and next hop of hops.py on real sockets, before and behind a program.

A fault has an *act* besides what hops.py knows ("dies", "stalls" ...): something that the test does to the program at
that moment: before a step, in its middle (half of the bytes are on the wire) or behind it.
"""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress

from tests.support.hops import Client, Fault, Fuse, HopStream, NextHop, drive

PATIENCE = 60.0
LOOK = 0.2  # seconds until a client that hears nothing thinks about it
PIECE = 1 << 14  # bytes read at once: less than a message, so that a message has a middle
Acts = Mapping[str, Callable[[], object]]


class WiredStream(HopStream):
    def __init__(self, hop: NextHop, sock: socket.socket) -> None:
        self.sock = sock
        super().__init__(hop, Fuse())

    def flush(self) -> None:
        data = self.taken()
        with suppress(OSError):  # who asked may be dead by now
            self.sock.sendall(data)


class WiredHop(NextHop):
    """A NextHop at `port`. Close it."""

    def __init__(self, lmtp: bool, acts: Acts) -> None:
        super().__init__(lmtp=lmtp)
        self._acts = acts
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._begin()

    def set(self, fault: Fault | None) -> None:
        """What goes wrong next. A next hop that is not there comes back when `set` again."""
        with self._lock:
            gone = fault is not None and fault.step == "connect"
            self.fault = None if gone else fault
        if gone and self._listener.fileno() >= 0:
            self._end_listening()
        elif not gone and self._listener.fileno() < 0:
            self._listener = socket.create_server(("127.0.0.1", self.port))
            self._begin()

    def hang_up(self) -> None:
        """On all who are connected: none of their connections is used again."""
        with self._lock:
            for sock in self._open:
                with suppress(OSError):
                    sock.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        if self._listener.fileno() >= 0:
            self._end_listening()
        self.hang_up()

    # ---- one step, with an act in it ---------------------------------------------------------------------------------

    def step(self, stream: HopStream, name: str, answer: bytes) -> bool:
        act = self._act(name)
        if act is None:
            return super().step(stream, name, answer)
        assert isinstance(stream, WiredStream)
        assert self.fault is not None
        when = self.fault.when
        at = {"before": 0, "middle": len(answer) // 2, "after": len(answer)}[when]
        stream.outbox += answer[:at]
        stream.flush()
        act()
        self.fault = None  # who waits for this knows that it is done
        stream.outbox += answer[at:]
        return True

    def end(self, stream: HopStream, content: bytes) -> None:
        act = self._act("end")
        if act is not None and self._strikes("end", "before"):
            act()
            self.fault = None
        super().end(stream, content)

    def _act(self, name: str) -> Callable[[], object] | None:
        return self._acts.get(self.fault.how) if self.fault is not None and self.fault.step == name else None

    # ---- sockets -----------------------------------------------------------------------------------------------------

    def _begin(self) -> None:
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def _end_listening(self) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes up who accepts
        self._listener.close()

    def _accept(self, listener: socket.socket) -> None:
        with suppress(OSError):  # closed
            while True:
                sock, _ = listener.accept()
                threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock: socket.socket) -> None:
        with sock, suppress(OSError):
            with self._lock:
                self._open.add(sock)
            try:
                self._talk(sock)
            finally:
                with self._lock:
                    self._open.discard(sock)

    def _talk(self, sock: socket.socket) -> None:
        with self._lock:
            stream = WiredStream(self, sock)
        stream.flush()
        while not stream.dead and (data := sock.recv(PIECE)):
            with self._lock:
                if not stream.dead:
                    drive(stream.write(data, 0))
            stream.flush()


def converse(
    sock: socket.socket, client: Client, fault: Fault | None, acts: Acts, tired: Callable[[], bool] = lambda: False
) -> None:
    """Say what the client has to say, until it is said or one side is gone. A fault that is an act is *fault*; others
    are the client's own. *tired*: he does not wait any longer for an answer that has not come."""
    sock.settimeout(LOOK)
    try:
        while _hear(sock, client, tired) and not _refused(client):
            name = client.steps[client.at + 1][0] if client.at + 1 < len(client.steps) else ""
            try:
                data = drive(client.read(0))
            except TimeoutError:
                while True:  # silent, until the other side has had enough
                    client.heard += _read(sock, tired)
            if fault is not None and fault.step == name and fault.how in acts:
                at = {"before": 0, "middle": len(data) // 2, "after": len(data)}[fault.when]
                sock.sendall(data[:at])
                acts[fault.how]()
                data = data[at:]
            if data:
                sock.sendall(data)
            if client.deaf and not client.ended:  # "unheard": the answer meets nobody
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            if client.ended or client.deaf:
                return
    except (OSError, EOFError):
        return


def _read(sock: socket.socket, tired: Callable[[], bool]) -> bytes:
    """What comes next. Raises EOFError when nothing does."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        try:
            if data := sock.recv(PIECE):
                return data
            break
        except TimeoutError:
            if tired():
                break
    raise EOFError


def _hear(sock: socket.socket, client: Client, tired: Callable[[], bool]) -> bool:
    """Wait for all replies that are due. False: it will not say anything more. Raises EOFError."""
    while len(client.replies()) < client.due():
        client.heard += _read(sock, tired)
    return client.at + 1 < len(client.steps)


def _refused(client: Client) -> bool:
    """Whether it may not send the content that comes next."""
    after = client.at + 1
    return client.steps[after][0] == "content" and not client.replies()[-1].startswith(b"3")
