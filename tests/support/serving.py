"""A service under test: its loop, its clients, and workers that wait for a gate to open.

The fake worker of fakes.py finds what the bytes of an object say; one that begins with GATE is held until the test
writes something else over that.
"""

from __future__ import annotations

import mmap
import os
import select
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from kavfs.limits import Limits
from kavfs.model import Result
from kavfs.ports import Image
from kavfs.scan import roles
from kavfs.scan.asked import Answer, Refusal
from kavfs.scan.control import Message
from kavfs.scan.forkserver import ForkServer, Parts, Role
from kavfs.scan.scanner import memory_file
from kavfs.scan.service import Service, ServiceSettings
from kavfs.signatures.allow import AllowList
from tests.support import fakes

GATE = b"GATE"
PATIENCE = 60.0
EICAR = ("X5O!P%@AP[4\\PZX54(P^)7CC)7}$" + "EICAR-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*").encode()


class GenerationImage(fakes.NoImage):
    """An image without signatures that knows whether it was closed."""

    def __init__(self, number: int = 0) -> None:
        self.generation = number.to_bytes(16, "big")
        self.closed = False

    def close(self) -> None:
        self.closed = True


def run_gated_worker(setup: Message, fds: list[int], parts: Parts) -> None:
    """In place of roles.run_worker, sandbox included."""
    socket_fd, slot_fd, _ = fds
    roles.enter(setup, parts)
    plain = fakes.scan

    def scan(peer: fakes.Peer) -> None:
        beat, batch, index = peer.slot, peer.batch, peer.index
        beat[8:16] = batch.to_bytes(8, "little")
        beat[32:40] = index.to_bytes(4, "little") + (1).to_bytes(4, "little")
        while os.pread(peer.fd, 4, 0) == GATE:
            time.sleep(0.002)
        plain(peer)

    fakes.scan = scan  # of this process alone
    with socket.socket(fileno=socket_fd) as sock, mmap.mmap(slot_fd, 64) as slot:
        roles.greet(socket_fd)
        fakes.serve(sock, slot)


def gated_server() -> ForkServer:
    return ForkServer({"worker": Role(run_gated_worker, takes_image=True), "engine": Role(fakes.run_fake_engine)})


@dataclass
class Gate:
    """An object that is held by whoever scans it."""

    fd: int = field(default_factory=lambda: os.memfd_create("gate", os.MFD_CLOEXEC))

    def __post_init__(self) -> None:
        os.write(self.fd, GATE)

    def open(self, content: bytes = b"fine") -> None:
        os.pwrite(self.fd, content, 0)


@dataclass
class Desk:
    """A service with its answers by ticket, in the order in which they came."""

    service: Service
    server: ForkServer
    notes: list[str]
    answers: dict[int, Answer] = field(default_factory=dict)
    tickets: int = 0

    def ask(self, content: bytes | Gate | int, client: object = "c", name: bytes = b"object", **how: object) -> int:
        """*content*, a gate, or a descriptor."""
        if isinstance(content, bytes):
            fd = memory_file(content)
        else:
            fd = os.dup(content.fd) if isinstance(content, Gate) else content
        box: list[int] = []
        ticket = self.service.submit(
            fd,
            name,
            lambda answer: self._told(box[0], answer),
            client=client,
            **how,  # type: ignore[arg-type]
        )
        box.append(ticket)
        return ticket

    def _told(self, ticket: int, answer: Answer) -> None:
        assert ticket not in self.answers
        self.answers[ticket] = answer

    def run(self, until: Callable[[], object]) -> None:
        """The daemon's loop."""
        poll = select.poll()
        poll.register(self.service.fileno(), select.POLLIN)
        end = time.monotonic() + PATIENCE
        while not until():
            assert time.monotonic() < end, self.service.stats()
            poll.poll(self.service.timeout() * 1000)
            self.service.step()

    def wait(self, *tickets: int) -> list[Answer]:
        self.run(lambda: all(ticket in self.answers for ticket in tickets))
        return [self.answers[ticket] for ticket in tickets]

    def result(self, ticket: int) -> Result:
        (answer,) = self.wait(ticket)
        assert isinstance(answer, Result), answer
        return answer

    def refusal(self, ticket: int) -> Refusal:
        (answer,) = self.wait(ticket)
        assert isinstance(answer, Refusal), answer
        return answer

    def renew(self, image: Image, allow: AllowList | None = None) -> str:
        """Change and wait for it; why it could not be."""
        told: list[str] = []
        self.service.renew(image, allow or AllowList(), told.append)
        self.run(lambda: told)
        return told[0]


@contextmanager
def desk(
    tmp_path: Path,
    *,
    server: ForkServer | None = None,
    image: Image | None = None,
    jobs: int = 1,
    limits: Limits = Limits(),  # noqa: B008
    allow: AllowList | None = None,
    **settings: object,
) -> Iterator[Desk]:
    """With gated fake workers and without stores, unless told otherwise."""
    server = server or gated_server()
    notes: list[str] = []
    options = fakes.options(jobs=jobs, limits=limits)
    values = {"cache": False} | settings
    made = ServiceSettings(options, os.fsencode(tmp_path / "state"), **values)  # type: ignore[arg-type]
    try:
        service = Service(server, image or GenerationImage(), allow or AllowList(), made, notes.append)
        try:
            yield Desk(service, server, notes)
        finally:
            service.close()
    finally:
        server.close()


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def below(pid: int) -> list[int]:
    """Processes that descend from *pid*."""
    found: list[int] = []
    for name in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{name}/children") as file:
            for child in map(int, file.read().split()):
                found += [child, *below(child)] if os.path.exists(f"/proc/{child}") else []
    return found
