"""Serving: a front with listeners, and clients that speak to it from the same thread."""

from __future__ import annotations

import array
import os
import select
import socket
import struct
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from kavfs._native import serve
from kavfs._native.serve import Request

PATIENCE = 10.0  # seconds until a test gives up
LINE_MAX = 4200
STREAM_MAX = 200_000
MEMORY_MAX = 50_000
GREETING = b"201 ready"
BUSY = b"no room"
LATE = b"too late"

Answer = Callable[["House", Request], None]


def verb_name(number: int) -> str:
    names = [name for name, value in vars(serve).items() if name.isupper() and value == number]
    return next(name for name in names if name not in ("AVE", "CLAMD", "FLIGHTS", "HIGH"))


def chunk(content: bytes) -> bytes:
    return struct.pack("!I", len(content)) + content


def stream(*chunks: bytes) -> bytes:
    """What follows INSTREAM."""
    return b"".join(chunk(c) for c in chunks) + struct.pack("!I", 0)


class Client:
    """A client's end; nothing blocks, so that the front can run between."""

    def __init__(self, sock: socket.socket) -> None:
        self.socket = sock
        sock.setblocking(False)
        self.pieces: list[bytes] = []  # as each recv gave them
        self.ended = False

    def send(self, content: bytes, *descriptors: int) -> int:
        """How many bytes went."""
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))] if descriptors else []
        try:
            return self.socket.sendmsg([content], rights)
        except BlockingIOError:
            return 0
        except (BrokenPipeError, ConnectionResetError):
            self.ended = True
            return 0

    def finish(self) -> None:
        self.socket.shutdown(socket.SHUT_WR)

    def receive(self) -> bytes:
        """All that has come so far."""
        while piece := self.read(1 << 16):
            self.pieces.append(piece)
        return b"".join(self.pieces)

    def read(self, most: int) -> bytes:
        """One piece that has come, or b""."""
        piece = b""
        if not self.ended:
            try:
                piece = self.socket.recv(most)
            except BlockingIOError:
                return b""
            except ConnectionResetError:
                pass
            self.ended = not piece
        return piece

    def close(self) -> None:
        self.socket.close()


class House:
    """A front that hears AVE and CLAMD on UNIX sockets and CLAMD on TCP."""

    def __init__(self, folder: Path, **settings: object) -> None:
        values: dict[str, object] = {
            "connections": 100,
            "per_client": 0,
            "line_max": LINE_MAX,
            "stream_max": STREAM_MAX,
            "memory_max": MEMORY_MAX,
            "spill_dir": os.fsencode(folder),
            "idle_ms": 0,
            "stall_ms": 10_000,
            "send_ms": 10_000,
        }
        self.front = serve.Front(**(values | settings))  # type: ignore[arg-type]
        self.addresses: dict[tuple[int, str], object] = {}
        for protocol in (serve.AVE, serve.CLAMD):
            with socket.socket(socket.AF_UNIX) as unix:
                path = str(folder / f"socket{protocol}")
                unix.bind(path)
                unix.listen(200)
                self.addresses[protocol, "unix"] = path
                self.front.listen(unix.detach(), protocol)
            with socket.socket() as tcp:
                tcp.bind(("127.0.0.1", 0))
                tcp.listen(200)
                self.addresses[protocol, "tcp"] = tcp.getsockname()
                self.front.listen(tcp.detach(), protocol)
            self.front.set_busy(protocol, BUSY)
            self.front.set_late(protocol, LATE)
        self.front.greet(serve.AVE, GREETING)
        self.clients: list[Client] = []
        self.requests: list[Request] = []  # all so far
        self.gone: list[int] = []
        self.unwanted: list[tuple[int, os.stat_result]] = []  # all that were handed out as such, and closed

    def __enter__(self) -> House:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        for client in self.clients:
            client.close()
        for request in self.requests:
            if request[5] >= 0:
                os.close(request[5])
        for _, fd in self.front.close():
            os.close(fd)

    def connect(self, protocol: int = serve.CLAMD, transport: str = "unix") -> Client:
        sock = socket.socket(socket.AF_UNIX if transport == "unix" else socket.AF_INET)
        sock.connect(self.addresses[protocol, transport])
        self.clients.append(Client(sock))
        return self.clients[-1]

    def turn(self, answer: Answer | None = None, wait: float = 0.0) -> bool:
        """One step if there is something to do within *wait* seconds; whether there was."""
        if not select.select([self.front.fileno()], [], [], wait)[0]:
            return False
        self.front.step()
        for request in self.front.requests():
            self.requests.append(request)
            if answer:
                answer(self, request)
        for uid, fd in self.front.unwanted():
            self.unwanted.append((uid, os.fstat(fd)))
            os.close(fd)
        self.gone += self.front.gone()
        return True

    def settle(self, answer: Answer | None = None) -> None:
        """Until there is nothing to do at once."""
        while self.turn(answer):
            pass

    def until(self, met: Callable[[], object], answer: Answer | None = None) -> None:
        end = time.monotonic() + PATIENCE
        while not met():
            assert time.monotonic() < end, "it did not happen"
            self.turn(answer, 0.01)

    def talk(self, client: Client, *parts: bytes, answer: Answer | None = None) -> bytes:
        """Send these bytes, with a turn after each part, and give what came back once nothing more is to be done."""
        for part in parts:
            rest = part
            while rest and not client.ended:
                sent = client.send(rest)
                rest = rest[sent:]
                self.settle(answer or named)
                client.receive()
        self.settle(answer or named)
        return client.receive()

    def heard(self) -> list[tuple[str, bytes, bytes]]:
        """Verb, option and argument of all requests so far."""
        return [(verb_name(verb), option, argument) for _, _, verb, option, argument, _ in self.requests]

    def contents(self) -> list[bytes | None]:
        """What the descriptors of all requests so far hold."""
        found: list[bytes | None] = []
        for request in self.requests:
            fd = request[5]
            found.append(os.pread(fd, os.fstat(fd).st_size + 1, 0) if fd >= 0 else None)
        return found


def named(house: House, request: Request) -> None:
    """Answer with the verb's name."""
    house.front.reply(request[0], request[1], verb_name(request[2]).encode(), True)


def keep(_house: House, _request: Request) -> None:
    """Not answered yet."""
