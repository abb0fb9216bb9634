"""Tree: all files below a directory that a client named, scanned with the client's rights, a few at a time.

The directory's descriptor comes from an opener, so the client may list it; each entry is opened by the opener again,
by its path. Links are not followed, other file systems are entered, what is neither file nor directory is left out.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from typing import NamedTuple

from kavfs.daemon.desk import Desk
from kavfs.daemon.task import Task
from kavfs.model import Result
from kavfs.scan.service import Refusal

AT_ONCE = 16  # objects of one tree that are on their way
DEPTH_MAX = 256  # directories below each other


class Folder(NamedTuple):
    path: bytes
    names: list[bytes]  # what is left of it, the next one last
    depth: int


class Tree:
    """*tell* gets the path and the verdict, or an errno, of each file, and says whether to go on; *end* comes last."""

    def __init__(
        self,
        desk: Desk,
        task: Task,
        tell: Callable[[bytes, Result | Refusal | int], bool],
        end: Callable[[], None],
    ) -> None:
        self._desk = desk
        self._task = task
        self._tell = tell
        self._end = end
        self._folders: list[Folder] = []
        self._on_way = 0
        self._stopped = False
        self._pushing = False

    def begin(self, fd: int) -> None:
        """With the descriptor of the directory itself, which is the tree's from now on."""
        self._enter(self._task.path, fd, 0)

    def _enter(self, path: bytes, fd: int, depth: int) -> None:
        self._on_way += 1

        def listed(names: list[bytes] | int) -> None:
            self._on_way -= 1
            if isinstance(names, int):
                self._told(path, names)
            else:
                self._folders.append(Folder(path.rstrip(b"/"), names, depth))
            self._push()

        self._desk.lister.read(self._task.client, fd, listed)

    def _push(self) -> None:
        """Begin as many as there is room for. An opener may answer at once: no recursion over that."""
        if self._pushing:
            return
        self._pushing = True
        while self._on_way < AT_ONCE and not self._stopped and self._folders and not self._task.over:
            folder = self._folders[-1]
            if not folder.names:
                self._folders.pop()
                continue
            self._on_way += 1
            self._open(folder.path + b"/" + folder.names.pop(), folder.depth + 1)
        self._pushing = False
        if not self._on_way and (self._stopped or not self._folders) and not self._task.over:
            self._end()

    def _open(self, path: bytes, depth: int) -> None:
        def verdict(_: Task, answer: Result | Refusal) -> None:
            self._on_way -= 1
            self._told(path, answer)
            self._push()

        def refused(_: Task, error: int) -> None:
            self._on_way -= 1
            if error not in (errno.ENXIO, errno.ELOOP, errno.ENOENT):  # no file, a link, gone
                self._told(path, error)
            self._push()

        def directory(_: Task, fd: int) -> None:
            self._on_way -= 1
            if depth < DEPTH_MAX:
                self._enter(path, fd, depth)
            else:
                os.close(fd)
                self._told(path, errno.ELOOP)
            self._push()

        self._desk.open(self._task, path, verdict, refused, directory, follow=False)

    def _told(self, path: bytes, what: Result | Refusal | int) -> None:
        if not self._stopped:
            self._stopped = not self._tell(path, what) or what in (Refusal.CLOSING, errno.ECANCELED)
