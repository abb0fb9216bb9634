"""Desk: what all protocols share: from a request with a path or a descriptor to a verdict, and the end of both.

A protocol is a Talk: it reads a request, asks the desk to scan, and answers with lines. The desk knows which commands
of which connection are open, and cancels what nobody waits for any more.
"""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable
from typing import Protocol

from kavfs._native import serve
from kavfs.daemon.listing import Lister
from kavfs.daemon.task import Task
from kavfs.model import Result
from kavfs.scan.opening import Opened, Openers
from kavfs.scan.service import Refusal, Service

Verdict = Callable[[Task, Result | Refusal], None]
Refused = Callable[[Task, int], None]  # with an errno
Directory = Callable[[Task, int], None]  # with a descriptor, which is the callee's
# Hears what became of each object that was asked about, under its path, after so many seconds. A text: why it was not
# scanned at all.
Watcher = Callable[[Task, bytes, Result | Refusal | str, float], None]

_LEFT_OUT = (errno.ENXIO, errno.ELOOP, errno.ENOENT)  # in a tree: neither file nor folder, a link, gone
_TAKEN_FOR = {
    serve.TOO_LONG: "line too long",
    serve.TOO_LARGE: "stream too long",
    serve.BROKEN: "descriptor or stream unusable",
}


class Gone(Exception):
    """The client of a request has ended its connection since it asked."""


class Talk(Protocol):
    """One protocol over one front."""

    def take(self, request: serve.Request) -> None:
        """Carry out a request. Its descriptor is the callee's."""
        ...


class Desk:
    """One front with its talk. *folders*: below which clients without an identity (TCP) may name files."""

    def __init__(
        self,
        front: serve.Front,
        service: Service,
        openers: Openers,
        lister: Lister,
        folders: tuple[bytes, ...] = (),
    ) -> None:
        self.front = front
        self.service = service
        self._openers = openers
        self.lister = lister
        self.folders = folders
        self._open: dict[int, list[Task]] = {}
        self.talk: Talk | None = None
        self.requests = 0
        self.broken: Callable[[str], None] = lambda why: None
        self.watchers: list[Watcher] = []

    def pump(self) -> None:
        """Everything that the front has to say now."""
        front, talk = self.front, self.talk
        assert talk is not None
        front.step()
        for request in front.requests():
            self.requests += 1
            try:
                if request[2] in _TAKEN_FOR:
                    self._refused(request)
                talk.take(request)
            except Gone:  # the others are still there
                if request[5] >= 0:
                    self.service.closing.close(request[5], None)
            except Exception as error:  # a defect, which must not cost the others their answers
                front.end(request[0])
                self.broken(f"a request could not be carried out: {type(error).__name__}: {error}")
        for uid, fd in front.unwanted():
            self.service.closing.close(fd, uid)
        for connection in front.gone():
            for task in self._open.pop(connection, ()):
                self._drop(task)

    @property
    def busy(self) -> bool:
        """Whether anybody waits for an answer."""
        return bool(self._open)

    # ---- tasks -----------------------------------------------------------------------------------------------------

    def begin(self, connection: int, number: int, path: bytes = b"", all_match: bool = False) -> Task:
        peer = self.peer(connection)
        client = peer.uid if peer.uid >= 0 else peer.address.rpartition(b" ")[0]
        task = Task(connection, number, client, peer, path, all_match)
        self._open.setdefault(connection, []).append(task)
        return task

    def peer(self, connection: int) -> serve.Peer:
        """Who asks. Raises Gone."""
        try:
            return self.front.peer(connection)
        except LookupError:
            raise Gone from None

    def say(self, task: Task, line: bytes, *, apart: bool = False) -> int:
        """A line that others follow, *apart*: not in the same recv. Bytes that wait for the client to read."""
        return 0 if task.over else self.front.reply(task.connection, task.number, line, False, apart)

    def end(self, task: Task, line: bytes) -> None:
        """The last line."""
        if task.over:
            return
        self._drop(task)
        tasks = self._open[task.connection]
        tasks.remove(task)
        if not tasks:
            del self._open[task.connection]
        self.front.reply(task.connection, task.number, line, True)

    def _drop(self, task: Task) -> None:
        task.over = True
        for ticket in task.tickets:
            self.service.cancel(ticket)
        task.tickets.clear()

    def _refused(self, request: serve.Request) -> None:
        connection, number, verb, *_ = request
        peer = self.peer(connection)
        self._told(Task(connection, number, None, peer), b"", _TAKEN_FOR[verb])

    def _told(self, task: Task, path: bytes, what: Result | Refusal | str, seconds: float = 0.0) -> None:
        for watcher in self.watchers:
            watcher(task, path, what, seconds)

    # ---- scanning --------------------------------------------------------------------------------------------------

    def scan(self, task: Task, fd: int, name: bytes, verdict: Verdict) -> None:
        """Scan what is behind *fd*, which is the service's from now on. What is known has its verdict at once."""
        known = self.service.recall(fd, name, all_match=task.all_match)
        if isinstance(known, Result):
            self.service.closing.close(fd, task.client)
            self._told(task, name, known)
            verdict(task, known)
            return
        begun = time.monotonic()

        def done(answer: Result | Refusal) -> None:
            task.tickets.discard(ticket)
            self._told(task, name, answer, time.monotonic() - begun)
            if not task.over:
                verdict(task, answer)

        ticket = self.service.submit(fd, name, done, client=task.client, all_match=task.all_match, key=known)
        task.tickets.add(ticket)

    def open(
        self, task: Task, path: bytes, verdict: Verdict, refused: Refused, directory: Directory, follow: bool = True
    ) -> None:
        """Open *path* with the rights of the task's peer, and scan it. What is neither file nor directory is refused
        with ENXIO, what this client may not name with EPERM."""

        def done(opened: Opened) -> None:
            if task.over:
                if opened.fd >= 0:
                    self.service.closing.close(opened.fd, task.client)
            elif opened.fd < 0:
                if follow or opened.error not in _LEFT_OUT:
                    self._told(task, path, os.strerror(opened.error))
                refused(task, opened.error)
            elif opened.is_directory:
                directory(task, opened.fd)
            else:
                self.scan(task, opened.fd, path, verdict)

        folder = b"" if task.peer.uid >= 0 else self._folder(path)
        self._openers.open(
            task.peer, path[len(folder) :].lstrip(b"/") or b"." if folder else path, done, follow=follow, folder=folder
        )

    def _folder(self, path: bytes) -> bytes:
        """The configured folder that *path* lies in, or b""; ".." in it leads nowhere."""
        for folder in self.folders:
            if path == folder or path.startswith(folder.rstrip(b"/") + b"/"):
                return folder
        return b""
