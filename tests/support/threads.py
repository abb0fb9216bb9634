"""A whole scan in this process: the real walker and worker, as threads where the product has processes.

    server = ThreadServer()
    Job(image, options, report, server=server, stores=stores).run()
    server.join()

Only forks, sandboxes and resource limits are missing, so a scan costs milliseconds. SIGIO must be ignored, as a walker
ignores it.
"""

from __future__ import annotations

import mmap
import os
import threading
from collections import deque
from collections.abc import Callable, Sequence

from kavfs._native.walk import walk
from kavfs.engine import native
from kavfs.model import Switch
from kavfs.scan import asking, control, roles
from kavfs.scan.control import Message
from kavfs.scan.forkserver import ForkServer, Part, Parts

DESCRIPTORS = 1024  # that a walker may have open


class ThreadServer(ForkServer):
    """As ForkServer; what it makes cannot be killed. join() after the job has closed its sockets."""

    def __init__(self) -> None:
        self._parts = Parts()
        self._gone: deque[Message] = deque()
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._threads: list[threading.Thread] = []

    def fileno(self) -> int:
        return self._wake

    def set_image(self, parts: list[Part], deltas: Sequence[Sequence[Part]] = ()) -> None:
        self._parts = Parts(list(parts), [list(delta) for delta in deltas])

    def start(self, role: str, child: int, setup: Message, fds: list[int]) -> None:
        body = control.write_long(setup)  # what it cannot carry must not arrive
        own = [os.dup(fd) for fd in fds]
        try:
            setup = control.read_long(body)
        finally:
            os.close(body)
        run = _walk if role == "walker" else _work
        thread = threading.Thread(target=self._live, args=(child, run, setup, own), name=f"{role} {child}")
        self._threads.append(thread)
        thread.start()

    def _live(
        self, child: int, run: Callable[[Message, list[int], Parts], None], setup: Message, fds: list[int]
    ) -> None:
        status = 1 << 8  # a wait status: exit code 1
        try:
            run(setup, fds, self._parts)
            status = 0
        finally:
            for fd in fds:
                os.close(fd)
            self._gone.append({"id": child, "status": status})
            os.eventfd_write(self._wake, 1)

    def kill(self, child: int) -> None:
        """Its socket is closed already: it ends by itself."""

    def news(self) -> list[Message]:
        try:
            os.eventfd_read(self._wake)
        except BlockingIOError:
            return []
        return [self._gone.popleft() for _ in range(len(self._gone))]

    def close(self) -> None:
        """The job still holds the sockets now: join() waits for the threads."""

    def join(self) -> None:
        for thread in self._threads:
            thread.join()
        self._threads.clear()
        os.close(self._wake)


def _walk(setup: Message, fds: list[int], parts: Parts) -> None:
    """roles.run_walker."""
    socket_fd, slot_fd, *stores = fds
    roots = [control.bytes_of(root) for root in setup["roots"]]
    options = {**roles._walk_options(setup, DESCRIPTORS), **asking.options(setup, roots, stores)}
    with mmap.mmap(slot_fd, roles.SLOT_BYTES) as slot:
        walk(socket_fd, roots, slot=slot, **options)


def _work(setup: Message, fds: list[int], parts: Parts) -> None:
    """roles.run_worker."""
    socket_fd, slot_fd, spill_fd, *levels = fds
    scanner = native.make(
        parts.image,
        roles.limits(setup),
        Switch(setup["switches"]),
        spill_fd,
        deltas=parts.deltas,
        objects=native.objects(setup["objects"], levels),
    )
    with mmap.mmap(slot_fd, roles.SLOT_BYTES) as slot:
        roles.greet(socket_fd)
        scanner.serve(socket_fd, slot)
